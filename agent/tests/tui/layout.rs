//! Sizes from very small to very wide, the help, hints that can be clicked, the time line of a
//! replay.

use backscope::model::snapshot::{Holder, Severity, Snapshot};
use backscope::tui::{Action, Gap, Mark, Playback, Track};
use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::{Screen, assert_screen, assert_shows, scene, traffic};

/// The incident, and what the connections and threads did meanwhile.
fn whole() -> Snapshot {
    let mut snapshot = traffic::traffic();
    let incident = scene::incident();
    snapshot.findings.splice(0..0, incident.findings);
    snapshot.listeners = incident.listeners;
    snapshot.event_log = incident.event_log;
    snapshot
}

fn click(column: usize, row: u16) -> Event {
    let kind = MouseEventKind::Down(MouseButton::Left);
    let modifiers = KeyModifiers::NONE;
    Event::Mouse(MouseEvent { kind, column: column as u16, row, modifiers })
}

#[test]
fn a_small_terminal_says_what_is_wrong_and_whose_doing_it_is() {
    for (width, height) in [(40, 10), (60, 20), (79, 24), (80, 23)] {
        let mut screen = Screen::new(whole()).sized(width, height);
        let text = screen.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_shows(&text, &["Clients are being refused", "the app's doing", "0.0.0.0:8080"]);
        assert_shows(&text, &["512 clients wait for accept(), limit 511", "? help", "q quit"]);
        assert_screen("whole", &mut screen);
    }
}

#[test]
fn a_small_terminal_without_a_finding_says_so() {
    let mut snapshot = whole();
    snapshot.findings.clear();
    assert_screen("no_finding", &mut Screen::new(snapshot.clone()).sized(40, 10));
    snapshot.listeners.clear();
    snapshot.datagrams.clear();
    assert_screen("no_finding_no_listener", &mut Screen::new(snapshot).sized(40, 10));
}

#[test]
fn below_the_least_size_a_line_says_so_and_q_still_quits() {
    for (width, height) in [(39, 10), (40, 9), (12, 3)] {
        let mut screen = Screen::new(whole()).sized(width, height);
        assert_shows(&screen.text(), &["backscope"]);
        screen.key(KeyCode::Char('?'));
        assert_shows(&screen.text(), &["backscope"]);
        screen.key(KeyCode::Char('?'));
        assert_eq!(screen.key(KeyCode::Char('q')), Action::Quit);
    }
    assert_screen("below_the_least", &mut Screen::new(whole()).sized(39, 10));
}

#[test]
fn resizing_back_and_forth_keeps_everything() {
    let mut screen = Screen::new(whole()).sized(100, 30);
    let opened = [KeyCode::Char('2'), KeyCode::Down, KeyCode::Enter, KeyCode::Down, KeyCode::Down];
    for keys in [&opened[..], &[KeyCode::Char('4')], &[KeyCode::Char('1'), KeyCode::PageDown]] {
        for &key in keys {
            screen.key(key);
            screen.text();
        }
        let before = screen.text();
        for small in [(40, 10), (20, 5), (60, 20)] {
            screen.size = small;
            screen.text();
            for key in [KeyCode::Tab, KeyCode::Enter, KeyCode::Esc, KeyCode::Down] {
                assert_eq!(screen.key(key), Action::None, "what is not seen does not change");
            }
        }
        screen.size = (100, 30);
        assert_eq!(screen.text(), before);
    }
}

#[test]
fn wide_screens_are_used() {
    for (width, height) in [(120, 35), (200, 60)] {
        let mut screen = Screen::new(whole()).sized(width, height);
        for name in ["whole_queues", "whole_connections", "whole_threads", "whole_findings"] {
            assert_screen(name, &mut screen);
            if width >= 200 {
                let text = screen.lines();
                let blank = text.iter().filter(|line| line.is_empty()).count();
                assert!(blank < 20, "{name} leaves a third blank:\n{}", text.join("\n"));
            }
            screen.key(KeyCode::Tab);
        }
    }
}

/// Hints in the last line, as text and key.
const HINTS: [(&str, KeyCode); 15] = [
    ("Esc back", KeyCode::Esc),
    ("Esc clears", KeyCode::Esc),
    ("← exchange", KeyCode::Left),
    ("→ exchange", KeyCode::Right),
    ("W worst", KeyCode::Char('W')),
    ("↵ open", KeyCode::Enter),
    ("↵ connections", KeyCode::Enter),
    ("↵ keeps", KeyCode::Enter),
    ("Tab views", KeyCode::Tab),
    ("s sort", KeyCode::Char('s')),
    ("/ filter", KeyCode::Char('/')),
    ("? help", KeyCode::Char('?')),
    ("q quit", KeyCode::Char('q')),
    ("S flip", KeyCode::Char('S')),
    ("p pause", KeyCode::Char('p')),
];

#[test]
fn a_click_on_a_hint_is_its_key() {
    let views: [&[KeyCode]; 8] = [
        &[],
        &[KeyCode::Char('2')],
        &[KeyCode::Char('3')],
        &[KeyCode::Char('4')],
        &[KeyCode::Enter],
        &[KeyCode::Char('2'), KeyCode::Enter],
        &[KeyCode::Char('/'), KeyCode::Char('4')],
        &[KeyCode::Char('/'), KeyCode::Char('4'), KeyCode::Enter],
    ];
    let mut clicked = Vec::new();
    for keys in views {
        let opened = || {
            let mut screen = Screen::new(whole()).sized(120, 35);
            screen.text();
            for &key in keys {
                screen.key(key);
                screen.text();
            }
            screen
        };
        let last = opened().lines().pop().unwrap_or_default();
        for (hint, code) in HINTS {
            let Some(at) = last.find(hint) else { continue };
            let column = last[..at].chars().count();
            let (mut by_key, mut by_mouse) = (opened(), opened());
            let wanted = by_key.key(code);
            assert_eq!(by_mouse.app.on_event(click(column, 34)), wanted, "{hint} after {keys:?}");
            assert_eq!(by_mouse.text(), by_key.text(), "{hint} after {keys:?}");
            // The word behind the key, too.
            let word = column + hint.chars().count() - 1;
            assert_eq!(opened().app.on_event(click(word, 34)), wanted, "{hint} after {keys:?}");
            clicked.push(hint);
        }
    }
    for (hint, _) in HINTS {
        // Two arrows share a word.
        assert!(clicked.contains(&hint) || hint == "← exchange", "{hint} is nowhere");
    }
}

fn playback() -> Playback {
    Playback {
        playing: true,
        position_us: 12_000_000,
        length_us: 60_000_000,
        speed: 1.0,
        damages: 1,
    }
}

fn track() -> Track {
    let mark = |from_s: u64, until_s: Option<u64>, severity, holder, headline: &str| Mark {
        from_us: from_s * 1_000_000,
        until_us: until_s.map(|until_s| until_s * 1_000_000),
        severity,
        holder,
        subject: "0.0.0.0:8080".into(),
        headline: headline.into(),
    };
    let gap = |from_s: u64, until_s: u64, is_damage| Gap {
        from_us: from_s * 1_000_000,
        until_us: until_s * 1_000_000,
        is_damage,
    };
    Track {
        marks: vec![
            mark(5, Some(24), Severity::Critical, Holder::App, "Clients are being refused."),
            mark(9, Some(14), Severity::Warning, Holder::Peer, "The peer's window is shut."),
            mark(40, None, Severity::Info, Holder::Kernel, "Nagle held 9 responses."),
        ],
        gaps: vec![gap(28, 33, false), gap(50, 51, true)],
        ends: Some(("23:59:31Z".to_owned(), "00:00:31Z".to_owned())),
    }
}

fn replay(width: u16, height: u16) -> Screen {
    let mut screen = Screen::new(scene::incident()).sized(width, height);
    screen.app.set_track(track());
    screen.app.set_playback(playback());
    screen
}

#[test]
fn a_replay_has_a_time_line_and_its_keys() {
    for (width, height) in [(40, 10), (60, 20), (80, 24), (120, 35), (200, 60)] {
        assert_screen("replay", &mut replay(width, height));
    }
    let mut paused = replay(120, 35);
    let position_us = 30_000_000;
    paused.app.set_playback(Playback { playing: false, position_us, ..playback() });
    assert_shows(&paused.text(), &["space play ", "not watched here", "the next at 00:40, of 3"]);
}

#[test]
fn a_click_on_the_time_line_goes_there() {
    let mut screen = replay(80, 24);
    let lines = screen.lines();
    let row = lines.iter().position(|line| line.contains('┄')).expect("a time line") as u16;
    let line = &lines[usize::from(row)];
    let column = |sign: char| line.chars().position(|c| c == sign).expect("it is there");
    let mut seek = |column: usize| match screen.app.on_event(click(column, row)) {
        Action::Seek(us) => us,
        action => panic!("{action:?} at {column} of {line}"),
    };
    assert_eq!(seek(column('▲')), 5_000_000);
    assert_eq!(seek(column('◆')), 9_000_000);
    let paused = seek(column('┄'));
    assert!((27_000_000..29_500_000).contains(&paused), "{paused}");
    let last = line.chars().count() - " 00:00:31Z".chars().count() - 1;
    assert_eq!(seek(last), 60_000_000);
    assert_eq!(screen.app.on_event(click(2, row)), Action::Redraw, "no moment");
}

#[test]
fn the_keys_of_a_replay_can_be_clicked() {
    let mut screen = replay(80, 24);
    let lines = screen.lines();
    let row = lines.iter().position(|line| line.contains("space pause")).expect("its keys");
    let line = &lines[row];
    let key = |code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
    let pressed = [
        ("space", KeyCode::Char(' ')),
        ("←", KeyCode::Left),
        ("→", KeyCode::Right),
        ("fF", KeyCode::Char('f')),
        ("F ", KeyCode::Char('F')),
        ("+", KeyCode::Char('+')),
        ("-", KeyCode::Char('-')),
        ("[", KeyCode::Char('[')),
        ("]", KeyCode::Char(']')),
        ("Home", KeyCode::Home),
        ("End", KeyCode::End),
    ];
    for (hint, code) in pressed {
        let at = line.find(hint).expect("it is named");
        let column = line[..at].chars().count();
        assert_eq!(screen.app.translated(click(column, row as u16)), key(code), "{hint}");
    }
    screen.key(KeyCode::Char('?'));
    let event = click(2, row as u16);
    assert_eq!(screen.app.translated(event.clone()), event, "the help lies over it");
}

#[test]
fn the_help_fits_where_it_is_asked_for() {
    for (width, height) in [(40, 10), (60, 20), (80, 24), (120, 35), (200, 60)] {
        let mut screen = Screen::new(whole()).sized(width, height);
        screen.key(KeyCode::Char('?'));
        assert_screen("whole_help", &mut screen);
        let (mut seen, mut last) = (String::new(), String::new());
        for _ in 0..400 {
            let text = screen.text();
            if text == last {
                break;
            }
            seen.push_str(&text);
            last = text;
            screen.key(KeyCode::Down);
        }
        let all = ["K ", "⌃9", "◇ cookie", "┊", "╵10 s", "‖", "Ctrl-Z", "KEYS HERE"];
        assert_shows(&seen, &all);
        screen.key(KeyCode::Char('g'));
        assert_shows(&screen.text(), &["KEYS HERE"]);
    }
}

#[test]
fn the_help_begins_with_the_view_in_front_and_can_be_searched() {
    let mut screen = Screen::new(whole()).sized(80, 24);
    screen.key(KeyCode::Char('2'));
    screen.key(KeyCode::Enter);
    screen.text();
    screen.key(KeyCode::Char('?'));
    assert_shows(&screen.text(), &["KEYS HERE (an open connection)", "the worst exchange"]);
    screen.key(KeyCode::Char('/'));
    screen.type_text("PEAK");
    assert_screen("help_searched", &mut screen);
    screen.type_text(" of nothing");
    assert_shows(&screen.text(), &["Nothing here has “PEAK of nothing”."]);
    screen.key(KeyCode::Esc);
    assert_shows(&screen.text(), &["KEYS HERE"]);
    screen.key(KeyCode::Esc);
    assert!(!screen.text().contains("KEYS HERE"));
}
