//! Processes that serve and call others.

use maud::{Markup, html};

use super::parts::left_out;
use crate::{
    digest::Digest,
    html::table,
    model::snapshot::{ProxyView, UpstreamView},
    text::{count, count_of, duration_us, percent_short},
};

/// Upstreams of one process that are shown.
const MOST: usize = 40;

/// The section; `None` where no watched process served and called others.
pub(super) fn body(digest: &Digest) -> Option<Markup> {
    if digest.proxies.is_empty() {
        return None;
    }
    Some(html! { @for view in digest.proxies.values() { (one(view)) } })
}

fn one(view: &ProxyView) -> Markup {
    let (down, up) = (view.downstream, view.upstream);
    let rows = html! { @for upstream in view.upstreams.iter().take(MOST) { (row(upstream)) } };
    let head =
        ["address", "calls", "share", "p50", "p99", "longest", "unanswered", "failed connects"];
    html! {
        h3 { (view.comm) " " (view.pid) }
        p {
            (count_of(down.exchanges, "request")) " on " (count_of(down.connections, "connection"))
            " in, " (count_of(up.exchanges, "call")) " on " (count_of(up.connections, "connection"))
            " out. The request was found for " (count(view.joined)) " of the calls."
            @match view.reuse { Some(reuse) => { " It uses " (reuse.words()) "." }
                None => { " How it uses its connections cannot be told." } }
            @if let Some(imbalance) = view.imbalance {
                " The largest share is " (format!("{imbalance:.1}")) " times an even one."
            }
            @if let Some(spreading) = view.spreading { " Spread " (spreading.name()) "." }
        }
        @if !view.upstreams.is_empty() {
            (table(&format!("Upstreams of process {}", view.pid), &head, &rows))
        }
        (left_out(view.upstreams.len(), MOST, "further upstream"))
    }
}

fn row(upstream: &UpstreamView) -> Markup {
    let time = &upstream.time;
    html! {
        tr {
            th scope="row" { (upstream.peer)
                @if upstream.slow { " " b.loss { "slower than the others" } } }
            td.n { (count(upstream.side.exchanges)) }
            td.n { (percent_short(upstream.share)) }
            @if time.count == 0 {
                td.n colspan="3" { span.unknown { "no calls" } }
            } @else {
                @for us in [time.p50, time.p99, time.max] { td.n { (duration_us(us)) } }
            }
            td.n.loss[upstream.unanswered > 0] { (count(upstream.unanswered)) }
            td.n.loss[upstream.connect_fails > 0] { (count(upstream.connect_fails)) }
        }
    }
}
