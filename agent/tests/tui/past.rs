//! After the symptom: what has ended stays on the screen, dimmed.

use backscope::model::snapshot::{Finding, Severity, Snapshot, Stood, Stretch};
use backscope::tui::Playback;
use ratatui::crossterm::event::KeyCode;

use super::{Screen, assert_screen, assert_shows, scene};

const SECOND: u64 = 1_000_000_000;
/// The size that the issue of an incident is told for: the least, an ordinary one, a wide one.
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 35), (200, 60)];

/// Two minutes after an incident: nothing is refused any more, and two things were wrong. One of
/// them came back.
pub(super) fn after_the_symptom() -> Snapshot {
    let mut snapshot = scene::incident();
    let start = snapshot.now_ns - snapshot.elapsed_us * 1_000;
    (snapshot.now_ns, snapshot.elapsed_us) = (start + 132 * SECOND, 132_000_000);
    let mut overflow = snapshot.findings.remove(0);
    overflow.headline = "Clients are being refused: 175 SYNs so far, 18 a second.".into();
    overflow.stood = Stood::once(start + 2 * SECOND, start + 6 * SECOND)
        .and(Stretch { from_ns: start + 10 * SECOND, until_ns: start + 18 * SECOND }, 0);
    overflow.since_ns = start + 10 * SECOND;
    let starved = Finding {
        kind: "accept-starved",
        severity: Severity::Warning,
        headline: "Connections wait 412 ms to be accepted, 1.26 s at worst.".into(),
        stood: Stood::once(start + 2 * SECOND, start + 21 * SECOND),
        since_ns: start + 2 * SECOND,
        ..overflow.clone()
    };
    snapshot.past_findings = vec![overflow, starved];
    let listener = &mut snapshot.listeners[0];
    (listener.depth, listener.peak, listener.syn_depth, listener.syn_peak) = (0, 2, 0, 1);
    listener.rates.overflows = 0.0;
    listener.rates.arrivals = listener.rates.accepts;
    listener.overflow_history.iter_mut().rev().take(60).for_each(|count| *count = 0);
    listener.depth_history.iter_mut().rev().take(60).for_each(|depth| *depth = 1);
    snapshot.event_log.clear();
    snapshot
}

#[test]
fn the_first_screen_says_what_was_wrong_until_when() {
    for (width, height) in SIZES {
        let mut screen = Screen::new(after_the_symptom()).sized(width, height);
        assert_screen("after_the_symptom", &mut screen);
        let text = screen.text();
        assert_shows(
            &text,
            &["Nothing is wrong now. Until 00:18: clients were", "A  the app's doing"],
        );
        assert!(!text.contains('✔') && !text.contains("Nothing is refused"), "{text}");
    }
}

#[test]
fn the_list_has_what_ended_dimmed_and_below_what_stands() {
    for (width, height) in SIZES {
        let mut screen = Screen::new(after_the_symptom()).sized(width, height);
        screen.key(KeyCode::Char('4'));
        assert_screen("past_findings", &mut screen);
    }
    let mut snapshot = after_the_symptom();
    snapshot.findings = scene::incident().findings;
    snapshot.findings[0].kind = "close-wait-leak";
    let mut screen = Screen::new(snapshot);
    screen.key(KeyCode::Char('4'));
    assert_screen("standing_and_past_findings", &mut screen);
    let buffer = screen.buffer();
    // The same grey as that of the title; a selected row has none.
    let is_dim = |y: u16| buffer[(7, y)].fg == buffer[(7, 2)].fg;
    assert_eq!([3, 4, 5].map(is_dim), [false, true, true]);
}

#[test]
fn enter_shows_a_past_finding_in_full_and_esc_comes_back() {
    let mut screen = Screen::new(after_the_symptom()).sized(120, 35);
    screen.key(KeyCode::Char('4'));
    screen.key(KeyCode::Enter);
    assert_screen("past_finding", &mut screen);
    // It stays open while snapshots come.
    screen.app.update(after_the_symptom());
    assert_shows(&screen.text(), &["It has ended.", "Evidence"]);
    screen.key(KeyCode::Esc);
    assert_shows(&screen.text(), &["WHAT WAS:"]);
}

#[test]
fn s_sorts_findings_by_the_time_that_they_stood() {
    let mut screen = Screen::new(after_the_symptom()).sized(120, 35);
    screen.key(KeyCode::Char('4'));
    let first = |screen: &mut Screen| screen.lines()[3].clone();
    assert_shows(&first(&mut screen), &["Clients were refused."]);
    screen.key(KeyCode::Char('s'));
    assert_shows(&screen.text(), &["sort: time held"]);
    assert_shows(&first(&mut screen), &["Connections waited to be accepted.", "19.0 s"]);
    assert_shows(&screen.selected(), &["Clients were refused."]);
    screen.key(KeyCode::Char('S'));
    assert_shows(&first(&mut screen), &["Clients were refused."]);
    screen.key(KeyCode::Char('s'));
    assert_shows(&screen.text(), &["sort: severity"]);
    screen.key(KeyCode::Char('s'));
    assert_shows(&first(&mut screen), &["Connections waited to be accepted.", "00:02–00:21"]);
    screen.key(KeyCode::Char('s'));
    assert_shows(&screen.text(), &["sort: standing first"]);
}

#[test]
fn the_selection_stays_with_a_finding_that_ends_and_comes_back() {
    let mut standing = after_the_symptom();
    standing.findings = standing.past_findings.drain(1..).collect();
    let mut screen = Screen::new(standing.clone());
    screen.key(KeyCode::Char('4'));
    assert_shows(&screen.selected(), &["Connections wait 412 ms"]);
    screen.app.update(after_the_symptom());
    assert_shows(&screen.selected(), &["Connections waited to be accepted."]);
    screen.app.update(standing);
    assert_shows(&screen.selected(), &["Connections wait 412 ms"]);
}

#[test]
fn the_tab_counts_both() {
    let tabs = |screen: &mut Screen| screen.lines()[1].clone();
    assert_shows(&tabs(&mut Screen::new(after_the_symptom())), &[" FINDINGS 2 past"]);
    let mut both = after_the_symptom();
    both.findings = both.past_findings.drain(1..).collect();
    assert_shows(&tabs(&mut Screen::new(both.clone())), &[" FINDINGS 1 · 1 past"]);
    let mut screen = Screen::new(both);
    screen.app.set_playback(Playback {
        playing: true,
        position_us: 12_000_000,
        length_us: 3_600_000_000,
        speed: 0.25,
        damages: 0,
    });
    assert_shows(&tabs(&mut screen), &[" FINDINGS 1 ", "00:12 / 1:00:00"]);
}

#[test]
fn what_was_found_at_one_refresh_has_a_moment_and_no_time() {
    let mut snapshot = after_the_symptom();
    let moment = snapshot.past_findings[1].stood.until_ns();
    snapshot.past_findings[1].stood = Stood::once(moment, moment);
    let mut screen = Screen::new(snapshot);
    screen.key(KeyCode::Char('4'));
    assert_shows(&screen.lines()[4], &["accepted.", " 00:21  –  0.0.0.0:8080"]);
}

#[test]
fn what_was_wrong_elsewhere_is_a_line_of_a_calm_listener() {
    let mut screen = Screen::new(after_the_symptom());
    screen.key(KeyCode::Down);
    let text = screen.text();
    assert_shows(&text, &["● 0.0.0.0:8080, until 00:18: clients were refused"]);
}

#[test]
fn without_colour_past_findings_are_still_told_apart() {
    let mut screen = Screen::without_colour(after_the_symptom());
    screen.app.update(after_the_symptom());
    screen.key(KeyCode::Char('4'));
    assert_shows(&screen.text(), &["WHAT WAS:", "It has ended."]);
}
