//! The application takes long between reading a request and writing the response.

mod cause;
mod fix;
mod upstream;
mod words;

use super::text::Text;
use super::{Cause, ConnectionFacts, FindingVerdict, remedy};
use crate::model::pattern::Load;
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::stats::Tally;
use crate::text::{count_of, duration_us, percent};
use cause::{
    has_computed, is_blocking, is_put_aside, is_several, is_unseen, lacks_cpu, rest_on_cpu,
};
use fix::{GREETING_FIX, fix, rest_fix};
use upstream::Upstream;
use words::{say_greetings, say_why_answers_are_late, say_why_rests_are_late};

/// An answer this late on average hurts whatever the application does, µs.
const LONG_US: u64 = 250_000;

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

fn owner(facts: &ConnectionFacts<'_>, waits_for_calls: bool) -> Owner {
    if waits_for_calls {
        Owner::Peer
    } else if lacks_cpu(facts) || is_unseen(facts) {
        Owner::Unknown
    } else {
        Owner::App
    }
}
