//! The threads that accept, and how much of their time they spend doing so.

use ratatui::text::Line;

use super::gauge::bar;
use super::parts::{Row, columns, cut, label, raw, span, widest};
use crate::model::snapshot::{Acceptor, ListenerView};
use crate::tui::text::{compact, escape, left, percent, rate, right};
use crate::tui::theme::Theme;

/// Returns a line for each of the first threads, in `most` lines at most. The last line says how
/// many more there are.
pub(super) fn lines(
    theme: Theme,
    listener: &ListenerView,
    width: usize,
    most: usize,
) -> Vec<Line<'static>> {
    if listener.acceptors.is_empty() {
        let text = match (listener.closed, listener.totals.accepted) {
            (true, _) => "nobody: it has stopped listening",
            (false, 0) => "no call of accept() was seen yet",
            (false, _) => "no thread accepts here now",
        };
        return vec![Line::from(vec![label(theme, "accepting"), span(text, theme.dim())])];
    }
    let shown = if listener.acceptors.len() > most { most.saturating_sub(1).max(1) } else { most };
    let acceptors = &listener.acceptors[..shown.min(listener.acceptors.len())];
    let more = listener.acceptors.len() - acceptors.len();
    let own_line = most > 1;
    let mut names = Vec::new();
    for thread in acceptors {
        names.push(escape(&crate::text::named(&thread.comm, thread.tid)));
    }
    if more > 0
        && !own_line
        && let Some(name) = names.last_mut()
    {
        name.push_str(&format!(" (+{more})"));
    }
    let name_width = widest(&names, 8, 26);
    let mut out = Vec::new();
    for (at, (thread, name)) in acceptors.iter().zip(&names).enumerate() {
        let mut row =
            vec![label(theme, if at == 0 { "accepting" } else { "" }), raw(left(name, name_width))];
        row.extend(figures(theme, thread, width));
        if let Some(share) = thread.in_accept_share {
            let elsewhere =
                [span(", elsewhere ", theme.dim()), span(percent(1.0 - share), theme.strong())];
            if columns(&row) + columns(&elsewhere) <= width {
                row.extend(elsewhere);
            }
        }
        out.push(Line::from(cut(row, width)));
    }
    if more > 0 && own_line {
        out.push(Line::from(vec![
            label(theme, ""),
            span(format!("and {more} more, ↵ shows all"), theme.dim()),
        ]));
    }
    out
}

fn figures(theme: Theme, thread: &Acceptor, width: usize) -> Row {
    let mut row = vec![span(right(&format!("{}/s", rate(thread.rate)), 9), theme.strong())];
    if width >= 110 {
        row.push(span(
            right(
                &format!(
                    "{} {}",
                    compact(thread.accepts),
                    crate::text::noun(thread.accepts, "accept")
                ),
                16,
            ),
            theme.dim(),
        ));
    }
    let Some(share) = thread.in_accept_share else {
        row.push(span("   time in accept() not known", theme.dim()));
        return row;
    };
    if share == 0.0 {
        row.push(span("  never seen inside accept()", theme.dim()));
        return row;
    }
    row.push(span("  in accept() ", theme.dim()));
    row.extend(bar(theme, share, None, if width >= 110 { 16 } else { 6 }, theme.dim()));
    row.push(span(right(&percent(share), 6), theme.strong()));
    row
}
