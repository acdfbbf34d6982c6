//! The verdict on what is selected, in plain words, whether or not anything is wrong.

use ratatui::style::Style;
use ratatui::text::Line;

use super::parts::{cut, paragraph, raw, span, spread};
use super::{finding, threads, words};
use crate::model::snapshot::{
    ConnectionView, ExchangeVerdict, ExchangeView, Finding, ListenerView, Owner, Snapshot,
    ThreadView,
};
use crate::model::timeline::sentence;
use crate::tui::order::{counted_us, worst};
use crate::tui::subject::{Subject, subject};
use crate::tui::text::{duration, escape, fine, grouped, percent, wrap};
use crate::tui::theme::{Theme, shape};

/// Returns the worst finding on a listener, or a sentence on it when there is none.
pub(super) fn lines(
    theme: Theme,
    snapshot: &Snapshot,
    listener: &ListenerView,
    width: usize,
) -> Vec<Line<'static>> {
    if let Some(found) = found(theme, listener.sock, of(snapshot, listener), width) {
        return found;
    }
    let (mark, headline, text) = words(listener);
    let mut out = quiet(theme, mark, &headline, &text, width);
    out.extend(elsewhere(theme, snapshot, width));
    out
}

/// Returns the worst finding on a connection, or a sentence on it when there is none.
pub(super) fn connection(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    width: usize,
) -> Vec<Line<'static>> {
    let own = of_connection(snapshot, connection);
    if let Some(found) = found(theme, connection.sock, own, width) {
        return found;
    }
    let (headline, text) = connection_words(snapshot, connection);
    let mut out = quiet(theme, '●', &headline, &text, width);
    out.extend(elsewhere(theme, snapshot, width));
    out
}

/// Returns the worst finding on a thread's process, or a sentence on the thread when there is none.
pub(super) fn thread(
    theme: Theme,
    snapshot: &Snapshot,
    thread: &ThreadView,
    width: usize,
) -> Vec<Line<'static>> {
    let own = snapshot.findings.iter().filter(|finding| match subject(snapshot, finding) {
        Subject::Process(process) => process.pid == thread.pid,
        _ => false,
    });
    if let Some(found) = found(theme, thread.pid.into(), own, width) {
        return found;
    }
    let (headline, text) = thread_words(thread);
    let mut out = quiet(theme, '●', &headline, &text, width);
    out.extend(elsewhere(theme, snapshot, width));
    out
}

/// Returns the findings on a listener, on what it accepted and on its process, worst first.
pub(super) fn of<'a>(
    snapshot: &'a Snapshot,
    listener: &'a ListenerView,
) -> impl Iterator<Item = &'a Finding> {
    snapshot.findings.iter().filter(|finding| match subject(snapshot, finding) {
        Subject::Listener(other) => other.sock == listener.sock,
        Subject::Connection(connection) => connection.listener == Some(listener.sock),
        Subject::Process(thread) => {
            listener.pid == thread.pid || listener.holders.contains(&thread.pid)
        }
        Subject::Gone => false,
    })
}

/// Returns the findings on a connection, worst first.
pub(super) fn of_connection<'a>(
    snapshot: &'a Snapshot,
    connection: &ConnectionView,
) -> impl Iterator<Item = &'a Finding> {
    let sock = connection.sock;
    snapshot.findings.iter().filter(move |finding| finding.sock == sock)
}

/// Returns the first of some findings, with its subject unless that is selected, and the number of
/// further ones.
fn found<'a>(
    theme: Theme,
    about: u64,
    mut findings: impl Iterator<Item = &'a Finding>,
    width: usize,
) -> Option<Vec<Line<'static>>> {
    let worst = findings.next()?;
    let mut out = finding::lines(theme, worst, width);
    let mut notes = Vec::new();
    if worst.sock != about {
        notes.push(format!("at {}", escape(&worst.subject)));
    }
    match findings.count() {
        0 => {}
        1 => notes.push("and 1 more finding here".to_owned()),
        n => notes.push(format!("and {n} more findings here")),
    }
    if !notes.is_empty() {
        let edge = span("▌", theme.owner(worst.owner));
        out.push(Line::from(vec![
            edge,
            raw("  "),
            span(notes.join(", "), theme.dim()),
            span("   4", theme.strong()),
        ]));
    }
    Some(out)
}

/// Returns the worst finding of all in one line, where what is selected has none.
fn elsewhere(theme: Theme, snapshot: &Snapshot, width: usize) -> Option<Line<'static>> {
    let worst = snapshot.findings.first()?;
    let row = vec![
        span(format!(" {} ", shape(worst.severity)), theme.severity(worst.severity)),
        span(format!("{}: ", escape(&worst.subject)), theme.dim()),
        span(escape(&worst.headline), theme.severity(worst.severity)),
    ];
    let hint = vec![span(" 4", theme.strong()), span(" shows ", theme.dim())];
    Some(spread(cut(row, width.saturating_sub(9)), hint, width))
}

fn quiet(theme: Theme, mark: char, headline: &str, text: &str, width: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    for (at, line) in wrap(headline, width.saturating_sub(4)).into_iter().enumerate() {
        let lead = if at == 0 { format!(" {mark} ") } else { "   ".to_owned() };
        out.push(Line::from(vec![raw(lead), span(line, theme.strong())]));
    }
    out.extend(paragraph(text, 3, Style::new(), width));
    out
}

fn words(listener: &ListenerView) -> (char, String, String) {
    let totals = &listener.totals;
    let waiting = match listener.depth {
        0 => "no client waits".to_owned(),
        1 => "1 client waits".to_owned(),
        n => format!("{} clients wait", grouped(n.into())),
    };
    let limit = grouped(listener.limit.into());
    let arrived = totals.queued.max(totals.accepted).max(u64::from(listener.depth));
    if listener.closed {
        let text =
            format!("It had accepted {}.", crate::text::count_of(totals.accepted, "connection"));
        return ('○', format!("{} has stopped listening.", listener.local), text);
    }
    if totals.overflows() > 0 {
        let headline =
            format!("Nothing is refused now; refused before: {}.", grouped(totals.overflows()));
        return (
            '●',
            headline,
            format!("Right now, {waiting} for accept(); the limit is {limit}."),
        );
    }
    if arrived == 0 {
        let text = format!(
            "It is listening, with room for {} to wait.",
            crate::text::count_of(listener.limit.into(), "connection")
        );
        return ('○', "No connection has arrived since the watch began.".to_owned(), text);
    }
    if totals.accepted == 0 {
        let verb = if arrived == 1 { "connection has" } else { "connections have" };
        let headline = format!("{} {verb} arrived; none has been accepted.", grouped(arrived));
        let text = "The kernel has completed their handshakes, \
                    so their clients believe that they are connected. \
                    No thread has called accept() for them.";
        return ('●', headline, text.to_owned());
    }
    let headline = if listener.wait.count > 0 {
        format!("Nothing is refused; the longest wait was {}.", duration(listener.wait.max))
    } else {
        "Nothing is refused.".to_owned()
    };
    let text = format!(
        "{} accepted so far; {waiting} for accept(), with room for {limit}.",
        grouped(totals.accepted)
    );
    ('✔', headline, text)
}

fn connection_words(snapshot: &Snapshot, connection: &ConnectionView) -> (String, String) {
    if let Some(exchange) = worst(connection)
        && let Some(verdict) = exchange.verdict
    {
        return exchange_words(snapshot, connection, exchange, verdict);
    }
    let text = "Nothing has been asked and answered on it while it was watched.";
    ("No exchange yet.".to_owned(), text.to_owned())
}

fn exchange_words(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
    verdict: ExchangeVerdict,
) -> (String, String) {
    let which = if exchange.done { "its worst exchange" } else { "the exchange that it is in" };
    let whose = match verdict.kind.owner() {
        Owner::Unknown => "nothing shows who held it".to_owned(),
        owner => format!("the {}'s time", owner.name()),
    };
    let headline = format!(
        "{} took {} of {} of {which} ({}): {whose}.",
        words::name(verdict.kind),
        fine(verdict.us),
        fine(counted_us(exchange)),
        percent(verdict.share)
    );
    let same = exchange.slices.iter().filter(|slice| slice.kind == verdict.kind);
    let longest = same.max_by_key(|slice| slice.us);
    let text = match longest {
        Some(slice) => escape(&sentence(snapshot, connection, exchange, slice)) + ".",
        None => String::new(),
    };
    (capital(&headline), capital(&text))
}

fn thread_words(thread: &ThreadView) -> (String, String) {
    let who = threads::name(thread);
    let headline = match (thread.busy, thread.waits, thread.asleep) {
        (Some(busy), Some(waits), Some(asleep)) => format!(
            "{who}: {} of the time on a CPU, {} waiting for one, {} asleep.",
            percent(busy),
            percent(waits),
            percent(asleep)
        ),
        _ => format!("{who}: how it spends its time will be known after the second sample."),
    };
    let served = match thread.connections {
        0 => "It serves no connection.".to_owned(),
        1 => "It serves 1 connection.".to_owned(),
        n => format!("It serves {} connections.", grouped(n.into())),
    };
    (headline, served)
}

/// Begins a sentence with a capital letter.
fn capital(text: &str) -> String {
    let mut rest = text.chars();
    match rest.next() {
        Some(first) => first.to_uppercase().chain(rest).collect(),
        None => String::new(),
    }
}
