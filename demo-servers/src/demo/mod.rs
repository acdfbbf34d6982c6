//! The demos: servers that each show one thing, with the client that brings it out.
//!
//! [`demos`] is the registry. A demo is only data: a server (a verb of this program with its knobs)
//! and a client with its knobs. [`Choice`] is a demo with the user's knobs, and [`show`] runs it in
//! a terminal. [`Server`] and [`Client::run`] are the two halves, for callers that run them in
//! their own way.

pub(crate) mod beside;
mod catalogue;
mod choice;
pub(crate) mod client;
mod far;
#[cfg(test)]
pub(crate) mod in_process;
mod orders;
mod report;
mod server;
mod show;
mod stop;
pub(crate) mod tasks;

pub use beside::ClientBeside;
pub use catalogue::demos;
pub use choice::{Choice, RunOptions, write_list};
pub use client::{Client, RequestOptions};
pub(crate) use client::{RETRY, connect, connect_as, explain, timeout};
pub use orders::OrderOptions;
pub use report::Report;
pub use server::{Launcher, Server};
pub use show::show;
pub(crate) use show::{await_server_and_run, print_report};
pub use stop::Stop;

/// One demo.
#[derive(Debug)]
pub struct Demo {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its name in a few words.
    pub title: &'static str,
    /// The lectures of the course that it belongs to.
    pub lectures: &'static [u8],
    /// A description of the effect that it shows.
    pub about: &'static str,
    /// The pattern that a watcher should find under load, if it can find one.
    pub expect: Option<Expect>,
    /// A verb of this program and its knobs, each `--knob` or `--knob=value`.
    pub server: &'static [&'static str],
    /// A verb of [`Client`] and its knobs, likewise.
    pub client: &'static [&'static str],
    /// Knobs worth trying, and what they change.
    pub variations: &'static [(&'static str, &'static str)],
}

/// A pattern in the words of the `pattern` object of the event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// `name`.
    pub pattern: &'static str,
    /// `threads` or `processes`.
    pub units: &'static str,
    /// `blocking` or `event-loop`.
    pub io: &'static str,
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}, {}", self.pattern, self.units, self.io)
    }
}

/// The demo of that name.
pub fn find(name: &str) -> Option<&'static Demo> {
    demos().find(|demo| demo.name == name)
}
