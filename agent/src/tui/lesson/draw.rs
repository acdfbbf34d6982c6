//! Puts the pages of a lesson on the screen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Text};

use super::page::{self, Lines};
use super::reveal::Reveal;
use super::summary::{self, After, RoundSeen};
use super::{LessonApp, Seen, Stage, knobs, list, parts, typed};
use crate::tui::text::{escape, wrap};
use crate::tui::view::parts::{cut, paragraph, rule, span};

/// Columns from which on the picture stands beside the text.
const WIDE: u16 = 120;
/// Columns of text at most: longer lines are hard to read.
const WORDS: u16 = 72;
/// Columns of pages that are one column.
const WIDEST: usize = 110;
/// The smallest screen, in columns and lines.
const SMALLEST: (u16, u16) = (60, 16);

/// Two lines for a first visit.
const WELCOME: [&str; 2] = [
    "Welcome: each lesson asks a question, then runs a real server to answer it.",
    "Predict first: ← → to choose, Enter to run. A wrong guess teaches the most.",
];

impl LessonApp {
    /// Draws the whole screen.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        self.keep_command_lines();
        let area = frame.area();
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            let text = format!(
                "The lesson needs at least {} × {} characters. q quits.",
                SMALLEST.0, SMALLEST.1
            );
            let lines: Vec<Line<'_>> =
                wrap(&text, area.width.into()).into_iter().map(Line::from).collect();
            frame.render_widget(Text::from(lines), area);
            return;
        }
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
                .areas(area);
        frame.render_widget(self.head(area.width.into()), head);
        frame.render_widget(self.foot(foot), foot);
        let body = Rect { y: body.y + 1, height: body.height - 1, ..body };
        self.body(frame, body);
    }

    fn head(&self, width: usize) -> Line<'static> {
        let step = match self.stage {
            Stage::List => {
                return list::header(self.theme, &self.lessons, &self.progress, width);
            }
            Stage::Summary => "summary".to_owned(),
            Stage::Bench(_) => "the bench".to_owned(),
            _ => {
                let after = usize::from(matches!(self.stage, Stage::Reveal(_)));
                let steps = 2 * self.lesson().rounds.len();
                format!("step {} of {steps}", 2 * self.round + 1 + after)
            }
        };
        page::header(self.theme, self.lesson(), &step, self.recorded, width)
    }

    fn body(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let (theme, width, room) = (self.theme, usize::from(area.width), area.height.into());
        let read = width.min(WIDEST);
        let lines = match &self.stage {
            Stage::List => {
                let lines =
                    list::lines(theme, &self.lessons, &self.progress, Some(self.at), width, room);
                // More than a line for each is only where all fit.
                let from = list::scroll(&lines, self.lessons.len(), self.at, room);
                self.put(frame, area, lines, from);
                return;
            }
            Stage::Reveal(reveal) if self.evidence => {
                page::evidence(theme, self.lesson(), self.round, &reveal.outcome, width)
            }
            _ if self.commands => typed::commands(theme, &self.command_lines(), read),
            Stage::Bench(turning) => {
                let answer = &self.lesson().rounds[self.round].plan.answer;
                knobs::lines(theme, turning, answer, read, room)
            }
            Stage::Summary => self.summary(read),
            _ if area.width >= WIDE => return self.wide(frame, area),
            _ => return self.narrow(frame, area),
        };
        self.put(frame, area, lines, 0);
    }

    fn summary(&self, width: usize) -> Lines {
        let (lesson, at) = (self.lesson(), self.at);
        let seen = self.seen.iter().enumerate().map(|(round, seen)| {
            let Seen { guess, reveal } = seen.as_ref()?;
            let owners = reveal.score(lesson, round);
            Some(RoundSeen { guess: *guess, outcome: &reveal.outcome, owners })
        });
        let seen: Vec<_> = seen.collect();
        let after = After {
            next: self.lessons.get(at + 1),
            command: self.command_lines().demo.clone(),
            keys: !self.recorded,
        };
        let done = self.progress.of(&lesson.slug);
        summary::lines(self.theme, lesson, &seen, &done, &after, width)
    }

    /// Draws one thing below the other.
    fn narrow(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let (lines, question) = match &self.stage {
            Stage::Reveal(reveal) => {
                let (question, mut lines, words) = self.reveal_lines(reveal, width);
                lines.extend(page::pictured(self.theme, &reveal.outcome, width, 0));
                lines.extend(words);
                let before = question.len();
                (question.into_iter().chain(lines).collect(), before)
            }
            stage => {
                let mut lines = self.asked(stage, width);
                if matches!(stage, Stage::Predict) {
                    lines.push(Line::default());
                    lines.extend(typed::plan(self.theme, &self.command_lines(), width));
                    let measured = page::measured(self.theme, self.lesson(), width);
                    if lines.len() + measured.len() < height {
                        lines.push(Line::default());
                        lines.extend(measured);
                    }
                }
                (lines, 0)
            }
        };
        let area = self.ask_owner(frame, area, lines.len());
        self.put(frame, area, lines, question);
    }

    /// Draws the question whose doing the next step is below the `used` lines, or at the bottom: it
    /// is seen whatever is scrolled. Returns the room above it.
    fn ask_owner(&self, frame: &mut Frame<'_>, area: Rect, used: usize) -> Rect {
        let Stage::Reveal(reveal) = &self.stage else { return area };
        let width = area.width.into();
        let asked = parts::asked_owner(self.theme, self.lesson(), self.round, reveal, width);
        if asked.is_empty() {
            return area;
        }
        let height = (asked.len() as u16).min(area.height / 2);
        let used = u16::try_from(used).unwrap_or(u16::MAX).saturating_add(1);
        let above = Rect { height: used.min(area.height - height), ..area };
        frame.render_widget(Text::from(asked), Rect { y: area.y + above.height, height, ..area });
        above
    }

    /// Draws the words on the left, what they are drawn from on the right.
    fn wide(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let (theme, lesson) = (self.theme, self.lesson());
        let words = Rect { width: (area.width / 2).min(WORDS), ..area };
        let beside =
            Rect { x: area.x + words.width + 1, width: area.width - words.width - 1, ..area };
        let (column, other, height) =
            (words.width.into(), beside.width.into(), usize::from(area.height));
        let (mut lines, seen) = match &self.stage {
            Stage::Reveal(reveal) => {
                let (mut lines, verdict, words) = self.reveal_lines(reveal, column);
                lines.extend(verdict);
                lines.push(Line::default());
                lines.extend(words);
                let outcome = &reveal.outcome;
                let evidence = page::evidence(theme, lesson, self.round, outcome, other);
                // Facts and claims are seen below the picture; what ran is one key away.
                let below =
                    lesson.check.facts.len() + lesson.rounds[self.round].plan.claims.len() + 4;
                let mut seen = page::pictured(theme, outcome, other, height.saturating_sub(below));
                seen.extend(evidence);
                (lines, seen)
            }
            stage => {
                let mut seen = typed::plan(theme, &self.command_lines(), other);
                seen.push(Line::default());
                seen.extend(page::measured(theme, lesson, other));
                seen.push(Line::default());
                seen.extend(page::legend(theme, other));
                (self.asked(stage, column), seen)
            }
        };
        // The list stands at the bottom, as long as the text leaves it room.
        let room = height.saturating_sub(lines.len() + 2);
        let list = list::table(theme, &self.lessons, &self.progress, Some(self.at), column, room);
        let used = lines.len();
        let asks = matches!(&self.stage, Stage::Reveal(reveal)
            if reveal.asked(lesson, self.round).is_some());
        if list.len() <= room && !asks {
            lines.resize(height - list.len() - 1, Line::default());
            lines.push(rule(theme, vec![span("THE LESSONS", theme.dim())], column));
            lines.extend(list);
        }
        frame.render_widget(Text::from(seen), beside);
        let words = self.ask_owner(frame, words, used);
        self.put(frame, words, lines, 0);
    }

    /// Draws lines that may be more than fit. While parts are revealed the newest are followed. The
    /// first `whole` lines are seen whole or not at all.
    fn put(&mut self, frame: &mut Frame<'_>, area: Rect, lines: Lines, whole: usize) {
        let height = usize::from(area.height);
        self.scroll_end = lines.len().saturating_sub(height);
        let newest = match &self.stage {
            _ if self.evidence || self.commands || self.scroll_end == 0 => 0,
            // What was measured comes first, then the picture.
            Stage::Reveal(reveal) if reveal.shown == reveal.first => whole,
            Stage::Reveal(_) => self.scroll_end.max(whole),
            Stage::List => whole,
            _ => 0,
        };
        let from = match self.scroll {
            Some(from) => from.min(self.scroll_end),
            None => newest,
        };
        self.scrolled = from;
        let shown: Lines = lines.into_iter().skip(from).take(height).collect();
        frame.render_widget(Text::from(shown), area);
    }

    /// Returns the question, with what became of it so far.
    fn asked(&self, stage: &Stage, width: usize) -> Lines {
        let theme = self.theme;
        let mut out = Lines::new();
        if self.welcome {
            for text in WELCOME {
                out.extend(paragraph(text, 1, theme.strong(), width));
            }
            out.push(Line::default());
        }
        out.extend(page::intro(theme, self.lesson(), self.round, width));
        out.extend(page::question(theme, self.lesson(), self.round, width));
        out.push(page::answers(theme, self.lesson(), self.round, self.guess, None));
        match stage {
            Stage::Running(told) => {
                out.extend([
                    Line::default(),
                    rule(theme, vec![span("RUNNING", theme.dim())], width),
                ]);
                let last = told.len().saturating_sub(1);
                for (at, text) in told.iter().enumerate() {
                    let sign = if at < last { " ✓ " } else { " ▸ " };
                    let style = if at < last { theme.dim() } else { theme.strong() };
                    out.push(Line::from(cut(
                        vec![span(sign, theme.strong()), span(escape(text), style)],
                        width,
                    )));
                }
            }
            Stage::Failed(error) => {
                out.extend([
                    Line::default(),
                    rule(theme, vec![span("THE RUN FAILED", theme.strong())], width),
                ]);
                out.extend(paragraph(&escape(error), 1, Style::new(), width));
            }
            _ => {}
        }
        out
    }

    /// Returns the question, the verdict, and the parts that are revealed.
    fn reveal_lines(&self, reveal: &Reveal, width: usize) -> (Lines, Lines, Lines) {
        let (theme, lesson, round) = (self.theme, self.lesson(), self.round);
        let outcome = &reveal.outcome;
        let question = page::question(theme, lesson, round, width);
        let mut out = Lines::new();
        out.push(page::answers(
            theme,
            lesson,
            round,
            self.guess,
            lesson.rounds[round].right(&outcome.facts),
        ));
        out.push(Line::default());
        out.extend(page::verdict(theme, lesson, round, outcome, self.guess, width));
        let parts = parts::parts(theme, lesson, round, reveal, width);
        (question, out, parts.into_iter().flatten().collect())
    }
}
