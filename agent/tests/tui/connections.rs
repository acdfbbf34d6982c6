//! The connections: order, filter, who held the time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use backscope::model::snapshot::{
    ProxySide, ProxyView, Reuse, SliceKind, Snapshot, Spreading, UpstreamView, WaitView,
};
use ratatui::crossterm::event::{KeyCode, MouseButton, MouseEventKind as Mouse};

use super::{SIZES, Screen, assert_screen, assert_shows, traffic};

fn connections(snapshot: Snapshot) -> Screen {
    let mut screen = Screen::new(snapshot);
    screen.key(KeyCode::Char('2'));
    screen
}

/// Many connections that differ in what a list is sorted by.
fn many(count: u64) -> Snapshot {
    let mut snapshot = traffic::traffic();
    let now = snapshot.now_ns;
    snapshot.findings.clear();
    snapshot.connections = (0..count)
        .map(|at| {
            let exchange =
                traffic::exchange(1, now - 1_000_000, &[(SliceKind::App, 100 + at, None)]);
            let peer = format!("10.0.{}.{}:40000", at / 250, at % 250);
            traffic::connection(1_000 + at, &peer, now, vec![exchange])
        })
        .collect();
    snapshot
}

#[test]
fn in_a_pause_it_says_how_old_it_is() {
    for (width, height) in [(80, 24), (160, 50)] {
        let mut snapshot = traffic::traffic();
        snapshot.pause_since_ns = Some(snapshot.now_ns - 37_000_000_000);
        let mut screen = connections(snapshot).sized(width, height);
        assert_screen("connections_in_a_pause", &mut screen);
        assert!(screen.text().contains("EXCHANGES AS OF 00:37 AGO"));
    }
}

#[test]
fn the_screen_tells_who_held_the_time_and_what_to_change() {
    for (width, height) in SIZES {
        let mut screen = connections(traffic::traffic()).sized(width, height);
        assert_screen("connections", &mut screen);
    }
}

#[test]
fn s_goes_through_the_columns_and_r_turns_the_order() {
    let mut screen = connections(many(40));
    assert_shows(&screen.text(), &["sort: worst first"]);
    screen.key(KeyCode::Char('s'));
    assert_shows(&screen.text(), &["sort: address", "▾CONNECTION"]);
    for _ in 0..3 {
        screen.key(KeyCode::Char('s'));
    }
    screen.key(KeyCode::Home);
    assert_shows(&screen.text(), &["▾LAST"]);
    assert_shows(&screen.selected(), &["10.0.0.39:40000", "139 µs"]);
    screen.key(KeyCode::Char('S'));
    screen.key(KeyCode::Home);
    assert_shows(&screen.text(), &["▴LAST", "sort: last time ▴"]);
    assert_shows(&screen.selected(), &["10.0.0.0:40000", "100 µs"]);
}

#[test]
fn a_click_on_a_title_sorts_and_another_turns_the_order() {
    let mut screen = connections(many(40));
    let column = screen.lines()[4].find("LAST").expect("the title") as u16;
    for sorted in ["▾LAST", "▴LAST", "▾LAST"] {
        screen.mouse(Mouse::Down(MouseButton::Left), column, 4);
        assert_shows(&screen.text(), &[sorted]);
    }
}

#[test]
fn a_filter_finds_addresses_threads_states_and_kinds() {
    for (needle, found) in
        [("10.0.0.9", "1 of 12"), ("c-wait", "0 of 12"), ("close", "2 of 12"), ("nagle", "1 of 12")]
    {
        let mut screen = connections(traffic::traffic());
        screen.key(KeyCode::Char('/'));
        screen.type_text(needle);
        assert_shows(&screen.text(), &[needle, found]);
    }
    let mut screen = connections(traffic::traffic());
    screen.key(KeyCode::Char('/'));
    screen.type_text("x\u{202e}");
    assert_screen("connections_without_match", &mut screen);
    screen.key(KeyCode::Esc);
    assert_shows(&screen.text(), &["▸10.0.0.9:40122"]);
}

#[test]
fn a_click_on_the_selected_row_opens_it() {
    let mut screen = connections(traffic::traffic());
    screen.text();
    screen.mouse(Mouse::Down(MouseButton::Left), 5, 6);
    assert_shows(&screen.selected(), &["10.0.0.4:51010"]);
    screen.mouse(Mouse::Down(MouseButton::Left), 5, 6);
    assert_screen("connection_with_a_call", &mut screen);
}

#[test]
fn without_colour_the_bars_are_letters() {
    let mut screen = Screen::without_colour(traffic::traffic());
    screen.key(KeyCode::Char('2'));
    assert_screen("connections_without_colour", &mut screen);
}

#[test]
fn no_connection_is_explained() {
    let mut snapshot = traffic::traffic();
    snapshot.connections.clear();
    snapshot.connections_open = 0;
    assert_screen("no_connection", &mut connections(snapshot.clone()));
    snapshot.connections_open = 7;
    assert_screen("no_connection_known", &mut connections(snapshot));
}

#[test]
fn the_first_screen_tells_of_what_is_wrong_on_a_connection() {
    assert_screen("queues_of_traffic", &mut Screen::new(traffic::traffic()));
}

#[test]
fn a_finding_opens_the_connection_the_threads_or_nothing() {
    let mut screen = Screen::new(traffic::traffic());
    screen.key(KeyCode::Char('4'));
    assert_screen("findings_of_traffic", &mut screen);
    screen.key(KeyCode::Enter);
    assert_shows(&screen.text(), &["exchange 7, the worst"]);
    for (sock, shows) in [(traffic::PID, "ACCEPT/s"), (77_777, "nagle-delayed-ack")] {
        let mut snapshot = traffic::traffic();
        snapshot.findings[0].sock = u64::from(sock);
        let mut screen = Screen::new(snapshot);
        screen.key(KeyCode::Char('4'));
        screen.key(KeyCode::Enter);
        assert_shows(&screen.text(), &[shows]);
    }
}

#[test]
fn ten_thousand_connections_draw_at_once() {
    let mut screen = connections(many(10_000));
    let started = Instant::now();
    for _ in 0..20 {
        screen.key(KeyCode::End);
        assert_shows(&screen.selected(), &["10.0.39.249:40000"]);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// A proxy with four upstreams; the last of them is slow, and the name of the process means harm.
fn proxied() -> Snapshot {
    let side = |connections, exchanges| ProxySide { connections, exchanges };
    let address = |port: u16| SocketAddr::from(([10, 0, 1, 1], port));
    let upstream = |port, us, slow| UpstreamView {
        side: side(4, 500),
        share: 0.25,
        time: WaitView {
            p50: us,
            p90: us,
            p99: 2 * us,
            max: 2 * us,
            count: 500,
            ..WaitView::default()
        },
        slow,
        ..UpstreamView::new(address(port))
    };
    let mut snapshot = traffic::traffic();
    snapshot.proxies = vec![ProxyView {
        pid: 4242,
        comm: "balance\u{1b}[31m".into(),
        downstream: side(6, 2_000),
        upstream: side(16, 2_000),
        joined: 2_000,
        reuse: Some(Reuse::Pooled),
        spreading: Some(Spreading::PerRequest),
        imbalance: Some(1.0),
        upstreams: vec![
            upstream(9_001, 3_000, false),
            upstream(9_002, 3_100, false),
            upstream(9_003, 2_900, false),
            upstream(9_004, 40_000, true),
        ],
    }];
    snapshot
}

#[test]
fn the_slow_upstream_of_a_proxy_comes_first_and_is_marked() {
    for (width, height) in [(80, 24), (100, 30), (160, 50)] {
        assert_screen("proxy", &mut connections(proxied()).sized(width, height));
    }
}
