//! The application takes long between reading a request and writing the response.

use super::text::Text;
use super::{ConnectionFacts, FindingVerdict};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::text::{count, count_of, duration_us, of_last, percent};

/// An answer this late on average hurts whatever the application does, µs.
const LONG_US: u64 = 250_000;

const PARKED: &str = "The event loop had put them aside: do they wait by design (long polling)? \
    Then this is no fault.";

const UNSEEN: &str = "Whether they wait for calls to other servers or by design (long polling) was \
    not observed: by port alone no calls are watched.";

const LACKED: &str = "Other threads of the process were ready at that time and without a CPU for \
    as long: if it waited for one of them, it waited for that.";

const SEVERAL: &str = "On their connections several calls of HTTP/2 may be open at a time: which \
    of them waited, or whether one did, or a stream had no news, the bytes do not tell.";

const OR_STREAM: &str =
    "It may have waited for a lock, a disk or another server, or be a stream that had no news.";

const GREETING_FIX: &str = "find what the server does between accept and its greeting: it may look \
    up the client's name (sshd UseDNS, vsftpd reverse_lookup_enable), start a process, or delay on \
    purpose.";

/// A thread that lets others wait for so long on average hurts them, µs.
const BLOCKING_US: u64 = 100_000;

/// An exchange counts from 20 ms of application time on. A tenth of all must, or some during which
/// others waited for the thread. It is a warning when they take 250 ms on average, or 100 ms with
/// others waiting: less may be what the work needs.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let (stats, stuck) = (facts.stats, &facts.stuck.unanswered);
    let slow = stats.slow(SliceKind::App);
    let many = facts.are_many(slow.count);
    let blocks = is_blocking(facts);
    let rest = &stats.rests.late;
    let rests = facts.are_many(rest.count);
    let greeting = &stats.greetings;
    let greets = greeting.count >= 3 && greeting.count * 10 >= stats.greeted;
    if !many && stuck.count == 0 && !blocks && !greets && !rests {
        return None;
    }
    let (mean, worst) = (duration_us(slow.mean_us()), duration_us(slow.worst_us));
    let upstream = Upstream::of(facts, many);
    let answers = many || blocks || stuck.count > 0;
    let told = !is_parked(facts) && !is_several(facts);
    let lacks = upstream.is_none() && lacks_cpu(facts);
    let headline = if many && upstream.is_some() {
        format!("Requests wait {mean} for calls of the application, {worst} at the worst.")
    } else if many && is_several(facts) {
        format!("Between a read and the next write pass {mean}, {worst} at the worst.")
    } else if many {
        format!("The application takes {mean} to answer, {worst} at the worst.")
    } else if blocks {
        let (requests, long) = (
            count_of(stats.app.blocking.count, "request"),
            duration_us(stats.app.blocking.mean_us()),
        );
        format!("A thread is held by {requests} for {long} each while others wait for it.")
    } else if greets {
        let (mean, worst) = (duration_us(greeting.mean_us()), duration_us(greeting.worst_us));
        format!("The application takes {mean} to greet its clients, {worst} at the worst.")
    } else if rests {
        let (mean, worst) = (duration_us(rest.mean_us()), duration_us(rest.worst_us));
        format!("Responses take {mean} from the first byte to the last, {worst} at the worst.")
    } else {
        let (requests, worst) = (count_of(stuck.count, "request"), duration_us(stuck.worst_us));
        format!("Read and not answered: {requests}, for up to {worst} so far.")
    };
    Some(FindingVerdict {
        severity: if many && slow.mean_us() >= LONG_US && (told || upstream.is_some()) && !lacks
            || blocks && stats.app.blocking.mean_us() >= BLOCKING_US && !lacks
            || greets && greeting.mean_us() >= LONG_US
            || rests
                && rest.mean_us() >= LONG_US
                && rest_on_cpu(facts).is_some_and(|share| share >= 0.5)
        {
            Severity::Warning
        } else {
            Severity::Info
        },
        owner: owner(facts, upstream.is_some()),
        headline,
        text: of_greetings(text(facts, answers, rests, upstream.as_ref()), facts, greets),
        evidence: vec![
            ("exchanges", slow.count as f64),
            ("of", stats.exchanges as f64),
            ("app_mean_us", slow.mean_us() as f64),
            ("app_max_us", slow.worst_us as f64),
            ("on_cpu_us", stats.app.cpu_us as f64),
            ("with_calls", stats.app.calls as f64),
            ("joined", stats.app.joined as f64),
            ("upstream_us", stats.app.upstream_us as f64),
            ("put_aside", stats.app.parked as f64),
            ("blocking", stats.app.blocking.count as f64),
            ("held_up", stats.app.held_up as f64),
            ("held_up_max_us", stats.app.held_up_us as f64),
            ("blocking_tid", f64::from(stats.app.blocking_tid)),
            ("unanswered_now", stuck.count as f64),
            ("waiting_for_calls_now", facts.stuck.on_calls.waits.count as f64),
            ("greetings", greeting.count as f64),
            ("greeting_mean_us", greeting.mean_us() as f64),
            ("greeting_max_us", greeting.worst_us as f64),
            ("late_rests", rest.count as f64),
            ("rest_mean_us", rest.mean_us() as f64),
            ("rest_max_us", rest.worst_us as f64),
            ("rest_on_cpu_us", stats.rests.cpu_us as f64),
            ("starved_us", stats.app.lack.starved_us as f64),
        ],
        fix: match () {
            () if answers => fix(facts, upstream.as_ref()),
            () if greets => GREETING_FIX.to_owned(),
            () => rest_fix(facts).to_owned(),
        },
    })
}

/// Calls hold most of the time.
struct Upstream {
    /// For whom most of it was waited.
    peer: String,
    /// Exchanges that waited for calls, and their share of the time.
    exchanges: u64,
    share: f64,
}

impl Upstream {
    fn text(&self) -> String {
        format!(
            "{} waited for calls that the application made for them, {} of the time, most of it \
             for {}.",
            count(self.exchanges),
            percent(self.share.min(1.0)),
            self.peer
        )
    }

    fn of(facts: &ConnectionFacts<'_>, many: bool) -> Option<Self> {
        let (stats, stuck) = (facts.stats, facts.stuck);
        if !many {
            let waits = &stuck.on_calls.waits;
            let peer =
                stuck.on_calls.peer.filter(|_| waits.count * 2 >= stuck.unanswered.count.max(1))?;
            return Some(Self { peer: peer.to_string(), exchanges: waits.count, share: 1.0 });
        }
        let slow = stats.slow(SliceKind::App);
        let share = stats.app.upstream_us as f64 / slow.us.max(1) as f64;
        let (peer, _) = stats
            .app
            .upstreams
            .most()
            .filter(|_| share >= 0.5 && stats.app.joined * 2 >= slow.count)?;
        Some(Self { peer: peer.to_string(), exchanges: stats.app.joined, share })
    }
}

fn owner(facts: &ConnectionFacts<'_>, waits_for_calls: bool) -> Owner {
    match () {
        () if waits_for_calls => Owner::Peer,
        () if lacks_cpu(facts) => Owner::Unknown,
        () if is_unseen(facts) => Owner::Unknown,
        () => Owner::App,
    }
}

/// They were put aside, and for what cannot be seen.
fn is_unseen(facts: &ConnectionFacts<'_>) -> bool {
    let only_stuck = facts.stuck.unanswered.count > 0
        && facts.stats.slow(SliceKind::App).count == 0
        && !is_blocking(facts);
    !facts.sees_calls && (is_parked(facts) || only_stuck)
}

fn text(
    facts: &ConnectionFacts<'_>,
    answers: bool,
    rests: bool,
    upstream: Option<&Upstream>,
) -> Text {
    let stats = facts.stats;
    let slow = stats.slow(SliceKind::App);
    let answered = || match slow.count {
        0 => "Every byte of them that came was read, and nothing was written since.".to_owned(),
        slow => {
            format!(
                "{} took so long from the last read to the first write.",
                of_last(slow, stats.exchanges, "exchange")
            )
        }
    };
    let alone = answers && upstream.is_none();
    let stopped = facts.cpu.stopped_lately(facts.now_ns);
    let parked = alone && is_parked(facts) && facts.sees_calls;
    let text = Text::default()
        .say("slow-answers", answers, answered)
        .infer("upstream", answers && upstream.is_some(), || {
            upstream.map(Upstream::text).unwrap_or_default()
        })
        .say("several-calls", answers && slow.count > 0 && is_several(facts), || SEVERAL.into())
        .say("computed-or-not", alone && slow.count > 0, || doing(facts))
        .infer("lacked-cpu", alone && slow.count > 0 && lacks_cpu(facts), || LACKED.into())
        .say("held-up", answers && stats.app.blocking.count > 0, || held_up(facts))
        .infer("parked", parked, || PARKED.into())
        .say("unseen", alone && is_unseen(facts), || UNSEEN.into())
        .say("stopped", answers && stopped.is_some(), || {
            format!("Process {} is stopped (SIGSTOP, or a debugger).", stopped.unwrap_or_default())
        });
    of_rests(text, facts, rests)
}

/// Says what is known of servers that speak first.
fn of_greetings(text: Text, facts: &ConnectionFacts<'_>, greets: bool) -> Text {
    let (late, all) = (&facts.stats.greetings, facts.stats.greeted);
    text.say("greetings", greets, || {
        format!(
            "The server speaks first: on {} of {} its first bytes came {} after accept, and the \
             client's only then.",
            count(late.count),
            count_of(all, "connection"),
            duration_us(late.mean_us())
        )
    })
}

/// Says what is known of responses whose rest came late.
fn of_rests(text: Text, facts: &ConnectionFacts<'_>, rests: bool) -> Text {
    let rest = &facts.stats.rests.late;
    let late = || {
        format!(
            "{} had the last byte written {} after the first.",
            of_last(rest.count, facts.stats.exchanges, "exchange"),
            duration_us(rest.mean_us())
        )
    };
    let share = rest_on_cpu(facts);
    let computed = share.filter(|&share| rests && share >= 0.5);
    let slept = share.filter(|&share| rests && share < 0.5);
    text.say("late-rests", rests, late)
        .say("rest-computed", computed.is_some(), || {
            format!("The thread computed for {} of it.", percent(computed.unwrap_or(0.0)))
        })
        .say("rest-slept", slept.is_some(), || {
            format!(
                "The thread was on a CPU for {} of it. {OR_STREAM}",
                percent(slept.unwrap_or(0.0))
            )
        })
        .say("rest-unknown", rests && share.is_none(), || {
            "Whether the thread computed meanwhile was not observed; it may be a stream that had \
             no news."
                .to_owned()
        })
}

/// Share of late rests on a CPU, if that is known of at least half.
fn rest_on_cpu(facts: &ConnectionFacts<'_>) -> Option<f64> {
    let rests = &facts.stats.rests;
    (rests.known_us > 0 && rests.known_us * 2 >= rests.late.us)
        .then(|| rests.cpu_us as f64 / rests.known_us as f64)
}

fn rest_fix(facts: &ConnectionFacts<'_>) -> &'static str {
    match rest_on_cpu(facts) {
        Some(share) if share >= 0.5 => {
            "profile what the handler does behind its first write (perf record -t TID)."
        }
        _ => {
            "find what the handler waits for behind its first write; a stream that has no news is \
             no fault."
        }
    }
}

/// Most of them were put aside by an event loop for a second or more. Those that are answered
/// together with others count as waiting by design, and not at all; but a single one looks as one
/// that is slow.
fn is_parked(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.parked * 2 >= facts.stats.slow(SliceKind::App).count.max(1)
        && !is_blocking(facts)
}

/// Other requests lay unread until a thread was done with one of these: it was at work, whatever it
/// waited for.
fn is_blocking(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.blocking.count >= 2 && facts.stats.app.held_up >= 3
}

fn held_up(facts: &ConnectionFacts<'_>) -> String {
    let stats = facts.stats;
    format!(
        "While thread {} worked on {} of them, {} of other connections lay unread until it was \
         done, {} at the worst.",
        stats.app.blocking_tid,
        count(stats.app.blocking.count),
        count_of(stats.app.held_up, "request"),
        duration_us(stats.app.held_up_us)
    )
}

/// The threads are not known to have computed, and others of their process were without a CPU for
/// as long, which may have held what they waited for.
fn lacks_cpu(facts: &ConnectionFacts<'_>) -> bool {
    let computed = on_cpu(facts).is_some_and(|share| share >= 0.5);
    !computed
        && facts.stats.slow(SliceKind::App).count > 0
        && facts.stats.app.lack.starved() == Some(true)
}

/// Most of them are on connections with several calls at a time, or that may have that.
fn is_several(facts: &ConnectionFacts<'_>) -> bool {
    let slow = facts.stats.slow(SliceKind::App).count;
    slow > 0 && facts.stats.app.several * 2 >= slow
}

/// Share of it on a CPU, if that is known of at least half.
fn on_cpu(facts: &ConnectionFacts<'_>) -> Option<f64> {
    let (known_us, us) = (facts.stats.app.known_us, facts.stats.slow(SliceKind::App).us);
    (known_us > 0 && known_us * 2 >= us).then(|| facts.stats.app.cpu_us as f64 / known_us as f64)
}

fn calls_others(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.calls * 2 >= facts.stats.slow(SliceKind::App).count.max(1)
}

fn doing(facts: &ConnectionFacts<'_>) -> String {
    let calls = if calls_others(facts) { " It made calls to other servers meanwhile." } else { "" };
    match on_cpu(facts) {
        Some(share) if share >= 0.5 => {
            format!("The thread computed for {} of it.{calls}", percent(share))
        }
        Some(share) if lacks_cpu(facts) => {
            format!("The thread computed for {} of it, and slept for most.{calls}", percent(share))
        }
        Some(share) => {
            format!(
                "The thread computed for {} of it and slept for most, perhaps for a lock, a disk \
                 or another server.{calls}",
                percent(share)
            )
        }
        None => format!("Whether the thread computed or slept was not observed.{calls}"),
    }
}

fn fix(facts: &ConnectionFacts<'_>, upstream: Option<&Upstream>) -> String {
    if let Some(upstream) = upstream {
        return format!(
            "look at {}: it holds the time. Until then give calls to it a limit.",
            upstream.peer
        );
    }
    if let Some(pid) = facts.cpu.stopped_lately(facts.now_ns) {
        return format!("let process {pid} go on (kill -CONT {pid}), and find out who stopped it.");
    }
    if is_unseen(facts) {
        return "watch the process with --pid: then its calls are seen.".to_owned();
    }
    let fix = match on_cpu(facts) {
        Some(share) if share >= 0.5 && is_blocking(facts) => {
            "move what computes off the thread that serves the connections (a pool of threads), or \
             run more processes."
        }
        _ if is_blocking(facts) => {
            "keep sleeps, locks and blocking calls out of the thread that serves the connections: \
             await them, or give them to a pool of threads."
        }
        _ if lacks_cpu(facts) => {
            "more CPUs or fewer competing threads; see CPU quotas (cgroup cpu.max) and priorities. \
             Then look again."
        }
        _ if calls_others(facts) => {
            "look at the calls inside these exchanges: their servers may hold the time."
        }
        Some(share) if share >= 0.5 => "profile the handler (perf record -t TID): it computes.",
        Some(_) => "find what the handler waits for (a lock, a disk, another process).",
        None => "profile the handler, and look at what it waits for.",
    };
    fix.to_owned()
}
