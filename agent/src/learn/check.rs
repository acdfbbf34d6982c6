//! What a lesson's check is made of.

use super::{
    evidence::Evidence,
    fact::{Facts, Spec},
    lesson::Knobs,
};
use crate::{model::snapshot::Owner, tui::Step};

/// The code of a lesson: what runs, and which facts the evidence yields.
#[derive(Debug)]
pub struct Check {
    /// What can be set for a run.
    pub knobs: &'static [&'static str],
    /// What can be measured.
    pub facts: &'static [Spec],
    /// What runs.
    pub cast: fn(&Knobs) -> Cast,
    /// Draws the facts from the evidence.
    pub gather: fn(&Knobs, &Evidence, &mut Facts),
    /// Draws the picture from the evidence.
    pub picture: fn(&Knobs, &Evidence, &Facts) -> Picture,
}

/// A server and its clients: verbs of the demo servers with their arguments.
///
/// They run in a network of their own, where the server's address is [`Cast::ADDRESS`]. The clients begin once it
/// listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast {
    /// The server.
    pub server: Vec<String>,
    /// The clients.
    pub clients: Vec<Vec<String>>,
    /// The clients first connect; then, all at once, each gets a line on standard input (`ask --wait`).
    pub together: bool,
    /// The clients begin once so many workers have said that they are there.
    pub workers: usize,
}

impl Cast {
    /// Where the server listens.
    pub const ADDRESS: &'static str = "127.0.0.1:8080";

    /// This server, by its words.
    pub fn server(words: &str) -> Self {
        Self { server: split(&format!("{words} --listen {}", Self::ADDRESS)), ..Self::default() }
    }

    /// The clients begin once so many workers have said that they are there.
    #[must_use]
    pub fn workers(self, workers: u64) -> Self {
        Self { workers: workers as usize, ..self }
    }

    /// With so many clients that first connect, and then ask all at once.
    #[must_use]
    pub fn clients_together(mut self, clients: u64, words: &str) -> Self {
        for _ in 0..clients {
            self = self.client(&format!("{words} --wait --trace"));
        }
        Self { together: true, ..self }
    }

    /// With one more client.
    #[must_use]
    pub fn client(self, words: &str) -> Self {
        self.command(&format!("{words} --target {}", Self::ADDRESS))
    }

    /// With the client of a named demo.
    #[must_use]
    pub fn demo_client(self, words: &str) -> Self {
        self.command(&format!("demo {words} --client-only {}", Self::ADDRESS))
    }

    fn command(mut self, words: &str) -> Self {
        self.clients.push(split(words));
        self
    }
}

fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

/// What was seen, as a picture.
#[derive(Clone, Debug)]
pub enum Picture {
    /// Steps between peer, kernel and app.
    Lanes(Vec<Step>),
    /// Bars under a title.
    Bars {
        /// What they count.
        title: String,
        /// The bars.
        bars: Vec<Bar>,
    },
}

/// A bar of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// How long it is, in any unit.
    pub length: f64,
    /// The figure beside it.
    pub figure: String,
    /// Whose it is.
    pub owner: Owner,
}
