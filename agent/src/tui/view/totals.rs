//! Every total of a listener.

use ratatui::style::Style;
use ratatui::text::Line;

use super::parts::{LABEL, Row, columns, label, raw, span};
use crate::model::snapshot::ListenerView;
use crate::tui::text::grouped;
use crate::tui::theme::Theme;

/// Returns the totals, as many on a line as the width takes. A figure that this kernel does not
/// show is "–".
pub(super) fn lines(theme: Theme, listener: &ListenerView, width: usize) -> Vec<Line<'static>> {
    let totals = &listener.totals;
    let figures: [(&str, Option<u64>, bool); 10] = [
        ("SYNs", totals.syns, false),
        ("queued", Some(totals.queued), false),
        ("accepted", Some(totals.accepted), false),
        ("found nothing", Some(totals.eagain), false),
        ("SYNs refused", Some(totals.overflow_syn), true),
        ("ACKs refused", totals.overflow_ack, true),
        ("SYNs dropped", totals.syn_dropped, true),
        ("syncookies", totals.cookies_sent, false),
        ("SYN-ACKs resent", Some(totals.synack_retransmits), false),
        ("left unaccepted", Some(totals.abandoned), false),
    ];
    let mut out = Vec::new();
    let mut row = vec![label(theme, "totals")];
    for (name, figure, loss) in figures {
        let cell = cell(theme, name, figure, loss);
        if columns(&row) > LABEL && columns(&row) + columns(&cell) > width {
            out.push(Line::from(std::mem::replace(&mut row, vec![label(theme, "")])));
        }
        row.extend(cell);
    }
    out.push(Line::from(row));
    out
}

fn cell(theme: Theme, name: &str, figure: Option<u64>, loss: bool) -> Row {
    const WIDTH: usize = 27;
    let (mark, style) = match figure {
        Some(1..) if loss => ("▲", theme.loss()),
        Some(1..) => (" ", theme.strong()),
        Some(0) | None => (" ", Style::new()),
    };
    let shown = match figure {
        Some(figure) => grouped(figure),
        None => "–".to_owned(),
    };
    let gap = WIDTH.saturating_sub(name.chars().count() + shown.chars().count() + 3);
    vec![
        span(name.to_owned(), theme.dim()),
        raw(" ".repeat(gap)),
        span(format!("{mark}{shown}"), style),
        raw("  "),
    ]
}

/// Returns the source of the accept queue's limit: "backlog 511, somaxconn 4,096".
pub(super) fn limits(listener: &ListenerView) -> String {
    let mut text = match listener.backlog {
        Some(backlog) => format!("backlog {}", grouped(backlog.into())),
        None => format!("limit {}", grouped(listener.limit.into())),
    };
    if let Some(most) = listener.somaxconn {
        text.push_str(&format!(", somaxconn {}", grouped(most.into())));
    }
    text
}
