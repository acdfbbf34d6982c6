//! Programs that run beside what is measured, by turns with nothing.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::observer::{Observer, Ready, events_lost, packets_lost, records_lost};
use crate::step;

/// A kind of program, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// `backscope watch --detail queues`
    Queues,
    /// `backscope watch --detail exchanges`
    Exchanges,
    /// `backscope watch --budget 1%`, while exchanges are not watched to keep to that
    Budget,
    /// `backscope watch --detail exchanges` of another, idle server
    Neighbour,
    /// `tcpdump -i lo -w /dev/null`
    Tcpdump,
    /// tcplife of libbpf-tools
    Tcplife,
    /// tcpstates of libbpf-tools
    Tcpstates,
    /// bpftrace with a script that prints what tcplife does
    Bpftrace,
    /// `strace -c -f` on the server
    Strace,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Queues,
        Self::Exchanges,
        Self::Budget,
        Self::Neighbour,
        Self::Tcpdump,
        Self::Tcplife,
        Self::Tcpstates,
        Self::Bpftrace,
        Self::Strace,
    ];

    /// Returns the options with which backscope watches, or `None` if this is another program.
    fn options(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Queues => Some(&["--detail", "queues"]),
            Self::Exchanges | Self::Neighbour => Some(&["--detail", "exchanges"]),
            Self::Budget => Some(&["--budget", "1%"]),
            _ => None,
        }
    }

    /// Returns the program, and the package that has it.
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Queues | Self::Exchanges | Self::Budget | Self::Neighbour => {
                ("backscope", "backscope")
            }
            Self::Tcpdump => ("tcpdump", "tcpdump"),
            Self::Tcplife => ("tcplife", "libbpf-tools"),
            Self::Tcpstates => ("tcpstates", "libbpf-tools"),
            Self::Bpftrace => ("bpftrace", "bpftrace"),
            Self::Strace => ("strace", "strace"),
        }
    }
}

/// Prints a line for each connection that ends, by the same tracepoint as tcplife of libbpf-tools.
/// The one that comes with bpftrace needs a kprobe, which not every kernel allows.
const TCPLIFE: &str = "
tracepoint:sock:inet_sock_set_state /args->protocol == 6/ {
    if (args->newstate == 1) { @birth[args->skaddr] = nsecs; }
    if (args->newstate == 7 && @birth[args->skaddr]) {
        printf(\"%d %s %d %d %d\\n\", pid, comm, args->sport, args->dport,
            (nsecs - @birth[args->skaddr]) / 1000);
        delete(@birth[args->skaddr]);
    }
}
END { clear(@birth); }
";

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

/// Whom backscope watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// The server that is measured.
    Server,
    /// Another one, which is idle.
    Idle,
}

/// The program of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nothing, as in the turns before and after: how far from 1 a ratio gets by chance.
    Control,
    Watch {
        build: Build,
        options: &'static [&'static str],
        watched: Watched,
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
            match kind.options() {
                Some(options) => {
                    let watched = match kind {
                        Kind::Neighbour => Watched::Idle,
                        _ => Watched::Server,
                    };
                    besides.extend(builds.iter().map(|build| Self::Watch {
                        build: build.clone(),
                        options,
                        watched,
                    }));
                }
                None => besides.extend(Self::tool(kind)),
            }
        }
        besides
    }

    fn tool(kind: Kind) -> Option<Self> {
        let (name, package) = kind.program();
        let program = step::which(name);
        if program.is_none() {
            eprintln!("    {name} is not installed (`apt-get install {package}`): left out");
        }
        program.map(|program| Self::Tool { kind, program })
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Control => "nothing again: control".to_owned(),
            Self::Watch { build, options, watched } => {
                let build = match build.name.as_str() {
                    "" => String::new(),
                    name => format!("{name}: "),
                };
                let whom = match watched {
                    Watched::Server => "",
                    Watched::Idle => " of another, idle server",
                };
                format!("{build}watch {}{whom}", options.join(" "))
            }
            Self::Tool { kind, .. } => match kind {
                Kind::Tcpdump => "tcpdump -i lo -w /dev/null".to_owned(),
                Kind::Strace => "strace -c -f".to_owned(),
                Kind::Bpftrace => "bpftrace, as tcplife".to_owned(),
                kind => kind.program().0.to_owned(),
            },
        }
    }

    /// Starts the program, and returns once it observes these processes: all those of a server, of
    /// which the first has started the others.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it observes.
    pub(super) fn start(&self, bench: &Bench, pids: &[u32]) -> Result<Option<Observer>> {
        match self {
            Self::Control => Ok(None),
            Self::Watch { build, options, watched } => {
                let options = [&["--plain"], *options].concat();
                let pid = match watched {
                    Watched::Server => pids[0],
                    Watched::Idle => bench.idle_server()?,
                };
                Observer::watch(bench, &build.program, &[pid], &options).map(Some)
            }
            Self::Tool { kind, program } => {
                let mut command = Command::new(program);
                let ready = arguments(*kind, pids, &mut command);
                Observer::start(bench, &mut command, ready).map(Some)
            }
        }
    }

    /// Returns whether its cost sinks once no connection has come for a while.
    pub(super) fn suspends(&self) -> bool {
        matches!(self, Self::Watch { .. })
    }

    /// Returns the least time from the start to a count: with a budget exchanges are watched first;
    /// at an idle server hooks are detached after ten seconds.
    pub(super) fn least_lead(&self) -> Duration {
        match self {
            Self::Watch { watched: Watched::Idle, .. } => Duration::from_secs(13),
            Self::Watch { options, .. } if options.contains(&"--budget") => Duration::from_secs(8),
            _ => Duration::ZERO,
        }
    }

    /// Returns the events or packets lost, from the last lines of the output.
    ///
    /// # Errors
    /// If the output does not say.
    pub(super) fn lost(&self, text: &str) -> Result<u64> {
        match self {
            Self::Tool { kind: Kind::Tcpdump, .. } => packets_lost(text),
            Self::Tool { .. } => Ok(events_lost(text)),
            _ => records_lost(text),
        }
    }
}

/// Adds the arguments with which such a program observes, and returns how one knows that it does.
fn arguments(kind: Kind, pids: &[u32], command: &mut Command) -> Ready {
    match kind {
        Kind::Queues
        | Kind::Exchanges
        | Kind::Budget
        | Kind::Neighbour
        | Kind::Tcplife
        | Kind::Tcpstates => Ready::HoldsBpf,
        Kind::Tcpdump => {
            command.args(["-i", "lo", "-w", "/dev/null"]);
            Ready::Says("listening on")
        }
        Kind::Bpftrace => {
            command.args(["-e", TCPLIFE]);
            Ready::HoldsBpf
        }
        Kind::Strace => {
            command.args(["-c", "-f"]);
            for pid in pids {
                command.args(["-p", &pid.to_string()]);
            }
            Ready::Says("attached")
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
