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
    let lesson = entry.lesson().expect("a lesson");
    let judged = |round: usize, earlier| {
        let evidence = learn::recorded(entry.recordings[round]).expect("a recording");
        learn::judge(&lesson, round, evidence, false, earlier)
    };
    let mut earlier = Vec::new();
    for before in 0..round {
        let facts = judged(before, earlier.clone()).facts;
        earlier.push(Some(facts));
    }
    judged(round, earlier)
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
fn the_reveal_asks_whose_doing_each_step_is_and_leads_to_the_change() {
    let mut study = Study::new(Theme::colour(), Some("accept-queue"));
    study.run('b');
    assert_page("owner_asked", &mut study);
    study.key(KeyCode::Char('k'));
    study.key(KeyCode::Char('p'));
    assert_page("owners_answered", &mut study);
    study.key(KeyCode::Enter);
    study.key(KeyCode::Char(' '));
    assert_page("reveal_of_all", &mut study);
    study.key(KeyCode::Enter);
    assert_page("second_question", &mut study);
    study.run('d');
    assert_page("second_reveal", &mut study);
}

#[test]
fn a_lesson_ends_with_a_summary() {
    for size in [(80, 24), (160, 50)] {
        let mut study = Study::new(Theme::colour(), Some("nagle")).sized(size.0, size.1);
        for guess in ['b', 'a', 'c', 'a'] {
            study.run(guess);
            study.key(KeyCode::Char('k'));
            study.key(KeyCode::Char(' '));
            study.key(KeyCode::Enter);
        }
        assert_page("summary", &mut study);
        let next = study.key(KeyCode::Enter);
        assert_eq!(next, LessonAction::Redraw);
        assert_shows(&study.text(), &["what do you predict?", "step 1 of"]);
    }
}

#[test]
fn a_retry_asks_again_and_back_goes_to_the_question_before() {
    let mut study = Study::new(Theme::colour(), Some("nagle"));
    study.run('a');
    study.key(KeyCode::Char(' '));
    study.key(KeyCode::Char('r'));
    assert_shows(&study.text(), &["what do you predict?", "step 1 of 8"]);
    study.run('c');
    study.key(KeyCode::Char(' '));
    study.key(KeyCode::Enter);
    assert_shows(&study.text(), &["step 3 of 8"]);
    study.key(KeyCode::Char('p'));
    assert_shows(&study.text(), &["step 1 of 8"]);
    study.key(KeyCode::Char('p'));
    assert_shows(&study.text(), &["LESSON 46"]);
    study.key(KeyCode::Char('l'));
    study.size = (80, 60);
    assert_shows(&study.text(), &["1 of 1"]);
}

#[test]
fn a_knob_that_is_turned_runs_and_the_picture_moves() {
    let mut study = Study::new(Theme::colour(), Some("accept-queue"));
    study.run('b');
    study.key(KeyCode::Char(' '));
    study.key(KeyCode::Char('k'));
    assert_page("bench", &mut study);
    let LessonAction::Turn { lesson } = study.key(KeyCode::Right) else { panic!("nothing is run") };
    let bench = study.app.bench().expect("the bench").clone();
    assert!(bench.scenario().server.join(" ").contains("--backlog 5"));
    study.app.told("the server listens".into());
    assert_shows(&study.text(), &["RUNNING: the server listens"]);
    // A turn amid the run: its outcome is of the past, and it runs again.
    assert_eq!(study.key(KeyCode::Right), LessonAction::Redraw);
    let entry = &learn::all()[lesson];
    let measured = |bench: &learn::Bench| {
        bench.measure(learn::recorded(entry.recordings[1]).expect("a recording"))
    };
    assert_eq!(study.app.ran(Ok(measured(&bench))), LessonAction::Turn { lesson });
    study.key(KeyCode::Left);
    assert_eq!(study.app.ran(Ok(measured(&bench))), LessonAction::Turn { lesson });
    assert_eq!(study.app.ran(Ok(measured(&bench))), LessonAction::Redraw);
    let mut frames = 0;
    while study.app.moves() {
        study.app.next_frame();
        frames += 1;
    }
    assert!(frames * 45 <= 400, "{frames} frames");
    assert_page("bench_turned", &mut study);
    study.size = (160, 50);
    assert_page("bench_turned", &mut study);
    study.key(KeyCode::Char('c'));
    assert_page("commands", &mut study);
    study.key(KeyCode::Esc);
    study.key(KeyCode::Esc);
    assert_shows(&study.text(), &["↵ predict again"]);
}

#[test]
fn bars_and_steps_are_seen_on_their_way() {
    let mut study = Study::new(Theme::colour(), Some("one-thread"));
    study.run('b');
    study.key(KeyCode::Char(' '));
    study.key(KeyCode::Char('k'));
    let LessonAction::Turn { lesson } = study.key(KeyCode::Right) else { panic!("nothing is run") };
    let evidence = learn::recorded(learn::all()[lesson].recordings[1]).expect("a recording");
    let outcome = study.app.bench().expect("the bench").measure(evidence);
    study.app.ran(Ok(outcome));
    let longest = |study: &mut Study| {
        let bars = study.text();
        bars.lines().map(|line| line.matches('▆').count()).max()
    };
    let first = longest(&mut study);
    study.app.next_frame();
    study.app.next_frame();
    let amid = longest(&mut study);
    while study.app.moves() {
        study.app.next_frame();
    }
    let last = longest(&mut study);
    assert!(first > amid && amid > last, "{first:?} {amid:?} {last:?}:\n{}", study.text());
}

#[test]
fn a_recorded_lesson_says_that_knobs_need_a_live_run() {
    let at = learn::all().iter().position(|entry| entry.slug == "nagle");
    let app = LessonApp::new(Theme::colour(), lessons(), Progress::default(), at, true);
    let mut study = Study { app, size: (80, 24) };
    study.run('c');
    study.key(KeyCode::Char(' '));
    study.key(KeyCode::Char('k'));
    assert_shows(&study.text(), &["sudo backscope learn nagle"]);
}

#[test]
fn the_hints_can_be_clicked() {
    let mut study = Study::new(Theme::colour(), Some("accept-queue"));
    assert_eq!(study.click("→ choose"), LessonAction::Redraw);
    let LessonAction::Run { lesson, round } = study.click("↵ run") else {
        panic!("nothing is run")
    };
    study.app.ran(Ok(outcome(lesson, round)));
    assert_eq!(study.click("Space all of it"), LessonAction::Redraw);
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
    study.key(KeyCode::Char(' '));
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
                let reveal = ['k', 'e'].map(KeyCode::Char);
                let scroll = [KeyCode::Down, KeyCode::Esc, KeyCode::PageUp];
                let bench = [' ', 'k', 'c', 'c', 'k'].map(KeyCode::Char);
                let is_small = size.0 <= 80;
                let bench = if is_small { &bench[..] } else { &[] };
                for key in reveal.into_iter().chain(scroll).chain(bench.iter().copied()) {
                    study.text();
                    study.key(key);
                }
                study.text();
            }
        }
    }
}
