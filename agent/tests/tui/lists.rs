//! Long lists: how much of them is hidden, and that filter and order reach all of it.

use std::net::SocketAddr;

use backscope::model::snapshot::{ListenerView, Snapshot};
use backscope::tui::Theme;
use backscope::tui::picker::{Candidate, Choice, Picker};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::crowd::Crowd;
use super::{Screen, assert_buffer, assert_screen, assert_shows, lines, scene};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 35), (200, 60)];

/// A screen on a model, which answers what the screen asks.
struct Watched {
    crowd: Crowd,
    screen: Screen,
}

impl Watched {
    fn new(connections: u64) -> Self {
        let crowd = Crowd::new(connections);
        let screen = Screen::new(crowd.model.view(&Default::default()));
        let mut watched = Self { crowd, screen };
        watched.key(KeyCode::Char('2'));
        watched
    }

    fn key(&mut self, code: KeyCode) {
        self.screen.key(code);
        if let Some(query) = self.screen.app.query_due() {
            self.screen.app.show_found(self.crowd.model.find(&query));
        }
        self.screen.text();
    }

    fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            self.key(KeyCode::Char(c));
        }
    }

    fn refresh(&mut self) {
        self.crowd.sample();
        let query = self.screen.app.query();
        self.screen.app.update(self.crowd.model.view(&query));
    }
}

#[test]
fn a_filter_looks_at_all_of_twenty_thousand_connections() {
    for (width, height) in SIZES {
        let mut watched = Watched::new(20_000);
        watched.screen.size = (width, height);
        assert_screen("connections_20000", &mut watched.screen);
        watched.type_text("/10.2.");
        assert_shows(&watched.screen.text(), &["4,000 of 20,000", "of 4,000"]);
        assert_screen("connections_20000_filtered", &mut watched.screen);
        // The one whose exchange was shortest of all is none of the worst thousand.
        watched.key(KeyCode::End);
        watched.refresh();
        assert_shows(&watched.screen.selected(), &["10.2.0.0:40000"]);
        assert_shows(&watched.screen.text(), &["4,000 of 4,000"]);
        watched.key(KeyCode::Esc);
        watched.type_text("/nobody");
        assert_shows(&watched.screen.text(), &["No connection matches", "0 of 20,000"]);
    }
}

#[test]
fn each_order_is_of_all_connections() {
    let mut watched = Watched::new(20_000);
    assert_shows(&watched.screen.selected(), &["10.1.79.249:40000"]);
    watched.key(KeyCode::Char('s'));
    watched.key(KeyCode::Home);
    assert_shows(&watched.screen.text(), &["sort: address"]);
    assert_shows(&watched.screen.selected(), &["10.1.0.1:40000"]);
    watched.key(KeyCode::Char('S'));
    watched.key(KeyCode::Home);
    assert_shows(&watched.screen.selected(), &["10.2.79.245:40000"]);
    watched.key(KeyCode::End);
    assert_shows(&watched.screen.selected(), &["10.1.0.1:40000"]);
    watched.key(KeyCode::Up);
    assert_shows(&watched.screen.selected(), &["10.1.0.2:40000"]);
}

#[test]
fn the_selection_stays_with_its_connection_while_others_get_worse() {
    let mut watched = Watched::new(5_000);
    for _ in 0..20 {
        watched.key(KeyCode::PageDown);
    }
    let selected = watched.screen.selected();
    let name = selected.split_whitespace().next().expect("a row").to_owned();
    for at in 0..2_000 {
        watched.crowd.exchange(at, 1_000_000);
    }
    watched.refresh();
    assert_shows(&watched.screen.selected(), &[&name]);
    watched.key(KeyCode::Home);
    assert!(!watched.screen.selected().contains(&name));
}

#[test]
fn an_open_connection_is_kept_up_to_date_wherever_it_is_in_the_list() {
    let mut watched = Watched::new(5_000);
    watched.key(KeyCode::End);
    watched.key(KeyCode::Enter);
    assert_shows(&watched.screen.text(), &["10.2.0.0:40000", "in 100 B"]);
    for _ in 0..9 {
        watched.crowd.exchange(0, 50);
    }
    watched.refresh();
    assert_shows(&watched.screen.text(), &["in 1.0"]);
    assert!(!watched.screen.text().contains("as it was last seen"));
}

/// A process with so many listeners; the first two of the incident give the figures.
fn listeners(count: u16) -> Snapshot {
    let mut snapshot = scene::incident();
    let [_, calm] = &snapshot.listeners[..] else { panic!("two listeners") };
    let calm = calm.clone();
    snapshot.findings.clear();
    snapshot.listeners = (0..count)
        .map(|at| ListenerView {
            sock: 100 + u64::from(at),
            local: SocketAddr::from(([0, 0, 0, 0], 20_000 + at)),
            ..calm.clone()
        })
        .collect();
    snapshot
}

#[test]
fn every_list_says_how_much_of_it_is_hidden() {
    for (width, height) in SIZES {
        let mut screen = Screen::new(listeners(200)).sized(width, height);
        assert_screen("listeners_200", &mut screen);
        let is_row = |line: &&String| line.trim_start_matches(['▸', ' ']).starts_with("0.0.0.0:2");
        let rows = screen.lines().iter().filter(is_row).count();
        assert_shows(&screen.text(), &[&format!("1–{rows} of 200")]);
        screen.key(KeyCode::PageDown);
        screen.key(KeyCode::PageDown);
        assert_shows(&screen.selected(), &[&format!("0.0.0.0:{}", 20_000 + 2 * rows)]);
        screen.key(KeyCode::Char('G'));
        assert_shows(&screen.text(), &["–200 of 200"]);
        assert_shows(&screen.selected(), &["0.0.0.0:20199"]);
        screen.key(KeyCode::Char('g'));
        assert_shows(&screen.selected(), &["0.0.0.0:20000"]);
    }
}

/// Processes that listen: one with 200 sockets, one in trouble, thirty others.
fn processes() -> Vec<Candidate> {
    let at = |port| SocketAddr::from(([0, 0, 0, 0], port));
    let calm = |pid: u32, comm: &str, listens| Candidate {
        pid,
        comm: comm.into(),
        listens,
        waiting: 0,
        limit: 0,
        full: false,
        drops: 0,
    };
    let mut all: Vec<_> =
        (0..30).map(|n| calm(900 + n, "worker\u{1b}[31m", vec![at(9_000 + n as u16)])).collect();
    all.push(calm(7_000, "proxy", (20_000..20_200).map(at).collect()));
    all.push(Candidate {
        waiting: 129,
        limit: 128,
        full: true,
        drops: 431,
        ..calm(4_242, "api-server", vec![at(8_080), at(8_443)])
    });
    all
}

#[test]
fn the_picker_has_a_row_a_process_and_trouble_first() {
    let text = |picker: &mut Picker, (width, height)| {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a buffer");
        terminal.draw(|frame| picker.draw(frame)).expect("a buffer");
        terminal.backend().buffer().clone()
    };
    let key = |code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
    for size in SIZES {
        let mut picker = Picker::new(Theme::plain(), processes());
        assert_buffer("picker", &text(&mut picker, size));
        for c in "prox".chars() {
            assert_eq!(picker.on_event(&key(KeyCode::Char(c))), Choice::Open);
        }
        let shown = lines(&text(&mut picker, size));
        assert!(shown[2].contains("proxy 7000") && shown[2].contains(" +19"), "{}", shown[2]);
        assert_eq!(shown[3], "", "nobody else matches");
        assert_eq!(picker.on_event(&key(KeyCode::Enter)), Choice::Process(7_000));
        picker.on_event(&key(KeyCode::Esc));
        assert_eq!(picker.on_event(&key(KeyCode::Enter)), Choice::Process(4_242));
        picker.on_event(&key(KeyCode::End));
        assert_eq!(picker.on_event(&key(KeyCode::Enter)), Choice::Process(7_000));
        assert_eq!(picker.on_event(&key(KeyCode::Esc)), Choice::Left);
    }
}

#[test]
fn the_stream_stands_still_while_it_is_scrolled_back() {
    let mut snapshot = scene::incident();
    let mut screen = Screen::new(snapshot.clone());
    let shown = |screen: &mut Screen| {
        let lines = screen.lines();
        let title = lines.iter().position(|line| line.contains("LIVE")).expect("the stream");
        (lines[title].clone(), lines[title + 1].clone())
    };
    let (title, newest) = shown(&mut screen);
    assert!(!title.contains("newer"), "{title}");
    screen.key(KeyCode::Char('>'));
    let (title, entry) = shown(&mut screen);
    assert!(title.contains("newer") && entry != newest, "{title}");
    let newer: usize = title
        .split(" newer")
        .next()
        .and_then(|text| text.split("< ").last())
        .and_then(|n| n.parse().ok())
        .expect("a number");
    let mut more = snapshot.event_log.last().cloned().expect("an entry");
    for _ in 0..12 {
        more.ts_ns += 1_000_000;
        snapshot.event_log.push(more.clone());
    }
    snapshot.events_logged += 12;
    screen.app.update(snapshot);
    let (title, same) = shown(&mut screen);
    assert_eq!(same, entry);
    assert_shows(&title, &[&format!("< {} newer", newer + 12)]);
    for _ in 0..20 {
        screen.key(KeyCode::Char('<'));
    }
    let (title, _) = shown(&mut screen);
    assert!(!title.contains("newer"), "{title}");
}
