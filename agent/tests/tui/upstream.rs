//! A proxy whose upstream holds the time: who is to blame, and the way to the call.

use std::net::SocketAddr;

use backscope::model::event::{Outcome, Role};
use backscope::model::snapshot::{
    CallFault, ConnectFailure, ConnectionView, ExchangeView, FailedCall, Holder, HolderTimes, Join,
    ProxySide, ProxyView, Reuse, SliceKind, Snapshot, UpstreamView, WaitView,
};
use ratatui::crossterm::event::KeyCode;
use ratatui::style::Color;

use super::{Screen, assert_screen, assert_shows, traffic};

/// The connection of a client, and the one to the upstream.
const SERVED: u64 = 200;
const CALL: u64 = 201;

fn upstream() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9_000))
}

/// A request that waits for this join.
fn request(now: u64, wait: &Join) -> ExchangeView {
    let parts = [
        (SliceKind::ReceiveQueue, 120, None),
        (SliceKind::App, 251_400, Some(400)),
        (SliceKind::AckWait, 90, None),
    ];
    let start_ns = now - 2_000_000_000;
    let join = Join { start_ns: start_ns + 420_000, end_ns: start_ns + 251_000_000, ..*wait };
    ExchangeView { upstream: vec![join], ..traffic::exchange(7, start_ns, &parts) }
}

/// A proxy, as nginx before gunicorn: one request took 250 ms, since the upstream did.
fn proxied() -> Snapshot {
    let mut snapshot = traffic::traffic();
    let now = snapshot.now_ns;
    let join = Join { counts: true, ..Join::new(CALL, 3, upstream(), 0.95) };
    let served = traffic::connection(SERVED, "10.0.0.9:40122", now, vec![request(now, &join)]);
    let back = Some(Join::new(SERVED, 7, "10.0.0.9:40122".parse().expect("an address"), 0.95));
    let response = [(SliceKind::Response, 250_580, None)];
    let call = ExchangeView {
        downstream: back,
        ..traffic::exchange(3, now - 2_000_000_000 + 420_000, &response)
    };
    let call = ConnectionView {
        role: Role::Client,
        peer: upstream(),
        acceptor: None,
        listener: None,
        ..traffic::connection(CALL, "127.0.0.1:9000", now, vec![call])
    };
    snapshot.connections = vec![named(served), named(call)];
    snapshot.connections[0].held = snapshot.connections[0].recent[0].held();
    snapshot.connections_open = 2;
    snapshot.held = HolderTimes::of_exchanges(61);
    for (holder, us) in [(Holder::App, 40_000), (Holder::Upstream, 15_100_000)] {
        snapshot.held.add(holder, us);
    }
    snapshot.recent_held = snapshot.held;
    snapshot.findings.clear();
    snapshot.proxies = vec![ProxyView {
        pid: traffic::PID,
        comm: "nginx".into(),
        downstream: ProxySide { connections: 61, exchanges: 61 },
        upstream: ProxySide { connections: 61, exchanges: 61 },
        joined: 61,
        reuse: Some(Reuse::PerRequest),
        spreading: None,
        imbalance: None,
        upstreams: vec![UpstreamView {
            side: ProxySide { connections: 61, exchanges: 61 },
            share: 1.0,
            time: WaitView { p50: 250_100, p99: 252_000, count: 61, ..WaitView::default() },
            ..UpstreamView::new(upstream())
        }],
    }];
    snapshot
}

fn named(connection: ConnectionView) -> ConnectionView {
    ConnectionView { comm: "nginx".into(), ..connection }
}

/// Calls that wait, and one that failed.
fn troubled() -> Snapshot {
    let mut snapshot = proxied();
    let row = &mut snapshot.proxies[0].upstreams[0];
    (row.waiting, row.waiting_us, row.unanswered, row.connect_fails) = (4, 12_300_000, 2, 3);
    row.last_failure = Some(FailedCall {
        fault: CallFault::Connect(Outcome::Refused),
        ts_ns: snapshot.now_ns - 2_100_000_000,
        us: 60,
        request: Some((SERVED, 7, "10.0.0.9:40122".parse().expect("an address"))),
    });
    let request = &mut snapshot.connections[0].recent[0];
    request.upstream[0].fault = Some(CallFault::GivenUp);
    let failure = |start_ns| ConnectFailure {
        sock: 300,
        peer: upstream(),
        outcome: Outcome::Refused,
        error: Some(111),
        start_ns,
        us: 30,
    };
    request.connects =
        (1..=3).map(|at| failure(request.start_ns + 130_000 + at * 40_000)).collect();
    snapshot.connections[0].worst = Some(request.clone());
    snapshot
}

/// A snapshot on the tab of the connections, the one of the client selected.
fn connections(snapshot: Snapshot) -> Screen {
    let mut screen = Screen::new(snapshot);
    screen.key(KeyCode::Char('2'));
    screen
}

#[test]
fn who_waits_for_whom_is_said_at_every_size() {
    for (width, height) in [(80, 24), (120, 35), (200, 60)] {
        let mut screen = connections(proxied()).sized(width, height);
        assert_screen("upstream", &mut screen);
        let text = screen.text();
        assert_shows(&text, &["U upstream", "nginx waited 251 ms", "for upstream 127.0.0.1:9000"]);
        assert!(!text.contains("the app's time"), "{text}");
    }
}

#[test]
fn failures_name_the_upstream_and_who_waited() {
    for (width, height) in [(80, 24), (120, 35)] {
        let mut screen = connections(troubled()).sized(width, height);
        assert_screen("upstream_failures", &mut screen);
        let text = screen.text();
        assert_shows(
            &text,
            &[
                "4 calls wait now, for up to 12.3 s",
                "refused 2.10 s ago (request 7 of 10.0.0.9:40122)",
            ],
        );
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_shows(&flat, &["Upstream 127.0.0.1:9000 refused, 3×."]);
    }
}

#[test]
fn enter_leads_to_the_call_and_back() {
    let mut screen = connections(proxied()).sized(120, 35);
    screen.key(KeyCode::Enter);
    assert_screen("upstream_request", &mut screen);
    assert_shows(&screen.text(), &["10.0.0.9:40122 → :8080", "↵ its call"]);
    for back in [KeyCode::Esc, KeyCode::Backspace] {
        screen.key(KeyCode::Enter);
        let text = screen.text();
        assert_shows(&text, &[":8080 → 127.0.0.1:9000", "exchange 3", "↵ its request"]);
        screen.key(back);
        assert_shows(&screen.text(), &["10.0.0.9:40122 → :8080", "exchange 7"]);
    }
    // From the call its request is where one came from: no endless path.
    screen.key(KeyCode::Enter);
    screen.key(KeyCode::Enter);
    assert_shows(&screen.text(), &["10.0.0.9:40122 → :8080"]);
    screen.key(KeyCode::Esc);
    assert_shows(&screen.text(), &["TIME OF"]);
}

#[test]
fn a_call_leads_to_its_request() {
    let mut screen = connections(proxied()).sized(120, 35);
    screen.key(KeyCode::Down);
    screen.key(KeyCode::Enter);
    screen.key(KeyCode::Enter);
    assert_shows(&screen.text(), &["10.0.0.9:40122 → :8080", "exchange 7"]);
    screen.key(KeyCode::Esc);
    assert_shows(&screen.text(), &[":8080 → 127.0.0.1:9000"]);
}

#[test]
fn a_call_that_is_not_kept_leads_nowhere() {
    let mut snapshot = proxied();
    snapshot.connections.truncate(1);
    let mut screen = connections(snapshot).sized(120, 35);
    screen.key(KeyCode::Enter);
    assert!(!screen.text().contains("its call"), "{}", screen.text());
    screen.key(KeyCode::Enter);
    assert_shows(&screen.text(), &["10.0.0.9:40122 → :8080", "exchange 7"]);
}

#[test]
fn who_calls_nobody_has_no_upstream_in_the_legend() {
    let mut screen = connections(traffic::traffic()).sized(160, 50);
    assert!(!screen.text().contains("upstream"), "{}", screen.text());
    let mut screen = connections(proxied()).sized(160, 50);
    let legend = screen.lines()[1].clone();
    assert_shows(&legend, &["A  app", "U  upstream", "P  peer"]);
}

#[test]
fn an_upstream_has_a_colour_of_its_own() {
    let mut screen = connections(proxied()).sized(120, 35);
    let buffer = screen.buffer();
    let mut colours = Vec::new();
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            if ["A", "U", "K", "N", "P"].contains(&cell.symbol()) && cell.bg != Color::Reset {
                colours.push((cell.symbol().to_owned(), cell.bg));
            }
        }
    }
    colours.sort_by_key(|(letter, _)| letter.clone());
    colours.dedup();
    let letters: Vec<_> = colours.iter().map(|(letter, _)| letter.as_str()).collect();
    assert_eq!(letters, ["A", "K", "N", "P", "U"], "each letter has one colour: {colours:?}");
    let u = colours[4].1;
    assert!(colours[..4].iter().all(|(_, colour)| *colour != u), "{colours:?}");
}

#[test]
fn it_is_sorted_and_found_by_upstream() {
    let mut screen = connections(proxied()).sized(120, 35);
    while !screen.text().contains("sort: upstreams' time") {
        screen.key(KeyCode::Char('s'));
    }
    screen.key(KeyCode::Home);
    assert_shows(&screen.selected(), &["10.0.0.9:40122"]);
    screen.key(KeyCode::Char('/'));
    screen.type_text("upstream");
    assert_shows(&screen.text(), &["1 of 2"]);
}
