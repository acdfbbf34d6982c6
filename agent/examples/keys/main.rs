//! Measures how soon a key is answered with very many connections: the model's view and the
//! drawing, without a kernel and without a terminal.
//!
//! `cargo run --release -p backscope --example keys [CONNECTIONS]`

mod crowd;

use std::time::{Duration, Instant};

use backscope::tui::{App, Theme};
use crowd::Crowd;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

/// Times that each key is typed.
const TIMES: u32 = 50;

fn main() {
    let connections = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let mut crowd = Crowd::new(connections);
    let (mut app, mut terminal) = (
        App::new(Theme::colour()),
        Terminal::new(TestBackend::new(200, 60)).expect("a buffer takes any size"),
    );
    let begin = Instant::now();
    for at in 0..50_000 {
        crowd.exchange(at % connections, 100 + at % 7_919);
    }
    println!("{connections} connections");
    println!("{:>9.2?}  50 000 exchanges", begin.elapsed());
    report("a refresh: the sample", || crowd.sample());
    report("a refresh: the view", || app.update(crowd.model.view(&app.query())));
    report("a refresh: the drawing", || {
        terminal.draw(|frame| app.draw(frame)).expect("a buffer takes everything");
    });
    let keys = [
        ("2, the connections", KeyCode::Char('2')),
        ("Down", KeyCode::Down),
        ("PgDn", KeyCode::PageDown),
        ("End", KeyCode::End),
        ("Home", KeyCode::Home),
        ("s, by another column", KeyCode::Char('s')),
        ("S, from the end", KeyCode::Char('S')),
        ("/", KeyCode::Char('/')),
        ("a letter of the filter", KeyCode::Char('1')),
    ];
    for (name, code) in keys {
        report(name, || {
            app.on_event(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
            if let Some(query) = app.query_due() {
                app.show_found(crowd.model.find(&query));
            }
            terminal.draw(|frame| app.draw(frame)).expect("a buffer takes everything");
        });
    }
}

/// Prints the mean and the longest time of an action.
fn report(name: &str, mut action: impl FnMut()) {
    let (mut sum, mut longest) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TIMES {
        let begin = Instant::now();
        action();
        let took = begin.elapsed();
        sum += took;
        longest = longest.max(took);
    }
    println!("{:>9.2?}  mean {:>9.2?} at most  {name}", sum / TIMES, longest);
}
