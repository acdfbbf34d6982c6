//! The text of the configuration file.
//!
//! It may be another user's than the one that this program runs as, so nothing of it is told but the
//! names of keys.

use std::{ops::Range, time::Duration};

use clap::ValueEnum;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    ClockChoice, ThemeChoice, choices,
    columns::{CONNECTIONS, Columns, QUEUES, THREADS},
};
use crate::{
    cli,
    text::{Untrusted, take_columns},
};

/// Keys of the file.
const KEYS: &[&str] = &["theme", "interval", "clock", "columns"];
/// Lists that have columns.
const LISTS: &[&str] = &["queues", "connections", "threads"];
/// Columns of an unknown key that are told.
const TOLD: usize = 40;

/// Settings of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) theme: Option<ThemeChoice>,
    pub(super) interval: Option<Duration>,
    pub(super) clock: Option<ClockChoice>,
    pub(super) columns: Columns,
}

/// What is wrong with the text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Invalid {
    /// The line, from 1 on.
    pub line: usize,
    /// A sentence.
    pub what: String,
}

type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;
type Value<'a> = Spanned<DeValue<'a>>;

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> Result<Settings, Invalid> {
    let text = Text(text);
    let table = DeTable::parse(text.0).map_err(|error| {
        let at = error.span().unwrap_or_default();
        text.invalid(at, format!("this is not TOML ({})", error.message()))
    })?;
    let mut settings = Settings::default();
    for (key, value) in in_order(table.get_ref()) {
        match &**key.get_ref() {
            "theme" => settings.theme = Some(text.choice(key, value)?),
            "clock" => settings.clock = Some(text.choice(key, value)?),
            "interval" => settings.interval = Some(text.interval(value)?),
            "columns" => settings.columns = text.columns(value)?,
            _ => return Err(text.unknown_key(key, "key", KEYS)),
        }
    }
    Ok(settings)
}

/// Returns the entries of a table in the order of the file.
fn in_order<'a>(table: &'a DeTable<'a>) -> Vec<(&'a Key<'a>, &'a Value<'a>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

struct Text<'a>(&'a str);

impl Text<'_> {
    fn invalid(&self, at: Range<usize>, what: String) -> Invalid {
        let before = self.0.as_bytes().get(..at.start).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Invalid { line, what }
    }

    fn unknown_key(&self, key: &Key<'_>, what: &str, known: &[&str]) -> Invalid {
        let shown = Untrusted::from(&**key.get_ref()).for_terminal().to_string();
        let mut part = take_columns(&shown, TOLD).to_owned();
        if part.len() < shown.len() {
            part.push('…');
        }
        let what = format!("there is no {what} “{part}”; {}", nearest(key.get_ref(), known));
        self.invalid(key.span(), what)
    }

    fn choice<T: ValueEnum>(&self, key: &Key<'_>, value: &Value<'_>) -> Result<T, Invalid> {
        let choice = value.get_ref().as_str().and_then(|name| T::from_str(name, false).ok());
        choice.ok_or_else(|| {
            let quoted: Vec<_> = choices::<T>().iter().map(|name| format!("\"{name}\"")).collect();
            let what = format!("{} is one of {}", key.get_ref(), quoted.join(", "));
            self.invalid(value.span(), what)
        })
    }

    fn interval(&self, value: &Value<'_>) -> Result<Duration, Invalid> {
        let Some(text) = value.get_ref().as_str() else {
            let what = "interval is a time in quotes, such as \"500ms\"".to_owned();
            return Err(self.invalid(value.span(), what));
        };
        cli::interval(text).map_err(|_| {
            let what = "interval is a time such as \"500ms\" or \"2s\", of 50ms or more".to_owned();
            self.invalid(value.span(), what)
        })
    }

    fn columns(&self, value: &Value<'_>) -> Result<Columns, Invalid> {
        let Some(table) = value.get_ref().as_table() else {
            let what = "columns is a table, [columns], with a line for each list".to_owned();
            return Err(self.invalid(value.span(), what));
        };
        let mut columns = Columns::default();
        for (key, value) in in_order(table) {
            let (list, known) = match &**key.get_ref() {
                "queues" => (&mut columns.queues, QUEUES),
                "connections" => (&mut columns.connections, CONNECTIONS),
                "threads" => (&mut columns.threads, THREADS),
                _ => return Err(self.unknown_key(key, "list", LISTS)),
            };
            *list = self.list(key, value, known)?;
        }
        Ok(columns)
    }

    fn list(
        &self,
        key: &Key<'_>,
        value: &Value<'_>,
        known: &'static [&'static str],
    ) -> Result<Vec<&'static str>, Invalid> {
        let key = key.get_ref();
        let array = value.get_ref().as_array().filter(|array| !array.is_empty());
        let Some(array) = array else {
            let what = format!("{key} is a list of columns, such as [\"{}\"]", known[0]);
            return Err(self.invalid(value.span(), what));
        };
        let mut list = Vec::new();
        for item in array {
            let Some(name) = item.get_ref().as_str() else {
                let what = format!("the columns of {key} are names in quotes");
                return Err(self.invalid(item.span(), what));
            };
            let Some(column) = known.iter().find(|known| **known == name) else {
                let what = format!("{key} has no such column; {}", nearest(name, known));
                return Err(self.invalid(item.span(), what));
            };
            if list.contains(column) {
                let what = format!("the column {column} of {key} is there twice");
                return Err(self.invalid(item.span(), what));
            }
            list.push(*column);
        }
        Ok(list)
    }
}

/// Names the nearest of the names that there are, and all of them.
fn nearest(name: &str, known: &[&str]) -> String {
    let distance = |known: &&&str| strsim::damerau_levenshtein(name, known);
    let nearest = known.iter().min_by_key(distance).copied().unwrap_or_default();
    format!("the nearest is {nearest}, of {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
# Mine.
theme = "light"
interval = "2s"
clock = "utc"

[columns]
queues = ["listener", "queue", "overflow"]
connections = ["connection", "held-by"]
threads = ["thread"]
"#;

    #[test]
    fn every_key_is_read() {
        let settings = parse(WHOLE).unwrap();
        assert_eq!(
            settings,
            Settings {
                theme: Some(ThemeChoice::Light),
                interval: Some(Duration::from_secs(2)),
                clock: Some(ClockChoice::Utc),
                columns: Columns {
                    queues: vec!["listener", "queue", "overflow"],
                    connections: vec!["connection", "held-by"],
                    threads: vec!["thread"],
                },
            }
        );
        assert_eq!(parse("# nothing\n"), Ok(Settings::default()));
    }

    /// The documentation has every key and every column, and its example is one.
    #[test]
    fn all_of_it_is_documented() {
        let page = include_str!("../../../docs/configuration.md");
        let example = page.split("```").find_map(|block| block.strip_prefix("toml\n"));
        let settings = parse(example.expect("an example")).unwrap();
        assert_eq!(
            (settings.theme, settings.clock),
            (Some(ThemeChoice::Auto), Some(ClockChoice::Local))
        );
        assert_eq!(settings.interval, Some(Duration::from_millis(500)));
        for list in [&settings.columns.queues, &settings.columns.connections] {
            assert!(list.len() >= 4, "{list:?}");
        }
        for key in KEYS.iter().filter(|key| **key != "columns") {
            assert!(page.contains(&format!("| `{key}` | `--{key}` |")), "{key}");
        }
        for (list, known) in LISTS.iter().zip([QUEUES, CONNECTIONS, THREADS]) {
            let row = page.lines().find(|line| line.starts_with(&format!("| `columns.{list}`")));
            let row = row.unwrap_or_else(|| panic!("{list} has no row"));
            for column in known {
                assert!(row.contains(&format!("`{column}`")), "{list}: {column}");
            }
        }
        for choice in choices::<ThemeChoice>().into_iter().chain(choices::<ClockChoice>()) {
            assert!(page.contains(&format!("`{choice}`")), "{choice}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            (
                "theme = \"dark\"\ntheem = \"dark\"",
                "line 2: there is no key “theem”; the nearest is theme, of theme, interval, \
                 clock, columns",
            ),
            (
                "\n\n[columns]\nconnection = []",
                "line 4: there is no list “connection”; the nearest is connections, of queues, \
                 connections, threads",
            ),
            (
                "[columns]\nthreads = [\n  \"thread\",\n  \"on_cpu\",\n]",
                "line 4: threads has no such column; the nearest is on-cpu, of thread, accepts, \
                 reads, writes, on-cpu, no-cpu, asleep, time, serves",
            ),
            ("theme = \"blue\"", "line 1: theme is one of \"auto\", \"dark\", \"light\", \"none\""),
            ("clock = 3", "line 1: clock is one of \"elapsed\", \"local\", \"utc\""),
            ("interval = 500", "line 1: interval is a time in quotes, such as \"500ms\""),
            (
                "interval = \"1ms\"",
                "line 1: interval is a time such as \"500ms\" or \"2s\", of 50ms or more",
            ),
            ("columns = 1", "line 1: columns is a table, [columns], with a line for each list"),
            (
                "[columns]\nqueues = []",
                "line 2: queues is a list of columns, such as [\"listener\"]",
            ),
            ("[columns]\nqueues = [3]", "line 2: the columns of queues are names in quotes"),
            (
                "[columns]\nqueues = [\"syn\", \"syn\"]",
                "line 2: the column syn of queues is there twice",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), told);
        }
    }

    /// The file may be somebody's whose it is not to be told.
    #[test]
    fn values_are_never_told() {
        const SECRET: &str = "s3cr3t";
        for text in [
            "root:$y$j9T$s3cr3t$x:19000:0:99999:7:::",
            "theme = \"s3cr3t\"",
            "theme = s3cr3t",
            "clock = \"s3cr3t",
            "interval = \"s3cr3t\"",
            "interval = [\"s3cr3t\", s3cr3t]",
            "columns = \"s3cr3t\"",
            "[columns]\nqueues = \"s3cr3t\"",
            "[columns]\nqueues = [\"s3cr3t\"]",
            "theme = \"\\s3cr3t\"",
            "theme = 2026-13-45s3cr3t",
            "theme = 0xs3cr3t",
            "s3cr3t",
            "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cr3t==\n",
        ] {
            let told = parse(text).expect_err(text).to_string();
            assert!(!told.contains(SECRET), "{text:?}: {told}");
        }
    }

    #[test]
    fn hostile_keys_are_told_harmlessly_and_in_part() {
        let long = format!("\"\\u001b[31m{}\" = 1", "k".repeat(5_000));
        let told = parse(&long).unwrap_err().to_string();
        assert!(told.len() < 200 && !told.contains('\x1b'), "{told:?}");
    }

    /// Bytes changed, cut and doubled at random: never a panic, and always a line that is there.
    #[test]
    fn bad_input_is_an_error_and_nothing_worse() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let (mut good, mut bad) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for _ in 0..1 + random(4) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = b"\"[]{}=.#'\n\0\\x7\xff"[random(15)],
                    1 => bytes.truncate(at.max(1)),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, bytes[random(bytes.len())]),
                }
                if bytes.is_empty() {
                    bytes.push(b'\n');
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            match parse(&text) {
                Ok(_) => good += 1,
                Err(Invalid { line, .. }) => {
                    bad += 1;
                    assert!((1..=1 + text.matches('\n').count()).contains(&line), "{text}");
                }
            }
        }
        assert!(good > 100 && bad > 1_000, "{good} good, {bad} bad");
        for deep in ["[".repeat(60_000), "a.".repeat(30_000), "a={".repeat(20_000)] {
            assert!(parse(&deep).is_err());
        }
    }
}
