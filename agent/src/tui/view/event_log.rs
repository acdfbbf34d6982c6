//! Accepts, overflows and the like as they happen, the newest first.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::parts::{Row, cut, raw, rule, span, widest};
use crate::model::event::Stage;
use crate::model::snapshot::{LogEntry, Owner, Snapshot, StreamKind};
use crate::time_of_day::TimeOfDay;
use crate::tui::text::{clip_address, duration, escape, grouped, left, right};
use crate::tui::theme::Theme;

/// A wait that is worth a colour, µs.
const LONG_WAIT: u64 = 10_000;

/// Columns of a time since the attach, of one of the day, and of one of another day.
const SINCE: usize = 8;
const OF_DAY: usize = 12;
const WITH_DAY: usize = 14;

/// Returns the rule above the stream, with the numbers of newer and older entries that are not on
/// screen, and the keys that lead to them.
pub(super) fn title(theme: Theme, (newer, older): (usize, usize), width: usize) -> Line<'static> {
    let mut title = vec![span("LIVE", theme.strong())];
    if newer > 0 {
        title.push(span(format!("  < {} newer", grouped(newer as u64)), theme.strong()));
    }
    if older > 0 {
        title.push(span(format!("  > {} older", grouped(older as u64)), theme.dim()));
    }
    rule(theme, title, width)
}

/// The columns of the stream.
struct Columns<'a> {
    theme: Theme,
    snapshot: &'a Snapshot,
    day: Option<&'a TimeOfDay>,
    /// The time.
    time: usize,
    peer: usize,
    /// The listener's address; 0 leaves it out.
    listener: usize,
    /// The wait as a bar, and the wait of a full one, µs; 0 leaves it out.
    bar: usize,
    longest: u64,
    wide: bool,
}

/// Returns the lines of some entries. With `listener` theirs is named where there is room.
pub(super) fn lines(
    theme: Theme,
    day: Option<&TimeOfDay>,
    snapshot: &Snapshot,
    entries: &[&LogEntry],
    width: usize,
    listener: bool,
) -> Vec<Line<'static>> {
    let wide = width >= 110;
    let mut peers = Vec::new();
    let mut longest = 1;
    for entry in entries {
        peers.push(who(entry));
        if let StreamKind::Accept { queued_us: Some(us), .. } = entry.what {
            longest = longest.max(us);
        }
    }
    let time = match day {
        None => SINCE,
        Some(day) if entries.iter().all(|entry| day.is_same_day(entry.ts_ns, snapshot.now_ns)) => {
            OF_DAY
        }
        Some(_) => WITH_DAY,
    };
    let columns = Columns {
        theme,
        snapshot,
        day,
        time,
        // Wide enough for any IPv4 peer, so that columns don't jump as entries come and go.
        peer: widest(&peers, 21, if wide { 31 } else { 21 }),
        listener: if wide && listener { 24 } else { 0 },
        bar: if width >= 130 { width / 6 } else { 0 },
        longest,
        wide,
    };
    let mut out = Vec::new();
    for (entry, peer) in entries.iter().zip(&peers) {
        out.push(Line::from(cut(columns.row(entry, peer), width)));
    }
    out
}

/// Returns the address that an entry is about, or how many segments where the kernel names no
/// peer.
fn who(entry: &LogEntry) -> String {
    match &entry.what {
        StreamKind::Accept { peer, .. } | StreamKind::Overflow { peer: Some(peer), .. } => {
            peer.to_string()
        }
        StreamKind::Overflow { peer: None, count, .. } => format!("{} unnamed", grouped(*count)),
        StreamKind::Listening { local } | StreamKind::Closed { local } => local.to_string(),
    }
}

impl Columns<'_> {
    fn row(&self, entry: &LogEntry, who: &str) -> Row {
        let theme = self.theme;
        let (word, style) = match &entry.what {
            StreamKind::Accept { .. } => ("● accept", Style::new()),
            StreamKind::Overflow { stage: Some(Stage::Cookie), .. } => {
                ("◇ cookie", theme.owner(Owner::Kernel))
            }
            StreamKind::Overflow { .. } => ("▲ overflow", theme.loss()),
            StreamKind::Listening { .. } => ("+ listens", theme.strong()),
            StreamKind::Closed { .. } => ("○ closed", theme.strong()),
        };
        let mut row = vec![
            span(right(&self.time(entry.ts_ns), self.time), theme.dim()),
            raw("  "),
            span(left(word, 12), style),
            raw(left(&clip_address(who, self.peer), self.peer + 2)),
        ];
        if self.listener > 0 {
            row.push(span(left(&self.local(entry), self.listener), theme.dim()));
        }
        self.what(entry, &mut row);
        row
    }

    /// Returns the time of day, or the seconds since the attach.
    fn time(&self, ts_ns: u64) -> String {
        let now_ns = self.snapshot.now_ns;
        match self.day {
            Some(day) if day.is_same_day(ts_ns, now_ns) => day.millis(ts_ns),
            Some(day) => day.with_day(ts_ns),
            None => {
                let start_ns =
                    now_ns.saturating_sub(self.snapshot.elapsed_us.saturating_mul(1_000));
                let ms = ts_ns.saturating_sub(start_ns) / 1_000_000;
                format!("{}.{:03}", ms / 1_000, ms % 1_000)
            }
        }
    }

    fn what(&self, entry: &LogEntry, row: &mut Row) {
        let theme = self.theme;
        match &entry.what {
            StreamKind::Accept { queued_us, tid, comm, fd, .. } => {
                row.extend(self.wait_bar(*queued_us));
                row.push(wait(theme, *queued_us));
                row.push(span(", taken by ", theme.dim()));
                row.push(raw(escape(comm)));
                if self.wide {
                    let fd = match fd {
                        Some(fd) => format!(" as fd {fd}"),
                        None => String::new(),
                    };
                    row.push(span(format!(" ({tid}){fd}"), theme.dim()));
                }
            }
            StreamKind::Overflow { peer, stage, count, depth, limit } => {
                row.extend(self.wait_bar(None));
                row.push(raw(refusal(*stage, *depth, *limit)));
                if peer.is_some() && *count > 1 {
                    row.push(raw(format!(" ×{}", grouped(*count))));
                }
            }
            StreamKind::Listening { .. } | StreamKind::Closed { .. } => {}
        }
    }

    fn wait_bar(&self, queued_us: Option<u64>) -> Row {
        match queued_us {
            _ if self.bar == 0 => Row::new(),
            None => vec![raw(" ".repeat(self.bar + 2))],
            Some(us) => {
                let cells = (us as f64 / self.longest as f64 * self.bar as f64).round() as usize;
                let style = self.theme.owner(Owner::App);
                vec![span(left(&"━".repeat(cells), self.bar), style), raw("  ")]
            }
        }
    }

    fn local(&self, entry: &LogEntry) -> String {
        let listeners = &self.snapshot.listeners;
        match listeners.iter().find(|listener| listener.sock == entry.listener) {
            Some(listener) => {
                format!("→ {}", clip_address(&listener.local.to_string(), self.listener - 4))
            }
            None => String::new(),
        }
    }
}

fn wait(theme: Theme, queued_us: Option<u64>) -> Span<'static> {
    let Some(us) = queued_us else { return span("wait not seen", theme.dim()) };
    let style = if us >= LONG_WAIT { theme.owner(Owner::App) } else { Style::new() };
    span(format!("waited {}", duration(us)), style)
}

fn refusal(stage: Option<Stage>, depth: u32, limit: u32) -> String {
    let queue = format!("queue {} of {}", grouped(depth.into()), grouped(limit.into()));
    match stage {
        Some(Stage::Syn) => format!("SYN dropped, {queue}"),
        Some(Stage::Ack) => format!("ACK ignored, {queue}"),
        Some(Stage::SynQueue) => "SYN dropped, SYN queue full".to_owned(),
        Some(Stage::Cookie) => "answered with a syncookie, SYN queue full".to_owned(),
        None => format!("refused, {queue}"),
    }
}
