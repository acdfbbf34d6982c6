//! Processes that serve and call others: a line each at each refresh.

use crate::model::snapshot::{ProxyView, UpstreamView};
use crate::text::{count, count_of, duration_us, percent};

/// Upstreams in one line: those with most exchanges.
const MOST: usize = 4;

/// "nginx 4242: 320 requests on 8 connections → 320 calls on 16, pooled, spread per-request;
/// 10.0.0.1:80 50 %, p50 2 ms".
pub(super) fn text(view: &ProxyView) -> String {
    let (down, up) = (view.downstream, view.upstream);
    let mut text = format!(
        "{} {}: {} on {} → {} on {}",
        view.comm.for_terminal(),
        view.pid,
        count_of(down.exchanges, "request"),
        count_of(down.connections, "connection"),
        count_of(up.exchanges, "call"),
        count(up.connections)
    );
    if let Some(reuse) = view.reuse {
        text += &format!(", {}", reuse.name());
    }
    if let Some(spreading) = view.spreading {
        text += &format!(", spread {}", spreading.name());
    }
    for upstream in view.upstreams.iter().take(MOST) {
        text.push_str(&format!("; {}", one(upstream)));
    }
    if view.upstreams.len() > MOST {
        text.push_str(&format!("; {} more", count((view.upstreams.len() - MOST) as u64)));
    }
    text
}

fn one(upstream: &UpstreamView) -> String {
    let slow = if upstream.slow { " ← slow" } else { "" };
    let failed = match upstream.connect_fails {
        0 => String::new(),
        fails => format!(", {} failed", count_of(fails, "connect")),
    };
    let unanswered = match upstream.unanswered {
        0 => String::new(),
        calls => format!(", {} unanswered", count(calls)),
    };
    // Where no call was made there is no time to tell.
    let calls = match upstream.time.count {
        0 => " no calls".to_owned(),
        _ => {
            let (p50, p99) = (duration_us(upstream.time.p50), duration_us(upstream.time.p99));
            format!(" {}, p50 {p50}, p99 {p99}", percent(upstream.share))
        }
    };
    format!("{}{calls}{unanswered}{failed}{slow}", upstream.peer)
}
