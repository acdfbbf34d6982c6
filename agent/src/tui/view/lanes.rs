//! Steps drawn between three lanes: peer, kernel, app. The network has its place between the first
//! two.

use ratatui::text::Line;

use super::parts::{Row, raw, span};
use crate::model::snapshot::Holder;
use crate::model::timeline::{Lane, Step};
use crate::text::Untrusted;
use crate::tui::text::{escape, fine, left, right, total, wrap};
use crate::tui::theme::Theme;

const TIME: usize = 9;
const TOOK: usize = 9;
/// Columns of a field with a letter in it.
const FIELD: usize = 3;
/// Lines that are shared out in proportion to the time, at most: more of them say no more.
const PROPORTION: usize = 12;

/// The lanes, made to a width.
struct Lanes {
    theme: Theme,
    /// Columns of the lanes' lines.
    at: [usize; 3],
    /// Columns of all lanes, and of the words beside them.
    wide: usize,
    words: usize,
}

/// Names of the outer lanes.
#[derive(Clone, Copy)]
pub(in crate::tui) struct Sides {
    /// The peer's.
    pub(in crate::tui) peer: &'static str,
    /// The app's.
    pub(in crate::tui) app: &'static str,
}

impl Sides {
    /// Without a word on who they are.
    pub(in crate::tui) const PLAIN: Self = Self { peer: "PEER", app: "APP" };
}

/// Returns the steps as lines under a line of titles. The lines that are left of `room` are shared
/// out in proportion to the time, so that a long hold is seen to be long.
pub(in crate::tui) fn lines(
    theme: Theme,
    sides: Sides,
    steps: &[Step],
    width: usize,
    room: usize,
) -> Vec<Line<'static>> {
    let wide = (width * 3 / 10).clamp(24, 48) / 2 * 2 + 1;
    let lanes = Lanes {
        theme,
        at: [1, wide / 2, wide - 2],
        wide,
        words: width.saturating_sub(TIME + 1 + wide + TOOK + 2),
    };
    let words: Vec<Vec<String>> =
        steps.iter().map(|step| wrap(&escape(text(step)), lanes.words)).collect();
    let least: usize = words.iter().map(|lines| lines.len().max(1)).sum();
    let extra = room.saturating_sub(least + 1).min(PROPORTION);
    let all = total(steps.iter().map(held_us));
    let mut out = vec![lanes.titles(sides)];
    let mut last_time = None;
    for (step, words) in steps.iter().zip(&words) {
        let share = held_us(step) as f64 / all.max(1) as f64;
        let least = words.len().max(1);
        let height = least.max(1 + (share * extra as f64) as usize).min(least + extra);
        // A time that stands on the line above already is not repeated.
        let mut time = time(step);
        if time.is_some() && last_time == time {
            time = None;
        } else if time.is_some() {
            last_time = time;
        }
        for line in 0..height {
            let time = if line == 0 { time } else { None };
            let words = if line < words.len() { words[line].as_str() } else { "" };
            out.push(lanes.line(step, line, time, words));
        }
    }
    out
}

fn text(step: &Step) -> &Untrusted {
    match step {
        Step::Arrow { text, .. } | Step::Held { text, .. } | Step::Gap { text } => text,
    }
}

fn time(step: &Step) -> Option<u64> {
    match step {
        Step::Arrow { at, .. } | Step::Held { at, .. } => *at,
        Step::Gap { .. } => None,
    }
}

fn held_us(step: &Step) -> u64 {
    match step {
        Step::Held { us, counts: true, .. } => *us,
        _ => 0,
    }
}

impl Lanes {
    /// Returns the column of an owner. The network's is between the lanes that it joins.
    fn column(&self, owner: Holder) -> usize {
        let of = |lane: Lane| self.at[lane as usize];
        match owner {
            Holder::Peer => of(Lane::Peer),
            Holder::Network => (of(Lane::Peer) + of(Lane::Kernel)) / 2,
            Holder::Kernel | Holder::Unknown => of(Lane::Kernel),
            Holder::App | Holder::Upstream => of(Lane::App),
        }
    }

    fn titles(&self, sides: Sides) -> Line<'static> {
        let theme = self.theme;
        let middle = self.at[1] - 3;
        let mut row = vec![
            raw(" ".repeat(TIME + 1)),
            span(left(sides.peer, middle), theme.owner(Holder::Peer)),
        ];
        // The last title ends where its lane does, so that the times below stay apart from it.
        let kernel = (self.wide - middle).saturating_sub(sides.app.chars().count());
        row.push(span(left("KERNEL", kernel), theme.owner(Holder::Kernel)));
        row.push(span(sides.app, theme.owner(Holder::App)));
        row.push(span(format!("{}  WHAT HAPPENED", right("TOOK", TOOK)), theme.dim()));
        Line::from(row)
    }

    /// Returns one of the lines of a step.
    fn line(&self, step: &Step, line: usize, time: Option<u64>, words: &str) -> Line<'static> {
        let theme = self.theme;
        let time = match time {
            None => String::new(),
            Some(0) => "0".to_owned(),
            Some(us) => fine(us),
        };
        let mut row = vec![span(format!("{} ", right(&time, TIME)), theme.dim())];
        let took = match step {
            Step::Held { us, .. } if line == 0 && *us > 0 => fine(*us),
            _ => String::new(),
        };
        match step {
            Step::Arrow { from, to, .. } if line == 0 => self.arrow(*from, *to, &mut row),
            Step::Held { owner, counts: true, .. } => self.held(*owner, line == 0, &mut row),
            Step::Held { .. } => self.idle('┊', &mut row),
            Step::Arrow { .. } => self.idle('│', &mut row),
            Step::Gap { .. } => self.idle('┊', &mut row),
        }
        row.push(span(right(&took, TOOK), theme.strong()));
        let style = match step {
            Step::Held { owner, counts: true, .. } => theme.owner(*owner),
            _ => theme.dim(),
        };
        row.push(span(format!("  {}", left(words, self.words)), style));
        Line::from(row)
    }

    /// Draws the lanes with nothing going on.
    fn idle(&self, line: char, row: &mut Row) {
        let mut cells = vec![' '; self.wide];
        self.at.iter().for_each(|&at| cells[at] = line);
        row.push(span(cells.into_iter().collect::<String>(), self.theme.dim()));
    }

    fn arrow(&self, from: Lane, to: Lane, row: &mut Row) {
        let (from, to) = (self.at[from as usize], self.at[to as usize]);
        let mut cells = vec![' '; self.wide];
        self.at.iter().for_each(|&at| cells[at] = '│');
        let (start, end) = (from.min(to) + 1, from.max(to) - 1);
        cells[start..=end].fill('─');
        if from < to {
            cells[end] = '▶';
        } else {
            cells[start] = '◀';
        }
        row.push(raw(cells.into_iter().collect::<String>()));
    }

    /// Draws a field in the lane of the owner, with the letter in its first line.
    fn held(&self, owner: Holder, first: bool, row: &mut Row) {
        let theme = self.theme;
        let field = self.column(owner) - FIELD / 2;
        let mut cells = vec![' '; self.wide];
        self.at.iter().for_each(|&at| cells[at] = '│');
        let text = |range: std::ops::Range<usize>| cells[range].iter().collect::<String>();
        row.push(span(text(0..field), theme.dim()));
        let letter = if first { owner.letter() } else { ' ' };
        row.push(span(format!(" {letter} "), theme.badge(owner)));
        row.push(span(text(field + FIELD..self.wide), theme.dim()));
    }
}
