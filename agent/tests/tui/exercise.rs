//! An exercise on the screen, played with handmade seconds.

use backscope::learn::fix::{FoundNow, News, Second, Tick, find};
use backscope::model::snapshot::{Owner, Severity};
use backscope::tui::Theme;
use backscope::tui::fix::{FixAction, FixApp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::{assert_buffer, assert_shows, lines};

struct Play {
    app: FixApp,
    size: (u16, u16),
}

impl Play {
    fn new(size: (u16, u16)) -> Self {
        let exercise = find("checkout").expect("readable").expect("an exercise");
        let mut app = FixApp::new(Theme::colour(), exercise);
        let folder = "/home/ann/.local/state/backscope/exercises/checkout".into();
        app.take(News::Begun { folder, kept: None });
        app.take(News::ServerSaid("listening on 127.0.0.1:8080".into()));
        Self { app, size }
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

    fn key(&mut self, sign: char) -> FixAction {
        let key = KeyEvent::new(KeyCode::Char(sign), KeyModifiers::NONE);
        self.app.on_event(&Event::Key(key))
    }

    /// So many seconds in which customers wait.
    fn broken(&mut self, seconds: u64) {
        for second in 0..seconds {
            let tick = Tick {
                answered: 15 + second % 7,
                failed: 2,
                p50_us: Some(460_000),
                p99_us: Some(2_970_000),
                failures: vec!["no answer in time, asking".into()],
            };
            let finding = FoundNow {
                kind: "accept-queue-overflow",
                severity: Severity::Critical,
                owner: Owner::App,
                headline: "Clients are being refused: 113 SYNs so far, 16 a second.".into(),
                fix: "accept faster".into(),
            };
            let (findings, server) = (vec![finding], Some(4_242));
            self.app.take(News::Second(Box::new(Second { tick, findings, server, seen: true })));
        }
    }

    fn served(&mut self, seconds: u64) -> bool {
        let mut won = false;
        for _ in 0..seconds {
            let tick = Tick {
                answered: 40,
                p50_us: Some(50_000),
                p99_us: Some(52_000),
                ..Tick::default()
            };
            let second = Second { tick, findings: Vec::new(), server: Some(4_300), seen: true };
            won |= self.app.take(News::Second(Box::new(second))).is_some();
        }
        won
    }
}

#[test]
fn a_stranger_sees_what_is_wrong_and_what_to_do() {
    for size in [(80, 24), (120, 35)] {
        let mut play = Play::new(size);
        play.broken(20);
        assert_buffer("exercise_broken", &play.buffer());
        let text = play.text();
        let todo = ["sudo backscope watch --port 8080", "start.sh", "press r", "--fix --shell"];
        assert_shows(&text, &todo);
        assert!(!text.contains("overflow"), "the finding is to be found:\n{text}");
    }
}

#[test]
fn hints_come_one_by_one_and_the_cure_is_asked_for_twice() {
    let mut play = Play::new((80, 40));
    play.broken(5);
    play.key('h');
    assert_shows(&play.text(), &["1 hint", "HINT 1 OF 3", "BACKSCOPE: accept-queue-overflow"]);
    for _ in 0..3 {
        play.key('h');
    }
    assert_shows(&play.text(), &["3 hints", "HINT 3 OF 3", "no further hint"]);
    play.key('g');
    assert_shows(&play.text(), &["once more"]);
    play.key('h');
    play.key('g');
    assert!(!play.text().contains("THE CURE"), "another key was between");
    play.key('g');
    assert_shows(&play.text(), &["THE CURE", "--names worker", "cure shown"]);
    assert_eq!(play.key('r'), FixAction::Restart);
    assert_eq!(play.key('n'), FixAction::None, "it is not over");
}

#[test]
fn a_cure_is_counted_to_its_end_and_the_closing_says_whose_job_it_was() {
    let mut play = Play::new((80, 24));
    play.broken(20);
    play.key('h');
    assert!(!play.served(7));
    assert_buffer("exercise_quiet", &play.buffer());
    assert!(play.served(3), "ten seconds in all");
    assert_buffer("exercise_cured", &play.buffer());
    assert_eq!(play.key('n'), FixAction::Next);
}

#[test]
fn what_cannot_go_on_says_so() {
    let mut play = Play::new((80, 24));
    play.app.take(News::Failed("no cgroup can be made".into()));
    assert_shows(&play.text(), &["IT CANNOT GO ON", "no cgroup can be made", "next exercise"]);
    let mut small = Play::new((50, 10));
    assert_shows(&small.text(), &["needs at least 60 × 20"]);
}
