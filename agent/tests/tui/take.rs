//! What a user must know at once, and what the keys that take something along answer.

use backscope::model::event::{EndedProcess, WaitStatus};
use backscope::model::snapshot::Snapshot;
use backscope::model::{Ended, Recording, RecordingStop};
use backscope::tui::{Action, Playback, Selected, Take};
use ratatui::crossterm::event::KeyCode;

use super::{SIZES, Screen, assert_screen, assert_shows, scene, traffic};

fn ended(statuses: &[Option<u32>]) -> Ended {
    let mut processes = Vec::new();
    for (pid, status) in (4242..).zip(statuses) {
        let status = status.map(WaitStatus);
        processes.push(EndedProcess { ts_ns: 5, pid, comm: "api-server".into(), status });
    }
    Ended { count: processes.len() as u64, processes, over_ns: Some(5) }
}

fn gone(statuses: &[Option<u32>]) -> Snapshot {
    let mut snapshot = scene::incident();
    snapshot.ended = ended(statuses);
    snapshot
}

fn words(selected: &Selected) -> String {
    let mut words = Vec::new();
    for line in selected.words() {
        words.push(line.for_terminal().to_string());
    }
    words.join("\n")
}

#[test]
fn a_screen_whose_target_has_gone_says_who_ended_and_how_to_leave() {
    for (width, height) in SIZES {
        let mut screen = Screen::new(gone(&[Some(9)])).sized(width, height);
        assert_screen("target_gone", &mut screen);
    }
    let mut screen = Screen::without_colour(gone(&[Some(0), Some(3 << 8)]));
    assert_screen("targets_gone_without_colour", &mut screen);
    let text = Screen::new(gone(&[None])).text();
    assert_shows(&text, &["4242 (api-server) ended  ", "q leaves"]);
    let text = Screen::new(gone(&[])).text();
    assert_shows(&text, &["nobody is left to watch", "q leaves"]);
}

#[test]
fn who_looks_on_can_go_everywhere_and_leave() {
    let mut screen = Screen::new(gone(&[Some(9)]));
    for key in ['2', '3', '4', '1'] {
        assert_eq!(screen.key(KeyCode::Char(key)), Action::Redraw);
        assert_shows(&screen.text(), &["killed by SIGKILL"]);
    }
    screen.key(KeyCode::Enter);
    assert_shows(&screen.text(), &["killed by SIGKILL"]);
    assert_eq!(screen.key(KeyCode::Char('q')), Action::Quit);
}

#[test]
fn a_paused_screen_says_so_at_once() {
    let mut screen = Screen::new(scene::incident());
    screen.key(KeyCode::Char('p'));
    assert!(!screen.text().contains("killed"));
    screen.app.update(gone(&[Some(15)]));
    assert_shows(&screen.text(), &["killed by SIGTERM", "PAUSED"]);
}

#[test]
fn a_healthy_screen_has_no_banner_and_a_replay_does_not_ask_to_leave() {
    let text = Screen::new(scene::incident()).text();
    assert!(!text.contains("q leaves") && !text.contains("ended"), "{text}");
    let mut screen = Screen::new(gone(&[Some(9)]));
    screen.app.set_playback(Playback {
        playing: true,
        position_us: 1,
        length_us: 2,
        speed: 1.0,
        damages: 0,
    });
    let text = screen.text();
    assert!(text.contains("killed by SIGKILL") && !text.contains("q leaves"), "{text}");
}

#[test]
fn the_header_tells_of_the_recording() {
    let mut snapshot = scene::incident();
    let mut recording = Recording { into: "a.bsrec".into(), stopped: None };
    snapshot.recording = Some(recording.clone());
    assert_shows(&Screen::new(snapshot.clone()).lines()[0], &["● rec"]);
    recording.stopped = Some(RecordingStop {
        ts_ns: 5,
        reaches_ns: Some(4),
        reason: "No space left on device".into(),
    });
    snapshot.recording = Some(recording);
    snapshot.notices.push("the recording has ended: No space left on device".into());
    assert_screen("recording_ended", &mut Screen::new(snapshot));
    assert!(!Screen::new(scene::incident()).lines()[0].contains("rec"));
}

#[test]
fn feedback_stands_in_the_footer_until_the_next_key() {
    let mut screen = Screen::new(scene::incident());
    assert_eq!(screen.key(KeyCode::Char('w')), Action::Take(Take::Write));
    screen.app.tell("wrote backscope-api-listener-20261201T131500Z.json and .txt (4.1 KiB)".into());
    assert_screen("feedback", &mut screen);
    screen.app.tell("cannot write a\u{1b}[2J: No space left on device".into());
    assert_shows(&screen.text(), &["a\\u{1b}[2J"]);
    screen.key(KeyCode::Down);
    assert!(!screen.text().contains("cannot write"));
}

#[test]
fn keys_take_along_and_nothing_else_does() {
    let mut screen = Screen::new(traffic::traffic());
    for (key, take) in
        [('y', Take::Copy), ('w', Take::Write), ('r', Take::Record), ('R', Take::Report)]
    {
        for tab in ['1', '2', '3', '4'] {
            screen.key(KeyCode::Char(tab));
            assert_eq!(screen.key(KeyCode::Char(key)), Action::Take(take), "{key} on {tab}");
        }
    }
    screen.key(KeyCode::Char('2'));
    screen.key(KeyCode::Char('/'));
    screen.type_text("ywrR");
    screen.key(KeyCode::Esc);
    screen.key(KeyCode::Char('?'));
    assert_eq!(screen.key(KeyCode::Char('w')), Action::Redraw, "any key ends the help");
}

#[test]
fn what_is_selected_is_what_is_taken() {
    let mut screen = Screen::new(traffic::traffic());
    let taken = screen.app.selected().unwrap();
    assert!(matches!(taken, Selected::Listener(_)), "{taken:?}");
    screen.key(KeyCode::Char('2'));
    let shown = screen.selected();
    let taken = screen.app.selected().unwrap();
    let Selected::Connection(connection) = &taken else { panic!("{taken:?}") };
    assert!(shown.contains(&connection.peer.to_string()), "{shown}: {taken:?}");
    assert_shows(&words(&taken), &[&connection.peer.to_string(), &connection.local.to_string()]);
    screen.key(KeyCode::Enter);
    screen.key(KeyCode::Char('p'));
    let view = screen.app.view_of(&screen.app.selected().unwrap()).unwrap();
    assert_shows(&view, &["exchange", "accept"]);
    assert!(!view.contains("QUEUES") && !view.contains("q quit"), "the view alone:\n{view}");
    screen.key(KeyCode::Char('3'));
    let thread = screen.app.selected().unwrap();
    assert!(matches!(thread, Selected::Thread(_)), "{thread:?}");
    assert_eq!(screen.app.view_of(&thread), None);
}

#[test]
fn a_finding_is_taken_with_its_evidence_and_its_fix() {
    let mut screen = Screen::new(scene::incident());
    screen.key(KeyCode::Char('4'));
    let Some(Selected::Finding(finding)) = screen.app.selected() else { panic!("none") };
    let words = words(&Selected::Finding(finding.clone()));
    assert_shows(
        &words,
        &[&finding.headline.for_terminal().to_string(), "Try: ", finding.kind, "Evidence: "],
    );
    let mut empty = scene::incident();
    empty.findings.clear();
    let mut screen = Screen::new(empty);
    screen.key(KeyCode::Char('4'));
    assert!(screen.app.selected().is_none());
}

#[test]
fn text_from_outside_is_taken_escaped() {
    let mut snapshot = scene::incident();
    for listener in &mut snapshot.listeners {
        listener.comm = "\u{1b}]0;mine\u{7}\nrm -rf".into();
    }
    let screen = Screen::new(snapshot);
    let taken = screen.app.selected().unwrap();
    let text = words(&taken) + &screen.app.view_of(&taken).unwrap();
    assert!(text.contains("\\u{1b}]0;mine\\u{7}\\u{a}rm"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}
