//! Connects of watched processes that failed.

use maud::{Markup, html};

use super::parts::Times;
use crate::{
    digest::{Digest, MAX_CONNECTS},
    html::{note, table},
    model::{
        event::Connect,
        snapshot::{ResetTotals, error_name},
    },
    text::{count, count_of, duration_us},
};

/// The section.
pub(super) fn body(digest: &Digest, times: &Times) -> Markup {
    let totals = digest.summary.as_ref().map(|summary| summary.connects);
    html! {
        @match totals {
            Some(Some(totals)) => {
                p {
                    (count_of(totals.made, "connect")) " made, " (count(totals.failed())) " failed"
                    @for (place, (outcome, number)) in totals.each().enumerate() {
                        @if place == 0 { ": " } @else { ", " }
                        (count(number)) " " (outcome.words())
                    }
                    @if totals.pending > 0 {
                        "; " (count(totals.pending)) " still without an answer at the end"
                    }
                    "."
                }
            }
            Some(None) => { p { "Connects were not watched." } }
            None => {}
        }
        @if !digest.connects.is_empty() { (newest(digest, times)) }
        @if let Some(resets) = digest.summary.as_ref().and_then(|summary| summary.resets) {
            @if resets.are_any() { (ended(&resets)) }
        }
    }
}

/// Connections that did not end by a FIN.
fn ended(resets: &ResetTotals) -> Markup {
    let each = [
        (resets.late_requests, "met requests that came too late"),
        (resets.truncated, "cut a response short"),
        (resets.timeouts, "were given up by the kernel"),
    ];
    html! {
        h3 { "Resets" }
        p {
            (count_of(resets.sent, "connection")) " reset by this host, "
            (count(resets.received)) " by peers"
            @for (number, how) in each { @if number > 0 { "; " (count(number)) " " (how) } }
            "."
        }
    }
}

fn newest(digest: &Digest, times: &Times) -> Markup {
    let head = ["at", "process", "to", "outcome", "after", "SYNs", "error"];
    let rows = html! { @for connect in digest.connects.iter().rev() { (row(connect, times)) } };
    html! {
        (table("Failed connects", &head, &rows))
        @if digest.connects.len() == MAX_CONNECTS {
            (note(&format!("The newest {} are shown.", count(MAX_CONNECTS as u64))))
        }
    }
}

fn row(connect: &Connect, times: &Times) -> Markup {
    let us = connect.ts_ns.saturating_sub(connect.asked_ns) / 1_000;
    html! {
        tr {
            td.n { (times.at(connect.ts_ns)) }
            th scope="row" { (connect.comm) " " (connect.pid) }
            td { (connect.peer) }
            td { (connect.outcome.words()) }
            td.n { (duration_us(us)) }
            td.n { (connect.syns) }
            td { @match connect.error {
                Some(error) => {
                    @match error_name(error) {
                        Some(name) => { (name) }
                        None => { "error " (error) }
                    }
                    @if connect.inferred { " (inferred)" }
                }
                None => { span.unknown { "not observed" } }
            } }
        }
    }
}
