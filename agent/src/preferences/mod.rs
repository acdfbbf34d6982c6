//! What a user prefers: how the screen looks, and what times are shown as. Options come first, then
//! the environment, then the configuration file, then the defaults.
//!
//! It is for people at a terminal. What goes into a pipe or a file, and `--json` everywhere, depends
//! on the command line alone, so that no script is changed by it: there the file is not even read.

mod columns;
mod parse;
mod place;

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use clap::ValueEnum;

pub use columns::{CONNECTIONS, Columns, QUEUES, THREADS};
pub use parse::Invalid;
pub use place::Unreadable;

use parse::Settings;

/// The environment variable that chooses the theme.
pub const THEME: &str = "BACKSCOPE_THEME";
/// The environment variable that names the configuration file; empty, there is none.
pub const FILE: &str = "BACKSCOPE_CONFIG";

/// Colours of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ThemeChoice {
    /// Dark or light, as the terminal says that its background is; dark where it does not say
    #[default]
    Auto,
    /// For a dark background
    Dark,
    /// For a light background
    Light,
    /// No colour
    None,
}

/// The times that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClockChoice {
    /// Seconds since the beginning of the watch
    Elapsed,
    /// Time of day, in the time zone of this machine
    Local,
    /// Time of day, in UTC
    Utc,
}

/// Returns the names of all choices.
fn choices<T: ValueEnum>() -> Vec<String> {
    let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect()
}

/// The reason why preferences cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PreferencesError {
    /// The environment names a theme that is none.
    #[error("{THEME} names no theme: there are {}", choices::<ThemeChoice>().join(", "))]
    Theme,
    /// The file cannot be read.
    #[error("{error}; {WAY_ON}")]
    Unreadable {
        /// Why.
        error: Unreadable,
    },
    /// The file says what it must not.
    #[error("{}, {error}; {WAY_ON}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        error: Invalid,
    },
}

const WAY_ON: &str = "--no-config, or an empty BACKSCOPE_CONFIG, goes on without the file";

/// Options that say how it is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen {
    /// The theme.
    pub theme: Option<ThemeChoice>,
    /// The times.
    pub clock: Option<ClockChoice>,
    /// The configuration file is not read.
    pub no_config: bool,
}

/// What the user prefers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Colours.
    pub theme: ThemeChoice,
    /// Times; who shows them knows the default.
    pub clock: Option<ClockChoice>,
    /// Time between refreshes, if the file has one.
    pub interval: Option<Duration>,
    /// Columns of the lists.
    pub columns: Columns,
}

impl Preferences {
    /// Reads them: with the configuration file if it is shown `on_terminal`.
    ///
    /// # Errors
    /// The environment or the file says what it must not.
    pub fn read(chosen: Chosen, on_terminal: bool) -> Result<Self, PreferencesError> {
        let settings = match on_terminal && !chosen.no_config {
            true => file()?,
            false => Settings::default(),
        };
        let environment = Environment {
            theme: env::var_os(THEME),
            no_color: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb: env::var_os("TERM").is_some_and(|value| value == "dumb"),
        };
        Ok(Self {
            theme: theme(chosen.theme, &environment, settings.theme)?,
            clock: chosen.clock.or(settings.clock),
            interval: settings.interval,
            columns: settings.columns,
        })
    }
}

/// Variables that decide about colour.
#[derive(Clone, Debug, Default)]
struct Environment {
    theme: Option<OsString>,
    no_color: bool,
    dumb: bool,
}

/// Returns the theme. What names one goes before `NO_COLOR`, as <https://no-color.org> asks for:
/// that is the default of whoever names none.
fn theme(
    option: Option<ThemeChoice>,
    environment: &Environment,
    file: Option<ThemeChoice>,
) -> Result<ThemeChoice, PreferencesError> {
    let variable = match &environment.theme {
        Some(name) if !name.is_empty() => {
            let choice = name.to_str().and_then(|name| ThemeChoice::from_str(name, false).ok());
            Some(choice.ok_or(PreferencesError::Theme)?)
        }
        _ => None,
    };
    Ok(match option.or(variable).or(file).unwrap_or_default() {
        ThemeChoice::Auto if environment.no_color || environment.dumb => ThemeChoice::None,
        choice => choice,
    })
}

/// Returns what the configuration file says; nothing if there is none.
fn file() -> Result<Settings, PreferencesError> {
    let found = place::find(env::var_os(FILE)).and_then(place::read);
    match found.map_err(|error| PreferencesError::Unreadable { error })? {
        Some((path, text)) => {
            parse::parse(&text).map_err(|error| PreferencesError::Invalid { path, error })
        }
        None => Ok(Settings::default()),
    }
}

/// Checks the text of a file.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn check(text: &str) -> Result<(), Invalid> {
    parse::parse(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ThemeChoice::{Auto, Dark, Light, None as Without};

    #[test]
    fn the_nearest_word_on_the_theme_counts() {
        let environment =
            |theme: &str, no_color, dumb| Environment { theme: Some(theme.into()), no_color, dumb };
        let quiet = environment("", false, false);
        let themes = [
            (theme(Some(Dark), &environment("light", true, true), Some(Light)), Dark),
            (theme(None, &environment("light", true, true), Some(Dark)), Light),
            (theme(None, &environment("", true, true), Some(Light)), Light),
            (theme(None, &quiet, Some(Without)), Without),
            (theme(None, &quiet, None), Auto),
            (theme(Some(Auto), &environment("", true, false), Some(Dark)), Without),
            (theme(None, &environment("", false, true), None), Without),
        ];
        for (at, (found, expected)) in themes.into_iter().enumerate() {
            assert_eq!(found.expect("a theme"), expected, "{at}");
        }
        let error = theme(None, &environment("purple", false, false), None).unwrap_err();
        let told = "BACKSCOPE_THEME names no theme: there are auto, dark, light, none";
        assert_eq!(error.to_string(), told);
    }

    #[test]
    fn what_is_no_terminal_is_not_changed_by_the_file() {
        let chosen = Chosen { clock: Some(ClockChoice::Utc), ..Chosen::default() };
        let preferences = Preferences::read(chosen, false).expect("nothing is read");
        assert_eq!(
            (preferences.clock, preferences.interval),
            (Some(ClockChoice::Utc), None),
            "of the command line alone"
        );
        assert_eq!(preferences.columns, Columns::default());
    }
}
