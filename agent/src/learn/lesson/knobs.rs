//! Settings of a server and its clients.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

/// Settings of a run, by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Knobs(BTreeMap<String, Setting>);

/// Setting of a knob.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Setting {
    Number(u64),
    Text(String),
}

impl Knobs {
    /// Returns a setting as text, or the default.
    pub fn text(&self, name: &str, default: &str) -> String {
        match self.0.get(name) {
            Some(Setting::Number(number)) => number.to_string(),
            Some(Setting::Text(text)) => text.clone(),
            None => default.to_owned(),
        }
    }

    /// Returns a setting as a number, or the default where it is none.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        match self.0.get(name) {
            Some(Setting::Number(number)) => *number,
            _ => default,
        }
    }

    /// These with others put in their place.
    #[must_use]
    pub fn but(&self, others: &Self) -> Self {
        let mut knobs = self.clone();
        knobs.0.extend(others.0.clone());
        knobs
    }

    /// These with one set to a value, which is a number if it looks like one.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let setting = match value.parse() {
            Ok(number) => Setting::Number(number),
            Err(_) => Setting::Text(value.to_owned()),
        };
        let mut knobs = self.clone();
        knobs.0.insert(name.to_owned(), setting);
        knobs
    }

    /// The names that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.keys().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name} {}", self.text(name, ""))?;
        }
        Ok(())
    }
}
