//! What the run did not observe: gaps of this kernel, losses, pauses, damage to the recording, and
//! what the report has no room for.

use maud::{Markup, html};

use super::parts::{Times, left_out};
use crate::{
    digest::Digest,
    html::note,
    model::event::Pause,
    text::{Untrusted, count, count_of, duration_us, percent},
};

/// Said of a run of which nothing is missing.
const COMPLETE: &str =
    "Nothing was lost, and this kernel shows everything that backscope looks for.";
/// Damages that are named one by one.
const DAMAGES: usize = 20;
/// Pauses that are named one by one.
const PAUSES: usize = 20;

/// True if a part of the run is missing, so that a finding may be, too.
pub(super) fn costs_findings(digest: &Digest) -> bool {
    let summary = digest.summary.as_ref();
    digest.damages.1 > 0
        || !digest.lost.is_empty()
        || summary.is_none_or(|summary| {
            summary.lost > 0 || summary.paused_us.is_some() || summary.connects.is_none()
        })
        || digest.listeners.leaves_out()
}

/// One line for the summary.
pub(super) fn short(digest: &Digest) -> Markup {
    let list = list(digest);
    html! {
        @if list.is_empty() {
            p.note { (COMPLETE) }
        } @else {
            p.note { "Not observed: " (list.join("; ")) ". " a href="#gaps" { "Details" } }
        }
    }
}

/// Clauses on what is missing.
fn list(digest: &Digest) -> Vec<String> {
    let mut clauses = Vec::new();
    if digest.damages.1 > 0 {
        let places = count_of(digest.damages.1, "place");
        clauses.push(format!("the recording is damaged in {places}"));
    }
    let lost: u64 = digest.lost.values().fold(0, |sum, lost| sum.saturating_add(*lost));
    if lost > 0 {
        clauses.push(format!("{} lost", count_of(lost, "record")));
    }
    if let Some(summary) = &digest.summary {
        if let Some(us) = summary.paused_us {
            clauses.push(format!("exchanges for {} of pauses", duration_us(us)));
        }
        if summary.connects.is_none() {
            clauses.push("exchanges and connects (--detail queues)".to_owned());
        }
    }
    if !digest.attached.gaps.is_empty() {
        let signals = count_of(digest.attached.gaps.len() as u64, "signal");
        clauses.push(format!("{signals} that this kernel does not show in full"));
    }
    clauses
}

/// The section.
pub(super) fn body(digest: &Digest, times: &Times) -> Markup {
    html! {
        @if list(digest).is_empty() {
            p { (COMPLETE) }
        }
        (damages(digest))
        (losses(digest))
        (pauses(digest, times))
        (signals(&digest.attached.gaps))
        (notices(&digest.notices))
        (bounds(digest))
    }
}

fn damages(digest: &Digest) -> Markup {
    let (damages, number) = &digest.damages;
    if *number == 0 {
        return html! {};
    }
    html! {
        h3 { "Damage to the recording" }
        p { "What can be read is in this report. " (count_of(*number, "place")) " cannot be read:" }
        ul {
            @for damage in damages.iter().take(DAMAGES) { li { (damage) } }
            @if *number > DAMAGES as u64 { li { (count(number - DAMAGES as u64)) " more" } }
        }
    }
}

fn losses(digest: &Digest) -> Markup {
    if digest.lost.is_empty() {
        return html! {};
    }
    html! {
        h3 { "Losses" }
        p { "Figures that are counted in the kernel stay right. Sums over exchanges cover what was \
             delivered." }
        ul { @for (probe, lost) in &digest.lost { li { (probe) ": " (count(*lost)) } } }
    }
}

fn pauses(digest: &Digest, times: &Times) -> Markup {
    let paused_us = digest.summary.as_ref().and_then(|summary| summary.paused_us);
    if digest.pauses.is_empty() && paused_us.is_none() {
        return html! {};
    }
    html! {
        h3 { "Pauses to keep to the budget" }
        @if let Some(us) = paused_us {
            p { "Exchanges were not watched for " (duration_us(us)) ", "
                (percent(us as f64 / times.length_us().max(1) as f64))
                " of the run. Queues and refusals were." }
        }
        ul {
            @for pause in digest.pauses.iter().take(PAUSES) {
                li { (pause_words(pause)) " at " (times.at(pause.ts_ns)) }
            }
        }
        (left_out(digest.pauses.len(), PAUSES, "further change"))
    }
}

fn pause_words(pause: &Pause) -> &'static str {
    if pause.begins { "a pause began" } else { "exchanges were watched again" }
}

fn signals(gaps: &[Untrusted]) -> Markup {
    html! {
        @if !gaps.is_empty() {
            h3 { "What this kernel does not show" }
            ul { @for gap in gaps { li { (gap) } } }
        }
    }
}

fn notices(notices: &[Untrusted]) -> Markup {
    html! {
        @if !notices.is_empty() {
            h3 { "Notes on the watch" }
            ul { @for notice in notices { li { (notice) } } }
        }
    }
}

/// What there was, and the report does not keep.
fn bounds(digest: &Digest) -> Markup {
    let mut left = Vec::new();
    if digest.listeners.leaves_out() {
        left.push("listeners");
    }
    if digest.sockets.leaves_out() {
        left.push("UDP and Unix-domain sockets");
    }
    if digest.threads.leaves_out() {
        left.push("threads");
    }
    if digest.findings.left_out() > 0 {
        left.push("findings");
    }
    html! {
        @if !left.is_empty() {
            (note(&format!("There were more {} than the report keeps.", left.join(", more "))))
        }
    }
}
