//! Programs that run beside what is measured, by turns with nothing.

use std::path::PathBuf;

use anyhow::Result;

use super::Bench;
use super::observer::{Observer, packets_lost, records_lost};
use crate::step;

/// A kind of program, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// `backscope watch --detail queues`
    Queues,
    /// `backscope watch --detail exchanges`
    Exchanges,
    /// `tcpdump -i lo -w /dev/null`
    Tcpdump,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Queues, Self::Exchanges, Self::Tcpdump];

    /// Returns the detail with which backscope watches, or `None` if this is another program.
    fn detail(self) -> Option<&'static str> {
        match self {
            Self::Queues => Some("queues"),
            Self::Exchanges => Some("exchanges"),
            Self::Tcpdump => None,
        }
    }
}

/// A build of backscope to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Build {
    /// Its name in the tables; empty if it is the only one.
    pub(super) name: String,
    pub(super) program: PathBuf,
}

impl Build {
    /// Reads `NAME=PATH` or `PATH`, whose name is the path.
    ///
    /// # Errors
    /// If the path is empty.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) if !name.contains('/') => (name, path),
            _ => (text, text),
        };
        if path.is_empty() {
            return Err("a path is missing".to_owned());
        }
        Ok(Self { name: name.to_owned(), program: path.into() })
    }
}

/// The program of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nothing, as in the turns before and after: how far from 1 a ratio gets by chance.
    Control,
    Watch {
        build: Build,
        detail: &'static str,
    },
    Tool {
        kind: Kind,
        program: PathBuf,
    },
}

impl Beside {
    /// Returns the control, then those of these kinds that are installed, each build of backscope
    /// apart. Says what is not installed. No kinds are all kinds.
    pub(super) fn chosen(kinds: &[Kind], builds: &[Build]) -> Vec<Self> {
        let mut besides = vec![Self::Control];
        for kind in Kind::ALL.into_iter().filter(|kind| kinds.is_empty() || kinds.contains(kind)) {
            match kind.detail() {
                Some(detail) => besides.extend(
                    builds.iter().map(|build| Self::Watch { build: build.clone(), detail }),
                ),
                None => besides.extend(Self::tool(kind)),
            }
        }
        besides
    }

    fn tool(kind: Kind) -> Option<Self> {
        let name = match kind {
            Kind::Queues | Kind::Exchanges => return None,
            Kind::Tcpdump => "tcpdump",
        };
        let program = step::which(name);
        if program.is_none() {
            eprintln!("    {name} is not installed (`apt-get install {name}`): left out");
        }
        program.map(|program| Self::Tool { kind, program })
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Control => "nothing again: control".to_owned(),
            Self::Watch { build, detail } if build.name.is_empty() => {
                format!("watch --detail {detail}")
            }
            Self::Watch { build, detail } => format!("{}: watch --detail {detail}", build.name),
            Self::Tool { kind: Kind::Tcpdump, .. } => "tcpdump -i lo -w /dev/null".to_owned(),
            Self::Tool { kind, .. } => format!("{kind:?}"),
        }
    }

    /// Starts the program, and returns once it observes these processes.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it observes.
    pub(super) fn start(&self, bench: &Bench, pids: &[u32]) -> Result<Option<Observer>> {
        match self {
            Self::Control => Ok(None),
            Self::Watch { build, detail } => {
                let options = ["--plain", "--detail", detail];
                Observer::watch(bench, &build.program, pids, &options).map(Some)
            }
            Self::Tool { program, .. } => Observer::tcpdump(bench, program).map(Some),
        }
    }

    /// Returns whether its cost sinks once no connection has come for a while.
    pub(super) fn suspends(&self) -> bool {
        matches!(self, Self::Watch { .. })
    }

    /// Returns the events or packets lost, from the last lines of the output.
    ///
    /// # Errors
    /// If the output does not say.
    pub(super) fn lost(&self, text: &str) -> Result<u64> {
        match self {
            Self::Tool { .. } => packets_lost(text),
            _ => records_lost(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_have_names() {
        let build = |name: &str, path: &str| Build { name: name.to_owned(), program: path.into() };
        assert_eq!(Build::parse("new=/a/b"), Ok(build("new", "/a/b")));
        assert_eq!(Build::parse("/a=b/c"), Ok(build("/a=b/c", "/a=b/c")));
        assert!(Build::parse("new=").is_err());
    }

    #[test]
    fn every_build_is_measured_at_every_detail() {
        let builds = ["a=/a", "b=/b"].map(|text| Build::parse(text).expect("a build"));
        let besides = Beside::chosen(&[Kind::Exchanges, Kind::Queues], &builds);
        let names: Vec<String> = besides.iter().map(Beside::name).collect();
        let expected = [
            "nothing again: control",
            "a: watch --detail queues",
            "b: watch --detail queues",
            "a: watch --detail exchanges",
            "b: watch --detail exchanges",
        ];
        assert_eq!(names, expected);
    }
}
