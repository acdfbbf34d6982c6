//! One connection: how it came about, and one of its exchanges as a picture of three lanes.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::parts::{Row, columns, cut, raw, rule, span};
use super::queues::take;
use super::{connection_table, exchange, finding, lanes, put, verdict, words};
use crate::model::event::{Ending, HoldReason, Http2Streams, RequestLine, Role, Side};
use crate::model::snapshot::{
    ConnectionView, ExchangeView, FirstAnswer, Protocol, SliceKind, Snapshot, TlsView,
};
use crate::model::timeline::{self, Step};
use crate::text::Untrusted;
use crate::tui::app::{App, Hits};
use crate::tui::order::state;
use crate::tui::text::{bytes, count_of, duration, escape, fine, grouped};
use crate::tui::theme::Theme;

/// From this width on the other exchanges stand beside the one in front.
const TWO_COLUMNS: u16 = 140;

/// Draws the screen: who and what above, the exchange in lanes, below what it adds up to and what
/// to change.
pub(super) fn draw(
    app: &App,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    frame: &mut Frame<'_>,
    area: Rect,
    hits: &mut Hits,
) {
    let theme = app.theme;
    let shown = exchange::shown_exchange(connection, app.exchange);
    let mut rest = area;
    put(frame, take(&mut rest, 1), vec![title(theme, snapshot, connection, area.width.into())]);
    let mut page = rest;
    if area.width >= TWO_COLUMNS {
        let [left, _, side] = rest.layout(&Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Length(2),
            Constraint::Length(area.width * 9 / 20),
        ]));
        page = left;
        put(
            frame,
            side,
            self::side(theme, snapshot, connection, shown, side.width.into(), side.height.into()),
        );
    }
    let width = usize::from(page.width);
    let facts = facts(theme, snapshot, connection, shown, width);
    put(frame, take(&mut page, facts.len()), facts);
    put(frame, take(&mut page, 1), vec![exchange::strip(theme, connection, shown, width)]);

    // In full where it fits: first what is wrong, then how the connection came about.
    let height = usize::from(page.height);
    let fits = |below: &[Line<'_>], steps: &[Step]| {
        below.len() + lanes::lines(theme, lanes::Sides::PLAIN, steps, width, 0).len() <= height
    };
    let mut below = below(theme, snapshot, connection, shown, width, true);
    let mut steps = all_steps(snapshot, connection, shown, true);
    if !fits(&below, &steps) {
        steps = all_steps(snapshot, connection, shown, false);
    }
    if !fits(&below, &steps) {
        below = self::below(theme, snapshot, connection, shown, width, false);
    }
    let below_height = below.len().min(height * 3 / 5);
    let lanes_height = height - below_height;
    let mut lines = lanes::lines(theme, lanes::Sides::PLAIN, &steps, width, lanes_height);
    let titles = lines.drain(..1).collect();
    put(frame, take(&mut page, 1), titles);
    let picture = take(&mut page, lanes_height.saturating_sub(1).min(lines.len()));
    hits.scroll_end = lines.len().saturating_sub(picture.height.into());
    let past = app.scroll.min(hits.scroll_end);
    put(frame, picture, lines.into_iter().skip(past).take(picture.height.into()).collect());
    put(frame, take(&mut page, below_height), below);
    if area.width < TWO_COLUMNS && page.height > 3 {
        page.y += 1;
        page.height -= 1;
        put(frame, page, side(theme, snapshot, connection, shown, width, page.height.into()));
    }
}

fn title(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    width: usize,
) -> Line<'static> {
    let known = snapshot.connection(connection.sock).is_some();
    let process = if known {
        words::process(&snapshot.workloads, &connection.comm, connection.pid, width / 3)
    } else {
        "as it was last seen".to_owned()
    };
    let protocol = match connection.protocol {
        Some(protocol) => format!("{}  ", protocol.name()),
        None => String::new(),
    };
    let title = vec![
        span(connection_table::name(connection, width / 2), theme.strong()),
        span(format!("  {process}  "), theme.dim()),
        raw(protocol),
        span(state(connection.state), theme.strong()),
        span(end(connection), theme.dim()),
        span(format!("  {}", lived(snapshot, connection)), theme.dim()),
    ];
    rule(theme, title, width)
}

/// Returns how long the connection has lived. One that was open before the watch began is older
/// than that, and than its oldest exchange that is known.
fn lived(snapshot: &Snapshot, connection: &ConnectionView) -> String {
    let end_ns = connection.closed_ns.unwrap_or(snapshot.now_ns);
    let exchanges = connection.recent.iter().chain(&connection.worst).chain(&connection.current);
    let begun_ns = exchanges.map(|exchange| exchange.start_ns).fold(connection.since_ns, u64::min);
    let since_ns = if connection.preexisting { begun_ns } else { connection.since_ns };
    let lived = duration(end_ns.saturating_sub(since_ns) / 1_000);
    if connection.preexisting { format!("for {lived} or longer") } else { lived }
}

/// Returns how the connection ended: " by the peer (RST)"; nothing while it is open.
fn end(connection: &ConnectionView) -> String {
    let Some((side, ending)) = connection.ended else { return String::new() };
    let by = if side == Side::Local { "this host" } else { "the peer" };
    let ending = match ending {
        Ending::Fin => "FIN",
        Ending::Reset => "RST",
        Ending::Timeout => "timeout",
    };
    match connection.end.cause {
        Some(cause) => format!(" by {by} ({ending}, {})", cause.words()),
        None => format!(" by {by} ({ending})"),
    }
}

/// Returns which threads served it, and what went over it.
fn facts(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    shown: Option<&ExchangeView>,
    width: usize,
) -> Vec<Line<'static>> {
    let mut row = served_by(theme, snapshot, connection, shown);
    let data = transferred(theme, connection);
    let mut out = if columns(&row) + columns(&data) + 2 <= width {
        row.push(raw("  "));
        row.extend(data);
        vec![Line::from(row)]
    } else {
        vec![Line::from(cut(row, width)), Line::from(cut(data, width))]
    };
    if let Some(RequestLine { method, path }) = &connection.first_request {
        let text = format!("{} {}", escape(method), escape(path));
        out.push(Line::from(cut(vec![span(" began with ", theme.dim()), raw(text)], width)));
    }
    if let Some(tls) = &connection.tls
        && let Some(answer) = &tls.first_answer
    {
        let row = vec![
            span(" first answer after ", theme.dim()),
            raw(steps(answer, connection.fast_open)),
        ];
        out.push(Line::from(cut(row, width)));
    }
    if let Some(text) = nature(connection) {
        out.push(Line::from(cut(vec![raw(" "), span(text, theme.strong())], width)));
    }
    out
}

/// Returns the threads: "accepted by api-server 4242, read by reader-1 4244, written by the same".
fn served_by(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    shown: Option<&ExchangeView>,
) -> Row {
    let mut served = Vec::new();
    if connection.role == Role::Client {
        served.push(("a call of the app's own", String::new()));
    } else if let Some((tid, _)) = &connection.acceptor {
        served.push(("accepted by ", words::thread(snapshot, connection, *tid)));
    }
    if let Some(exchange) = shown {
        if let Some(tid) = exchange.read_tid {
            served.push(("read by ", words::thread(snapshot, connection, tid)));
        }
        if let Some(tid) = exchange.write_tid {
            served.push(("written by ", words::thread(snapshot, connection, tid)));
        }
    }
    let mut row = vec![raw(" ")];
    for (index, (does, who)) in served.iter().enumerate() {
        let again = index > 0 && served[index - 1].1 == *who;
        let separator = if index > 0 { ", " } else { "" };
        row.push(span(format!("{separator}{does}"), theme.dim()));
        row.push(raw(if again { "the same" } else { who }));
    }
    row
}

/// Returns the bytes that went over it, and those that wait.
fn transferred(theme: Theme, connection: &ConnectionView) -> Row {
    let mut row =
        vec![raw(" "), span("in ", theme.dim()), span(bytes(connection.bytes_in), theme.strong())];
    row.extend([span("  out ", theme.dim()), span(bytes(connection.bytes_out), theme.strong())]);
    for (n, what) in [(connection.unread_bytes, "unread"), (connection.unsent_bytes, "unsent")] {
        if n > 0 {
            row.extend([span(format!("  {what} "), theme.dim()), span(bytes(n), theme.strong())]);
        }
    }
    if connection.retransmits > 0 {
        row.push(span(format!("  ▲ {} resent", grouped(connection.retransmits)), theme.loss()));
    }
    row
}

/// Says what exchanges are here, where they are not a request and its response.
fn nature(connection: &ConnectionView) -> Option<String> {
    if connection.multiplexed {
        return Some(multiplexed(connection.streams));
    }
    if let Some(tls) = &connection.tls
        && tls.may_be_http2()
    {
        return Some(
            "perhaps multiplexed: HTTP/2 was offered, and the choice is encrypted".to_owned(),
        );
    }
    if connection.pipelined > 1 {
        return Some(format!(
            "pipelined: its first burst has {} requests or more",
            connection.pipelined
        ));
    }
    let news = connection.protocol.and_then(Protocol::waits_for)?;
    Some(format!("waiting by design ({news}): it stays open, and whoever has news writes"))
}

/// Returns the steps of the exchange; in full, also those that came before it.
fn all_steps(
    snapshot: &Snapshot,
    connection: &ConnectionView,
    shown: Option<&ExchangeView>,
    in_full: bool,
) -> Vec<Step> {
    let Some(exchange) = shown else { return timeline::opening(snapshot, connection) };
    let is_opening = |kind| matches!(kind, SliceKind::Handshake | SliceKind::AcceptQueue);
    let has_opening = exchange.slices.iter().any(|slice| is_opening(slice.kind));
    let mut out = Vec::new();
    if in_full && !has_opening {
        out.extend(timeline::opening(snapshot, connection));
        let earlier = exchange.seq.saturating_sub(1);
        if earlier > 0 {
            let after_us = exchange.start_ns.saturating_sub(connection.since_ns) / 1_000;
            let text = format!("{}, {}", count_of(earlier.into(), "exchange"), duration(after_us));
            out.push(Step::Gap { text: text.into() });
        }
    }
    out.extend(timeline::exchange(snapshot, connection, exchange));
    out
}

/// Returns what the exchange adds up to, and what to change.
fn below(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    shown: Option<&ExchangeView>,
    width: usize,
    in_full: bool,
) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    if let Some(exchange) = shown {
        out.push(exchange::sum(theme, connection, exchange, width));
    }
    let mut findings = verdict::of_connection(snapshot, connection);
    match findings.next() {
        Some(worst) if in_full => {
            out.extend(finding::lines(theme, snapshot, worst, width));
            for finding in findings {
                out.extend(finding::lines(theme, snapshot, finding, width));
            }
        }
        Some(worst) => out.extend(finding::short(theme, worst, width)),
        None => out.extend(verdict::connection(theme, snapshot, connection, width)),
    }
    out
}

/// Returns the other exchanges, and what adds up over the connection's life.
fn side(
    theme: Theme,
    snapshot: &Snapshot,
    connection: &ConnectionView,
    shown: Option<&ExchangeView>,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let totals = totals(theme, connection);
    let room = height.saturating_sub(totals.len() + 1);
    let mut out =
        exchange::list(theme, connection, shown.map(|exchange| exchange.seq), width, room);
    out.push(rule(theme, vec![span("SINCE IT OPENED", theme.strong())], width));
    for row in totals {
        out.push(Line::from(cut(row, width)));
    }
    for finding in verdict::of_connection(snapshot, connection) {
        if finding.evidence.is_empty() {
            continue;
        }
        let title = vec![span(format!("EVIDENCE  {}", finding.kind), theme.strong())];
        out.push(Line::default());
        out.push(rule(theme, title, width));
        out.extend(finding::evidence(theme, finding, width));
    }
    out
}

/// Returns what adds up over the connection's life.
fn totals(theme: Theme, connection: &ConnectionView) -> Vec<Row> {
    let seen = |us: Option<u64>| match us {
        Some(us) => fine(us),
        None => "not seen".to_owned(),
    };
    let mut totals = vec![
        figure(theme, "handshake", seen(connection.handshake_us)),
        figure(theme, "in the accept queue", seen(connection.queued_us)),
    ];
    if let Some(tls) = &connection.tls {
        for (name, value) in hellos(tls) {
            totals.push(figure(theme, name, value));
        }
    } else if connection.fast_open {
        totals.push(figure(theme, "TCP Fast Open", "its SYN carried data".to_owned()));
    }
    for hold in &connection.holds {
        let name = match hold.reason {
            HoldReason::Nagle => "held by Nagle",
            HoldReason::Cork => "held by cork",
            HoldReason::Congestion => "held by the congestion window",
            HoldReason::ReceiveWindow => "held by the peer's window",
            HoldReason::Pacing => "held by pacing",
        };
        let text = format!("{}×, {} in all", grouped(hold.count), fine(hold.us));
        totals.push(figure(theme, name, text));
    }
    let trailing = connection.trailing;
    let text =
        format!("{}×, {} in all; they held nobody up", grouped(trailing.count), fine(trailing.us));
    totals.push(figure(theme, "ACKs the peer delayed", text));
    totals
}

/// Returns the round trips of each step, the time of them all, and how long this host computed for
/// the handshake.
fn steps(answer: &FirstAnswer, fast_open: bool) -> String {
    let trips = answer.round_trips(fast_open);
    let plural = if trips == 1 { "" } else { "s" };
    let [tcp, tls, request] = answer.steps(fast_open);
    let app = fine(answer.handshake.app_us);
    format!(
        "{trips} round trip{plural}: TCP {tcp}, TLS {tls}, request {request}; {} (A {app})",
        fine(answer.us)
    )
}

fn multiplexed(streams: Option<Http2Streams>) -> String {
    const BEGIN: &str = "multiplexed: the kernel sees one byte stream, the app sees";
    let Some(Http2Streams { opened, most, partly }) = streams else {
        return format!("{BEGIN} N requests (N not visible)");
    };
    let least = if partly { "at least " } else { "" };
    format!(
        "{BEGIN} {least}{}, {least}{} at a time",
        count_of(opened.into(), "request"),
        grouped(most.into())
    )
}

/// Returns what the hellos told.
fn hellos(tls: &TlsView) -> [(&'static str, String); 3] {
    let version = match tls.version {
        Some(version) => {
            let resumed = if tls.resumed == Some(true) { ", a session resumed" } else { "" };
            let early = if tls.early_data { ", with early data" } else { "" };
            format!("{version}{resumed}{early}")
        }
        None => "the server has not answered".to_owned(),
    };
    let inside = match &tls.alpn {
        Some(chosen) => escape(chosen),
        None if tls.offered.is_empty() => "not said".to_owned(),
        None => format!("encrypted; offered {}", escape(&Untrusted::join(&tls.offered, ", "))),
    };
    let name = match &tls.server_name {
        Some(name) => escape(name),
        None => "not said".to_owned(),
    };
    [("TLS", version), ("asked for", name), ("spoken inside", inside)]
}

fn figure(theme: Theme, name: &str, value: String) -> Row {
    vec![span(format!(" {name:<32}"), theme.dim()), span(value, theme.strong())]
}
