//! The threads: who does what, and how each spends its time.

use ratatui::crossterm::event::KeyCode;

use super::{Screen, assert_shows, traffic};

fn threads() -> Screen {
    let mut screen = Screen::new(traffic::traffic());
    screen.key(KeyCode::Char('3'));
    screen
}

#[test]
fn the_skew_is_seen() {
    let mut screen = threads();
    let lines = screen.lines();
    let wanted = ["▸reader-1 4244", "2,010", "71 %", "3.0 %", "26 %", "103"];
    assert_shows(&screen.selected(), &wanted);
    let full = |name: &str| {
        let row = lines.iter().find(|line| line.contains(name)).expect("the row");
        row.matches('█').count()
    };
    assert!(full("reader-1 4244 ") >= 6 && full("reader-2 4245") == 0, "{}", lines.join("\n"));
    assert_shows(
        &lines.join("\n"),
        &["api-server 4242          12", "CONNECTIONS OF reader-1 4244"],
    );
}

#[test]
fn enter_shows_the_connections_of_a_thread_until_esc() {
    let mut screen = threads();
    screen.key(KeyCode::Enter);
    assert_shows(&screen.text(), &["filter  tid 4244", "11 of 12", "TIME OF 412 EXCHANGES"]);
    screen.key(KeyCode::Esc);
    assert!(!screen.text().contains("filter  tid 4244"));
}

#[test]
fn the_thread_that_only_accepts_serves_what_nobody_has_read_from() {
    let mut screen = threads();
    screen.key(KeyCode::End);
    let text = screen.text();
    assert_shows(&text, &["CONNECTIONS OF api-server 4242", "10.0.0.8:40500 → :8080", "none yet"]);
    assert!(!text.contains("10.0.0.7:42000"), "{text}");
}

#[test]
fn threads_sort_and_filter() {
    let mut screen = threads();
    assert_shows(&screen.text(), &["sort: busiest first"]);
    screen.key(KeyCode::Char('s'));
    screen.key(KeyCode::Char('s'));
    screen.key(KeyCode::Home);
    assert_shows(&screen.text(), &["ACCEPT/s▾"]);
    assert_shows(&screen.selected(), &["api-server 4242"]);
    screen.key(KeyCode::Char('/'));
    screen.type_text("4246");
    assert_shows(&screen.selected(), &["reader-3 4246"]);
}

#[test]
fn what_is_not_known_yet_is_no_zero() {
    let mut snapshot = traffic::traffic();
    for thread in &mut snapshot.threads {
        (thread.busy, thread.waits, thread.asleep) = (None, None, None);
    }
    let mut screen = Screen::new(snapshot.clone()).sized(120, 40);
    screen.key(KeyCode::Char('3'));
    assert_shows(&screen.selected(), &["–      –      –"]);
    snapshot.threads.clear();
    screen.app.update(snapshot);
    assert_shows(&screen.text(), &["No thread has accepted, read or written yet."]);
}

#[test]
fn a_finding_on_the_process_stands_under_its_threads() {
    let mut snapshot = traffic::traffic();
    snapshot.findings[0].sock = u64::from(traffic::PID);
    let mut screen = Screen::new(snapshot);
    screen.key(KeyCode::Char('3'));
    assert_shows(&screen.text(), &["▌◆ Nagle and the peer's", " K  the kernel's doing"]);
}

#[test]
fn the_pattern_stands_over_the_threads() {
    let lines = threads().lines();
    let at = lines
        .iter()
        .position(|line| line.starts_with(" PATTERN  acceptor + readers (0.97)"))
        .expect("a headline");
    assert_shows(&lines[at], &["threads, event-loop"]);
    assert_shows(&lines[at + 1], &["1 thread accepts, 4 read and write, hand-off 38 µs"]);
    assert_shows(&lines[at + 2], &["THREAD", "ACCEPT/s"]);
    let marked: Vec<&String> = lines.iter().filter(|line| line.trim_end().ends_with('←')).collect();
    assert!(marked.len() == 1 && marked[0].contains("reader-1 4244"), "{}", lines.join("\n"));
}

#[test]
fn a_wide_screen_says_who_is_uneven_and_a_tall_one_why_it_is_so_called() {
    let mut screen = Screen::new(traffic::traffic()).sized(160, 50);
    screen.key(KeyCode::Char('3'));
    let text = screen.text();
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().find(|line| line.starts_with(" PATTERN")).expect("a headline");
    assert_shows(head, &["hand-off 38 µs", "← uneven: 4244"]);
    assert_shows(
        &text,
        &["← uneven", "118 of 118 connections: served by a thread that does not accept"],
    );
}

#[test]
fn what_is_not_known_says_why() {
    let mut snapshot = traffic::traffic();
    let pattern = &mut snapshot.patterns[0];
    pattern.name = backscope::model::snapshot::PatternName::Unknown;
    (pattern.units, pattern.io, pattern.uneven) = (None, None, Vec::new());
    pattern.headline = "too few connections were seen being served".to_owned();
    let mut screen = Screen::new(snapshot);
    screen.key(KeyCode::Char('3'));
    assert_shows(&screen.text(), &["PATTERN  unknown   too few connections were seen"]);
}
