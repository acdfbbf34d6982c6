//! The help: the keys of the view in front, those of the others, and every sign.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear};

use super::parts::{raw, side_by_side, span};
use super::put;
use crate::model::snapshot::Holder;
use crate::tui::help::Help;
use crate::tui::keys::{self, View};
use crate::tui::signs;
use crate::tui::text::{escape, left, wrap};
use crate::tui::theme::Theme;

/// Columns of one entry at most, and those from which on two stand side by side.
const WIDE: u16 = 78;
const TWO_COLUMNS: u16 = 132;
/// Columns of keys and signs; fewer where an entry has less than so many in all.
const NAME: usize = 16;
const SHORT_NAME: usize = 6;
const ROOMY: usize = 56;

const OWNERS: [(Holder, &str); 6] = [
    (Holder::Kernel, "the kernel held it: Nagle, pacing, no CPU free"),
    (Holder::App, "the application held it: no accept(), its work"),
    (Holder::Upstream, "upstream: the application waited for a server that it had called"),
    (Holder::Network, "the network held it: loss, congestion, distance"),
    (Holder::Peer, "the peer held it: its answer, its window"),
    (Holder::Unknown, "unknown: nothing that was observed shows who held it"),
];

/// An entry: what is explained, and the sentence.
struct Entry {
    name: Vec<Span<'static>>,
    says: String,
}

/// Entries under a title.
struct Section {
    title: String,
    entries: Vec<Entry>,
}

/// Draws the help over whatever there is. Returns how far it can be scrolled.
pub(super) fn draw(
    theme: Theme,
    help: &Help,
    (view, replay): (View, bool),
    frame: &mut Frame<'_>,
    area: Rect,
) -> usize {
    let columns = if area.width >= TWO_COLUMNS { 2 } else { 1 };
    let width = (WIDE * columns + 2 + columns).min(area.width);
    let each = usize::from((width - 2) / columns).saturating_sub(1);
    let mut sections = sections(theme, view, replay);
    for section in &mut sections {
        section.entries.retain(|entry| matches(entry, &section.title, &help.query));
    }
    sections.retain(|section| !section.entries.is_empty());
    let blocks: Vec<Vec<Line<'static>>> =
        sections.iter().map(|section| lines(theme, section, each)).collect();
    let room = usize::from(area.height.saturating_sub(2));
    let lines = match (columns, blocks.is_empty()) {
        (_, true) => nothing(theme, help, each),
        (1, _) => blocks.concat(),
        _ => halves(&blocks, each),
    };
    let scroll_end = lines.len().saturating_sub(room);
    let past = help.scroll.min(scroll_end);
    let height = (lines.len() as u16 + 2).clamp(4, area.height.max(4)).min(area.height);
    let area = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, area);
    let more = scroll_end - past;
    let block = Block::bordered()
        .title(title(theme, help))
        .title_bottom(bottom(theme, help, more, usize::from(width)))
        .border_style(theme.dim());
    let inside = block.inner(area);
    frame.render_widget(block, area);
    put(frame, inside, lines.into_iter().skip(past).collect());
    scroll_end
}

fn title(theme: Theme, help: &Help) -> Line<'static> {
    if !help.typing && help.query.is_empty() {
        return Line::from(span(" keys and signs ", theme.strong()));
    }
    let cursor = if help.typing { "▏" } else { "" };
    Line::from(vec![
        span(" search ", theme.reversed()),
        span(format!(" {}{cursor} ", escape(&help.query.as_str().into())), theme.strong()),
    ])
}

fn bottom(theme: Theme, help: &Help, more: usize, width: usize) -> Line<'static> {
    let leave = if help.typing || !help.query.is_empty() { "Esc shows all" } else { "Esc closes" };
    let more = if more > 0 { format!("  ↓ {more} more lines") } else { String::new() };
    let long = format!(" / searches  {leave}{more} ");
    let text = if long.chars().count() + 4 <= width { long } else { format!(" {leave}{more} ") };
    Line::from(span(text, theme.strong()))
}

fn nothing(theme: Theme, help: &Help, width: usize) -> Vec<Line<'static>> {
    let text = format!("Nothing here has “{}”.", escape(&help.query.as_str().into()));
    wrap(&text, width.saturating_sub(2))
        .into_iter()
        .map(|line| Line::from(span(format!(" {line}"), theme.strong())))
        .collect()
}

/// True if an entry, or the title above it, has the text that is searched for.
fn matches(entry: &Entry, title: &str, query: &str) -> bool {
    let query = query.to_lowercase();
    let mut name = String::new();
    for piece in &entry.name {
        name.push_str(&piece.content);
    }
    [name.as_str(), &entry.says, title].iter().any(|text| text.to_lowercase().contains(&query))
}

fn sections(theme: Theme, view: View, replay: bool) -> Vec<Section> {
    let key = |key: &keys::Key, says: String| Entry {
        name: vec![span(key.names(), theme.strong())],
        says,
    };
    let mut here = Vec::new();
    for row in keys::of(view, replay) {
        here.push(key(row, row.says()));
    }
    let mut out = vec![Section { title: format!("KEYS HERE ({})", view.name()), entries: here }];
    if replay {
        let rows = keys::REPLAY_KEYS.iter().map(|row| key(row, row.says()));
        out.push(Section { title: "KEYS OF THE REPLAY".to_owned(), entries: rows.collect() });
    }
    let mut owners = Vec::new();
    for (owner, says) in OWNERS {
        owners.push(Entry {
            name: vec![
                span(format!(" {} ", owner.letter()), theme.badge(owner)),
                span(format!(" {}", owner.name()), theme.owner(owner)),
            ],
            says: says.to_owned(),
        });
    }
    out.push(Section { title: "WHOSE DOING, WHOSE TIME".to_owned(), entries: owners });
    for group in signs::GROUPS {
        let mut entries = Vec::new();
        for &(sign, says) in group.signs {
            let style = if sign.starts_with('▲') { theme.loss() } else { Style::new() };
            entries.push(Entry { name: vec![span(sign, style)], says: says.to_owned() });
        }
        out.push(Section { title: group.title.to_owned(), entries });
    }
    let mut others = Vec::new();
    for row in keys::elsewhere(view, replay) {
        others.push(key(row, format!("{} ({})", row.says(), keys::views(row))));
    }
    for &(name, says) in keys::TERMINAL_KEYS {
        others.push(Entry { name: vec![span(name, theme.strong())], says: says.to_owned() });
    }
    out.push(Section { title: "OTHER KEYS".to_owned(), entries: others });
    out
}

/// Returns a section as lines of a width: the sentence beside what it explains, or below it where
/// that has no room.
fn lines(theme: Theme, section: &Section, width: usize) -> Vec<Line<'static>> {
    let mut out = vec![Line::from(span(format!(" {}", section.title), theme.dim()))];
    let wide = if width >= ROOMY { NAME } else { SHORT_NAME };
    let indent = wide + 2;
    for entry in &section.entries {
        let mut said = wrap(&entry.says, width.saturating_sub(indent).max(8)).into_iter();
        let name: usize = entry.name.iter().map(Span::width).sum();
        let mut row = vec![raw("  ")];
        row.extend(entry.name.iter().cloned());
        if name < wide {
            row.push(raw(left("", wide - name)));
            row.push(raw(said.next().unwrap_or_default()));
        }
        out.push(Line::from(row));
        for line in said {
            out.push(Line::from(format!("{}{line}", " ".repeat(indent))));
        }
    }
    out.push(Line::default());
    out
}

/// Puts the first sections at the left and the rest at the right, about as many lines in each.
fn halves(blocks: &[Vec<Line<'static>>], width: usize) -> Vec<Line<'static>> {
    let all: usize = blocks.iter().map(Vec::len).sum();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for block in blocks {
        if second.is_empty() && first.len() + block.len() / 2 <= all / 2 {
            first.extend(block.iter().cloned());
        } else {
            second.extend(block.iter().cloned());
        }
    }
    side_by_side(first, second, width + 1)
}
