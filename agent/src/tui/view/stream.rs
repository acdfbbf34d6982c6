//! Accepts, overflows and the like as they happen, the newest first.

use std::net::SocketAddr;

use ratatui::style::Style;
use ratatui::text::Line;

use super::parts::{Row, cut, raw, rule, span};
use crate::model::event::Stage;
use crate::model::snapshot::{Owner, Snapshot, StreamEntry, StreamKind};
use crate::tui::text::{clip_address, duration, escape, grouped, left, right};
use crate::tui::theme::Theme;

/// A wait that is worth a colour, µs.
const LONG_WAIT: u64 = 10_000;

/// The rule above the stream.
pub(super) fn title(theme: Theme, scrolled: usize, width: usize) -> Line<'static> {
    let mut title = vec![span("LIVE", theme.strong())];
    if scrolled > 0 {
        title.push(span(format!("  {} newer above, PgUp", grouped(scrolled as u64)), theme.dim()));
    }
    rule(theme, title, width)
}

/// One entry. With `listener` its address is named too.
pub(super) fn line(
    theme: Theme,
    snapshot: &Snapshot,
    entry: &StreamEntry,
    width: usize,
    listener: bool,
) -> Line<'static> {
    let start_ns = snapshot.now_ns.saturating_sub(snapshot.elapsed_us.saturating_mul(1_000));
    let ms = entry.ts_ns.saturating_sub(start_ns) / 1_000_000;
    let mut row = vec![span(right(&format!("{}.{:03}", ms / 1_000, ms % 1_000), 9), theme.dim()), raw("  ")];
    let wide = width >= 110;
    match &entry.what {
        StreamKind::Accept { peer, queued_us, tid, comm, fd } => {
            head(&mut row, "● accept", Style::new(), &address(*peer, wide), wide);
            if wide && listener {
                row.push(span(at_listener(snapshot, entry), theme.dim()));
            }
            row.extend(wait(theme, *queued_us));
            row.push(span(", taken by ", theme.dim()));
            row.push(raw(escape(comm)));
            if wide {
                let fd = fd.map(|fd| format!(" as fd {fd}")).unwrap_or_default();
                row.push(span(format!(" ({tid}){fd}"), theme.dim()));
            }
        }
        StreamKind::Overflow { peer, stage, count, depth, limit } => {
            let (word, style) = match stage {
                Some(Stage::Cookie) => ("◇ cookie", theme.owner(Owner::Kernel)),
                _ => ("▲ overflow", theme.loss()),
            };
            let who = match (peer, count) {
                (Some(peer), _) => address(*peer, wide),
                (None, 1) => "1 client".to_owned(),
                (None, n) => format!("{} clients", grouped(*n)),
            };
            head(&mut row, word, style, &who, wide);
            if wide && listener {
                row.push(span(at_listener(snapshot, entry), theme.dim()));
            }
            row.push(span(refusal(*stage, *depth, *limit), style));
            if peer.is_some() && *count > 1 {
                row.push(span(format!(" ×{}", grouped(*count)), style));
            }
        }
        StreamKind::Listening { local } => head(&mut row, "+ listens", theme.strong(), &address(*local, wide), wide),
        StreamKind::Closed { local } => head(&mut row, "○ closed", theme.strong(), &address(*local, wide), wide),
    }
    Line::from(cut(row, width))
}

fn head(row: &mut Row, word: &str, style: Style, who: &str, wide: bool) {
    row.push(span(left(word, 12), style));
    row.push(raw(left(who, if wide { 32 } else { 22 })));
}

fn address(address: SocketAddr, wide: bool) -> String {
    clip_address(&address.to_string(), if wide { 31 } else { 21 })
}

fn at_listener(snapshot: &Snapshot, entry: &StreamEntry) -> String {
    let listener = snapshot.listeners.iter().find(|listener| listener.sock == entry.listener);
    let local = listener.map(|listener| clip_address(&listener.local.to_string(), 21)).unwrap_or_default();
    left(&format!("→ {local}"), 25)
}

fn wait(theme: Theme, queued_us: Option<u64>) -> Row {
    let Some(us) = queued_us else { return vec![span("wait not seen", theme.dim())] };
    let style = if us >= LONG_WAIT { theme.owner(Owner::App) } else { Style::new() };
    vec![span(format!("waited {}", duration(us)), style)]
}

fn refusal(stage: Option<Stage>, depth: u32, limit: u32) -> String {
    let queue = format!("accept queue {} of {}", grouped(depth.into()), grouped(limit.into()));
    match stage {
        Some(Stage::Syn) => format!("SYN dropped, {queue}"),
        Some(Stage::Ack) => format!("ACK ignored, {queue}"),
        Some(Stage::SynQueue) => "SYN dropped, SYN queue full".to_owned(),
        Some(Stage::Cookie) => "answered by a syncookie, SYN queue full".to_owned(),
        None => format!("refused, {queue}"),
    }
}
