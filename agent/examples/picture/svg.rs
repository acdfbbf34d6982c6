//! A terminal's buffer as an SVG picture.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

// A cell, in user units: a monospace font of 14 is 8.43 wide in DejaVu Sans Mono.
const CELL: (f64, f64) = (8.4, 18.0);
const FONT_SIZE: f64 = 14.0;
const BASELINE: f64 = 13.5;
const MARGIN: f64 = 14.0;
const TITLE_BAR: f64 = 32.0;

const BACKGROUND: &str = "#12151b";
const FOREGROUND: &str = "#dde1e8";
const FONTS: &str = "'DejaVu Sans Mono','JetBrains Mono',Menlo,Consolas,monospace";

/// The looks of a cell.
#[derive(Clone, PartialEq, Eq)]
struct Look {
    fill: String,
    background: Option<String>,
    bold: bool,
    underlined: bool,
    /// Blocks are drawn as rectangles, so that they join in every font.
    block: bool,
}

/// The picture of a buffer, in a window with a title.
pub(crate) fn picture(buffer: &Buffer, title: &str) -> String {
    let area = buffer.area;
    let width = f64::from(area.width) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(area.height) * CELL.1 + MARGIN + TITLE_BAR;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"{FONTS}\" font-size=\"{FONT_SIZE}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for (at, colour) in ["#5a6070"; 3].iter().enumerate() {
        let x = MARGIN + 6.0 + at as f64 * 18.0;
        let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"16\" r=\"5\" fill=\"{colour}\"/>");
    }
    let _ = writeln!(
        out,
        "<text x=\"50%\" y=\"21\" text-anchor=\"middle\" fill=\"#8a91a0\">{}</text>",
        escape(title)
    );
    for y in 0..area.height {
        line(buffer, y, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

fn line(buffer: &Buffer, y: u16, out: &mut String) {
    let mut cells: Vec<&Cell> = Vec::new();
    for x in 0..buffer.area.width {
        cells.push(&buffer[(x, y)]);
    }
    let top = TITLE_BAR + f64::from(y) * CELL.1;
    let mut at = 0;
    while at < cells.len() {
        let look = look(cells[at]);
        let start = at;
        let mut text = String::new();
        while at < cells.len() && self::look(cells[at]) == look {
            text.push_str(cells[at].symbol());
            at += 1;
        }
        draw_run(&text, &look, start, at - start, top, out);
    }
}

fn draw_run(text: &str, look: &Look, at: usize, run: usize, top: f64, out: &mut String) {
    let x = |cells: usize| MARGIN + cells as f64 * CELL.0;
    if let Some(background) = &look.background {
        rect(x(at), top, run as f64 * CELL.0, CELL.1, background, out);
    }
    if look.block {
        for (i, c) in text.chars().enumerate() {
            block(c, x(at + i), top, &look.fill, out);
        }
        return;
    }
    let words = text.trim_end();
    let lead = words.chars().take_while(|&c| c == ' ').count();
    let words = words.trim_start();
    if words.is_empty() {
        return;
    }
    let count = words.chars().count();
    let weight = if look.bold { " font-weight=\"bold\"" } else { "" };
    let line = if look.underlined { " text-decoration=\"underline\"" } else { "" };
    // textLength keeps the columns aligned whatever font the reader has.
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" xml:space=\"preserve\" \
         fill=\"{}\"{weight}{line}>{}</text>",
        x(at + lead),
        top + BASELINE,
        count as f64 * CELL.0,
        look.fill,
        escape(words)
    );
}

/// A block character: a share of its cell, from the left or from the bottom.
fn block(c: char, x: f64, top: f64, fill: &str, out: &mut String) {
    let code = u32::from(c);
    let (width, height) = match code {
        0x2581..=0x2588 => (1.0, f64::from(code - 0x2580) / 8.0),
        0x2589..=0x258f => (f64::from(0x2590 - code) / 8.0, 1.0),
        _ => return,
    };
    // A hair's breadth wider, lest neighbours show a seam.
    let seam = if width == 1.0 { 0.3 } else { 0.0 };
    rect(x, top + CELL.1 * (1.0 - height), CELL.0 * width + seam, CELL.1 * height, fill, out);
}

fn rect(x: f64, y: f64, width: f64, height: f64, fill: &str, out: &mut String) {
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.2}\" width=\"{width:.1}\" height=\"{height:.2}\" \
         fill=\"{fill}\"/>"
    );
}

fn look(cell: &Cell) -> Look {
    let (fg, bg) = if cell.modifier.contains(Modifier::REVERSED) {
        (
            css(cell.bg).unwrap_or(BACKGROUND.to_owned()),
            Some(css(cell.fg).unwrap_or(FOREGROUND.to_owned())),
        )
    } else {
        (css(cell.fg).unwrap_or(FOREGROUND.to_owned()), css(cell.bg))
    };
    let is_block = cell.symbol().chars().all(|c| ('\u{2581}'..='\u{258f}').contains(&c));
    Look {
        fill: fg,
        background: bg,
        bold: cell.modifier.contains(Modifier::BOLD) && !is_block,
        underlined: cell.modifier.contains(Modifier::UNDERLINED),
        block: is_block,
    }
}

/// A colour of the 256; `None` is the terminal's own.
fn css(colour: Color) -> Option<String> {
    let Color::Indexed(index) = colour else { return None };
    let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
    Some(match index {
        16..=231 => {
            let n = index - 16;
            format!("#{:02x}{:02x}{:02x}", level(n / 36), level(n / 6 % 6), level(n % 6))
        }
        232..=255 => {
            let grey = 8 + 10 * (index - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
        _ => return None,
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
