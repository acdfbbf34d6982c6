//! Connections are refused because the accept queue is full.

use super::pace::{self, Pace};
use super::{Cause, FindingVerdict, ListenerFacts, Text, remedy};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, duration_us, rate};

pub(super) fn check(facts: &ListenerFacts<'_>) -> Option<FindingVerdict> {
    if facts.figures.overflows == 0 {
        return None;
    }
    let (view, overflows) = (facts.view, facts.view.totals.overflows());
    let overflow_rate = facts.recent.rate(facts.figures.overflows);
    let owner = owner(facts);
    let mut evidence = vec![
        ("overflows", overflows as f64),
        ("overflows_per_second", overflow_rate),
        ("depth", f64::from(view.depth.max(facts.figures.depth_peak))),
        ("limit", f64::from(limit(facts).unwrap_or(view.limit))),
    ];
    if view.wait.count > 0 {
        evidence.push(("wait_p99_us", view.wait.p99 as f64));
    }
    if let Some(share) = facts.figures.inside_share() {
        evidence.push(("accept_share", share));
    }
    if let Some(share) = facts.figures.attended_share() {
        evidence.push(("accept_share_of_waits", share));
    }
    if has_ignored_acks(facts) {
        evidence.push(("unaware_clients", facts.unaware as f64));
    }
    Some(FindingVerdict {
        severity: Severity::Critical,
        owner,
        headline: format!(
            "Clients are being refused: {} so far, {} a second.",
            refused(facts),
            rate(overflow_rate)
        ),
        text: text(facts),
        evidence,
        fix: fix(facts, owner).into(),
    })
}

/// The limit at which the queue overflowed, if it was the same all the time.
fn limit(facts: &ListenerFacts<'_>) -> Option<u32> {
    match facts.figures.full_at {
        Some((least, most)) if least == most => Some(least),
        _ => None,
    }
}

/// Names the packets that were refused, by the stages that were seen.
fn refused(facts: &ListenerFacts<'_>) -> String {
    let syns = facts.view.totals.overflow_syn;
    match facts.view.totals.overflow_ack {
        None if syns == 1 => "1 SYN or ACK".to_owned(),
        None => format!("{} SYNs or ACKs", count(syns)),
        Some(0) => count_of(syns, "SYN"),
        Some(acks) if syns == 0 => count_of(acks, "ACK"),
        Some(acks) => format!("{} and {}", count_of(syns, "SYN"), count_of(acks, "ACK")),
    }
}

/// The owner of a full queue: the application if it does not accept, else whoever set the limit.
fn owner(facts: &ListenerFacts<'_>) -> Owner {
    match Pace::of(facts) {
        Pace::Stalled | Pace::Slow => pace::owner_of_waits(facts),
        _ if facts.was_at_limit => Owner::App,
        Pace::Unknown => Owner::Unknown,
        Pace::Quick if facts.is_clamped() => Owner::Kernel,
        Pace::Quick if chose_its_limit(facts) => Owner::App,
        Pace::Quick => Owner::Unknown,
    }
}

/// Tells whether the application asked for the limit that the queue has: it asked for a known one,
/// or the kernel would have granted more.
fn chose_its_limit(facts: &ListenerFacts<'_>) -> bool {
    let view = facts.view;
    view.backlog.is_some() || matches!(view.somaxconn, Some(allowed) if view.limit < allowed)
}

fn has_ignored_acks(facts: &ListenerFacts<'_>) -> bool {
    matches!(facts.view.totals.overflow_ack, Some(ignored) if ignored > 0)
}

fn text(facts: &ListenerFacts<'_>) -> Text {
    let text = say_what_the_kernel_did(Text::default(), facts);
    link(say_what_held_it(say_what_clients_do(text, facts), facts), facts)
}

/// Names what explains the full queue: that the application is behind or, where it keeps up, a
/// backlog that was cut. A burst that quick workers take follows from neither.
fn link(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let pace = Pace::of(facts);
    let clamped = pace == Pace::Quick && facts.is_clamped() && !facts.was_at_limit;
    text.follows_from(pace.is_behind(), Cause::Here("accept-starved"))
        .follows_from(facts.failing.is_some(), Cause::Here("accept-fails"))
        .follows_from(pace.is_behind() && pace::answers_hold_it(facts), Cause::Here("slow-app"))
        .follows_from(clamped, Cause::Here("backlog-clamped"))
}

/// The kinds of packets that were refused, and the kernel's answer to them.
struct Refused {
    syns: bool,
    acks: bool,
    /// This kernel does not tell which.
    either: bool,
    /// A final ACK is answered by an RST.
    resets: bool,
}

impl Refused {
    fn of(facts: &ListenerFacts<'_>) -> Self {
        let totals = &facts.view.totals;
        Self {
            syns: totals.overflow_ack.is_some() && totals.overflow_syn > 0,
            acks: has_ignored_acks(facts),
            either: totals.overflow_ack.is_none(),
            resets: matches!(facts.settings, Some(settings) if settings.abort_on_overflow),
        }
    }
}

fn say_what_the_kernel_did(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let (view, peak) = (facts.view, facts.view.depth.max(facts.figures.depth_peak));
    let (limit, now) = (limit(facts), view.limit);
    let seen_full = matches!(limit, Some(limit) if peak > limit);
    let number = count(limit.unwrap_or(now).into());
    let Refused { syns, acks, either, resets } = Refused::of(facts);
    text.say("full", seen_full, || {
        format!(
            "The accept queue held {} at a limit of {number}, so it was full.",
            count_of(peak.into(), "connection")
        )
    })
    .say("was-full", limit.is_some() && !seen_full, || {
        format!("The accept queue, with a limit of {number}, was full.")
    })
    .say("limit-changed", limit.is_none(), || {
        "The accept queue was full; its limit was changed in the meantime.".into()
    })
    .say("syns-dropped", syns, || "The kernel dropped new SYNs without an answer.".into())
    .say("acks-ignored", acks && !resets, || {
        "The kernel ignored final ACKs, and what those clients sent afterwards.".into()
    })
    .say("acks-reset", acks && resets, || {
        "Because net.ipv4.tcp_abort_on_overflow is on, the kernel answers final ACKs with RSTs."
            .into()
    })
    .say("either", either, || {
        "The kernel dropped new SYNs or ignored final ACKs; this kernel does not tell which.".into()
    })
    .say("packets", view.totals.overflows() > 1, || {
        "These figures count packets, not clients.".into()
    })
}

fn say_what_clients_do(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let Refused { syns, acks, resets, .. } = Refused::of(facts);
    let unaware = facts.unaware;
    text.say("syn-again", syns, || pace::syn_again(facts)).say(
        "unaware",
        acks && !resets && unaware > 0,
        || {
            let clients = if unaware == 1 {
                "1 client believes that it is connected now: its final ACK was ignored, and nobody \
                 has accepted its connection"
            } else {
                &format!(
                    "{} clients believe that they are connected now: their final ACKs were \
                     ignored, and nobody has accepted their connections",
                    count(unaware)
                )
            };
            format!("At least {clients}.")
        },
    )
}

fn say_what_held_it(text: Text, facts: &ListenerFacts<'_>) -> Text {
    let (view, figures, pace) = (facts.view, &facts.figures, Pace::of(facts));
    let accepted = count_of(figures.waits, "connection");
    let longest = duration_us(figures.wait_max_us);
    let waiting = || format!("{} now.", pace::waiting(view.depth));
    let quick = pace == Pace::Quick;
    let text = match () {
        () if pace.is_behind() => pace::say_what_it_did(text, facts),
        () if facts.was_at_limit && facts.failing.is_none() => {
            pace::say_why_it_stopped(text, facts)
        }
        () => text,
    };
    text.say("short-waits", quick, || {
        format!("The {accepted} accepted recently waited {longest} at most.")
    })
    .say("clamped", quick && facts.is_clamped(), || {
        let (asked, limit) = (count(view.backlog.unwrap_or(0).into()), count(view.limit.into()));
        format!("listen() asked for {asked}; net.core.somaxconn cut it to {limit}.")
    })
    .infer(
        "keeps-up",
        quick && !facts.is_clamped() && !facts.was_at_limit && view.depth == 0,
        || "The application keeps up; the queue is too short for the bursts.".into(),
    )
    .say("mixed-waits", pace == Pace::Unknown && figures.waits > 0, || {
        let long =
            if figures.long_waits == 0 { "none".to_owned() } else { count(figures.long_waits) };
        format!(
            "Of {accepted} accepted recently, {long} waited long; the longest wait was \
             {longest}."
        )
    })
    .say("waits-unknown", pace == Pace::Unknown && figures.waits == 0, || {
        "How long connections wait in the queue is not known yet.".into()
    })
    .say("waiting", !pace.is_behind() && view.depth > 0, waiting)
}

fn fix(facts: &ListenerFacts<'_>, owner: Owner) -> String {
    if facts.failing.is_some() {
        return "fix accept(): the finding accept-fails says why it fails. A longer backlog helps \
                nobody."
            .into();
    }
    let (view, somaxconn) = (facts.view, pace::somaxconn(facts));
    if Pace::of(facts).is_behind() || facts.was_at_limit {
        let longer = match view.somaxconn {
            Some(allowed) if allowed > view.limit => {
                format!(
                    "A longer listen() backlog (net.core.somaxconn allows {}) buys time, not \
                     speed.",
                    count(allowed.into())
                )
            }
            _ => "A longer listen() backlog and net.core.somaxconn buy time, not speed.".into(),
        };
        return format!("{} {longer}", remedy::remedy(facts));
    }
    match (owner, view.somaxconn) {
        (Owner::Kernel, _) => {
            format!("raise {somaxconn}, then listen() again (restart the server).")
        }
        (_, Some(allowed)) if allowed > view.limit => format!(
            "raise the listen() backlog (nginx: listen … backlog=); net.core.somaxconn allows {}.",
            count(allowed.into())
        ),
        _ => format!(
            "raise the listen() backlog (nginx: listen … backlog=) and {somaxconn}, then restart \
             the server."
        ),
    }
}
