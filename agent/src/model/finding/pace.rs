//! The application's pace at the accept queue: the words that the findings on that queue have in
//! common, so that no two of them contradict each other.

use super::{ListenerFacts, Text};
use crate::model::connections::{Held, HeldBy};
use crate::model::event::NetSettings;
use crate::model::snapshot::Owner;
use crate::text::{count, count_of, duration_us, errno_name, percent, rate, times};

/// The application's pace lately, as far as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It has accepted nothing for a second or more though connections wait.
    Stalled,
    /// Most waits were long.
    Slow,
    /// All known waits were short, and the queue is not full now.
    Quick,
    /// None of these was observed.
    Unknown,
}

impl Pace {
    pub(super) fn of(facts: &ListenerFacts<'_>) -> Self {
        let figures = &facts.figures;
        if facts.is_stalled() {
            Self::Stalled
        } else if figures.long_waits > 0 && figures.long_waits * 2 >= figures.waits {
            Self::Slow
        } else if figures.waits > 0
            && figures.long_waits == 0
            && facts.view.depth <= facts.view.limit
        {
            Self::Quick
        } else {
            Self::Unknown
        }
    }

    /// Tells whether the application is behind.
    pub(super) fn is_behind(self) -> bool {
        matches!(self, Self::Stalled | Self::Slow)
    }
}

/// The owner of the waits in the queue: the application, which does not take the connections,
/// unless it had no CPU to do so. If a thread is inside `accept` and yet does not, something else
/// holds it, and we can't say what.
pub(super) fn owner_of_waits(facts: &ListenerFacts<'_>) -> Owner {
    if facts.failing.is_some() {
        Owner::App
    } else if facts.is_denied() {
        Owner::Kernel
    } else if facts.is_attended() || facts.undecided {
        Owner::Unknown
    } else {
        Owner::App
    }
}

/// Tells whether those who accept are known to be held by requests that they answer: as workers
/// that each serve one at a time, or as the thread of an event loop with a slow handler. Not if
/// something else is known to keep them from accepting.
pub(super) fn answers_hold_it(facts: &ListenerFacts<'_>) -> bool {
    let other = facts.failing.is_some() || facts.is_denied() || facts.is_attended();
    let workers = matches!(&facts.load, Some(load) if load.workers.are_held_by_answers());
    !other && !facts.was_at_limit && (workers || facts.held_up_by.is_some())
}

/// Says what an application that is behind did.
pub(super) fn say_what_it_did(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let stalled = facts.is_stalled();
    let never = stalled && facts.view.totals.accepted == 0;
    let text = text
        .say("never-accepted", never, || {
            "The application has not accepted a single connection while it was watched.".into()
        })
        .say("stalled", stalled && !never, || {
            format!(
                "The application has accepted nothing for {}.",
                duration_us(facts.stalled_ns / 1_000)
            )
        })
        .say("long-waits", !stalled, || {
            // Accepts come one by one, and may be ahead of the listener's own figures.
            let accepts = facts.figures.accepts.max(facts.figures.waits);
            let queued = facts.figures.arrivals.max(accepts);
            let (accepts, queued) =
                (rate(facts.recent.rate(accepts)), rate(facts.recent.rate(queued)));
            format!(
                "The application accepted {accepts} a second; {queued} a second joined the queue."
            )
        });
    let text = say_how_many_it_can_serve(text, facts);
    if let Some(failing) = facts.failing {
        return text.say("accept-fails", true, || {
            format!("Its calls to accept() fail ({}).", errno_name(failing.errno))
        });
    }
    say_why_it_stopped(say_where_its_threads_were(text, facts), facts)
}

/// Says how many connections workers can serve that each take one at a time.
fn say_how_many_it_can_serve(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let Some(load) = &facts.load else { return text };
    text.say("capacity", true, || format!("{}, and {}.", load.workers.arithmetic(), load.demand()))
}

/// Says where the threads were while connections waited. At other times they may well be inside
/// `accept`, or elsewhere.
fn say_where_its_threads_were(text: Text, facts: &ListenerFacts<'_>) -> Text {
    if facts.is_denied() {
        return text.say("without-a-cpu", true, || {
            let share = percent(facts.denied_share.unwrap_or(0.0));
            format!(
                "For {share} of the time that connections waited, it could have run and had no CPU."
            )
        });
    }
    let Some(share) = facts.figures.attended_share() else { return text };
    let (attended, never) = (facts.is_attended(), share < 0.01);
    text.say("inside-accept", attended, || {
        let share = percent(share);
        format!(
            "A thread was inside accept() for {share} of the time that connections waited, and \
             still they waited."
        )
    })
    .say("seldom-inside-accept", never, || {
        "While connections waited, no thread was inside accept().".into()
    })
    .say("seldom-inside-accept", !attended && !never, || {
        format!(
            "Threads were inside accept() for {} of the time that connections waited.",
            percent(share)
        )
    })
}

/// Says why the application stopped accepting, as far as it was seen: it may be at a limit of its
/// own.
pub(super) fn say_why_it_stopped(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let text = say_who_holds_it(text, facts);
    let (none, unwatched) = (is_at_backlog_0(facts), facts.unwatched);
    let before = facts.was_at_limit && !none && !unwatched;
    let open = facts.open.unwrap_or(0);
    text.say("backlog-0", none, || {
        "The queue's limit is 0: listen() was called with a backlog of 0, as memcached does at its \
         connection limit (-c)."
            .into()
    })
    .infer("unwatched", unwatched, || {
        "This listener is in none of the application's epoll instances now: it does not ask for \
         connections. Servers do this at a limit of their own."
            .into()
    })
    .infer("at-limit-before", before, || {
        "Recently it did not ask for connections although some were waiting. Servers do this at a \
         limit of their own."
            .into()
    })
    .say("open", (none || unwatched) && open > 0, || {
        format!("It has {}.", count_of(open, "open connection"))
    })
}

/// Says which client the thread waits for that should accept.
fn say_who_holds_it(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let held = if facts.is_stalled() { facts.held } else { None };
    let is = |why| matches!(held, Some(held) if held.why == why);
    let begin = || {
        let Some(Held { tid, peer, .. }) = held else { return String::new() };
        format!(
            "Thread {tid}, which accepts, sleeps in a call on one descriptor: the newest \
             connection that it accepted, from {peer},"
        )
    };
    text.infer("held-silent", is(HeldBy::Silence), || format!("{} has sent nothing yet.", begin()))
        .infer("held-idle", is(HeldBy::Idleness), || {
            format!("{} has sent nothing since it was answered.", begin())
        })
}

fn is_at_backlog_0(facts: &ListenerFacts<'_>) -> bool {
    facts.is_stalled() && facts.view.limit == 0
}

/// Names `net.core.somaxconn`, and the network namespace to set it in if that is another one.
pub(super) fn somaxconn(facts: &ListenerFacts<'_>) -> &'static str {
    let is_elsewhere = matches!(facts.settings, Some(settings) if settings.here == Some(false));
    if is_elsewhere {
        "net.core.somaxconn in the listener's network namespace (docker run --sysctl, a pod's \
         securityContext)"
    } else {
        "net.core.somaxconn"
    }
}

/// Says how soon a client whose SYN was dropped sends it again. The client's host decides that, and
/// it is known of the listener's own network namespace only.
pub(super) fn syn_again(facts: &ListenerFacts<'_>) -> String {
    let here = facts.clients.here || facts.view.local.ip().is_loopback();
    match &facts.settings {
        Some(settings) if here && !facts.clients.elsewhere => {
            format!("A client on this host {}.", schedule(settings))
        }
        _ => "A client retransmits its SYN, usually after 1 s at first; its own host decides when \
             and how often."
            .into(),
    }
}

/// Lists the intervals between SYNs. The first `tcp_syn_linear_timeouts` are of a second, then each
/// is twice the one before (`tcp_retransmit_timer`, 6.5 to 7.3).
fn schedule(settings: &NetSettings) -> String {
    let linear = u32::from(settings.syn_linear_timeouts);
    let tries = linear + u32::from(settings.syn_retries);
    let doubled = |from: u32, times: u32| {
        let mut intervals = Vec::new();
        for power in from..from + times.min(3) {
            intervals.push((1_u64 << power).to_string());
        }
        intervals.join(", ")
    };
    match (linear, tries) {
        (_, 0) => "never retransmits its SYN (net.ipv4.tcp_syn_retries is 0)".to_owned(),
        (0, tries) => format!("retransmits its SYN after {} s", doubled(0, tries)),
        (linear, tries) if tries <= linear + 1 => {
            format!("retransmits its SYN every second, {}", times(tries.into()))
        }
        (linear, tries) => {
            format!(
                "retransmits its SYN every second, {}, then after {} s",
                times((linear + 1).into()),
                doubled(1, tries - linear - 1)
            )
        }
    }
}

/// "3 connections wait", "1 connection waits".
pub(super) fn waiting(connections: u32) -> String {
    match connections {
        1 => "1 connection is waiting".to_owned(),
        connections => format!("{} connections are waiting", count(connections.into())),
    }
}
