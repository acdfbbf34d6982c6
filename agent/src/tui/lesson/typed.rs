//! Command lines on the screen, broken so that a shell takes them.

use ratatui::text::Line;

use super::page::Lines;
use crate::learn::{CommandLine, CommandLines};
use crate::tui::text::{left, wrap};
use crate::tui::theme::Theme;
use crate::tui::view::parts::{paragraph, raw, rule, span};

/// Returns what will run, as lines that can be typed.
pub(super) fn plan(theme: Theme, lines: &CommandLines, width: usize) -> Lines {
    let title = "WHAT WILL RUN, in a network of its own (sudo unshare --net)";
    let mut out = vec![rule(theme, vec![span(title, theme.dim())], width)];
    let parts = match &lines.demo {
        Some(demo) => std::slice::from_ref(demo),
        None => &lines.parts,
    };
    out.extend(typed(theme, parts, width));
    out
}

/// Returns the command lines that do what runs: in one line, and one after the other.
pub(super) fn commands(theme: Theme, lines: &CommandLines, width: usize) -> Lines {
    let heading = |text: &str| rule(theme, vec![span(text.to_owned(), theme.dim())], width);
    let mut out = Lines::new();
    if let Some(demo) = &lines.demo {
        out.push(heading("THE SAME, IN ONE LINE"));
        out.extend(typed(theme, std::slice::from_ref(demo), width));
        out.push(Line::default());
    }
    out.push(heading("THE SAME, STEP BY STEP IN A NETWORK OF ITS OWN"));
    for line in &lines.shell {
        out.push(Line::from(span(format!(" # {}", line.about), theme.dim())));
        for text in continued(&line.text, width.saturating_sub(2)) {
            out.push(Line::from(raw(format!(" {text}"))));
        }
    }
    out.push(Line::default());
    let watch = "Beside it, in another terminal: sudo backscope watch --comm demo-servers";
    out.extend(paragraph(watch, 1, theme.dim(), width));
    out
}

/// Command lines behind what they are for.
fn typed(theme: Theme, lines: &[CommandLine], width: usize) -> Lines {
    let mut out = Lines::new();
    for line in lines {
        let texts = continued(&line.text, width.saturating_sub(15));
        for (at, text) in texts.into_iter().enumerate() {
            let about = if at == 0 { line.about } else { "" };
            let about = span(format!(" {}", left(about, 13)), theme.dim());
            out.push(Line::from(vec![about, raw(text)]));
        }
    }
    out
}

/// A command line over several lines, as a shell takes it.
fn continued(text: &str, width: usize) -> Vec<String> {
    let mut lines = wrap(text, width.saturating_sub(2));
    let last = lines.len().saturating_sub(1);
    for line in lines.iter_mut().take(last) {
        line.push_str(" \\");
    }
    lines
}
