//! Colours with a meaning. Each is repeated by a letter or a shape, so that nothing is lost without
//! them.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use super::background::{self, Background};
use super::palette::{DARK, LIGHT, Palette};
use crate::model::snapshot::{Holder, Severity};
use crate::preferences::ThemeChoice;

/// Styles of the screen: for a dark background, for a light one, or without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// No colour at all if there is none.
    palette: Option<&'static Palette>,
    /// It turns with what the terminal says of its background.
    follows: bool,
}

impl Theme {
    /// Colours for kernel, app, network and peer, grey for the unknown, red for loss alone, on a
    /// dark background.
    pub fn colour() -> Self {
        Self { palette: Some(&DARK), follows: false }
    }

    /// The same colours, for a light background.
    pub fn light() -> Self {
        Self { palette: Some(&LIGHT), follows: false }
    }

    /// No colour at all: bold, reverse and underline only.
    pub fn plain() -> Self {
        Self { palette: None, follows: false }
    }

    /// Returns the theme that was chosen. One that follows the terminal begins dark, unless the
    /// environment says that the background is light.
    pub fn of(choice: ThemeChoice) -> Self {
        let follows = choice == ThemeChoice::Auto;
        match choice {
            ThemeChoice::None => Self::plain(),
            ThemeChoice::Light => Self::light(),
            ThemeChoice::Dark => Self::colour(),
            ThemeChoice::Auto => match background::guess() {
                Some(Background::Light) => Self { follows, ..Self::light() },
                Some(Background::Dark) | None => Self { follows, ..Self::colour() },
            },
        }
    }

    /// Returns the theme as it is now, for a screen that reads keys itself and would take the
    /// terminal's answer for one.
    pub fn settled(self) -> Self {
        Self { follows: false, ..self }
    }

    /// True if the terminal's background decides.
    pub(super) fn follows(self) -> bool {
        self.follows
    }

    /// Returns the theme for this background, if that decides.
    pub(super) fn on(self, background: Background) -> Self {
        let palette = match background {
            Background::Dark => &DARK,
            Background::Light => &LIGHT,
        };
        if self.follows { Self { palette: Some(palette), ..self } } else { self }
    }

    /// Returns the number of the colour of loss among the terminal's 256, for lines; `None` where
    /// there is no colour, or the background is not known.
    pub fn loss_index(self) -> Option<u8> {
        if self.follows { None } else { Some(self.palette?.loss) }
    }

    fn fg(self, colour: fn(&Palette) -> u8) -> Style {
        match self.palette {
            Some(palette) => Style::new().fg(Color::Indexed(colour(palette))),
            None => Style::new(),
        }
    }

    /// Something that `owner` holds or does.
    pub(super) fn owner(self, owner: impl Into<Holder>) -> Style {
        self.fg(owner_colour(owner.into()))
    }

    /// The mark that names whose doing something is.
    pub(super) fn badge(self, owner: impl Into<Holder>) -> Style {
        self.badge_of(owner_colour(owner.into()))
    }

    fn badge_of(self, colour: fn(&Palette) -> u8) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        match self.palette {
            Some(palette) => {
                style.fg(Color::Indexed(palette.on_colour)).bg(Color::Indexed(colour(palette)))
            }
            None => style.add_modifier(Modifier::REVERSED),
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
            _ if self.palette.is_some() => {
                Span::styled(letter + &"▆".repeat(cells - 1), self.mark(owner))
            }
            _ => Span::raw(letter.repeat(cells)),
        }
    }

    /// The letter of an owner where there is no room for a badge.
    pub(super) fn mark(self, owner: impl Into<Holder>) -> Style {
        self.owner(owner).add_modifier(Modifier::BOLD)
    }

    /// Something lost: a refused connection, a lost record.
    pub(super) fn loss(self) -> Style {
        self.fg(|palette| palette.loss).add_modifier(Modifier::BOLD)
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
        self.fg(|palette| palette.dim)
    }

    /// Figures and words that matter.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The empty part of a bar: the character and how it looks.
    pub(super) fn track(self) -> (char, Style) {
        match self.palette {
            Some(palette) => (' ', Style::new().bg(Color::Indexed(palette.track))),
            None => ('·', Style::new()),
        }
    }

    /// The background of a partly filled cell of a bar.
    pub(super) fn on_track(self, style: Style) -> Style {
        match self.palette {
            Some(palette) => style.bg(Color::Indexed(palette.track)),
            None => style,
        }
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

fn owner_colour(holder: Holder) -> fn(&Palette) -> u8 {
    match holder {
        Holder::Kernel => |palette| palette.kernel,
        Holder::App => |palette| palette.app,
        Holder::Upstream => |palette| palette.upstream,
        Holder::Network => |palette| palette.network,
        Holder::Peer => |palette| palette.peer,
        Holder::Unknown => |palette| palette.dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Owner;

    #[test]
    fn the_terminal_decides_where_nobody_has_chosen() {
        let auto = Theme { follows: true, ..Theme::colour() };
        assert_eq!(auto.on(Background::Light).owner(Owner::App), Theme::light().owner(Owner::App));
        assert_eq!(auto.on(Background::Light).on(Background::Dark), auto);
        for chosen in [Theme::colour(), Theme::light(), Theme::plain()] {
            assert_eq!(chosen.on(Background::Light), chosen);
            assert_eq!(chosen.on(Background::Dark), chosen);
        }
    }

    /// A bar of nothing is not one of something, whether colours are seen or not.
    #[test]
    fn an_empty_bar_never_looks_full() {
        for theme in [Theme::colour(), Theme::light(), Theme::plain()] {
            let (track, style) = theme.track();
            for owner in Holder::ALL {
                let run = theme.run(owner, 3);
                assert!(!run.content.contains(track), "{theme:?}, {owner:?}");
                if let (Some(fg), Some(bg)) = (run.style.fg, style.bg) {
                    assert_ne!(fg, bg, "{theme:?}, {owner:?}");
                }
            }
        }
        assert_eq!(Theme::plain().track(), ('·', Style::new()));
    }

    #[test]
    fn loss_has_a_number_where_the_background_is_known() {
        assert_eq!(Theme::colour().loss_index(), Some(DARK.loss));
        assert_eq!(Theme::light().loss_index(), Some(LIGHT.loss));
        assert_eq!(Theme::plain().loss_index(), None);
        assert_eq!(Theme { follows: true, ..Theme::colour() }.loss_index(), None);
    }
}
