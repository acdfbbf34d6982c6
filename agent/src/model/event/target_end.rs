//! Ends of the processes that a watch was asked for.

use serde::{Deserialize, Serialize};

use crate::text::Untrusted;

/// The signals that end a process, by their numbers on x86-64 and arm64.
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The bits of a wait status that hold the signal, and the one that tells of a core dump.
const SIGNAL: u32 = 0x7f;
const CORE: u32 = 0x80;

/// The status of a process that has ended, as wait(2) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// Returns the exit status; `None` if a signal ended it.
    pub fn code(self) -> Option<u32> {
        if self.0 & SIGNAL == 0 { Some(self.0 >> 8 & 0xff) } else { None }
    }

    /// Returns the name of the signal that ended it: `SIGKILL`, or a number of a real-time signal.
    pub fn signal(self) -> Option<String> {
        let number = (self.0 & SIGNAL) as usize;
        let known = SIGNALS.get(number.checked_sub(1)?);
        Some(known.map_or_else(|| format!("signal {number}"), |name| (*name).to_owned()))
    }

    /// True if it left a core dump.
    pub fn dumped_core(self) -> bool {
        self.0 & SIGNAL != 0 && self.0 & CORE != 0
    }

    /// Says it: "exit status 0", "killed by SIGKILL".
    pub fn words(self) -> String {
        match (self.code(), self.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) if self.dumped_core() => {
                format!("killed by {signal}, core dumped")
            }
            (None, signal) => format!("killed by {}", signal.unwrap_or_default()),
        }
    }
}

/// A process that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedProcess {
    /// Its end, or where that was not seen the moment at which it was found gone.
    pub ts_ns: u64,
    /// The process.
    pub pid: u32,
    /// Command name.
    pub comm: Untrusted,
    /// How it ended; `None` where the kernel did not tell.
    pub status: Option<WaitStatus>,
}

impl EndedProcess {
    /// Says who ended, and how if that is known: "4242 (nginx) ended: killed by SIGKILL".
    pub fn words(&self) -> Untrusted {
        let mut words = match self.comm.is_empty() {
            true => Untrusted::from(format!("{} ended", self.pid)),
            false => compose!("{} ({}) ended", self.pid, self.comm),
        };
        if let Some(status) = self.status {
            words.push(format!(": {}", status.words()));
        }
        words
    }
}

/// Processes that were named as a target have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetEnd {
    /// The moment at which it was noticed.
    pub ts_ns: u64,
    /// Those that ended since the last time; of a cgroup in which nobody is left the last one.
    pub processes: Vec<EndedProcess>,
    /// Nobody is left to watch.
    pub over: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_said_as_it_is() {
        let words = |status| WaitStatus(status).words();
        assert_eq!(words(0), "exit status 0");
        assert_eq!(words(3 << 8), "exit status 3");
        assert_eq!(words(9), "killed by SIGKILL");
        assert_eq!(words(15), "killed by SIGTERM");
        assert_eq!(words(11 | 0x80), "killed by SIGSEGV, core dumped");
        assert_eq!(words(31), "killed by SIGSYS");
        assert_eq!(words(34), "killed by signal 34");
        for status in [0, 1, 0x7f, 0x80, 0xff, u32::MAX] {
            let status = WaitStatus(status);
            assert_ne!(status.code().is_some(), status.signal().is_some(), "{status:?}");
        }
    }

    #[test]
    fn nothing_is_said_that_is_not_known() {
        let mut ended =
            EndedProcess { ts_ns: 1, pid: 4242, comm: "nginx".into(), status: Some(WaitStatus(9)) };
        assert_eq!(ended.words().as_came(), "4242 (nginx) ended: killed by SIGKILL");
        ended.status = None;
        assert_eq!(ended.words().as_came(), "4242 (nginx) ended");
        ended.comm = Untrusted::default();
        assert_eq!(ended.words().as_came(), "4242 ended");
    }
}
