//! Puts the pages of a lesson on the screen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};

use super::page::{self, Lines};
use super::{LessonApp, Stage, list};
use crate::learn::Outcome;
use crate::tui::text::wrap;
use crate::tui::view::parts::{Row, columns, cut, raw, rule, span};

/// From here on the picture stands beside the text.
const WIDE: u16 = 120;
/// The smallest screen, in columns and lines.
const SMALLEST: (u16, u16) = (60, 16);

/// Two lines for who has never been here.
const WELCOME: [&str; 2] = [
    "Welcome: each lesson asks a question, then runs a real server to answer it.",
    "Predict first: ← → to choose, Enter to run. A wrong guess teaches the most.",
];

impl LessonApp {
    /// Draws the whole screen.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            let text = format!("Please give the lesson {} × {} characters or more. q quits.", SMALLEST.0, SMALLEST.1);
            let lines: Vec<Line<'_>> = wrap(&text, area.width.into()).into_iter().map(Line::from).collect();
            frame.render_widget(Text::from(lines), area);
            return;
        }
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(area);
        frame.render_widget(self.head(area.width.into()), head);
        frame.render_widget(self.foot(area.width.into()), foot);
        let body = Rect { y: body.y + 1, height: body.height - 1, ..body };
        self.body(frame, body);
    }

    fn head(&self, width: usize) -> Line<'static> {
        let step = 2 * self.round + if matches!(self.stage, Stage::Reveal(..)) { 2 } else { 1 };
        match self.stage {
            Stage::List => list::header(self.theme, &self.lessons, &self.progress, width),
            _ => page::header(self.theme, self.lesson(), step, self.recorded, width),
        }
    }

    fn body(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let width = usize::from(area.width);
        let wide = area.width >= WIDE && !self.evidence;
        let half = Rect { width: area.width / 2, ..area };
        let other = Rect { x: area.x + half.width + 1, width: area.width - half.width - 1, ..area };
        let column = if wide { usize::from(half.width) } else { width };
        let lines = match &self.stage {
            Stage::List => list::lines(self.theme, &self.lessons, &self.progress, self.at, width),
            Stage::Reveal(outcome, _) if self.evidence => {
                page::evidence(self.theme, self.lesson(), self.round, outcome, width)
            }
            Stage::Reveal(outcome, shown) => {
                let (mut lines, words) = self.reveal(outcome, *shown, column);
                if wide {
                    let room = usize::from(area.height).min(30);
                    let mut beside = self.pictured(outcome, other.width.into(), room);
                    beside.extend(page::evidence(self.theme, self.lesson(), self.round, outcome, other.width.into()));
                    frame.render_widget(Text::from(beside), other);
                    lines.push(Line::default());
                } else {
                    lines.extend(self.pictured(outcome, width, 0));
                }
                lines.extend(words);
                lines
            }
            stage => {
                let mut lines = self.asked(stage, column);
                let plan =
                    page::plan(self.theme, self.lesson(), self.round, if wide { other.width.into() } else { width });
                if wide {
                    frame.render_widget(Text::from(plan), other);
                    lines.extend([Line::default(), Line::default()]);
                    lines.push(rule(self.theme, vec![span("THE LESSONS", self.theme.dim())], column));
                    lines.extend(list::table(self.theme, &self.lessons, &self.progress, self.at, column));
                } else if matches!(stage, Stage::Predict) {
                    lines.push(Line::default());
                    lines.extend(plan);
                }
                lines
            }
        };
        let area = if wide && !matches!(self.stage, Stage::List) { half } else { area };
        self.put(frame, area, lines);
    }

    /// Lines that may be more than fit: the newest are followed while parts are revealed.
    fn put(&mut self, frame: &mut Frame<'_>, area: Rect, lines: Lines) {
        let height = usize::from(area.height);
        self.scroll_end = lines.len().saturating_sub(height);
        let follows = matches!(self.stage, Stage::Reveal(..)) && !self.evidence;
        let from = self.scroll.unwrap_or(if follows { self.scroll_end } else { 0 }).min(self.scroll_end);
        let shown: Lines = lines.into_iter().skip(from).take(height).collect();
        frame.render_widget(Text::from(shown), area);
    }

    fn pictured(&self, outcome: &Outcome, width: usize, room: usize) -> Lines {
        let mut out = vec![rule(self.theme, vec![span("WHO DID WHAT", self.theme.dim())], width)];
        out.extend(page::picture(self.theme, outcome, width, room));
        out.push(Line::default());
        out
    }

    /// The question, with what became of it so far.
    fn asked(&self, stage: &Stage, width: usize) -> Lines {
        let theme = self.theme;
        let mut out = Lines::new();
        if self.welcome {
            for text in WELCOME {
                let lines = wrap(text, width.saturating_sub(2)).into_iter();
                out.extend(lines.map(|line| Line::from(span(format!(" {line}"), theme.strong()))));
            }
            out.push(Line::default());
        }
        out.extend(page::intro(theme, self.lesson(), self.round, width));
        out.extend(page::question(theme, self.lesson(), self.round, width));
        out.push(page::answers(theme, self.lesson(), self.round, self.guess, None));
        match stage {
            Stage::Running(told) => {
                out.extend([Line::default(), rule(theme, vec![span("RUNNING", theme.dim())], width)]);
                let last = told.len().saturating_sub(1);
                for (at, text) in told.iter().enumerate() {
                    let sign = if at < last { " ✓ " } else { " ▸ " };
                    let style = if at < last { theme.dim() } else { theme.strong() };
                    out.push(Line::from(cut(vec![span(sign, theme.strong()), span(text.clone(), style)], width)));
                }
            }
            Stage::Failed(error) => {
                out.extend([Line::default(), rule(theme, vec![span("IT COULD NOT BE RUN", theme.strong())], width)]);
                let lines = wrap(error, width.saturating_sub(2)).into_iter();
                out.extend(lines.map(|line| Line::from(raw(format!(" {line}")))));
            }
            _ => {}
        }
        out
    }

    /// The verdict, and the parts that are revealed.
    fn reveal(&self, outcome: &Outcome, shown: usize, width: usize) -> (Lines, Lines) {
        let (theme, lesson, round) = (self.theme, self.lesson(), self.round);
        let mut out = page::question(theme, lesson, round, width);
        out.push(page::answers(theme, lesson, round, self.guess, lesson.rounds[round].right(&outcome.facts)));
        out.push(Line::default());
        out.extend(page::verdict(theme, lesson, round, outcome, self.guess, width));
        let parts = page::parts(theme, lesson, round, outcome, width);
        (out, parts.into_iter().take(shown).flatten().collect())
    }

    fn foot(&self, width: usize) -> Line<'static> {
        let keys: &[(&str, &str)] = match &self.stage {
            Stage::List => &[("↑↓", "select"), ("↵", "open"), ("q", "quit")],
            Stage::Predict => &[
                ("←→", "choose"),
                ("↵", "run"),
                ("n", "next lesson"),
                ("l", "lessons"),
                ("↑↓", "scroll"),
                ("q", "quit"),
            ],
            Stage::Running(_) => &[("q", "quit")],
            Stage::Reveal(..) if self.evidence => &[("e", "back"), ("↑↓", "scroll"), ("q", "quit")],
            Stage::Reveal(_, shown) => &[
                (
                    "↵",
                    if *shown < self.parts() {
                        "go on"
                    } else if self.is_last() {
                        "next lesson"
                    } else {
                        "predict again"
                    },
                ),
                ("e", "evidence"),
                ("n", "next lesson"),
                ("l", "lessons"),
                ("↑↓", "scroll"),
                ("q", "quit"),
            ],
            Stage::Failed(_) => &[("↵", "back"), ("n", "next lesson"), ("q", "quit")],
        };
        let theme = self.theme;
        let mut row = Row::new();
        if let Some(hint) = &self.hint {
            row.push(span(format!(" {hint} "), theme.reversed()));
        }
        for (key, does) in keys {
            let item = [span(format!(" {key}"), theme.strong()), span(format!(" {does} "), theme.dim())];
            if columns(&row) + columns(&item) <= width {
                row.extend(item);
            }
        }
        Line::from(row)
    }

    fn is_last(&self) -> bool {
        self.round + 1 == self.lesson().rounds.len()
    }
}
