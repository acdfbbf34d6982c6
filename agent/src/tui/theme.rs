//! Colours with a meaning. Each is repeated by a letter or a shape, so that nothing is lost without
//! them.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use crate::model::snapshot::{Holder, Severity};

// The nearest of the 256 terminal colours to the palette of Okabe and Ito, which colour-blind
// people tell apart.
const SKY_BLUE: Color = Color::Indexed(75);
const ORANGE: Color = Color::Indexed(214);
const BLUISH_GREEN: Color = Color::Indexed(43);
const PURPLE: Color = Color::Indexed(175);
const RED: Color = Color::Indexed(203);
const GREY: Color = Color::Indexed(245);
const TRACK: Color = Color::Indexed(237);
const YELLOW: Color = Color::Indexed(228);
const BLACK: Color = Color::Indexed(16);

/// Styles of the screen, with colour or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    colour: bool,
}

impl Theme {
    /// Colours for kernel, app, network and peer, grey for the unknown, red for loss alone.
    pub fn colour() -> Self {
        Self { colour: true }
    }

    /// No colour at all: bold, reverse and underline only.
    pub fn plain() -> Self {
        Self { colour: false }
    }

    /// Plain if `NO_COLOR` is set to anything (<https://no-color.org>) or the terminal is dumb.
    pub fn from_env() -> Self {
        let no_color = std::env::var_os("NO_COLOR").unwrap_or_default();
        let terminal = std::env::var_os("TERM").unwrap_or_default();
        Self { colour: no_color.is_empty() && terminal != "dumb" }
    }

    fn fg(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// Something that `owner` holds or does.
    pub(super) fn owner(self, owner: impl Into<Holder>) -> Style {
        self.fg(owner_colour(owner.into()))
    }

    /// The mark that names whose doing something is.
    pub(super) fn badge(self, owner: impl Into<Holder>) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.colour {
            style.fg(BLACK).bg(owner_colour(owner.into()))
        } else {
            style.add_modifier(Modifier::REVERSED)
        }
    }

    /// Returns a run of time that `owner` held, as a part of a bar: the letter, then blocks, or the
    /// letter all along where there is no colour. The blocks leave a gap to the line above, so that
    /// the bars of a table don't run together.
    pub(super) fn run(self, owner: impl Into<Holder>, cells: usize) -> Span<'static> {
        let owner = owner.into();
        let letter = owner.letter().to_string();
        match cells {
            0 => Span::default(),
            _ if self.colour => Span::styled(letter + &"▆".repeat(cells - 1), self.mark(owner)),
            _ => Span::raw(letter.repeat(cells)),
        }
    }

    /// The letter of an owner where there is no room for a badge.
    pub(super) fn mark(self, owner: impl Into<Holder>) -> Style {
        self.owner(owner).add_modifier(Modifier::BOLD)
    }

    /// Something lost: a refused connection, a lost record.
    pub(super) fn loss(self) -> Style {
        self.fg(RED).add_modifier(Modifier::BOLD)
    }

    /// A headline of this severity: only loss is red.
    pub(super) fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Critical => self.loss(),
            Severity::Warning | Severity::Info => self.strong(),
        }
    }

    /// Labels, rules and what matters least.
    pub(super) fn dim(self) -> Style {
        self.fg(GREY)
    }

    /// Figures and words that matter.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The empty part of a bar: the character and how it looks.
    pub(super) fn track(self) -> (char, Style) {
        if self.colour { (' ', Style::new().bg(TRACK)) } else { ('·', Style::new()) }
    }

    /// The background of a partly filled cell of a bar.
    pub(super) fn on_track(self, style: Style) -> Style {
        if self.colour { style.bg(TRACK) } else { style }
    }

    /// The tab in front, and states that must not be overlooked.
    pub(super) fn reversed(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }
}

/// A shape for how bad something is.
pub(super) fn shape(severity: Severity) -> char {
    match severity {
        Severity::Critical => '▲',
        Severity::Warning => '◆',
        Severity::Info => '●',
    }
}

fn owner_colour(holder: Holder) -> Color {
    match holder {
        Holder::Kernel => SKY_BLUE,
        Holder::App => ORANGE,
        Holder::Upstream => YELLOW,
        Holder::Network => PURPLE,
        Holder::Peer => BLUISH_GREEN,
        Holder::Unknown => GREY,
    }
}
