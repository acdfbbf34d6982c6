//! A lesson on the screen, with the outcomes of the bundled recordings.

use backscope::learn::{self, Lesson, Outcome, Progress};
use backscope::tui::Theme;
use backscope::tui::lesson::{LessonAction, LessonApp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::{assert_buffer, assert_shows, lines};

struct Study {
    app: LessonApp,
    size: (u16, u16),
}

impl Study {
    /// The lesson of that name, or the list.
    fn new(theme: Theme, name: Option<&str>) -> Self {
        let at = name.map(|name| {
            learn::all().iter().position(|entry| entry.slug == name).expect("a lesson")
        });
        Self {
            app: LessonApp::new(theme, lessons(), Progress::default(), at, false),
            size: (80, 24),
        }
    }

    fn sized(mut self, width: u16, height: u16) -> Self {
        self.size = (width, height);
        self
    }

    fn buffer(&mut self) -> Buffer {
        let mut terminal =
            Terminal::new(TestBackend::new(self.size.0, self.size.1)).expect("a buffer");
        terminal.draw(|frame| self.app.draw(frame)).expect("a buffer");
        terminal.backend().buffer().clone()
    }

    fn text(&mut self) -> String {
        lines(&self.buffer()).join("\n")
    }

    fn key(&mut self, code: KeyCode) -> LessonAction {
        self.app.on_event(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    /// Clicks on a hint in the last line.
    fn click(&mut self, hint: &str) -> LessonAction {
        let foot = lines(&self.buffer()).pop().unwrap_or_default();
        let at = foot.find(hint).expect("a hint");
        let (column, row) = (foot[..at].chars().count() as u16, self.size.1 - 1);
        let kind = MouseEventKind::Down(MouseButton::Left);
        let modifiers = KeyModifiers::NONE;
        self.app.on_event(&Event::Mouse(MouseEvent { kind, column, row, modifiers }))
    }

    /// Predicts and plays the recording.
    fn run(&mut self, answer: char) {
        self.key(KeyCode::Char(answer));
        let LessonAction::Run { lesson, round } = self.key(KeyCode::Enter) else {
            panic!("nothing is run")
        };
        self.app.ran(Ok(outcome(lesson, round)));
    }
}

#[track_caller]
fn assert_page(name: &str, study: &mut Study) {
    assert_buffer(&format!("lesson_{name}"), &study.buffer());
}

fn lessons() -> Vec<Lesson> {
    learn::all().iter().map(|entry| entry.lesson().expect("a lesson")).collect()
}

fn outcome(lesson: usize, round: usize) -> Outcome {
    let entry = &learn::all()[lesson];
    let evidence = learn::recorded(entry.recordings[round]).expect("a recording");
    learn::judge(&entry.lesson().expect("a lesson"), round, evidence, false, Vec::new())
}

fn lessons_done(done: usize) -> String {
    format!("{done} of {} lessons done", learn::all().len())
}

#[test]
fn a_question_is_asked_before_anything_runs() {
    let mut study = Study::new(Theme::colour(), Some("accept-queue"));
    assert_page("question", &mut study);
    assert_eq!(study.key(KeyCode::Enter), LessonAction::Redraw);
    assert_shows(&study.text(), &["predict first"]);
    study.key(KeyCode::Right);
    study.key(KeyCode::Right);
    assert_page("predicted", &mut study);
    assert!(matches!(study.key(KeyCode::Enter), LessonAction::Run { round: 0, .. }));
    study.app.told("the server listens".into());
    assert_page("running", &mut study);
    assert_eq!(study.key(KeyCode::Char('n')), LessonAction::None, "a run is not left");
}

#[test]
fn a_wide_screen_has_more_beside_the_question_and_the_reveal() {
    let mut study = Study::new(Theme::colour(), Some("accept-queue")).sized(160, 50);
    assert_page("question", &mut study);
    study.run('b');
    assert_page("reveal", &mut study);
}

#[test]
fn the_reveal_comes_step_by_step_and_leads_to_the_change() {
    let mut study = Study::new(Theme::colour(), Some("accept-queue"));
    study.run('b');
    assert_page("reveal", &mut study);
    for _ in 0..4 {
        study.key(KeyCode::Enter);
    }
    assert_page("reveal_of_jobs", &mut study);
    study.key(KeyCode::Enter);
    assert_page("reveal_of_the_change", &mut study);
    study.key(KeyCode::Enter);
    assert_page("second_question", &mut study);
    study.run('d');
    assert_page("second_reveal", &mut study);
}

#[test]
fn the_hints_can_be_clicked() {
    let mut study = Study::new(Theme::colour(), Some("accept-queue"));
    assert_eq!(study.click("→ choose"), LessonAction::Redraw);
    let LessonAction::Run { lesson, round } = study.click("↵ run") else {
        panic!("nothing is run")
    };
    study.app.ran(Ok(outcome(lesson, round)));
    assert_eq!(study.click("e evidence"), LessonAction::Redraw);
    assert_eq!(study.click("e back"), LessonAction::Redraw);
    assert_eq!(study.click("l lessons"), LessonAction::Redraw);
    assert_shows(&study.text(), &["lessons done"]);
    assert_eq!(study.click("q quit"), LessonAction::Quit);
}

#[test]
fn the_evidence_is_one_key_away() {
    let mut study = Study::new(Theme::plain(), Some("nagle")).sized(100, 60);
    study.run('c');
    let reveal = study.text();
    assert_page("nagle_reveal", &mut study);
    study.key(KeyCode::Char('e'));
    assert_page("nagle_evidence", &mut study);
    study.key(KeyCode::Esc);
    assert_eq!(study.text(), reveal);
}

#[test]
fn progress_is_noted_once_and_shown_in_the_list() {
    let mut study = Study::new(Theme::colour(), Some("nagle"));
    assert!(study.app.take_progress().is_none());
    study.run('c');
    assert!(study.app.take_progress().is_some());
    assert!(study.app.take_progress().is_none());
    study.key(KeyCode::Char('l'));
    assert_page("list", &mut study);
}

#[test]
fn a_lesson_is_done_with_its_last_question() {
    let mut study = Study::new(Theme::colour(), Some("nagle"));
    for round in 0..4 {
        study.run('a');
        if round < 3 {
            while !study.text().contains("what do you predict?") {
                study.key(KeyCode::Enter);
            }
        }
    }
    study.key(KeyCode::Char('l'));
    assert_shows(&study.text(), &[&lessons_done(1), "✓ 3 of 4"]);
}

#[test]
fn what_the_text_claims_and_the_run_denies_is_said() {
    let entry = learn::find("accept-queue").expect("a lesson");
    let text = entry.text.replacen("is = 10", "is = 11", 1);
    let lesson = Lesson::parse(entry.slug, &text, entry.check).expect("a lesson");
    let evidence = learn::recorded(entry.recordings[0]).expect("a recording");
    let outcome = learn::judge(&lesson, 0, evidence, false, Vec::new());
    let mut app =
        LessonApp::new(Theme::colour(), vec![lesson], Progress::default(), Some(0), false);
    for key in [KeyCode::Char('a'), KeyCode::Enter] {
        app.on_event(&Event::Key(KeyEvent::new(key, KeyModifiers::NONE)));
    }
    app.ran(Ok(outcome));
    assert_page("broken_claim", &mut Study { app, size: (80, 40) });
}

#[test]
fn every_lesson_fits_every_screen() {
    for (at, entry) in learn::all().iter().enumerate() {
        let outcome = outcome(at, 0);
        for size in [(80, 24), (160, 50), (60, 16), (20, 5), (1, 1), (400, 100)] {
            for theme in [Theme::colour(), Theme::plain()] {
                let mut study = Study::new(theme, Some(entry.slug));
                study.size = size;
                study.text();
                study.key(KeyCode::Char('a'));
                assert_eq!(study.key(KeyCode::Enter), LessonAction::Run { lesson: at, round: 0 });
                study.text();
                study.app.ran(Ok(outcome.clone()));
                for key in [
                    KeyCode::Enter,
                    KeyCode::Char('e'),
                    KeyCode::Down,
                    KeyCode::Esc,
                    KeyCode::PageUp,
                ] {
                    study.text();
                    study.key(key);
                }
                study.text();
            }
        }
    }
}
