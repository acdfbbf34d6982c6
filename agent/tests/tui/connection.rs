//! One connection: its life and its exchanges in lanes.

use std::net::SocketAddr;

use backscope::model::event::{Ending, RequestLine, Role, Side, TcpState};
use backscope::model::snapshot::{ExchangeView, Join, Protocol, SliceKind, Snapshot};
use ratatui::crossterm::event::KeyCode;

use super::{Screen, assert_shows, traffic};

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
fn of(parts: &[(SliceKind, u64, Option<u64>)], change: impl FnOnce(&mut ExchangeView)) -> String {
    let mut snapshot = traffic::traffic();
    let now = snapshot.now_ns;
    let mut exchange = traffic::exchange(1, now - 1_000_000_000, parts);
    change(&mut exchange);
    snapshot.connections = vec![traffic::connection(500, "10.9.9.9:1234", now, vec![exchange])];
    snapshot.findings.clear();
    open(snapshot, "10.9.9.9").sized(139, 50).text()
}

/// The column of the first letter of `name` among the titles of the lanes.
fn lane(lines: &[String], name: &str) -> usize {
    let titles = lines
        .iter()
        .find(|line| line.contains("PEER") && line.contains("KERNEL"))
        .expect("the lanes' titles");
    titles[..titles.find(name).expect("a lane")].chars().count()
}

#[test]
fn who_held_it_stands_in_the_lane_with_time_and_sentence() {
    let mut screen = open(traffic::traffic(), "10.0.0.9");
    let lines = screen.lines();
    let text = lines.join("\n");
    let wanted = [
        "accepted by api-server 4242, read by reader-1 4244, written by the same",
        "request, 214 B",
        "read() by reader-1",
        "on a CPU 280 µs",
        "write() ×2 by reader-1",
        "Nagle: 4 B not yet acknowledged",
        "held 200 B",
        "ACK of it all",
        "exchange 7, the worst: 44.1 ms =  A  400 µs +  K  43.5 ms +  N  190 µs",
        "Try: write both in one writev()",
    ];
    assert_shows(&text, &wanted);
    let held = lines.iter().find(|line| line.contains("Nagle: 4 B")).expect("the slice");
    assert_shows(held, &[" K ", "43.5 ms"]);
    let at = held.chars().position(|c| c == 'K').expect("the letter");
    assert!(at.abs_diff(lane(&lines, "KERNEL") + 3) <= 1, "{text}");
}

#[test]
fn the_opening_is_drawn_where_there_is_room() {
    let text = open(traffic::traffic(), "10.0.0.9").sized(100, 50).text();
    assert_shows(
        &text,
        &[
            "SYN; SYN-ACK goes back",
            "into the accept queue",
            "accept() by api-server",
            "6 exchanges, 5.30 s",
        ],
    );
}

#[test]
fn a_first_exchange_has_its_opening_within() {
    let parts = [
        (SliceKind::Handshake, 210, None),
        (SliceKind::AcceptQueue, 1_204_000, None),
        (SliceKind::App, 300, Some(300)),
        (SliceKind::AckWait, 190, None),
    ];
    let text = of(&parts, |_| {});
    assert_eq!(text.matches("SYN-ACK goes back").count(), 1, "{text}");
    assert_shows(
        &text,
        &["connected, in the accept queue, until api-server called accept()", "1.20 s"],
    );
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
    screen.key(KeyCode::Char('w'));
    assert_shows(&screen.text(), &["exchange 7, the worst: "]);
    for _ in 0..20 {
        screen.key(KeyCode::Left);
    }
    assert_shows(&screen.text(), &["exchange 1: "]);
}

#[test]
fn an_exchange_that_goes_on_shows_its_time_so_far() {
    let text = open(traffic::traffic(), "10.0.0.6").text();
    assert_shows(&text, &["exchange 3, the worst: 37.0 ms so far", "on a CPU 27.4 ms of 28.0 ms"]);
    assert!(!text.contains("write()") && !text.contains("response,"), "{text}");
}

#[test]
fn asleep_is_told_from_busy_and_from_no_cpu() {
    let text = of(
        &[
            (SliceKind::ReceiveQueue, 50_000, Some(100)),
            (SliceKind::RunQueue, 4_000, None),
            (SliceKind::App, 30_000, Some(28_000)),
        ],
        |_| {},
    );
    assert_shows(
        &text,
        &["unread: reader-1 was asleep, on a CPU 100 µs of 50.0 ms", "could run, but got no CPU"],
    );
    assert_shows(&text, &["reader-1 worked, on a CPU 28.0 ms of 30.0 ms"]);
}

#[test]
fn a_request_without_an_answer_says_who_ended_it() {
    let told = |ended: Option<(Side, Ending)>, later: u64| {
        let mut snapshot = traffic::traffic();
        let now = snapshot.now_ns;
        let mut asked =
            traffic::exchange(1, now - 1_000_000_000, &[(SliceKind::App, 300_000, Some(300))]);
        asked.response_bytes = 0;
        asked.unanswered = true;
        snapshot.connections = vec![traffic::connection(500, "10.9.9.9:1234", now, vec![asked])];
        snapshot.connections[0].ended = ended;
        snapshot.connections[0].exchanges += later;
        snapshot.findings.clear();
        open(snapshot, "10.9.9.9").sized(139, 50).text()
    };
    let text = told(Some((Side::Peer, Ending::Reset)), 0);
    assert_shows(&text, &["read() by reader-1", "RST, without an answer"]);
    assert!(
        !text.contains("write()") && !text.contains("response,") && !text.contains("ACK of it all"),
        "{text}"
    );
    assert_shows(&told(Some((Side::Peer, Ending::Fin)), 0), &["FIN, without an answer"]);
    assert_shows(&told(Some((Side::Local, Ending::Reset)), 0), &["closed without an answer"]);
    // What ended the connection is not what ended this one.
    let text = told(Some((Side::Peer, Ending::Fin)), 1);
    assert!(text.contains("no answer") && !text.contains("FIN, without"), "{text}");
}

#[test]
fn a_call_inside_is_named() {
    let text = open(traffic::traffic(), "10.0.0.4").sized(120, 50).text();
    assert_shows(
        &text,
        &["was asleep", "meanwhile it called :51022 → 10.0.0.5:5432 (exchange 18)"],
    );
}

#[test]
fn a_client_asks_first() {
    let text = open(traffic::traffic(), "5432").sized(120, 50).text();
    let order = [
        "write() by reader-1",
        "request, 214 B",
        "until the peer answered",
        "response, 1.4 kB",
        "read() by",
    ];
    let exchange = &text[text.find("WHAT HAPPENED").expect("the lanes")..];
    let exchange = &exchange[exchange.find("connected").expect("the opening")..];
    let at: Vec<_> = order
        .iter()
        .map(|part| exchange.find(part).unwrap_or_else(|| panic!("{part}\n{text}")))
        .collect();
    assert!(at.is_sorted(), "{at:?}\n{text}");
}

#[test]
fn a_connection_that_is_gone_stays_on_screen() {
    let mut screen = open(traffic::traffic(), "10.0.0.9");
    let mut later = traffic::traffic();
    later.connections[0].state = TcpState::Closed;
    later.connections[0].ended = Some((Side::Peer, Ending::Reset));
    screen.app.update(later.clone());
    assert_shows(&screen.text(), &["closed by the peer (RST)"]);
    later.connections.remove(0);
    screen.app.update(later);
    assert_shows(&screen.text(), &["as it was last seen", "exchange 7"]);
    screen.key(KeyCode::Esc);
    assert!(!screen.text().contains("as it was last seen"));
}

#[test]
fn no_exchange_and_an_opening_not_seen_are_told() {
    let mut snapshot = traffic::traffic();
    let leak =
        snapshot.connections.iter_mut().find(|connection| connection.state == TcpState::CloseWait);
    leak.expect("the leak").midway = true;
    assert_shows(
        &open(snapshot, "10.0.0.8").text(),
        &["no exchange yet", "open before the watch began", "close-wait"],
    );
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
    for role in [Role::Server, Role::Client] {
        let mut snapshot = traffic::traffic();
        let now = snapshot.now_ns;
        let parts = kinds.map(|kind| (kind, 1_000, None));
        let exchange = traffic::exchange(1, now - 1_000_000_000, &parts);
        let mut connection = traffic::connection(500, "10.9.9.9:1234", now, vec![exchange]);
        connection.role = role;
        snapshot.connections = vec![connection];
        snapshot.findings.clear();
        let mut screen = open(snapshot, "10.9.9.9").sized(130, 24);
        let mut seen = String::new();
        for _ in 0..60 {
            seen.push_str(&screen.text());
            screen.key(KeyCode::Down);
        }
        let wanted = [
            "until the peer sent the rest",
            "send buffer was",
            "TCP_CORK",
            "network took no more",
            "receive window was",
        ];
        assert_shows(&seen, &wanted);
        assert_shows(
            &seen,
            &["spaced the segments", "delayed its ACK", "segment was lost", "nobody can vouch"],
        );
    }
}

#[test]
fn hostile_names_reach_no_terminal() {
    let hostile = "ev\x1b[31m\u{202e}il";
    let mut snapshot = traffic::traffic();
    for connection in &mut snapshot.connections {
        connection.comm = hostile.to_owned();
        connection.acceptor = Some((4242, hostile.to_owned()));
    }
    snapshot.threads.iter_mut().for_each(|thread| thread.comm = hostile.to_owned());
    snapshot.findings[0].subject = hostile.to_owned();
    snapshot.findings[0].fix = hostile.to_owned();
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
    let text = of(&parts, |_| {});
    let wanted = [
        "exchange 1, the worst: 500 µs =  A  400 µs +  N  100 µs; 40.0 ms of delayed ACK held nobody",
        "the peer delayed its ACK; nobody waited for it",
    ];
    assert_shows(&text, &wanted);
    assert!(!text.contains("40.5 ms ="), "{text}");
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
            exchange.upstream = vec![Join { sock: 9, seq: 1, peer, confidence: 0.95 }];
            for slice in exchange.slices.iter_mut().filter(|slice| slice.kind == SliceKind::App) {
                slice.upstream_us = Some(slice.us / 2);
            }
        }
    }
    let text = open(snapshot.clone(), "10.0.0.4").sized(160, 50).text();
    assert_shows(&text, &["waiting for upstream 10.0.1.1:9004"]);
    let mut streams = snapshot.clone();
    streams.connections.iter_mut().for_each(|one| one.protocol = Some(Protocol::ServerSentEvents));
    let text = open(streams, "10.0.0.4").sized(160, 50).text();
    assert_shows(&text, &["waiting by design (server-sent events)"]);
    snapshot.connections.iter_mut().for_each(|one| one.multiplexed = true);
    let line = RequestLine { method: "GET".into(), path: "/a\u{1b}[31m".into() };
    snapshot.connections.iter_mut().for_each(|one| one.first_request = Some(line.clone()));
    let text = open(snapshot, "10.0.0.4").sized(160, 50).text();
    assert_shows(
        &text,
        &["the kernel sees one byte stream, the app sees N requests", "began with GET /a"],
    );
    assert!(!text.contains('\u{1b}'), "paths are escaped");
}
