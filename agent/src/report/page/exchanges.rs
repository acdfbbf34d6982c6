//! The worst exchanges, each as a waterfall that opens.

use maud::{Markup, html};

use super::{
    chart,
    parts::{Times, left_out},
    words,
};
use crate::{
    digest::{ConnectionBrief, Digest, WorstExchange},
    html::{badge, letter, note, owner_class, short},
    model::{
        event::Role,
        snapshot::{ExchangeView, Holder, Part},
        timeline::counted,
    },
    text::{bytes, count_of, duration_fine, duration_us, percent},
};

/// Slices of one exchange that are drawn.
const SLICES: usize = 200;
/// Calls of one wait that are named.
const CALLS: usize = 3;

/// The section.
pub(super) fn body(digest: &Digest, times: &Times) -> Markup {
    let worst = digest.worst.exchanges();
    if worst.is_empty() {
        return html! { p { "No exchange ended in this run." } };
    }
    html! {
        (note(&format!(
            "{}, by the time of the kind that took most of each. Open one to see its slices: they \
             follow one another without a gap, and add up to its time.",
            count_of(worst.len() as u64, "exchange")
        )))
        ol.worst { @for exchange in worst { li { (one(exchange, times)) } } }
    }
}

fn one(worst: &WorstExchange, times: &Times) -> Markup {
    let view = &worst.output.view;
    html! {
        details.exchange {
            summary {
                span.line {
                    b.total { (duration_us(held_us(view))) } " "
                    @if let Some(most) = view.held_most() {
                        (badge(most.holder)) " "
                        span { (what(view, most.holder, words::kind(most.kind))) " "
                            (duration_us(most.us)) " (" (percent(most.share)) ")" }
                    }
                    " " span.at { (who(worst)) " at " (times.at(view.start_ns)) }
                }
                (chart::owner_bar(&by_owner(view), &bar_label(view)))
            }
            div.inside { (waterfall(view)) (facts(worst)) }
        }
    }
}

fn who(worst: &WorstExchange) -> String {
    match (&worst.connection, worst.output.role) {
        (Some(connection), Role::Server) => format!("{} to {}", connection.peer, connection.local),
        (Some(connection), Role::Client) => format!("call to {}", connection.peer),
        (None, _) => format!("connection {}", worst.output.sock),
    }
}

/// Time that somebody waited, µs: all but a delayed ACK at the end.
fn held_us(view: &ExchangeView) -> u64 {
    counted(view).iter().fold(0, |sum, slice| sum.saturating_add(slice.us))
}

/// What somebody held: the upstream by its address.
fn what(view: &ExchangeView, holder: Holder, kind: &'static str) -> String {
    match view.longest_wait() {
        Some(wait) if holder == Holder::Upstream => format!("waiting for {}", wait.peer),
        _ => kind.to_owned(),
    }
}

/// Slices in their order, as shares.
fn by_owner(view: &ExchangeView) -> Vec<(Holder, f64)> {
    let total = held_us(view).max(1) as f64;
    let mut parts: Vec<(Holder, f64)> = Vec::new();
    for Part { holder: owner, slice } in view.parts() {
        let share = slice.us as f64 / total;
        match parts.last_mut() {
            Some((last, sum)) if *last == owner => *sum += share,
            _ => parts.push((owner, share)),
        }
    }
    parts
}

fn bar_label(view: &ExchangeView) -> String {
    let total = held_us(view).max(1) as f64;
    let mut parts = Vec::new();
    let held = view.held();
    for owner in Holder::ALL {
        let us = held.of(owner);
        if us > 0 {
            parts.push(format!("{} {}", owner.name(), percent(us as f64 / total)));
        }
    }
    parts.join(", ")
}

/// The slices one below the other, to scale.
fn waterfall(view: &ExchangeView) -> Markup {
    let (parts, total) = (view.parts(), held_us(view).max(1) as f64);
    html! {
        ol.waterfall {
            @for part in parts.iter().take(SLICES) {
                @let slice = part.slice;
                @let after_ns = slice.start_ns.saturating_sub(view.start_ns);
                @let begin = after_ns as f64 / 1e3 / total * 100.0;
                @let width = slice.us as f64 / total * 100.0;
                li {
                    span.kind { (letter(part.holder)) " " (kind(part)) }
                    span.us { (duration_fine(slice.us)) }
                    svg.fall aria-hidden="true" width="100%" height="16" {
                        rect.track width="100%" height="16" rx="2" {}
                        rect.{ "fill-" (owner_class(part.holder)) }
                            x={ (short(begin.min(99.7))) "%" }
                            width={ (short(width.max(0.3))) "%" } height="16" rx="1" {}
                    }
                    span.meaning { (owner_words(view, part)) }
                }
            }
        }
        (left_out(parts.len(), SLICES, "further slice"))
        @if let Some(trailing) = view.slices.get(counted(view).len()) {
            (note(&format!(
                "Behind it came a delayed ACK of {}, which held nobody: {} in all.",
                duration_fine(trailing.us),
                duration_us(view.total_us)
            )))
        }
    }
}

fn kind(part: &Part) -> &'static str {
    if part.holder == Holder::Upstream { "upstream" } else { words::kind(part.slice.kind) }
}

fn owner_words(view: &ExchangeView, part: &Part) -> Markup {
    let waits = view.waits_in(&part.slice);
    html! {
        span.vh { (words::owner(part.holder)) ": " }
        @if part.holder == Holder::Upstream {
            "the application waited for "
            @for (place, wait) in waits.iter().take(CALLS).enumerate() {
                @if place > 0 { ", " }
                (wait.peer)
                @if let Some(fault) = wait.fault { " (" (fault.words()) ")" }
            }
            @if waits.len() > CALLS { " and " (waits.len() - CALLS) " more" }
        } @else {
            (words::meaning(part.slice.kind))
        }
        @if let Some(us) = part.slice.cpu_us { "; " (duration_us(us)) " of it on a CPU" }
    }
}

fn facts(worst: &WorstExchange) -> Markup {
    let view = &worst.output.view;
    let (reads, writes) =
        (count_of(view.reads.into(), "read"), count_of(view.writes.into(), "write"));
    let (request, response) = match worst.output.role {
        Role::Server => (reads, writes),
        Role::Client => (writes, reads),
    };
    html! {
        dl.pairs {
            dt { "number on its connection" } dd { (view.seq) }
            dt { "protocol" }
            dd { @match worst.output.protocol { Some(protocol) => { (protocol.name()) }
                 None => { span.unknown { "not recognised" } } } }
            dt { "request" } dd { (bytes(view.request_bytes)) " in " (request) }
            dt { "response" } dd { (bytes(view.response_bytes)) " in " (response) }
            @if let Some(connection) = &worst.connection { (connection_facts(connection)) }
            @if let Some(tid) = view.read_tid { dt { "read by thread" } dd { (tid) } }
            @if let Some(tid) = view.write_tid { dt { "written by thread" } dd { (tid) } }
            @for join in &view.upstream {
                dt { "call to" } dd { (join.peer) ", exchange " (join.seq) " there, "
                    (percent(join.confidence)) " sure" }
            }
            @if let Some(join) = &view.downstream {
                dt { "made for" } dd { (join.peer) ", exchange " (join.seq) " there, "
                    (percent(join.confidence)) " sure" }
            }
            @if view.unanswered { dt { "answer" } dd.loss { "none: nobody answered it" } }
            @if view.handshake { dt { "contents" } dd { "the handshake of TLS" } }
            @if view.multiplexed {
                dt { "multiplexed" }
                dd { "a burst of several requests on one stream of bytes" }
            }
        }
    }
}

fn connection_facts(connection: &ConnectionBrief) -> Markup {
    html! {
        dt { "process" } dd { (connection.comm) " " (connection.pid) }
        @if let Some(tls) = &connection.tls {
            dt { "TLS" }
            dd { @match tls.version { Some(version) => { (version) }
                 None => { span.unknown { "version not observed" } } }
                 @if let Some(name) = &tls.server_name { ", for " (name) } }
        }
    }
}
