//! One connection: its life and its exchanges in lanes.

use std::net::SocketAddr;

use backscope::model::event::{Ending, RequestLine, Role, Side, TcpState};
use backscope::model::snapshot::{Join, Protocol, SliceKind, Snapshot};
use ratatui::crossterm::event::KeyCode;

use super::{Screen, assert_screen, assert_shows, traffic};

/// The screen with a connection of the traffic open.
fn open(snapshot: Snapshot, address: &str) -> Screen {
    let mut screen = Screen::new(snapshot);
    screen.key(KeyCode::Char('2'));
    screen.key(KeyCode::Char('/'));
    screen.type_text(address);
    screen.key(KeyCode::Enter);
    screen.key(KeyCode::Enter);
    screen
}

/// The screen of a connection with one exchange, high enough for all of it.
fn of(parts: &[(SliceKind, u64, Option<u64>)]) -> Screen {
    let mut snapshot = traffic::traffic();
    let now = snapshot.now_ns;
    let exchange = traffic::exchange(1, now - 1_000_000_000, parts);
    snapshot.connections = vec![traffic::connection(500, "10.9.9.9:1234", now, vec![exchange])];
    snapshot.findings.clear();
    open(snapshot, "10.9.9.9").sized(139, 50)
}

#[test]
fn who_held_it_stands_in_the_lane_with_time_and_sentence() {
    assert_screen("connection_nagle", &mut open(traffic::traffic(), "10.0.0.9"));
}

#[test]
fn the_opening_is_drawn_where_there_is_room() {
    for (width, height) in [(100, 50), (160, 50)] {
        let mut screen = open(traffic::traffic(), "10.0.0.9").sized(width, height);
        assert_screen("connection_nagle", &mut screen);
    }
}

#[test]
fn a_first_exchange_has_its_opening_within() {
    let parts = [
        (SliceKind::Handshake, 210, None),
        (SliceKind::AcceptQueue, 1_204_000, None),
        (SliceKind::App, 300, Some(300)),
        (SliceKind::AckWait, 190, None),
    ];
    assert_screen("connection_opened_within", &mut of(&parts));
}

#[test]
fn left_and_right_choose_the_exchange_and_w_the_worst() {
    let mut screen = open(traffic::traffic(), "10.0.0.9");
    screen.key(KeyCode::Left);
    assert_shows(&screen.text(), &["exchange 6: "]);
    for _ in 0..20 {
        screen.key(KeyCode::Right);
    }
    assert_shows(&screen.text(), &["exchange 12, the latest: "]);
    screen.key(KeyCode::Char('W'));
    assert_shows(&screen.text(), &["exchange 7, the worst: "]);
    for _ in 0..20 {
        screen.key(KeyCode::Left);
    }
    assert_shows(&screen.text(), &["exchange 1: "]);
}

#[test]
fn an_exchange_that_goes_on_shows_its_time_so_far() {
    assert_screen("connection_going_on", &mut open(traffic::traffic(), "10.0.0.6"));
}

#[test]
fn asleep_is_told_from_busy_and_from_no_cpu() {
    let parts = [
        (SliceKind::ReceiveQueue, 50_000, Some(100)),
        (SliceKind::RunQueue, 4_000, None),
        (SliceKind::App, 30_000, Some(28_000)),
    ];
    assert_screen("connection_asleep", &mut of(&parts));
}

#[test]
fn a_request_without_an_answer_says_who_ended_it() {
    let ended = |ended: Option<(Side, Ending)>, later: u64| {
        let mut snapshot = traffic::traffic();
        let now = snapshot.now_ns;
        let mut asked =
            traffic::exchange(1, now - 1_000_000_000, &[(SliceKind::App, 300_000, Some(300))]);
        asked.response_bytes = 0;
        asked.unanswered = true;
        snapshot.connections = vec![traffic::connection(500, "10.9.9.9:1234", now, vec![asked])];
        snapshot.connections[0].ended = ended;
        snapshot.connections[0].state = TcpState::Closed;
        snapshot.connections[0].exchanges += later;
        snapshot.findings.clear();
        open(snapshot, "10.9.9.9").sized(139, 50)
    };
    let reset = Some((Side::Peer, Ending::Reset));
    assert_screen("connection_unanswered_rst", &mut ended(reset, 0));
    let fin = Some((Side::Peer, Ending::Fin));
    assert_screen("connection_unanswered_fin", &mut ended(fin, 0));
    let closed = Some((Side::Local, Ending::Reset));
    assert_screen("connection_unanswered_closed", &mut ended(closed, 0));
    // An exchange came after it: the end of the connection is not its own.
    assert_screen("connection_unanswered_earlier", &mut ended(fin, 1));
}

#[test]
fn a_call_inside_is_named() {
    let mut screen = open(traffic::traffic(), "10.0.0.4").sized(120, 50);
    assert_screen("connection_with_a_call", &mut screen);
}

#[test]
fn a_client_asks_first() {
    let mut screen = open(traffic::traffic(), "5432").sized(120, 50);
    assert_screen("connection_client", &mut screen);
}

#[test]
fn a_connection_that_is_gone_stays_on_screen() {
    let mut screen = open(traffic::traffic(), "10.0.0.9");
    let mut later = traffic::traffic();
    later.connections[0].state = TcpState::Closed;
    later.connections[0].ended = Some((Side::Peer, Ending::Reset));
    screen.app.update(later.clone());
    assert_screen("connection_closed", &mut screen);
    later.connections.remove(0);
    screen.app.update(later);
    assert_screen("connection_gone", &mut screen);
    screen.key(KeyCode::Esc);
    assert!(!screen.text().contains("as it was last seen"));
}

#[test]
fn no_exchange_and_an_opening_not_seen_are_told() {
    let mut snapshot = traffic::traffic();
    let leak =
        snapshot.connections.iter_mut().find(|connection| connection.state == TcpState::CloseWait);
    leak.expect("the leak").preexisting = true;
    assert_screen("connection_without_exchange", &mut open(snapshot, "10.0.0.8"));
}

#[test]
fn every_kind_of_slice_has_a_sentence_and_scrolls_into_view() {
    use SliceKind as Kind;
    let kinds = [
        Kind::Handshake,
        Kind::AcceptQueue,
        Kind::ReceiveQueue,
        Kind::RunQueue,
        Kind::Request,
        Kind::App,
        Kind::SendBuffer,
        Kind::Nagle,
        Kind::Cork,
        Kind::Congestion,
        Kind::ReceiveWindow,
        Kind::Pacing,
        Kind::AckWait,
        Kind::DelayedAck,
        Kind::Retransmit,
        Kind::Response,
        Kind::Unknown,
    ];
    for (role, name) in [(Role::Server, "server"), (Role::Client, "client")] {
        let mut snapshot = traffic::traffic();
        let now = snapshot.now_ns;
        let parts = kinds.map(|kind| (kind, 1_000, None));
        let exchange = traffic::exchange(1, now - 1_000_000_000, &parts);
        let mut connection = traffic::connection(500, "10.9.9.9:1234", now, vec![exchange]);
        connection.role = role;
        snapshot.connections = vec![connection];
        snapshot.findings.clear();
        let mut screen = open(snapshot, "10.9.9.9").sized(130, 60);
        assert_screen(&format!("connection_all_slices_{name}"), &mut screen);
        let mut screen = screen.sized(130, 24);
        let mut seen = screen.lines();
        for _ in 0..60 {
            screen.key(KeyCode::Down);
            seen.extend(screen.lines());
        }
        let scrolled = seen.join("\n");
        assert_shows(&scrolled, &["until the peer sent the rest", "nothing shows"]);
    }
}

#[test]
fn hostile_names_reach_no_terminal() {
    let hostile = "ev\x1b[31m\u{202e}il";
    let mut snapshot = traffic::traffic();
    for connection in &mut snapshot.connections {
        connection.comm = hostile.into();
        connection.acceptor = Some((4242, hostile.into()));
    }
    snapshot.threads.iter_mut().for_each(|thread| thread.comm = hostile.into());
    snapshot.findings[0].subject = hostile.into();
    snapshot.findings[0].fix = hostile.into();
    for size in [(80, 24), (160, 50)] {
        let mut screen = Screen::new(snapshot.clone()).sized(size.0, size.1);
        for key in "12345".chars().map(KeyCode::Char).chain([
            KeyCode::Enter,
            KeyCode::Char('2'),
            KeyCode::Enter,
        ]) {
            screen.key(key);
            let text = screen.text();
            assert!(!text.contains(['\x1b', '\u{202e}']), "{text:?}");
        }
        assert_shows(&screen.text(), &["ev\\u{1b}[31m\\u{202e}il"]);
    }
}

#[test]
fn an_ack_that_nobody_waited_for_counts_for_nobody() {
    let parts = [
        (SliceKind::App, 400, Some(390)),
        (SliceKind::AckWait, 100, None),
        (SliceKind::DelayedAck, 40_000, None),
    ];
    assert_screen("connection_trailing_ack", &mut of(&parts));
}

#[test]
fn absurd_figures_of_a_broken_recording_draw() {
    let most = u64::MAX;
    let parts = [
        (SliceKind::App, 1, Some(1)),
        (SliceKind::AckWait, 1, None),
        (SliceKind::DelayedAck, 1, None),
    ];
    let mut snapshot = traffic::traffic();
    let mut exchange = traffic::exchange(u32::MAX, 0, &parts);
    for slice in &mut exchange.slices {
        (slice.us, slice.start_ns, slice.cpu_us) = (most, most, Some(most));
    }
    (exchange.request_bytes, exchange.response_bytes, exchange.total_us) = (most, most, most);
    let connection = &mut snapshot.connections[0];
    (connection.recent, connection.worst, connection.current) =
        (vec![exchange.clone()], None, Some(exchange));
    (connection.since_ns, connection.exchanges, connection.bytes_in, connection.retransmits) =
        (most, most, most, most);
    (connection.times.app_us, connection.times.kernel_us) = (most, most);
    (snapshot.times.app_us, snapshot.times.peer_us) = (most, most);
    for thread in &mut snapshot.threads {
        (thread.busy, thread.waits, thread.asleep) =
            (Some(f64::NAN), Some(f64::INFINITY), Some(-1.0));
        (thread.reads, thread.connections) = (f64::NAN, u32::MAX);
    }
    for (width, height) in [(80, 24), (160, 50)] {
        let mut screen = open(snapshot.clone(), "10.0.0.9").sized(width, height);
        assert_shows(&screen.text(), &["PEER"]);
        screen.key(KeyCode::Char('3'));
        assert_shows(&screen.text(), &["ACCEPT/s"]);
    }
}

#[test]
fn time_spent_upstream_and_what_is_no_request_are_said() {
    let mut snapshot = traffic::traffic();
    let peer = SocketAddr::from(([10, 0, 1, 1], 9_004));
    for connection in &mut snapshot.connections {
        for exchange in connection.worst.iter_mut().chain(&mut connection.recent) {
            for slice in exchange.slices.iter_mut().filter(|slice| slice.kind == SliceKind::App) {
                slice.upstream_us = Some(slice.us / 2);
                let start_ns = slice.start_ns + slice.us / 4 * 1_000;
                let end_ns = start_ns + slice.us / 2 * 1_000;
                let call = Join::new(9, 1, peer, 0.95);
                exchange.upstream.push(Join { start_ns, end_ns, counts: true, ..call });
            }
        }
    }
    let mut screen = open(snapshot.clone(), "10.0.0.4").sized(160, 50);
    assert_screen("connection_upstream", &mut screen);
    let mut streams = snapshot.clone();
    streams.connections.iter_mut().for_each(|one| one.protocol = Some(Protocol::ServerSentEvents));
    let mut screen = open(streams, "10.0.0.4").sized(160, 50);
    assert_screen("connection_server_sent_events", &mut screen);
    snapshot.connections.iter_mut().for_each(|one| one.multiplexed = true);
    let line = RequestLine { method: "GET".into(), path: "/a\u{1b}[31m".into() };
    snapshot.connections.iter_mut().for_each(|one| one.first_request = Some(line.clone()));
    let mut screen = open(snapshot, "10.0.0.4").sized(160, 50);
    assert_screen("connection_multiplexed", &mut screen);
    assert!(!screen.text().contains('\u{1b}'), "paths are escaped");
}
