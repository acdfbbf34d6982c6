//! What is going on at a listener, in plain words, whether or not anything is wrong.

use ratatui::text::Line;

use super::finding;
use super::parts::{raw, span};
use crate::model::snapshot::{Finding, ListenerView, Snapshot};
use crate::tui::text::{duration, grouped, wrap};
use crate::tui::theme::Theme;

/// The worst finding on the listener, or what is so when there is none.
pub(super) fn lines(theme: Theme, snapshot: &Snapshot, listener: &ListenerView, width: usize) -> Vec<Line<'static>> {
    let mut findings = of(snapshot, listener);
    let Some(worst) = findings.next() else { return quiet(theme, listener, width) };
    let mut out = finding::lines(theme, worst, width);
    let more = findings.count();
    if more > 0 {
        let text = format!("and {more} more finding{} here: Tab", if more == 1 { "" } else { "s" });
        let edge = span("▌", theme.owner(worst.owner));
        out.push(Line::from(vec![edge, raw("  "), span(text, theme.dim())]));
    }
    out
}

/// The findings on a listener, worst first.
pub(super) fn of<'a>(snapshot: &'a Snapshot, listener: &ListenerView) -> impl Iterator<Item = &'a Finding> {
    let sock = listener.sock;
    snapshot.findings.iter().filter(move |finding| finding.sock == sock)
}

fn quiet(theme: Theme, listener: &ListenerView, width: usize) -> Vec<Line<'static>> {
    let (mark, headline, text) = words(listener);
    let mut out = vec![Line::from(vec![raw(format!(" {mark} ")), span(headline, theme.strong())])];
    out.extend(wrap(&text, width.saturating_sub(4)).into_iter().map(|line| Line::from(format!("   {line}"))));
    out
}

fn words(listener: &ListenerView) -> (char, String, String) {
    let totals = &listener.totals;
    let waiting = match listener.depth {
        0 => "none waits".to_owned(),
        1 => "1 waits".to_owned(),
        n => format!("{} wait", grouped(n.into())),
    };
    let limit = grouped(listener.limit.into());
    let arrived = totals.queued.max(totals.accepted).max(u64::from(listener.depth));
    if listener.closed {
        let text = format!("It had accepted {} connections.", grouped(totals.accepted));
        return ('○', format!("{} has stopped listening.", listener.local), text);
    }
    if totals.overflows() > 0 {
        let headline = format!("Nothing is refused now; {} were before.", grouped(totals.overflows()));
        return ('●', headline, format!("Of now, {waiting} for accept(); the limit is {limit}."));
    }
    if arrived == 0 {
        let text = format!("It listens, with room for {limit} connections to wait.");
        return ('○', "No connection has arrived yet.".to_owned(), text);
    }
    if totals.accepted == 0 {
        let text = "The kernel has completed their handshakes, so their clients believe that they are connected. \
                    No thread has called accept() for them."
            .to_owned();
        let verb = if arrived == 1 { "connection has" } else { "connections have" };
        return ('●', format!("{} {verb} arrived; none has been accepted.", grouped(arrived)), text);
    }
    let headline = if listener.wait.count > 0 {
        format!("Nothing is refused; the longest wait was {}.", duration(listener.wait.max))
    } else {
        "Nothing is refused.".to_owned()
    };
    let text = format!("{} accepted so far; {waiting} for accept(), with room for {limit}.", grouped(totals.accepted));
    ('✔', headline, text)
}
