//! Puts an exercise on the screen.

use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Text};

use super::FixApp;
use crate::learn::fix::{Piece, Second, Standing};
use crate::model::snapshot::Owner;
use crate::text::{count_of, duration_us, rate};
use crate::tui::keys::Press;
use crate::tui::text::{escape, left, right, wrap};
use crate::tui::view::hints;
use crate::tui::view::parts::{Row, cut, paragraph, raw, rule, span, spread};

type Lines = Vec<Line<'static>>;

/// The smallest screen, in columns and lines.
const SMALLEST: (u16, u16) = (60, 20);
/// Columns from which on the text stands beside the figures.
const WIDE: u16 = 120;
/// Columns of text at most: longer lines are hard to read.
const WORDS: u16 = 76;
/// Cells of the bar of quiet seconds.
const BAR: usize = 20;
/// Heights of a cell.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl FixApp {
    /// Draws the whole screen.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            let text = format!(
                "The exercise needs at least {} × {} characters. q quits.",
                SMALLEST.0, SMALLEST.1
            );
            let lines: Lines = wrap(&text, area.width.into()).into_iter().map(Line::from).collect();
            frame.render_widget(Text::from(lines), area);
            return;
        }
        let [head, _, body, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(area);
        frame.render_widget(self.head(area.width.into()), head);
        frame.render_widget(self.foot(foot), foot);
        let (figures, text) = if area.width >= WIDE {
            let words = Rect { width: (area.width * 2 / 5).min(WORDS), ..body };
            let x = body.x + words.width + 2;
            (Rect { x, width: body.x + body.width - x, ..body }, words)
        } else {
            let height = self.figures(area.width.into()).len() as u16 + 1;
            let [figures, text] =
                Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(body);
            (figures, text)
        };
        frame.render_widget(Text::from(self.figures(figures.width.into())), figures);
        let lines = self.text(text.width.into());
        self.put(frame, text, lines);
    }

    /// Draws text that may be longer than its place. Its end is followed.
    fn put(&mut self, frame: &mut Frame<'_>, area: Rect, lines: Lines) {
        let height = usize::from(area.height);
        self.scroll_end = lines.len().saturating_sub(height);
        let from = self.scroll.unwrap_or(self.scroll_end).min(self.scroll_end);
        self.scrolled = from;
        let shown: Lines = lines.into_iter().skip(from).take(height).collect();
        frame.render_widget(Text::from(shown), area);
    }

    fn head(&self, width: usize) -> Line<'static> {
        let plan = &self.game.exercise().plan;
        let title = vec![
            span(" backscope learn --fix ", self.theme.reversed()),
            span(format!(" {}", plan.title), self.theme.strong()),
        ];
        let hints = match (self.game.gave_up(), self.game.hints()) {
            (true, _) => "cure shown".to_owned(),
            (false, 0) => "no hint".to_owned(),
            (false, hints) => count_of(hints as u64, "hint"),
        };
        let time = clock(self.game.seconds());
        spread(title, vec![span(format!("{time} · {hints} "), self.theme.dim())], width)
    }

    /// What to do, what the customers see, and how it stands.
    fn figures(&self, width: usize) -> Lines {
        let mut out = Lines::new();
        if !self.is_over() {
            out.extend(paragraph(
                &self.game.exercise().plan.symptom,
                1,
                self.theme.strong(),
                width,
            ));
            out.extend(paragraph(&self.goal(), 1, self.theme.dim(), width));
            out.push(self.title("WHAT TO DO, IN ANOTHER TERMINAL", width));
            out.extend(self.orders(width));
        }
        out.push(self.title("THE CUSTOMERS, IN THE LAST SECOND", width));
        out.extend(self.customers(width));
        out.extend(self.verdict(width));
        out
    }

    fn title(&self, text: &str, width: usize) -> Line<'static> {
        rule(self.theme, vec![span(text.to_owned(), self.theme.dim())], width)
    }

    fn goal(&self) -> String {
        let hold = self.game.exercise().plan.hold;
        format!("Repair the shop: the fault must be gone for {hold} s, with all customers served.")
    }

    fn orders(&self, width: usize) -> Lines {
        let script = match &self.folder {
            Some(folder) => {
                end_of(&folder.join("start.sh").display().to_string(), width.saturating_sub(12))
            }
            None => "…".to_owned(),
        };
        let rows = [
            ("diagnose", "sudo backscope watch --port 8080"),
            ("edit", script.as_str()),
            ("restart", "press r here"),
            ("or enter", "sudo backscope learn --fix --shell   (sysctl, ss, kill, ./start.sh)"),
        ];
        let mut out = Lines::new();
        for (what, how) in rows {
            let row = vec![
                span(format!(" {}", left(what, 10)), self.theme.dim()),
                span(escape(&how.into()), self.theme.strong()),
            ];
            out.push(Line::from(cut(row, width)));
        }
        out
    }

    fn customers(&self, width: usize) -> Lines {
        let Some(Second { tick, .. }) = self.game.now() else {
            return vec![Line::from(raw(" not there yet"))];
        };
        let theme = self.theme;
        let failed = if tick.failed > 0 { theme.loss() } else { theme.strong() };
        let time = |us: Option<u64>| us.map_or("–".to_owned(), duration_us);
        let wanted = format!("({} wanted)", rate(self.game.exercise().plan.rate));
        let mut answered = vec![
            span(format!(" {}", left("answered", 10)), theme.dim()),
            span(right(&tick.answered.to_string(), 6), theme.strong()),
            span(left(&format!(" {wanted}"), 18), theme.dim()),
        ];
        answered.push(raw(self.history(width.saturating_sub(37), |second| second.tick.answered)));
        let mut failing = vec![
            span(format!(" {}", left("failed", 10)), theme.dim()),
            span(right(&tick.failed.to_string(), 6), failed),
        ];
        let why: Vec<String> = tick.failures.iter().map(escape).collect();
        failing.push(span(format!("  {}", why.join(", ")), theme.dim()));
        let times = vec![
            span(format!(" {}", left("waited", 10)), theme.dim()),
            span(format!("{} (median)", time(tick.p50_us)), theme.strong()),
            span(format!(", 99 of 100 at most {}", time(tick.p99_us)), theme.dim()),
        ];
        [answered, failing, times].into_iter().map(|row| Line::from(cut(row, width))).collect()
    }

    /// The newest seconds as a row of columns.
    fn history(&self, cells: usize, of: impl Fn(&Second) -> u64) -> String {
        let mut values: Vec<u64> = self.game.history().rev().take(cells).map(of).collect();
        values.reverse();
        let most = values.iter().copied().max().unwrap_or(0).max(1);
        let level = |value: u64| LEVELS[(value * 7 / most) as usize];
        values.into_iter().map(level).collect()
    }

    fn verdict(&self, width: usize) -> Lines {
        let theme = self.theme;
        let words = self.game.words();
        let mut row = match self.game.standing() {
            Standing::Won => vec![span(" ✓ CURED ", theme.reversed())],
            Standing::Quiet { seconds, of } => {
                let full = BAR * *seconds as usize / (*of).max(1) as usize;
                vec![
                    span(" QUIET ", theme.reversed()),
                    raw(" "),
                    span("█".repeat(full), theme.strong()),
                    span("░".repeat(BAR - full), theme.dim()),
                ]
            }
            Standing::Broken(lacks) if lacks.is_empty() => vec![span(" … ", theme.reversed())],
            Standing::Broken(_) => vec![span(" BROKEN ", theme.reversed())],
        };
        row.push(raw(format!(" {words}")));
        let mut out = vec![Line::from(cut(row, width))];
        let line = match (&self.failed, &self.told, self.game.last_said()) {
            (Some(_), ..) => String::new(),
            (None, Some((told, _)), _) => escape(told),
            (None, None, Some(said)) => format!("shop: {}", escape(said)),
            (None, None, None) => String::new(),
        };
        out.push(Line::from(cut(vec![span(format!(" {line}"), theme.dim())], width)));
        out
    }

    /// The symptom, then the hints that were asked for; once it is won, whose job it was.
    fn text(&self, width: usize) -> Lines {
        let (theme, exercise) = (self.theme, self.game.exercise());
        let mut out = Lines::new();
        if let Some(error) = &self.failed {
            out.push(self.title("IT CANNOT GO ON", width));
            out.extend(paragraph(&escape(error), 1, Style::new(), width));
            return out;
        }
        if let Some(score) = self.game.score() {
            let time = clock(score.seconds);
            let title = match (score.cure_shown, score.hints) {
                (true, _) => format!("CURED IN {time}, THE CURE WAS SHOWN"),
                (false, 0) => format!("CURED IN {time}, WITHOUT A HINT"),
                (false, hints) => {
                    format!("CURED IN {time}, {hints} OF {} HINTS", exercise.hints.len())
                }
            };
            out.push(self.title(&title, width));
            out.extend(self.pieces(&exercise.why, width));
            out.push(self.title("A CURE", width));
            out.extend(self.pieces(&exercise.cure, width));
            return out;
        }
        out.push(self.title("WHAT IS WRONG", width));
        out.extend(self.pieces(&exercise.symptom, width));
        for (at, hint) in exercise.hints.iter().take(self.game.hints()).enumerate() {
            let title = format!("HINT {} OF {}", at + 1, exercise.hints.len());
            out.push(self.title(&title, width));
            out.extend(self.pieces(hint, width));
        }
        if self.game.hints() > 0
            && let Some(found) = self.game.found()
        {
            out.push(self.title(&format!("BACKSCOPE: {}", found.kind), width));
            out.extend(paragraph(&escape(&found.headline), 1, theme.strong(), width));
        }
        if self.game.gave_up() {
            out.push(self.title("THE CURE", width));
            out.extend(self.pieces(&exercise.cure, width));
        }
        out
    }

    fn pieces(&self, pieces: &[Piece], width: usize) -> Lines {
        let mut out = Lines::new();
        for (at, piece) in pieces.iter().enumerate() {
            if at > 0 {
                out.push(Line::default());
            }
            match piece.owner {
                Some(owner) => out.extend(self.owned(owner, &piece.text, width)),
                None => out.extend(paragraph(&piece.text, 1, Style::new(), width)),
            }
        }
        out
    }

    /// A paragraph behind the letter of the owner whose job it tells of.
    fn owned(&self, owner: Owner, text: &str, width: usize) -> Lines {
        let mut out = Lines::new();
        for (at, line) in wrap(text, width.saturating_sub(6)).into_iter().enumerate() {
            let begin: Row = match at {
                0 => vec![
                    raw(" "),
                    span(format!(" {} ", owner.letter()), self.theme.badge(owner)),
                    raw(" "),
                ],
                _ => vec![raw("     ")],
            };
            out.push(Line::from(begin.into_iter().chain([raw(line)]).collect::<Row>()));
        }
        out
    }

    fn foot(&mut self, area: Rect) -> Line<'static> {
        const fn key(name: &'static str, sign: char) -> Press {
            (name, KeyCode::Char(sign))
        }
        const BY: &[Press] = &[("↑", KeyCode::Up), ("↓", KeyCode::Down)];
        const HINT: &[Press] = &[key("h", 'h')];
        const RESTART: &[Press] = &[key("r", 'r')];
        const CURE: &[Press] = &[key("g", 'g')];
        const NEXT: &[Press] = &[key("n", 'n')];
        const QUIT: &[Press] = &[key("q", 'q')];
        let hints: Vec<(&[Press], &str)> = if self.is_over() {
            vec![(NEXT, "next exercise"), (BY, "scroll"), (QUIT, "quit")]
        } else {
            vec![
                (RESTART, "restart the shop"),
                (HINT, "hint"),
                (CURE, "give up"),
                (BY, "scroll"),
                (QUIT, "quit"),
            ]
        };
        self.hints.clear();
        hints::line(self.theme, Row::new(), hints, area, &mut self.hints)
    }
}

/// "0:07", "12:30".
fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// The end of a path, as far as there is room for it.
fn end_of(path: &str, width: usize) -> String {
    let length = path.chars().count();
    if length <= width {
        return path.to_owned();
    }
    let end: String = path.chars().skip(length + 1 - width.max(1)).collect();
    format!("…{end}")
}
