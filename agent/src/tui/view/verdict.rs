//! The verdict on what is selected, in plain words, whether or not anything is wrong.

use ratatui::style::Style;
use ratatui::text::Line;

use super::parts::{cut, paragraph, raw, span, spread};
use super::{connection_table, finding, past, threads, words};
use crate::model::event::{Role, TcpState};
use crate::model::snapshot::{
    ConnectionView, ExchangeView, Finding, HeldMost, Holder, ListenerView, Part, Snapshot,
    ThreadView, UpstreamWait, chain,
};
use crate::model::timeline::part_sentence;
use crate::tui::order::{counted_us, worst};
use crate::tui::subject::{Subject, subject};
use crate::tui::text::{count_of, duration, escape, fine, grouped, percent, wrap};
use crate::tui::theme::{Theme, shape};

/// Returns the worst finding on a listener, or a sentence on it when there is none.
pub(super) fn lines(
    theme: Theme,
    snapshot: &Snapshot,
    listener: &ListenerView,
    width: usize,
) -> Vec<Line<'static>> {
    if let Some(found) = found(theme, snapshot, listener.sock, of(snapshot, listener), width) {
        return found;
    }
    let past = about(snapshot, listener, &snapshot.past_findings);
    if let Some(mut out) = past::lines(theme, snapshot, &now(snapshot, listener), past, width) {
        // What stands elsewhere is worth more than what has ended.
        if !snapshot.findings.is_empty() {
            out.extend(elsewhere(theme, snapshot, width));
        }
        return out;
    }
    let (mark, headline, text) = words(snapshot, listener);
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
    if let Some(found) = found(theme, snapshot, connection.sock, own, width) {
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
    if let Some(found) = found(theme, snapshot, thread.pid.into(), own, width) {
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
    about(snapshot, listener, &snapshot.findings)
}

fn about<'a>(
    snapshot: &'a Snapshot,
    listener: &'a ListenerView,
    findings: &'a [Finding],
) -> impl Iterator<Item = &'a Finding> {
    findings.iter().filter(|finding| match subject(snapshot, finding) {
        Subject::Listener(other) => other.sock == listener.sock,
        Subject::Connection(connection) => connection.listener == Some(listener.sock),
        Subject::Process(thread) => {
            listener.pid == thread.pid || listener.holders.contains(&thread.pid)
        }
        Subject::Gone => false,
    })
}

/// Returns the listener that a finding is about: itself, or the one behind its connection or
/// process.
pub(super) fn listener_of<'a>(
    snapshot: &'a Snapshot,
    finding: &Finding,
) -> Option<&'a ListenerView> {
    let mut listeners = snapshot.listeners.iter();
    match subject(snapshot, finding) {
        Subject::Listener(listener) => Some(listener),
        Subject::Connection(connection) => {
            listeners.find(|listener| connection.listener == Some(listener.sock))
        }
        Subject::Process(thread) => listeners
            .find(|listener| listener.pid == thread.pid || listener.holders.contains(&thread.pid)),
        Subject::Gone => None,
    }
}

/// Returns the findings on a connection, worst first.
pub(super) fn of_connection<'a>(
    snapshot: &'a Snapshot,
    connection: &ConnectionView,
) -> impl Iterator<Item = &'a Finding> {
    let sock = connection.sock;
    snapshot.findings.iter().filter(move |finding| finding.sock == sock)
}

/// Returns the cause of the first of some findings, what follows from it, its subject unless that is
/// selected, and the number of further findings here that are no part of it.
fn found<'a>(
    theme: Theme,
    snapshot: &'a Snapshot,
    about: u64,
    findings: impl Iterator<Item = &'a Finding>,
    width: usize,
) -> Option<Vec<Line<'static>>> {
    let findings: Vec<&Finding> = findings.collect();
    let root = chain::root(&snapshot.findings, findings.first()?);
    let mut out = finding::lines(theme, snapshot, root, width);
    let mut notes = Vec::new();
    if root.sock != about {
        notes.push(format!("at {}", escape(&root.subject)));
    }
    let beside = findings
        .iter()
        .filter(|finding| !std::ptr::eq(chain::root(&snapshot.findings, finding), root));
    match beside.count() {
        0 => {}
        1 => notes.push("and 1 more finding here".to_owned()),
        n => notes.push(format!("and {n} more findings here")),
    }
    if !notes.is_empty() {
        let edge = span("▌", theme.owner(root.holder()));
        out.push(Line::from(vec![
            edge,
            raw("  "),
            span(notes.join(", "), theme.dim()),
            span("   4", theme.strong()),
        ]));
    }
    Some(out)
}

/// Returns the worst finding of all in one line, where what is selected has none; if none stands, the
/// worst that has ended.
fn elsewhere(theme: Theme, snapshot: &Snapshot, width: usize) -> Option<Line<'static>> {
    let Some(worst) = snapshot.findings.first() else {
        return past::line(theme, snapshot, width);
    };
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

/// Says how things are at a listener where something was wrong.
fn now(snapshot: &Snapshot, listener: &ListenerView) -> String {
    let is_left_alone = listener.totals.accepted == 0 && listener.depth > 0;
    if listener.closed || is_left_alone {
        let (_, headline, _) = words(snapshot, listener);
        headline
    } else if snapshot.findings.is_empty() {
        "Nothing is wrong now.".to_owned()
    } else {
        "Nothing is wrong here now.".to_owned()
    }
}

fn words(snapshot: &Snapshot, listener: &ListenerView) -> (char, String, String) {
    let totals = &listener.totals;
    let waiting = match listener.depth {
        0 => "no client waits".to_owned(),
        1 => "1 client waits".to_owned(),
        n => format!("{} clients wait", grouped(n.into())),
    };
    let limit = grouped(listener.limit.into());
    let arrived = totals.queued.max(totals.accepted).max(u64::from(listener.depth));
    if listener.closed {
        let text = format!("It had accepted {}.", count_of(totals.accepted, "connection"));
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
            count_of(listener.limit.into(), "connection")
        );
        let open = from_before(snapshot, listener);
        let has_all = snapshot.connections_listed <= snapshot.connections.len();
        let before = match open {
            0 => String::new(),
            open if has_all => format!(" ({} open)", grouped(open)),
            open => format!(" (at least {} open)", grouped(open)),
        };
        return ('○', format!("No connection has arrived since the watch began{before}."), text);
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

/// Returns the number of connections to a listener's address that were open before the watch and
/// still are, among those that the snapshot holds.
fn from_before(snapshot: &Snapshot, listener: &ListenerView) -> u64 {
    let is_own = |connection: &&ConnectionView| {
        let is_there = connection.role == Role::Server && connection.closed_ns.is_none();
        connection.preexisting
            && is_there
            && (connection.local == listener.local
                || listener.local.ip().is_unspecified()
                    && connection.local.port() == listener.local.port())
    };
    snapshot.connections.iter().filter(is_own).count() as u64
}

fn connection_words(snapshot: &Snapshot, connection: &ConnectionView) -> (String, String) {
    if let Some(exchange) = worst(connection)
        && let Some(most) = exchange.held_most()
    {
        if most.holder == Holder::Upstream
            && let Some(wait) = exchange.longest_wait()
        {
            return upstream_words(connection, exchange, most, &wait);
        }
        return exchange_words(snapshot, connection, exchange, most);
    }
    if connection.state == TcpState::SynSent {
        let waits_us = snapshot.now_ns.saturating_sub(connection.since_ns) / 1_000;
        let syns = connection_table::syns(connection);
        let headline = format!("Nobody has answered connect() for {}.", duration(waits_us));
        let text = format!(
            "{syns}, and no SYN-ACK has come: packets get lost on the way, or the peer ignores \
             them."
        );
        return (headline, text);
    }
    if connection.exchanges > 0 {
        let done = count_of(connection.exchanges, "exchange");
        let headline = format!("{done}; of single ones nothing is kept.");
        let text = "Single exchanges are kept of the connections whose longest one took most, of \
                    the others only the sums.";
        return (headline, text.to_owned());
    }
    let text = "Nothing has been asked and answered on it while it was watched.";
    ("No exchange yet.".to_owned(), text.to_owned())
}

fn exchange_words(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    exchange: &ExchangeView,
    most: HeldMost,
) -> (String, String) {
    let which = if exchange.done { "its worst exchange" } else { "the exchange that it is in" };
    let whose = match most.holder {
        Holder::Unknown => "nothing shows who held it".to_owned(),
        owner => format!("the {}'s time", owner.name()),
    };
    let headline = format!(
        "{} took {} of {} of {which} ({}): {whose}.",
        words::name(most.kind),
        fine(most.us),
        fine(counted_us(exchange)),
        percent(most.share)
    );
    let is_same = |part: &Part| part.holder == most.holder && part.slice.kind == most.kind;
    let parts = exchange.parts();
    let longest = parts.iter().filter(|part| is_same(part)).max_by_key(|part| part.slice.us);
    let mut text = match longest {
        Some(part) => escape(&part_sentence(snapshot, connection, exchange, part)) + ".",
        None => String::new(),
    };
    let waited_us = exchange.held().of(Holder::Upstream);
    if let Some(wait) = exchange.longest_wait()
        && waited_us > 0
    {
        text.push_str(&format!(" It waited {} for upstream {}.", fine(waited_us), wait.peer));
    }
    text.push_str(&faults(exchange));
    (capital(&headline), capital(&text))
}

/// Returns the words on an exchange that waited for an upstream most of all: its own process is not
/// to blame for that.
fn upstream_words(
    connection: &ConnectionView,
    exchange: &ExchangeView,
    most: HeldMost,
    wait: &UpstreamWait,
) -> (String, String) {
    let who = escape(&connection.comm);
    let peer = wait.peer;
    let (which, has_waited) = match exchange.done {
        true => ("of its worst exchange", "waited"),
        false => ("of the exchange that it is in", "has waited"),
    };
    let headline = format!(
        "{who} {has_waited} {} for upstream {peer}: {} {which}, {}.",
        fine(most.us),
        percent(most.share),
        fine(counted_us(exchange))
    );
    let own = format!("{who} itself held it for {}.", fine(exchange.held().of(Holder::App)));
    let text = match (wait.fault, wait.open, wait.call) {
        (None, true, None) => format!("It has asked {peer} for a connection, and has no answer."),
        (None, true, Some(_)) => format!("It has called {peer}, and has no answer yet."),
        (None, false, _) => format!("It called {peer}, and waited until that answered."),
        (Some(_), ..) => String::new(),
    };
    let text = text + &faults(exchange) + " " + &own;
    (headline, text.trim_start().to_owned())
}

/// Returns a sentence on each call that failed: " Upstream 127.0.0.1:9000 refused, 3×."
fn faults(exchange: &ExchangeView) -> String {
    let mut text = String::new();
    for (peer, fault, count) in exchange.faults() {
        let times = if count > 1 { format!(", {}×", grouped(count)) } else { String::new() };
        text.push_str(&format!(" Upstream {peer} {}{times}.", words::fault(fault)));
    }
    text
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
