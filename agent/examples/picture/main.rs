//! Draws a scene with the real view and writes the picture, an SVG, to standard output.
//!
//! `cargo run --example picture > docs/watch.svg`; `-- 160 50` for another size, `-- 100 30
//! connections` for another screen (queues, connections, connection, threads, findings), `--text`
//! at the end for plain text.

mod scene;
mod svg;
mod traffic;

use anyhow::{Context, bail};
use backscope::tui::{App, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyCode};

fn main() -> anyhow::Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let plain = args.pop_if(|last| last == "--text").is_some();
    let mut args = args.iter();
    let width = match args.next() {
        Some(columns) => columns.parse().context("columns")?,
        None => 100,
    };
    let height = match args.next() {
        Some(lines) => lines.parse().context("lines")?,
        None => 30,
    };
    let screen = match args.next() {
        Some(screen) => screen.as_str(),
        None => "incident",
    };

    let mut app = App::new(if plain { Theme::plain() } else { Theme::colour() });
    app.update(if screen == "incident" { scene::incident() } else { traffic::traffic() });
    let keys: &[KeyCode] = match screen {
        "incident" | "queues" => &[],
        "connections" => &[KeyCode::Char('2')],
        "connection" => &[KeyCode::Char('2'), KeyCode::Enter],
        "threads" => &[KeyCode::Char('3')],
        "findings" => &[KeyCode::Char('4')],
        "help" => &[KeyCode::Char('?')],
        _ => bail!("no screen has the name {screen}"),
    };
    for &key in keys {
        app.on_event(Event::Key(key.into()));
    }
    let mut terminal = Terminal::new(TestBackend::new(width, height))?;
    terminal.draw(|frame| app.draw(frame))?;
    let buffer = terminal.backend().buffer();
    if plain {
        print!("{}", text(buffer));
    } else {
        print!("{}", svg::picture(buffer, "sudo backscope watch --pid 4242"));
    }
    Ok(())
}

fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let line: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
