//! How a run looks to its user. It is read before rights are given up: the file of their
//! preferences and the time zone cannot be opened later.

use crate::{
    model::WallClock,
    preferences::{Chosen, ClockChoice, Columns, Preferences, PreferencesError, ThemeChoice},
    report::plain::{Colour, Times},
    time_of_day::{TimeOfDay, Zone},
    tui::{App, Theme},
};

/// What the user prefers, and where they are.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) preferences: Preferences,
    zone: Zone,
    /// Standard output is a terminal.
    on_terminal: bool,
}

impl Look {
    /// Reads it, for what goes to a terminal or does not. `--json` is never for a person.
    pub(super) fn read(
        chosen: impl Into<Chosen>,
        on_terminal: bool,
    ) -> Result<Self, PreferencesError> {
        let preferences = Preferences::read(chosen.into(), on_terminal)?;
        Ok(Self { preferences, zone: Zone::of_this_machine(), on_terminal })
    }

    pub(super) fn theme(&self) -> Theme {
        Theme::of(self.preferences.theme)
    }

    pub(super) fn columns(&self) -> Columns {
        self.preferences.columns.clone()
    }

    /// Returns the times that are shown: of the day at a terminal, unless others were asked for.
    fn clock(&self) -> ClockChoice {
        self.preferences.clock.unwrap_or(match self.on_terminal {
            true => ClockChoice::Local,
            false => ClockChoice::Elapsed,
        })
    }

    /// Makes the screen of a run that this clock belongs to.
    pub(super) fn app(&self, clock: WallClock) -> App {
        let mut app = App::new(self.theme());
        app.set_time_of_day(TimeOfDay::of(self.clock(), clock, &self.zone));
        app.set_columns(self.columns());
        app
    }

    /// Returns the times of lines.
    pub(super) fn times(&self, clock: WallClock) -> Option<Times> {
        let choice = self.clock();
        // What begins the run is dated whatever the lines have.
        let (dated, in_lines) = match choice {
            ClockChoice::Elapsed => (ClockChoice::Local, false),
            ClockChoice::Local | ClockChoice::Utc => (choice, true),
        };
        Some(Times::new(TimeOfDay::of(dated, clock, &self.zone)?, in_lines))
    }

    /// Returns the colours of lines.
    pub(super) fn colour(&self) -> Colour {
        match (self.on_terminal, self.preferences.theme) {
            (false, _) | (true, ThemeChoice::None) => Colour::Never,
            (true, _) => match self.theme().loss_index() {
                Some(index) => Colour::Indexed(index),
                None => Colour::Loss,
            },
        }
    }
}
