//! Pieces that several sections share.

use maud::{Markup, html};

use crate::{
    digest::Digest,
    html::note,
    model::{
        WallClock,
        event::SockId,
        snapshot::{Severity, WaitView},
    },
    text::{self, count, count_of, duration_us},
};

/// Times of the run, as the page tells them: since the attach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Attach, ns of `CLOCK_MONOTONIC`.
    pub(super) begin_ns: u64,
    /// End of what was seen.
    pub(super) end_ns: u64,
    clock: WallClock,
}

impl Times {
    pub(super) fn of(digest: &Digest) -> Self {
        let begin_ns = digest.attached.ts_ns;
        let end_ns = digest.end_ns().max(begin_ns.saturating_add(1));
        Self { begin_ns, end_ns, clock: digest.clock }
    }

    /// Duration of the run, µs.
    pub(super) fn length_us(&self) -> u64 {
        self.end_ns.saturating_sub(self.begin_ns) / 1_000
    }

    /// "2.43 s" after the attach.
    pub(super) fn at(&self, ts_ns: u64) -> String {
        duration_us(self.since(ts_ns))
    }

    /// Time since the attach, µs.
    pub(super) fn since(&self, ts_ns: u64) -> u64 {
        ts_ns.saturating_sub(self.begin_ns) / 1_000
    }

    /// Wall-clock time to the second: "2026-12-01 09:51:50 UTC".
    pub(super) fn wall(&self, ts_ns: u64) -> String {
        let text = self.clock.rfc3339(ts_ns);
        let seconds = text.get(..19).unwrap_or(&text);
        format!("{} UTC", seconds.replace('T', " "))
    }
}

/// The shape and the name of a severity.
pub(super) fn severity(severity: Severity) -> Markup {
    let (shape, name, class) = match severity {
        Severity::Critical => ("▲", "Critical", "sev-c"),
        Severity::Warning => ("◆", "Warning", "sev-w"),
        Severity::Info => ("●", "Info", "sev-i"),
    };
    html! { span.sev.(class) { span aria-hidden="true" { (shape) } " " (name) } }
}

/// A figure, or that it was not observed.
pub(super) fn known(figure: Option<u64>) -> Markup {
    match figure {
        Some(figure) => html! { (count(figure)) },
        None => html! { span.unknown { "not observed" } },
    }
}

/// A share, or that it was not observed.
pub(super) fn share(share: Option<f64>) -> Markup {
    match share {
        Some(share) => html! { (text::percent_short(share)) },
        None => html! { span.unknown { "not observed" } },
    }
}

/// Cells of a table with a distribution: p50, p90, p99, max.
pub(super) fn wait_cells(wait: &WaitView) -> Markup {
    html! {
        @if wait.count == 0 {
            td.n colspan="4" { span.unknown { "none" } }
        } @else {
            @for us in [wait.p50, wait.p90, wait.p99, wait.max] { td.n { (duration_us(us)) } }
        }
    }
}

/// A link to the listener's chart, by its socket.
pub(super) fn listener_id(sock: SockId) -> String {
    format!("listener-{sock}")
}

/// Says how many of some things are not shown; nothing if all are.
pub(super) fn left_out(all: usize, shown: usize, thing: &str) -> Markup {
    html! {
        @if all > shown {
            (note(&format!("{} not shown.", count_of((all - shown) as u64, thing))))
        }
    }
}
