//! Queues, findings, and what holds for every screen.

use std::time::{Duration, Instant};

use backscope::model::event::Role;
use backscope::model::snapshot::{ConnectionView, Snapshot};
use backscope::model::workload::{Container, Workload};
use backscope::tui::{Action, App, Playback, Theme};
use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEventKind as Mouse,
};
use ratatui::style::Color;

use super::{SIZES, Screen, assert_screen, assert_shows, scene, traffic};

fn healthy() -> Snapshot {
    let mut snapshot = scene::incident();
    snapshot.findings.clear();
    snapshot.listeners.remove(0);
    snapshot.event_log.retain(|entry| entry.listener == 2);
    snapshot
}

/// Many listeners that differ in everything a list is sorted by.
fn many(count: u32) -> Snapshot {
    let mut snapshot = healthy();
    snapshot.listeners = (0..count)
        .map(|at| {
            let mut listener = scene::calm();
            listener.sock = u64::from(at);
            listener.local.set_port(1_000 + at as u16);
            listener.comm = format!("service-{at}").into();
            (listener.depth, listener.peak) = (at % 97, at % 97);
            listener
        })
        .collect();
    snapshot
}

#[test]
fn a_replay_says_where_it_is_and_what_is_damaged() {
    let mut screen = Screen::new(scene::incident());
    let playback = Playback {
        playing: true,
        position_us: 12_000_000,
        length_us: 3_600_000_000,
        speed: 0.25,
        damages: 2,
    };
    screen.app.set_playback(playback);
    assert_screen("replay_damaged", &mut screen);
    screen.app.set_playback(Playback { playing: false, damages: 0, ..playback });
    screen.key(KeyCode::Char('?'));
    assert_screen("replay_help", &mut screen);
}

#[test]
fn connections_from_before_the_watch_are_not_none() {
    let mut snapshot = healthy();
    let listener = &mut snapshot.listeners[0];
    (listener.totals, listener.depth) = (Default::default(), 0);
    let local = listener.local;
    for (sock, port) in [(71, 5_001), (72, 5_002)] {
        let peer = ([10, 0, 0, 1], port).into();
        let mut one = ConnectionView::new(sock, Role::Server, local, peer);
        one.preexisting = true;
        snapshot.connections.push(one);
    }
    snapshot.connections_listed = snapshot.connections.len();
    let text = Screen::new(snapshot.clone()).text();
    assert_shows(&text, &["No connection has arrived since the watch began (2 open)."]);
    snapshot.connections.clear();
    snapshot.connections_listed = 0;
    let text = Screen::new(snapshot).text();
    assert_shows(&text, &["No connection has arrived since the watch began."]);
}

#[test]
fn the_incident_tells_what_is_wrong_and_whose_doing_it_is() {
    for (width, height) in SIZES {
        assert_screen("incident", &mut Screen::new(scene::incident()).sized(width, height));
    }
}

#[test]
fn every_size_draws_every_view() {
    for width in (1..240).step_by(7) {
        for height in [1, 5, 23, 24, 25, 31, 60, 120] {
            let mut screen = Screen::new(traffic::traffic()).sized(width, height);
            let keys = [
                KeyCode::Null,
                KeyCode::Tab,
                KeyCode::Enter,
                KeyCode::Tab,
                KeyCode::Tab,
                KeyCode::Enter,
            ];
            for key in keys.into_iter().chain([KeyCode::Char('?')]) {
                screen.key(key);
                assert!(!screen.text().trim().is_empty(), "{width} × {height}");
            }
        }
    }
}

#[test]
fn a_long_address_gives_way_to_the_gauge() {
    let mut snapshot = scene::incident();
    snapshot.listeners[0].local =
        "[2001:db8:1234:5678:9abc:def0:1:2]:65535".parse().expect("an address");
    for width in 80..200 {
        let mut screen = Screen::new(snapshot.clone()).sized(width, 24);
        assert_shows(&screen.selected(), &["…]:65535 ", " ██", " 512 ", "▲132 +18/s"]);
    }
    assert_screen("long_address", &mut Screen::new(snapshot).sized(124, 24));
}

#[test]
fn without_colour_nothing_is_coloured_and_nothing_is_lost() {
    let mut screen = Screen::without_colour(scene::incident());
    assert_screen("incident_without_colour", &mut screen);
    screen.app.update(traffic::traffic());
    let keys = [
        KeyCode::Char('s'),
        KeyCode::Tab,
        KeyCode::Enter,
        KeyCode::Tab,
        KeyCode::Tab,
        KeyCode::Enter,
    ];
    for key in keys.into_iter().chain([KeyCode::Char('?')]) {
        screen.key(key);
        for cell in screen.buffer().content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
        }
    }
}

#[test]
fn red_is_for_loss_alone() {
    let reds = |snapshot| {
        let buffer = Screen::new(snapshot).sized(160, 50).buffer();
        buffer
            .content()
            .iter()
            .filter(|cell| cell.fg == Color::Indexed(203) || cell.bg == Color::Indexed(203))
            .count()
    };
    assert_eq!(reds(healthy()), 0);
    let mut full = healthy();
    full.listeners[0].depth = 129;
    assert_eq!(reds(full), 0, "a full queue has not lost anything yet");
    let mut lost = healthy();
    lost.lost = 1_234;
    assert!(reds(lost) > 0);
}

#[test]
fn lost_records_are_shown() {
    let mut snapshot = healthy();
    snapshot.lost = 1_234;
    assert_screen("lost_records", &mut Screen::new(snapshot));
}

#[test]
fn health_looks_healthy() {
    assert_screen("healthy", &mut Screen::new(healthy()));
}

#[test]
fn no_listener_yet_is_explained() {
    let mut snapshot = healthy();
    snapshot.listeners.clear();
    snapshot.notices.push("4242 (python3) has no listening socket yet; still watching".into());
    assert_screen("no_listener", &mut Screen::new(snapshot));
    let mut nothing = Screen { app: App::new(Theme::plain()), size: (80, 24) };
    assert_screen("before_the_first_snapshot", &mut nothing);
}

#[test]
fn connections_that_nobody_accepts_are_explained() {
    let mut snapshot = healthy();
    let listener = &mut snapshot.listeners[0];
    (listener.depth, listener.totals.queued, listener.totals.accepted) = (3, 3, 0);
    listener.wait = Default::default();
    listener.acceptors.clear();
    assert_screen("never_accepted", &mut Screen::new(snapshot));
}

#[test]
fn what_was_not_observed_is_not_zero() {
    let mut snapshot = scene::incident();
    snapshot.listeners[0].totals.syns = None;
    snapshot.cost_share = None;
    assert_screen("not_observed", &mut Screen::new(snapshot).sized(160, 50));
}

#[test]
fn hostile_names_reach_no_terminal() {
    let hostile = "ev\x1b[31m\u{202e}il\u{9b}";
    let mut snapshot = scene::incident();
    snapshot.target = hostile.into();
    snapshot.notices.push(hostile.into());
    for listener in &mut snapshot.listeners {
        listener.comm = hostile.into();
        listener.acceptors[0].comm = hostile.into();
    }
    snapshot.findings[0].headline = hostile.into();
    let mut screen = Screen::new(snapshot).sized(160, 50);
    assert_screen("hostile_listener", &mut screen);
    for key in [KeyCode::Null, KeyCode::Char('4'), KeyCode::Enter, KeyCode::Esc] {
        screen.key(key);
        let text = screen.text();
        assert!(!text.contains(['\x1b', '\u{202e}', '\u{9b}']), "{text:?}");
    }
    screen.key(KeyCode::Char('/'));
    screen.type_text("\u{202e}");
    assert!(!screen.text().contains('\u{202e}'));
}

#[test]
fn the_container_or_unit_of_a_process_is_shown_where_it_fits() {
    let mut snapshot = scene::incident();
    let container = Container { id: "b11d".into(), name: Some("w\u{1b}b".into()), runtime: None };
    let workload = Workload { container: Some(container), ..Workload::default() };
    let pid = snapshot.listeners[0].pid;
    snapshot.findings[0].pid = Some(pid);
    snapshot.workloads = [(pid, workload)].into_iter().collect();
    let place = r" · w\u{1b}b";
    let mut wide = Screen::new(snapshot.clone()).sized(180, 50);
    let text = wide.text();
    assert_eq!(text.matches(place).count(), 2, "in the table and above the figures: {text}");
    wide.key(KeyCode::Char('4'));
    assert_shows(&wide.text(), &[place]);
    let mut narrow = Screen::new(snapshot).sized(104, 30);
    let text = narrow.text();
    assert_eq!(text.matches(place).count(), 1, "the table has no room: {text}");
}

#[test]
fn text_that_only_looks_escaped_is_told_apart() {
    let mut snapshot = scene::incident();
    snapshot.target = r"a\u{1b}b 4242".into();
    snapshot.findings[0].text = r"c\d".into();
    snapshot.notices.push(r"the output goes to e\f".into());
    let mut screen = Screen::new(snapshot).sized(160, 50);
    assert_shows(&screen.text(), &[r"a\\u{1b}b 4242", r"c\\d", r"goes to e\\f"]);
}

#[test]
fn ten_thousand_listeners_draw_at_once() {
    let mut screen = Screen::new(many(10_000));
    let started = Instant::now();
    for _ in 0..20 {
        screen.key(KeyCode::End);
        assert_shows(&screen.selected(), &["127.0.0.1:10999"]);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    screen.key(KeyCode::Home);
    assert_shows(&screen.selected(), &["127.0.0.1:1000"]);
}

#[test]
fn the_worst_is_selected_until_the_user_chooses() {
    let mut snapshot = scene::incident();
    snapshot.listeners.reverse();
    let mut screen = Screen::new(snapshot.clone());
    assert_shows(&screen.selected(), &["0.0.0.0:8080"]);
    screen.key(KeyCode::Char('k'));
    assert_shows(&screen.selected(), &["127.0.0.1:9090"]);
    snapshot.listeners.reverse();
    screen.app.update(snapshot);
    assert_shows(&screen.selected(), &["127.0.0.1:9090"]);
}

#[test]
fn s_sorts_and_says_by_what() {
    let mut screen = Screen::new(many(50)).sized(100, 30);
    assert_shows(&screen.text(), &["s sort: as found"]);
    screen.key(KeyCode::Char('s'));
    assert_screen("sorted_by_depth", &mut screen);
    screen.key(KeyCode::Home);
    assert_shows(&screen.selected(), &["127.0.0.1:1049"]);
    for by in ["overflow", "wait p99", "accepts/s", "as found"] {
        screen.key(KeyCode::Char('s'));
        assert_shows(&screen.lines()[29], &[by]);
    }
}

#[test]
fn a_filter_narrows_the_list_until_esc() {
    let mut screen = Screen::new(scene::incident());
    screen.key(KeyCode::Char('/'));
    screen.type_text("metrics");
    assert_screen("filter_typed", &mut screen);
    screen.key(KeyCode::Enter);
    assert_eq!(screen.key(KeyCode::Char('s')), Action::Redraw);
    assert_shows(&screen.text(), &["Esc clears", "1 of 2"]);
    screen.key(KeyCode::Esc);
    assert_shows(&screen.text(), &["0.0.0.0:8080", "127.0.0.1:9090"]);
    screen.key(KeyCode::Char('/'));
    screen.type_text("q");
    assert_screen("filter_without_match", &mut screen);
}

#[test]
fn a_pause_freezes_the_screen_and_the_end_of_it_shows_the_newest() {
    let mut screen = Screen::new(scene::incident());
    screen.key(KeyCode::Char('p'));
    let mut later = scene::incident();
    later.elapsed_us += 30_000_000;
    screen.app.update(later);
    assert_screen("paused", &mut screen);
    screen.key(KeyCode::Char('p'));
    assert_shows(&screen.lines()[0], &["00:42"]);
    assert!(!screen.text().contains("PAUSED"));
}

#[test]
fn enter_drills_down_and_esc_comes_back() {
    let mut screen = Screen::new(scene::incident());
    let list = screen.text();
    screen.key(KeyCode::Enter);
    assert_screen("listener", &mut screen);
    for _ in 0..40 {
        screen.key(KeyCode::Down);
    }
    assert_screen("listener_scrolled", &mut screen);
    screen.key(KeyCode::Esc);
    assert_eq!(screen.text(), list);
}

#[test]
fn a_listener_has_its_own_stream_below_or_beside_the_rest() {
    for (width, height) in [(80, 120), (160, 50)] {
        let mut screen = Screen::new(scene::incident()).sized(width, height);
        screen.key(KeyCode::Enter);
        assert_screen("listener", &mut screen);
    }
}

#[test]
fn the_findings_have_evidence() {
    let mut screen = Screen::new(scene::incident());
    screen.key(KeyCode::BackTab);
    assert_screen("findings", &mut screen);
    screen.key(KeyCode::Enter);
    assert_shows(&screen.text(), &["SYN queue", "peak 31"]);
    screen.key(KeyCode::Esc);
    screen.key(KeyCode::Tab);
    assert_shows(&screen.text(), &["LISTENER"]);
    let mut screen = Screen::new(healthy());
    screen.key(KeyCode::Char('4'));
    assert_screen("no_findings", &mut screen);
}

#[test]
fn the_mouse_selects_rows_and_tabs_and_scrolls() {
    let mut screen = Screen::new(scene::incident());
    screen.text();
    screen.mouse(Mouse::Down(MouseButton::Left), 5, 4);
    assert_shows(&screen.selected(), &["127.0.0.1:9090"]);
    screen.mouse(Mouse::ScrollUp, 5, 4);
    assert_shows(&screen.selected(), &["0.0.0.0:8080"]);
    screen.mouse(Mouse::ScrollDown, 5, 20);
    assert_shows(&screen.text(), &["< 3 newer"]);
    screen.mouse(Mouse::ScrollUp, 5, 20);
    assert!(!screen.text().contains("newer"));
    screen.mouse(Mouse::Down(MouseButton::Left), 35, 1);
    assert_shows(&screen.text(), &["Evidence"]);
}

#[test]
fn keys_that_end_or_suspend() {
    let mut screen = Screen::new(scene::incident());
    let control = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    assert_eq!(screen.key(KeyCode::Char('q')), Action::Quit);
    assert_eq!(screen.app.on_event(control('z')), Action::Suspend);
    screen.key(KeyCode::Char('/'));
    assert_eq!(screen.key(KeyCode::Char('q')), Action::Redraw);
    assert_eq!(screen.app.on_event(control('c')), Action::Quit);
    assert_eq!(screen.app.on_event(Event::Resize(90, 30)), Action::Redraw);
    assert_eq!(screen.app.on_event(Event::FocusGained), Action::None);
}

#[test]
fn help_names_the_keys_and_takes_them() {
    let mut screen = Screen::new(scene::incident());
    screen.key(KeyCode::Char('?'));
    assert_screen("help", &mut screen);
    screen.key(KeyCode::Char('p'));
    assert_shows(&screen.text(), &["KEYS HERE"]);
    assert_eq!(screen.key(KeyCode::Char('q')), Action::Redraw, "it only closes the help");
    let text = screen.text();
    assert!(!text.contains("KEYS HERE") && !text.contains("PAUSED"), "{text}");
}

#[test]
fn unix_listeners_stand_under_those_of_tcp() {
    let unix = |path: &str, depth, limit| backscope::model::event::UnixListener {
        sock: 1,
        path: path.into(),
        pid: 812,
        comm: "php-fpm".into(),
        holders: vec![812, 813],
        netns: 1,
        depth,
        limit,
        refused: None,
        unnamed_holders: 0,
    };
    let mut snapshot = healthy();
    snapshot.unix =
        vec![unix("/run/a.sock", 0, 128), unix("/run/b.sock", 5, 4), unix("/run/c.sock", 2, 9)];
    assert_screen("unix_below_tcp", &mut Screen::new(snapshot.clone()));
    snapshot.listeners.clear();
    assert_screen("unix_alone", &mut Screen::new(snapshot));
}
