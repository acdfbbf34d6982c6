//! What is going on at what is selected, in plain words, whether or not anything is wrong.

use ratatui::text::Line;

use super::parts::{cut, raw, span};
use super::{finding, threads, words};
use crate::model::snapshot::{ConnectionView, Finding, ListenerView, Snapshot, ThreadView};
use crate::model::timeline::sentence;
use crate::tui::order::{counted_us, worst};
use crate::tui::subject::{Subject, subject};
use crate::tui::text::{count_of, duration, escape, fine, grouped, percent, wrap};
use crate::tui::theme::{Theme, shape};

/// The worst finding on the listener, or what is so when there is none.
pub(super) fn lines(
    theme: Theme,
    snapshot: &Snapshot,
    listener: &ListenerView,
    width: usize,
) -> Vec<Line<'static>> {
    found(theme, listener.sock, of(snapshot, listener), width).unwrap_or_else(|| {
        let (mark, headline, text) = words(listener);
        let mut out = quiet(theme, mark, headline, &text, width);
        out.extend(elsewhere(theme, snapshot, width));
        out
    })
}

/// The same of a connection.
pub(super) fn connection(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    width: usize,
) -> Vec<Line<'static>> {
    found(theme, connection.sock, of_connection(snapshot, connection), width).unwrap_or_else(|| {
        let (headline, text) = connection_words(snapshot, connection);
        let mut out = quiet(theme, '●', headline, &text, width);
        out.extend(elsewhere(theme, snapshot, width));
        out
    })
}

/// The same of a thread: the findings on its process.
pub(super) fn thread(
    theme: Theme,
    snapshot: &Snapshot,
    thread: &ThreadView,
    width: usize,
) -> Vec<Line<'static>> {
    let own = snapshot
        .findings
        .iter()
        .filter(|finding| matches!(subject(snapshot, finding), Subject::Process(process) if process.pid == thread.pid));
    found(theme, thread.pid.into(), own, width).unwrap_or_else(|| {
        let (headline, text) = thread_words(thread);
        let mut out = quiet(theme, '●', headline, &text, width);
        out.extend(elsewhere(theme, snapshot, width));
        out
    })
}

/// The findings on a listener, on what it accepted and on its process, worst first.
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

/// The findings on a connection, worst first.
pub(super) fn of_connection<'a>(
    snapshot: &'a Snapshot,
    connection: &ConnectionView,
) -> impl Iterator<Item = &'a Finding> {
    let sock = connection.sock;
    snapshot.findings.iter().filter(move |finding| finding.sock == sock)
}

/// The first of some findings, what it is about unless that is what is selected, and how many more
/// there are.
fn found<'a>(
    theme: Theme,
    about: u64,
    mut findings: impl Iterator<Item = &'a Finding>,
    width: usize,
) -> Option<Vec<Line<'static>>> {
    let worst = findings.next()?;
    let mut out = finding::lines(theme, worst, width);
    let at =
        if worst.sock == about { String::new() } else { format!("at {}", escape(&worst.subject)) };
    let more = match findings.count() {
        0 => String::new(),
        1 => "and 1 more finding here".to_owned(),
        n => format!("and {n} more findings here"),
    };
    if !(at.is_empty() && more.is_empty()) {
        let text =
            [at, more].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let edge = span("▌", theme.owner(worst.owner));
        out.push(Line::from(vec![
            edge,
            raw("  "),
            span(text, theme.dim()),
            span("   4", theme.strong()),
        ]));
    }
    Some(out)
}

/// The worst finding in one line, where what is selected has none.
fn elsewhere(theme: Theme, snapshot: &Snapshot, width: usize) -> Option<Line<'static>> {
    let worst = snapshot.findings.first()?;
    let row = vec![
        span(format!(" {} ", shape(worst.severity)), theme.severity(worst.severity)),
        span(format!("{}: ", escape(&worst.subject)), theme.dim()),
        span(escape(&worst.headline), theme.severity(worst.severity)),
    ];
    let hint = vec![span(" 4", theme.strong()), span(" shows ", theme.dim())];
    Some(super::parts::spread(cut(row, width.saturating_sub(9)), hint, width))
}

fn quiet(
    theme: Theme,
    mark: char,
    headline: String,
    text: &str,
    width: usize,
) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    for (at, line) in wrap(&headline, width.saturating_sub(4)).into_iter().enumerate() {
        let lead = if at == 0 { format!(" {mark} ") } else { "   ".to_owned() };
        out.push(Line::from(vec![raw(lead), span(line, theme.strong())]));
    }
    out.extend(
        wrap(text, width.saturating_sub(4))
            .into_iter()
            .map(|line| Line::from(format!("   {line}"))),
    );
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
        let text = format!("It had accepted {}.", count_of(totals.accepted, "connection"));
        return ('○', format!("{} has stopped listening.", listener.local), text);
    }
    if totals.overflows() > 0 {
        let headline = format!("Nothing is refused now; before: {}.", grouped(totals.overflows()));
        return ('●', headline, format!("Of now, {waiting} for accept(); the limit is {limit}."));
    }
    if arrived == 0 {
        let text = format!("It listens, with room for {limit} connections to wait.");
        return ('○', "No connection has arrived since the watch began.".to_owned(), text);
    }
    if totals.accepted == 0 {
        let text = "The kernel has completed their handshakes, so their clients believe that they are connected. \
                    No thread has called accept() for them."
            .to_owned();
        let verb = if arrived == 1 { "connection has" } else { "connections have" };
        return (
            '●',
            format!("{} {verb} arrived; none has been accepted.", grouped(arrived)),
            text,
        );
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
    let Some((exchange, verdict)) =
        worst(connection).and_then(|it| it.verdict.map(|verdict| (it, verdict)))
    else {
        let text = "Nothing has been asked and answered on it since it is watched.";
        return ("No exchange yet.".to_owned(), text.to_owned());
    };
    let which = if exchange.done { "its worst exchange" } else { "the exchange that it is in" };
    let whose = match verdict.kind.owner() {
        crate::model::snapshot::Owner::Unknown => "nobody can vouch for it".to_owned(),
        owner => format!("the {}'s time", owner.name()),
    };
    let headline = format!(
        "{} took {} of {} of {which} ({}): {whose}.",
        words::name(verdict.kind),
        fine(verdict.us),
        fine(counted_us(exchange)),
        percent(verdict.share)
    );
    let longest = exchange
        .slices
        .iter()
        .filter(|slice| slice.kind == verdict.kind)
        .max_by_key(|slice| slice.us);
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
        _ => format!("{who}: how it spends its time is known with the second sample."),
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
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}
