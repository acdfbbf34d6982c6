//! Draws the incident with the real view and writes the picture, an SVG, to standard output.
//!
//! `cargo run --example picture > docs/watch.svg`; `-- 160 50` for another size.

mod scene;
mod svg;

use anyhow::Context;
use backscope::tui::{App, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn main() -> anyhow::Result<()> {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse::<u16>());
    let width = sizes.next().transpose().context("columns")?.unwrap_or(100);
    let height = sizes.next().transpose().context("lines")?.unwrap_or(30);

    let mut app = App::new(Theme::colour());
    app.update(scene::incident());
    let mut terminal = Terminal::new(TestBackend::new(width, height))?;
    terminal.draw(|frame| app.draw(frame))?;
    print!("{}", svg::picture(terminal.backend().buffer(), "sudo backscope watch --pid 4242"));
    Ok(())
}
