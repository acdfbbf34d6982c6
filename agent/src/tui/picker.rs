//! The choice of a process: who listens, those in trouble first.

use std::cmp::Reverse;
use std::net::SocketAddr;

use ratatui::Frame;
use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::text::{Line, Text};
use unicode_width::UnicodeWidthStr;

use super::text::{clip, compact, escape, grouped, left};
use super::theme::Theme;
use super::view::parts::{raw, span, spread};
use crate::text::Untrusted;

/// Columns for the reason to look at a process, and for its name.
const REASON: usize = 30;
const PROCESS: usize = 22;
/// Lines besides the rows: title, header, footer.
const AROUND: u16 = 3;

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The process.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// The addresses that it listens on.
    pub listens: Vec<SocketAddr>,
    /// Connections that wait in its accept queues, and how many may wait in those that have any.
    pub waiting: u64,
    /// Their limits.
    pub limit: u64,
    /// One of its accept queues is full.
    pub full: bool,
    /// Packets that its listeners have dropped since they opened.
    pub drops: u64,
}

impl Candidate {
    /// Returns the reason to look at it: "queue full, 129 of 128"; nothing if there is none.
    pub fn reason(&self) -> String {
        let waiting = match self.waiting {
            0 => String::new(),
            n if self.full => format!("full, {} of {}", compact(n), compact(self.limit)),
            1 => "1 waits".to_owned(),
            n => format!("{} wait", compact(n)),
        };
        match (waiting.is_empty(), self.drops) {
            (_, 0) => waiting,
            (true, n) => format!("{} dropped", compact(n)),
            (false, n) => format!("{waiting}, {} dropped", compact(n)),
        }
    }

    /// Returns its name and id: "api-server 4242".
    pub fn name(&self) -> String {
        if self.comm.is_empty() {
            format!("pid {}", self.pid)
        } else {
            format!("{} {}", escape(&self.comm), self.pid)
        }
    }

    /// Returns as many of its addresses as a width takes, and the number of the others: "+197".
    pub fn places(&self, width: usize) -> String {
        let mut text = String::new();
        for (at, place) in self.listens.iter().enumerate() {
            let place = place.to_string();
            let more = self.listens.len() - at - 1;
            let tail = if more > 0 { format!(" +{}", grouped(more as u64)) } else { String::new() };
            let gap = usize::from(at > 0);
            if at > 0 && text.width() + gap + place.width() + tail.width() > width {
                return format!("{text} +{}", grouped(more as u64 + 1));
            }
            if at > 0 {
                text.push(' ');
            }
            text += &place;
        }
        clip(&text, width)
    }

    fn matches(&self, needle: &str) -> bool {
        self.name().to_lowercase().contains(needle)
            || self.listens.iter().any(|place| place.to_string().contains(needle))
    }
}

/// Puts those first whose queue is full, then those with most waiting, then those that dropped.
pub fn sort(candidates: &mut [Candidate]) {
    candidates
        .sort_by_key(|one| (Reverse(one.full), Reverse(one.waiting), Reverse(one.drops), one.pid));
}

/// Outcome of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// None yet: draw again.
    Open,
    /// This process.
    Process(u32),
    /// The user leaves.
    Left,
}

/// The screen on which a process is chosen.
#[derive(Debug)]
pub struct Picker {
    theme: Theme,
    candidates: Vec<Candidate>,
    filter: String,
    /// Row of the selected one, of those that match.
    cursor: usize,
    /// Rows on the last screen.
    rows: usize,
}

impl Picker {
    /// Offers processes, in the order of [`sort`].
    pub fn new(theme: Theme, mut candidates: Vec<Candidate>) -> Self {
        sort(&mut candidates);
        Self { theme, candidates, filter: String::new(), cursor: 0, rows: 1 }
    }

    /// Returns the processes that match a text: part of a name, a process id or an address.
    pub fn matching(&self, filter: &str) -> Vec<&Candidate> {
        let needle = filter.to_lowercase();
        self.candidates.iter().filter(|one| one.matches(&needle)).collect()
    }

    /// Takes a key; letters and digits are the filter.
    pub fn on_event(&mut self, event: &Event) -> Choice {
        let Event::Key(key) = event else { return Choice::Open };
        if key.kind == KeyEventKind::Release {
            return Choice::Open;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Choice::Left } else { Choice::Open };
        }
        let matching: Vec<u32> = self.matching(&self.filter).iter().map(|one| one.pid).collect();
        let last = matching.len().saturating_sub(1);
        let page = self.rows.max(1);
        self.cursor = match key.code {
            KeyCode::Enter => match matching.get(self.cursor) {
                Some(pid) => return Choice::Process(*pid),
                None => self.cursor,
            },
            KeyCode::Esc if self.filter.is_empty() => return Choice::Left,
            KeyCode::Esc => {
                self.filter.clear();
                0
            }
            KeyCode::Backspace => {
                self.filter.pop();
                0
            }
            KeyCode::Char('q') if self.filter.is_empty() => return Choice::Left,
            KeyCode::Char(c) => {
                self.filter.push(c);
                0
            }
            KeyCode::Up => self.cursor.saturating_sub(1),
            KeyCode::Down => self.cursor + 1,
            KeyCode::PageUp => self.cursor.saturating_sub(page),
            KeyCode::PageDown => self.cursor + page,
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => self.cursor,
        };
        self.cursor = self.cursor.min(self.matching(&self.filter).len().saturating_sub(1));
        Choice::Open
    }

    /// Draws the screen.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let width = usize::from(area.width);
        self.rows = usize::from(area.height.saturating_sub(AROUND));
        let matching = self.matching(&self.filter);
        let first =
            self.cursor.saturating_sub(self.rows / 2).min(matching.len().saturating_sub(self.rows));
        let mut lines = vec![self.title(matching.len(), first, width), self.header(width)];
        for (at, one) in matching.iter().enumerate().skip(first).take(self.rows) {
            lines.push(self.row(one, at == self.cursor, width));
        }
        if matching.is_empty() {
            let text = format!(" None matches “{}”.", escape(&self.filter.as_str().into()));
            lines.push(Line::from(span(text, self.theme.strong())));
        }
        let footer = self.footer(width);
        frame.render_widget(Text::from(lines), area);
        let last = Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area };
        frame.render_widget(Text::from(footer), last);
    }

    fn title(&self, matching: usize, first: usize, width: usize) -> Line<'static> {
        let theme = self.theme;
        let place = if matching > self.rows {
            let last = (first + self.rows).min(matching);
            format!("{}–{last} of {matching} ", first + 1)
        } else {
            String::new()
        };
        let text =
            vec![span(" backscope ", theme.strong()), raw(" Which process is to be watched?")];
        spread(text, vec![span(place, theme.dim())], width)
    }

    fn header(&self, width: usize) -> Line<'static> {
        let text = format!(" {} {} LISTENS ON", left("WHY", REASON), left("PROCESS", PROCESS));
        Line::from(span(clip(&text, width), self.theme.dim()))
    }

    fn row(&self, one: &Candidate, selected: bool, width: usize) -> Line<'static> {
        let theme = self.theme;
        let room = width.saturating_sub(REASON + PROCESS + 4);
        let why = match one.reason() {
            why if why.is_empty() => span(left("–", REASON), theme.dim()),
            why if one.full => span(left(&why, REASON), theme.loss()),
            why => span(left(&why, REASON), theme.strong()),
        };
        Line::from(vec![
            span(if selected { "▸" } else { " " }, theme.strong()),
            why,
            raw(" "),
            span(left(&one.name(), PROCESS), theme.strong()),
            raw(" "),
            span(one.places(room), theme.dim()),
        ])
    }

    fn footer(&self, width: usize) -> Line<'static> {
        let theme = self.theme;
        let keys = if self.filter.is_empty() {
            " ↑↓ select   ↵ watch   type to filter by name, pid or port   q quit".to_owned()
        } else {
            "   ↵ watch   Esc clears".to_owned()
        };
        let mut row = Vec::new();
        if !self.filter.is_empty() {
            row.push(span(" filter ", theme.reversed()));
            row.push(span(format!(" {}▏", escape(&self.filter.as_str().into())), theme.strong()));
        }
        row.push(span(keys, theme.dim()));
        spread(row, Vec::new(), width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(pid: u32, ports: std::ops::Range<u16>) -> Candidate {
        Candidate {
            pid,
            comm: "many".into(),
            listens: ports.map(|port| SocketAddr::from(([0, 0, 0, 0], port))).collect(),
            waiting: 0,
            limit: 128,
            full: false,
            drops: 0,
        }
    }

    #[test]
    fn what_has_no_room_is_a_number() {
        let many = candidate(7, 20_000..20_200);
        assert_eq!(many.places(48), "0.0.0.0:20000 0.0.0.0:20001 0.0.0.0:20002 +197");
        assert_eq!(many.places(10), "0.0.0.0:20000 +199", "one is always named");
        assert_eq!(candidate(7, 80..81).places(10), "0.0.0.0:80");
        for width in 20..200 {
            let text = many.places(width);
            assert!(text.width() <= width, "{text}");
            let shown = text.matches("0.0.0.0:").count();
            let rest = text.rsplit_once('+').map_or(0, |(_, rest)| rest.parse().unwrap());
            assert_eq!(shown + rest, 200, "{text}");
        }
    }

    #[test]
    fn trouble_comes_first_and_is_said() {
        let calm = candidate(1, 80..81);
        let waits = Candidate { waiting: 3, ..candidate(2, 81..82) };
        let dropped = Candidate { drops: 40, ..candidate(3, 82..83) };
        let full = Candidate { waiting: 2, limit: 1, full: true, ..candidate(4, 83..84) };
        let mut all = vec![calm, waits, dropped, full];
        sort(&mut all);
        let order: Vec<_> = all.iter().map(|one| (one.pid, one.reason())).collect();
        assert_eq!(
            order,
            [
                (4, "full, 2 of 1".to_owned()),
                (2, "3 wait".to_owned()),
                (3, "40 dropped".to_owned()),
                (1, String::new())
            ]
        );
    }
}
