//! The application takes long between reading a request and writing the response.

use std::net::SocketAddr;

use super::text::Text;
use super::{Cause, ConnectionFacts, FindingVerdict, remedy};
use crate::model::pattern::Load;
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::stats::Tally;
use crate::text::{count, count_of, duration_us, of_last, percent};

/// An answer this late on average hurts whatever the application does, µs.
const LONG_US: u64 = 250_000;

const PUT_ASIDE: &str = "The event loop had put them aside. If they wait by design (long polling), \
    this is no fault.";

const UNSEEN: &str = "Whether they wait for calls to other servers or by design (long polling) was \
    not observed: a watch by port alone does not include calls.";

const LACKED: &str = "At that time, other threads of the process were ready to run and had no CPU \
    for as long. If the thread waited for one of them, that is why.";

const SEVERAL: &str = "Their connections may have several HTTP/2 calls open at a time. The bytes \
    do not tell which of them waited, whether any did, or whether a stream just had nothing new to \
    send.";

const OR_STREAM: &str = "It may have waited for a lock, a disk or another server, or this may be a \
    stream that had nothing new to send.";

const GREETING_FIX: &str = "find out what the server does between accept and its greeting: it may \
    look up the client's name (sshd UseDNS, vsftpd reverse_lookup_enable), start a process, or \
    delay on purpose.";

const OFF_THE_LOOP: &str = "move computation off the thread that serves the connections (to a \
    thread pool), or run more processes.";

const OUT_OF_THE_LOOP: &str = "keep sleeps, locks and blocking calls out of the thread that serves \
    the connections: await them, or give them to a thread pool.";

const OR_WORKERS: &str = " Where each worker serves one connection at a time, run more of them, or \
    answer sooner.";

/// A thread that lets others wait for so long on average hurts them, µs.
const BLOCKING_US: u64 = 100_000;

/// A tenth of all exchanges must wait 20 ms or longer for the application, or some during which
/// others wait for their thread. It is a warning when they take 250 ms on average, or 100 ms with
/// others waiting: less may be what the work needs. Where answers hold workers that each serve one
/// connection at a time, and more come than they can serve, any time is too long.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let signs = Signs::of(facts);
    if !signs.answers() && !signs.greets && !signs.rests && signs.exhausted.is_none() {
        return None;
    }
    Some(FindingVerdict {
        severity: if signs.hurt(facts) { Severity::Warning } else { Severity::Info },
        owner: owner(facts, signs.upstream.is_some()),
        headline: signs.headline(facts),
        text: signs.link(signs.text(facts), facts),
        evidence: evidence(facts, signs.exhausted),
        fix: signs.fix(facts).into(),
    })
}

/// Signs of a slow application that were seen.
struct Signs {
    /// Many exchanges were answered late.
    many: bool,
    /// Some of them held a thread that others waited for.
    blocks: bool,
    /// Requests are read and not answered now.
    stuck: bool,
    /// A server that speaks first lets its clients wait.
    greets: bool,
    /// The rest of many responses came late.
    rests: bool,
    /// Calls to this upstream hold most of the time.
    upstream: Option<Upstream>,
    /// Answers hold workers that each serve one connection at a time, and more come than they can
    /// serve.
    exhausted: Option<Load>,
}

impl Signs {
    fn of(facts: &ConnectionFacts<'_>) -> Self {
        let stats = facts.stats;
        let many = facts.are_many(stats.slow(SliceKind::App).count);
        let greeting = &stats.greetings;
        Self {
            many,
            blocks: is_blocking(facts),
            stuck: facts.stuck.unanswered.count > 0,
            greets: greeting.count >= 3 && greeting.count * 10 >= stats.greeted,
            rests: facts.are_many(stats.rests.late.count),
            upstream: Upstream::of(facts, many),
            exhausted: facts.load.filter(|load| load.workers.are_held_by_answers()),
        }
    }

    /// Tells whether answers are late, not only greetings or rests.
    fn answers(&self) -> bool {
        self.many || self.blocks || self.stuck
    }

    fn hurt(&self, facts: &ConnectionFacts<'_>) -> bool {
        let stats = facts.stats;
        let calls = self.upstream.is_some();
        let lacks = !calls && lacks_cpu(facts);
        let is_fault = calls || !is_put_aside(facts) && !is_several(facts);
        let answers_hurt =
            self.many && is_fault && stats.slow(SliceKind::App).mean_us() >= LONG_US && !lacks;
        let blocking_hurts = self.blocks && stats.app.blocking.mean_us() >= BLOCKING_US && !lacks;
        let greetings_hurt = self.greets && stats.greetings.mean_us() >= LONG_US;
        let rests_hurt =
            self.rests && stats.rests.late.mean_us() >= LONG_US && has_computed(rest_on_cpu(facts));
        let exhausted = self.exhausted.is_some() && !lacks;
        answers_hurt || blocking_hurts || greetings_hurt || rests_hurt || exhausted
    }

    fn headline(&self, facts: &ConnectionFacts<'_>) -> String {
        let (stats, stuck) = (facts.stats, &facts.stuck.unanswered);
        let mean_and_worst =
            |tally: &Tally| (duration_us(tally.mean_us()), duration_us(tally.worst_us));
        if let (Some(load), None) = (&self.exhausted, &self.upstream) {
            format!("{}, {}.", load.workers.arithmetic(), load.demand())
        } else if self.many {
            let (mean, worst) = mean_and_worst(stats.slow(SliceKind::App));
            if let Some(upstream) = &self.upstream {
                let peer = upstream.peer;
                format!("Requests wait {mean} for calls, most to {peer}; {worst} at worst.")
            } else if is_several(facts) {
                format!("Between a read and the next write, {mean} pass, {worst} at worst.")
            } else {
                format!("The application takes {mean} to answer, {worst} at worst.")
            }
        } else if self.blocks {
            let blocking = &stats.app.blocking;
            let (requests, long) =
                (count_of(blocking.count, "request"), duration_us(blocking.mean_us()));
            format!("{requests} hold a thread for {long} each while others wait for it.")
        } else if self.greets {
            let (mean, worst) = mean_and_worst(&stats.greetings);
            format!("The application takes {mean} to greet its clients, {worst} at worst.")
        } else if self.rests {
            let (mean, worst) = mean_and_worst(&stats.rests.late);
            format!("Responses take {mean} from the first byte to the last, {worst} at worst.")
        } else {
            let (requests, worst) = (count_of(stuck.count, "request"), duration_us(stuck.worst_us));
            format!("Read but not answered: {requests}, for up to {worst} so far.")
        }
    }

    fn text(&self, facts: &ConnectionFacts<'_>) -> Text {
        let mut text = self.say_what_they_can_serve(Text::default());
        if self.answers() {
            text = say_why_answers_are_late(text, facts, self.upstream.as_ref());
        }
        if self.rests {
            text = say_why_rests_are_late(text, facts);
        }
        if self.greets {
            text = say_greetings(text, facts);
        }
        text
    }

    /// Says how many connections the workers can serve, and what holds them.
    fn say_what_they_can_serve(&self, text: Text) -> Text {
        let Some(load) = &self.exhausted else { return text };
        let workers = &load.workers;
        let share = workers.answer_ns as f64 / workers.hold_ns.max(1) as f64;
        text.say("capacity", self.upstream.is_some(), || {
            format!("{}, and {}.", workers.arithmetic(), load.demand())
        })
        .say("held-by-answers", true, || {
            format!(
                "For {} of that time, a request had been read and its answer not begun.",
                percent(share.min(1.0))
            )
        })
    }

    /// Names what explains that answers are late: the upstream that calls wait for, or what keeps
    /// threads off the CPUs.
    fn link(&self, text: Text, facts: &ConnectionFacts<'_>) -> Text {
        let (stats, stuck) = (facts.stats, &facts.stuck.on_calls.waits);
        let text = match &self.upstream {
            Some(upstream) => {
                let calls = if self.many { stats.app.joined } else { stuck.count };
                let us = if self.many { stats.app.upstream_us } else { stuck.us };
                let mean_us = us.checked_div(calls).unwrap_or(0);
                text.follows_from(true, Cause::Holder("connect-fails", upstream.peer))
                    .follows_from(true, Cause::Holder("upstream-imbalance", upstream.peer))
                    .follows_from(true, Cause::Upstream(upstream.peer, mean_us))
            }
            None => text,
        };
        let answers_us = stats.slow(SliceKind::App).us.max(1);
        let denied = |kind| {
            self.upstream.is_none() && (lacks_cpu(facts) || stats.slow(kind).us >= answers_us)
        };
        text.follows_from(denied(SliceKind::Throttled), Cause::Here("throttled"))
            .follows_from(denied(SliceKind::RunQueue), Cause::Here("cpu-starved"))
    }

    fn fix(&self, facts: &ConnectionFacts<'_>) -> String {
        if let (Some(load), None) = (&self.exhausted, &self.upstream) {
            let more = remedy::more_workers(load);
            // Where answers are quick, their number is what is wrong.
            if !self.answers() {
                return more;
            }
            return format!("{more} To that end, {}", fix(facts, None));
        }
        if self.answers() {
            fix(facts, self.upstream.as_ref())
        } else if self.greets {
            GREETING_FIX.to_owned()
        } else {
            rest_fix(facts).to_owned()
        }
    }
}

fn evidence(facts: &ConnectionFacts<'_>, exhausted: Option<Load>) -> Vec<(&'static str, f64)> {
    let (stats, stuck) = (facts.stats, &facts.stuck.unanswered);
    let (slow, greeting) = (stats.slow(SliceKind::App), &stats.greetings);
    let rest = &stats.rests.late;
    let mut evidence = Vec::new();
    if let Some(Load { workers, arrivals, refused }) = exhausted {
        evidence.extend([
            ("workers", workers.count as f64),
            ("workers_busy", workers.busy as f64),
            ("hold_mean_us", (workers.hold_ns / 1_000) as f64),
            ("answer_mean_us", (workers.answer_ns / 1_000) as f64),
            ("capacity_per_second", workers.capacity()),
            ("arrivals_per_second", arrivals),
            ("refused_per_second", refused),
        ]);
    }
    evidence.extend([
        ("exchanges", slow.count as f64),
        ("of", stats.exchanges as f64),
        ("app_mean_us", slow.mean_us() as f64),
        ("app_max_us", slow.worst_us as f64),
        ("on_cpu_us", stats.app.cpu_us as f64),
        ("with_calls", stats.app.calls as f64),
        ("joined", stats.app.joined as f64),
        ("upstream_us", stats.app.upstream_us as f64),
        ("put_aside", stats.app.put_aside as f64),
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
    ]);
    evidence
}

/// The upstream whose calls hold most of the time.
struct Upstream {
    /// Its address.
    peer: SocketAddr,
    /// Exchanges that waited for calls, and their share of the time.
    exchanges: u64,
    share: f64,
}

impl Upstream {
    fn text(&self) -> String {
        format!(
            "{} of them waited for calls that the application made for them: {} of the time, most \
             of it for {}.",
            count(self.exchanges),
            percent(self.share.min(1.0)),
            self.peer
        )
    }

    fn of(facts: &ConnectionFacts<'_>, many: bool) -> Option<Self> {
        let (stats, stuck) = (facts.stats, facts.stuck);
        if !many {
            let exchanges = stuck.on_calls.waits.count;
            let peer = stuck.on_calls.peer?;
            if exchanges * 2 < stuck.unanswered.count.max(1) {
                return None;
            }
            return Some(Self { peer, exchanges, share: 1.0 });
        }
        let slow = stats.slow(SliceKind::App);
        let share = stats.app.upstream_us as f64 / slow.us.max(1) as f64;
        if share < 0.5 || stats.app.joined * 2 < slow.count {
            return None;
        }
        let (peer, _) = stats.app.upstreams.most()?;
        Some(Self { peer, exchanges: stats.app.joined, share })
    }
}

fn owner(facts: &ConnectionFacts<'_>, waits_for_calls: bool) -> Owner {
    if waits_for_calls {
        Owner::Peer
    } else if lacks_cpu(facts) || is_unseen(facts) {
        Owner::Unknown
    } else {
        Owner::App
    }
}

/// Tells whether they were put aside, and the reason cannot be seen.
fn is_unseen(facts: &ConnectionFacts<'_>) -> bool {
    let only_stuck = facts.stuck.unanswered.count > 0
        && facts.stats.slow(SliceKind::App).count == 0
        && !is_blocking(facts);
    !facts.sees_calls && (is_put_aside(facts) || only_stuck)
}

/// Says what is known of requests that wait, or waited, for an answer.
fn say_why_answers_are_late(
    text: Text,
    facts: &ConnectionFacts<'_>,
    upstream: Option<&Upstream>,
) -> Text {
    let stats = facts.stats;
    let slow = stats.slow(SliceKind::App);
    let answered = || match slow.count {
        0 => "Every byte of them that came has been read, and nothing has been written since."
            .to_owned(),
        slow => {
            format!(
                "{} took that long from the last read to the first write.",
                of_last(slow, stats.exchanges, "exchange")
            )
        }
    };
    let alone = upstream.is_none();
    let stopped = facts.cpu.stopped_lately(facts.now_ns);
    let put_aside = alone && is_put_aside(facts) && facts.sees_calls;
    let waited_for_calls = || match upstream {
        Some(upstream) => upstream.text(),
        None => String::new(),
    };
    text.say("slow-answers", true, answered)
        .infer("upstream", upstream.is_some(), waited_for_calls)
        .say("several-calls", is_several(facts), || SEVERAL.into())
        .say("computed-or-not", alone && slow.count > 0, || doing(facts))
        .infer("lacked-cpu", alone && slow.count > 0 && lacks_cpu(facts), || LACKED.into())
        .say("held-up", stats.app.blocking.count > 0 && facts.load.is_none(), || held_up(facts))
        .infer("parked", put_aside, || PUT_ASIDE.into())
        .say("unseen", alone && is_unseen(facts), || UNSEEN.into())
        .say("stopped", stopped.is_some(), || {
            format!("Process {} is stopped (SIGSTOP, or a debugger).", stopped.unwrap_or_default())
        })
}

/// Says what is known of servers that speak first.
fn say_greetings(text: Text, facts: &ConnectionFacts<'_>) -> Text {
    let (late, all) = (&facts.stats.greetings, facts.stats.greeted);
    text.say("greetings", true, || {
        format!(
            "The server speaks first: on {} of {}, its first bytes came {} after accept, and the \
             client's only after them.",
            count(late.count),
            count_of(all, "connection"),
            duration_us(late.mean_us())
        )
    })
}

/// Says what is known of responses whose rest came late.
fn say_why_rests_are_late(text: Text, facts: &ConnectionFacts<'_>) -> Text {
    let rest = &facts.stats.rests.late;
    let late = || {
        format!(
            "In {}, the last byte was written {} after the first.",
            of_last(rest.count, facts.stats.exchanges, "exchange"),
            duration_us(rest.mean_us())
        )
    };
    let share = rest_on_cpu(facts);
    let on_cpu = percent(share.unwrap_or(0.0));
    let computed = has_computed(share);
    let slept = share.is_some() && !computed;
    text.say("late-rests", true, late)
        .say("rest-computed", computed, || {
            format!("The thread computed for {on_cpu} of that time.")
        })
        .say("rest-slept", slept, || {
            format!("The thread was on a CPU for {on_cpu} of that time. {OR_STREAM}")
        })
        .say("rest-unknown", share.is_none(), || {
            "Whether the thread computed meanwhile was not observed; this may be a stream that had \
             nothing new to send."
                .to_owned()
        })
}

/// Share of late rests on a CPU, if that is known of at least half.
fn rest_on_cpu(facts: &ConnectionFacts<'_>) -> Option<f64> {
    let rests = &facts.stats.rests;
    share_of_known(rests.cpu_us, rests.known_us, rests.late.us)
}

fn rest_fix(facts: &ConnectionFacts<'_>) -> &'static str {
    match rest_on_cpu(facts) {
        share if has_computed(share) => {
            "profile what the handler does after its first write (perf record -t TID)."
        }
        _ => {
            "find out what the handler waits for after its first write; a stream with nothing new \
             to send is no fault."
        }
    }
}

/// Tells whether an event loop had put aside most of them for a second or more. Those that were
/// answered together with others wait by design, and do not count. One that was answered alone may
/// wait or be slow.
fn is_put_aside(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.put_aside * 2 >= facts.stats.slow(SliceKind::App).count.max(1)
        && !is_blocking(facts)
}

fn is_blocking(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.is_blocking()
}

fn held_up(facts: &ConnectionFacts<'_>) -> String {
    let stats = facts.stats;
    format!(
        "While thread {} worked on {} of them, {} on other connections lay unread until it was \
         done, {} at worst.",
        stats.app.blocking_tid,
        count(stats.app.blocking.count),
        count_of(stats.app.held_up, "request"),
        duration_us(stats.app.held_up_us)
    )
}

/// Tells whether the threads may have waited for others of their process that had no CPU: these
/// were without one for as long, and the threads are not known to have computed.
fn lacks_cpu(facts: &ConnectionFacts<'_>) -> bool {
    let computed = has_computed(on_cpu(facts));
    !computed
        && facts.stats.slow(SliceKind::App).count > 0
        && facts.stats.app.lack.starved() == Some(true)
}

/// Tells whether most of them are on connections on which several calls may be open at a time.
fn is_several(facts: &ConnectionFacts<'_>) -> bool {
    let slow = facts.stats.slow(SliceKind::App).count;
    slow > 0 && facts.stats.app.several * 2 >= slow
}

/// Share of slow application time on a CPU, if that is known of at least half.
fn on_cpu(facts: &ConnectionFacts<'_>) -> Option<f64> {
    let app = &facts.stats.app;
    share_of_known(app.cpu_us, app.known_us, facts.stats.slow(SliceKind::App).us)
}

/// Share of a time on a CPU, if that is known of at least half of it.
fn share_of_known(cpu_us: u64, known_us: u64, us: u64) -> Option<f64> {
    if known_us == 0 || known_us * 2 < us {
        return None;
    }
    Some(cpu_us as f64 / known_us as f64)
}

/// Tells whether a thread is known to have been on a CPU for at least half of a time.
fn has_computed(share: Option<f64>) -> bool {
    matches!(share, Some(share) if share >= 0.5)
}

fn calls_others(facts: &ConnectionFacts<'_>) -> bool {
    facts.stats.app.calls * 2 >= facts.stats.slow(SliceKind::App).count.max(1)
}

fn doing(facts: &ConnectionFacts<'_>) -> String {
    let calls = if calls_others(facts) { " It made calls to other servers meanwhile." } else { "" };
    match on_cpu(facts) {
        Some(share) if share >= 0.5 => {
            format!("The thread computed for {} of that time.{calls}", percent(share))
        }
        Some(share) if lacks_cpu(facts) => {
            format!(
                "The thread computed for {} of that time and slept for most of it.{calls}",
                percent(share)
            )
        }
        Some(share) => {
            format!(
                "The thread computed for {} of that time and slept for most of it, perhaps waiting \
                 for a lock, a disk or another server.{calls}",
                percent(share)
            )
        }
        None => format!("Whether the thread computed or slept was not observed.{calls}"),
    }
}

fn fix(facts: &ConnectionFacts<'_>, upstream: Option<&Upstream>) -> String {
    if let Some(upstream) = upstream {
        return format!(
            "look at {}: it holds the time. Until that is fixed, put a timeout on calls to it.",
            upstream.peer
        );
    }
    if let Some(pid) = facts.cpu.stopped_lately(facts.now_ns) {
        return format!("resume process {pid} (kill -CONT {pid}), and find out who stopped it.");
    }
    if is_unseen(facts) {
        return "watch the process with --pid: its calls are seen then.".to_owned();
    }
    // A worker that serves one connection at a time may sleep and compute: that is its design.
    let is_loop = !matches!(facts.shape, Some(shape) if shape.is_one_at_a_time());
    let (computes, blocks) = (has_computed(on_cpu(facts)), is_blocking(facts) && is_loop);
    if blocks {
        let advice = if computes { OFF_THE_LOOP } else { OUT_OF_THE_LOOP };
        let is_known = matches!(facts.shape, Some(shape) if shape.io.is_some());
        let or = if is_known { "" } else { OR_WORKERS };
        return format!("{advice}{or}");
    }
    let fix = match on_cpu(facts) {
        _ if lacks_cpu(facts) => {
            "add CPUs or run fewer competing threads; check CPU quotas (cgroup cpu.max) and \
             priorities. Then look again."
        }
        _ if calls_others(facts) => {
            "look at the calls inside these exchanges: their servers may hold the time."
        }
        Some(share) if share >= 0.5 => "profile the handler (perf record -t TID): it computes.",
        Some(_) => "find out what the handler waits for (a lock, a disk, another process).",
        None => "profile the handler, and look at what it waits for.",
    };
    fix.to_owned()
}
