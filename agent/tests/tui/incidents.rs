//! Incidents that were recorded beside real servers, and the screen that somebody would see who had
//! just come to each. The comment of a test says what was recorded.

use std::path::Path;

use backscope::model::Model;
use backscope::record::{Reader, RecordEntry};
use ratatui::crossterm::event::KeyCode;

use super::{Screen, assert_screen};

/// Sizes that people in an incident have.
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 35), (200, 60)];

/// Plays a recording to its last sample, and returns the screen of that moment.
fn incident(name: &str) -> Screen {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tui/incidents")
        .join(name)
        .with_extension("bsrec");
    let mut reader = Reader::open(&file).expect("a recording");
    let (mut model, mut out) = (Model::new(reader.header().setup.clone()), Vec::new());
    while let Some(entry) = reader.next_entry().expect("a recording that can be read") {
        if let RecordEntry::Finish(_) = entry {
            break;
        }
        entry.give(&mut model, &mut out);
        out.clear();
    }
    Screen::new(model.snapshot())
}

#[track_caller]
fn assert_first_screen(name: &str) {
    for (width, height) in SIZES {
        assert_screen(&format!("real_{name}"), &mut incident(name).sized(width, height));
    }
}

/// A server that takes 300 ms before each accept, and 50 clients a second that ask and wait.
#[test]
fn an_overflow() {
    assert_first_screen("overflow");
}

/// nginx before gunicorn with two workers, which take 250 ms for an answer; 30 requests a second.
#[test]
fn a_proxy_whose_upstream_is_exhausted() {
    assert_first_screen("proxy_exhausted");
}

/// nginx before a server that is stopped by SIGSTOP; 10 requests a second.
#[test]
fn a_proxy_whose_upstream_is_frozen() {
    assert_first_screen("frozen_upstream");
    for (width, height) in SIZES {
        let mut screen = incident("frozen_upstream").sized(width, height);
        screen.key(KeyCode::Tab);
        assert_screen("real_frozen_upstream_connections", &mut screen);
    }
}

/// `backscope demo nagle`.
#[test]
fn writes_that_nagle_holds() {
    assert_first_screen("nagle");
}

/// The overflow, ten seconds after the server has become quick and its clients have gone.
#[test]
fn after_the_symptom() {
    assert_first_screen("after_the_symptom");
    for (width, height) in SIZES {
        let mut screen = incident("after_the_symptom").sized(width, height);
        screen.key(KeyCode::Char('4'));
        assert_screen("real_after_the_symptom_findings", &mut screen);
    }
}

/// A process with 200 listeners, of which one has connections that nobody takes.
#[test]
fn many_listeners() {
    assert_first_screen("many_listeners");
}

/// A server that was killed while its clients went on.
#[test]
fn a_target_that_has_gone() {
    assert_first_screen("target_gone");
}
