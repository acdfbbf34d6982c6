//! The threads: who does what, and how each spends its time.

use ratatui::crossterm::event::KeyCode;

use super::{Screen, assert_screen, assert_shows, traffic};

fn threads() -> Screen {
    let mut screen = Screen::new(traffic::traffic());
    screen.key(KeyCode::Char('3'));
    screen
}

#[test]
fn the_skew_and_the_pattern_are_seen() {
    assert_screen("threads", &mut threads());
}

#[test]
fn a_wide_screen_says_who_is_uneven_and_a_tall_one_why_it_is_so_called() {
    assert_screen("threads", &mut threads().sized(160, 50));
}

#[test]
fn enter_shows_the_connections_of_a_thread_until_esc() {
    let mut screen = threads();
    screen.key(KeyCode::Enter);
    assert_screen("threads_enter", &mut screen);
    screen.key(KeyCode::Esc);
    assert!(!screen.text().contains("filter  tid 4244"));
}

#[test]
fn the_thread_that_only_accepts_serves_what_nobody_has_read_from() {
    let mut screen = threads();
    screen.key(KeyCode::End);
    assert_screen("threads_acceptor", &mut screen);
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
    assert_screen("threads_unsampled", &mut screen);
    snapshot.threads.clear();
    screen.app.update(snapshot);
    assert_screen("threads_none", &mut screen.sized(80, 24));
}

#[test]
fn a_finding_on_the_process_stands_under_its_threads() {
    let mut snapshot = traffic::traffic();
    snapshot.findings[0].sock = u64::from(traffic::PID);
    let mut screen = Screen::new(snapshot);
    screen.key(KeyCode::Char('3'));
    assert_screen("threads_finding", &mut screen);
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
    assert_screen("threads_unknown_pattern", &mut screen);
}
