//! Connections are refused since the accept queue is full.

use super::{Facts, Verdict};
use crate::model::event::Stage;
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::{count, duration_us, percent, rate};

pub(super) fn check(facts: &Facts<'_>) -> Option<Verdict> {
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
        ("limit", f64::from(view.limit)),
    ];
    if view.wait.count > 0 {
        evidence.push(("wait_p99_us", view.wait.p99 as f64));
    }
    if let Some(share) = facts.figures.inside_share() {
        evidence.push(("accept_share", share));
    }
    Some(Verdict {
        severity: Severity::Critical,
        owner,
        headline: format!(
            "Clients are being refused: {} {} so far, {} a second.",
            count(overflows),
            what(facts),
            rate(overflow_rate)
        ),
        text: format!("{} {}", what_the_kernel_did(facts), what_held_it(facts, owner)),
        evidence,
        fix: fix(facts, owner),
    })
}

/// What is refused, by the stages that were seen.
fn what(facts: &Facts<'_>) -> &'static str {
    match (facts.view.totals.overflow_syn, facts.view.totals.overflow_ack) {
        (_, None) => "SYNs or ACKs",
        (_, Some(0)) => "SYNs",
        (0, Some(_)) => "final ACKs",
        _ => "SYNs and ACKs",
    }
}

/// Whose doing a full queue is: the application's if it does not fetch, else of whoever set the limit.
fn owner(facts: &Facts<'_>) -> Owner {
    let view = facts.view;
    if facts.is_stalled() || facts.waits_are_long() {
        Owner::App
    } else if facts.is_clamped() {
        Owner::Kernel
    } else if view.backlog.is_some() || view.somaxconn.is_some_and(|somaxconn| view.limit < somaxconn) {
        Owner::App
    } else {
        Owner::Unknown
    }
}

fn what_the_kernel_did(facts: &Facts<'_>) -> String {
    let depth = facts.view.depth.max(facts.figures.depth_peak);
    let dropped = match facts.view.totals.overflow_ack {
        Some(ignored) if ignored > 0 => Stage::Ack,
        _ => Stage::Syn,
    };
    let dropped = match dropped {
        Stage::Ack => "dropped new SYNs and ignored final ACKs",
        _ => "dropped new SYNs",
    };
    format!(
        "The accept queue held {} at a limit of {}, so the kernel {dropped}. \
         A refused client tries again after 1, 2, 4 s: these are packets, not clients.",
        count(depth.into()),
        count(facts.view.limit.into())
    )
}

fn what_held_it(facts: &Facts<'_>, owner: Owner) -> String {
    let (accepts, arrivals) = facts.accept_and_arrival_rates();
    match (owner, facts.figures.inside_share()) {
        (Owner::App, _) if facts.view.totals.accepted == 0 => "The application has not accepted any connection.".into(),
        (Owner::App, _) if facts.is_stalled() => {
            format!("The application has accepted nothing for {}.", duration_us(facts.stalled_ns / 1_000))
        }
        (Owner::App, Some(share)) if facts.waits_are_long() && share < 0.5 => format!(
            "The application accepted {} a second of {} that came: its threads were inside accept() at most {} of the time.",
            rate(accepts),
            rate(arrivals),
            percent(share)
        ),
        (Owner::App, _) if facts.waits_are_long() => {
            format!("The application accepted {} a second of {} that came.", rate(accepts), rate(arrivals))
        }
        (Owner::App, _) => {
            "Waits were short: the application keeps up, its backlog is too small for the bursts.".into()
        }
        (Owner::Kernel, _) => format!(
            "Waits were short. listen() asked for {}, net.core.somaxconn cut it to {}.",
            count(facts.view.backlog.unwrap_or(0).into()),
            count(facts.view.limit.into())
        ),
        _ => "Waits were short, and the backlog asked for is not known: listen() ran before the attach.".into(),
    }
}

fn fix(facts: &Facts<'_>, owner: Owner) -> String {
    if facts.is_stalled() || facts.waits_are_long() {
        let longer = match facts.view.somaxconn {
            Some(allowed) if allowed > facts.view.limit => {
                format!(
                    "A longer listen() backlog (net.core.somaxconn allows {}) buys time, not speed.",
                    count(allowed.into())
                )
            }
            _ => "A longer listen() backlog and net.core.somaxconn buy time, not speed.".into(),
        };
        return format!("give accept() a thread of its own, or accept until EAGAIN on each wakeup. {longer}");
    }
    match (owner, facts.view.somaxconn) {
        (Owner::App, Some(allowed)) if allowed > facts.view.limit => format!(
            "raise the listen() backlog (nginx: listen … backlog=); net.core.somaxconn allows {}.",
            count(allowed.into())
        ),
        (Owner::Kernel, _) => "raise net.core.somaxconn, then listen() again (restart the server).".into(),
        _ => "raise the listen() backlog (nginx: listen … backlog=) and net.core.somaxconn, then restart the server."
            .into(),
    }
}
