//! What the finding says.

use super::cause::{
    calls_others, has_computed, is_put_aside, is_several, is_unseen, lacks_cpu, on_cpu, rest_on_cpu,
};
use super::upstream::Upstream;
use crate::model::finding::ConnectionFacts;
use crate::model::finding::text::Text;
use crate::model::snapshot::SliceKind;
use crate::text::{count, count_of, duration_us, of_last, percent};

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

/// Says what is known of requests that wait, or waited, for an answer.
pub(super) fn say_why_answers_are_late(
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

pub(super) fn held_up(facts: &ConnectionFacts<'_>) -> String {
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

/// Says what is known of servers that speak first.
pub(super) fn say_greetings(text: Text, facts: &ConnectionFacts<'_>) -> Text {
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
pub(super) fn say_why_rests_are_late(text: Text, facts: &ConnectionFacts<'_>) -> Text {
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
