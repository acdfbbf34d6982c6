//! Calls of `accept` fail, and connections stay in the queue.

use backscope_abi::errno::{EACCES, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM};

use super::{FindingVerdict, ListenerFacts, Text};
use crate::model::listener::Failing;
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, duration_us, errno_name, rate};

/// Failures a second from which on the caller does not wait in between.
const SPINS: f64 = 2_000.0;

/// Meaning of an error of `accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptError {
    /// The process has no descriptor left.
    Descriptors,
    /// The machine has no open file left.
    Files,
    /// The kernel has no memory for a socket.
    Memory,
    /// The peer had reset the connection.
    Aborted,
    /// A policy forbids it.
    Forbidden,
    /// Anything else.
    Other,
}

impl AcceptError {
    fn of(errno: u32) -> Self {
        match errno {
            EMFILE => Self::Descriptors,
            ENFILE => Self::Files,
            ENOMEM | ENOBUFS => Self::Memory,
            ECONNABORTED => Self::Aborted,
            EPERM | EACCES => Self::Forbidden,
            _ => Self::Other,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Descriptors => "no descriptors left",
            Self::Files => "too many open files in the system",
            Self::Memory => "no memory",
            Self::Aborted => "reset by the peer",
            Self::Forbidden => "not permitted",
            Self::Other => "an error",
        }
    }

    fn owner(self) -> Owner {
        match self {
            Self::Descriptors => Owner::App,
            Self::Files | Self::Memory | Self::Forbidden => Owner::Kernel,
            Self::Aborted => Owner::Peer,
            Self::Other => Owner::Unknown,
        }
    }
}

/// One failure is enough. Unless the peer has reset the connection, `accept` fails until something
/// changes.
pub(super) fn check(facts: &ListenerFacts<'_>) -> Option<FindingVerdict> {
    let failing = facts.failing?;
    let error = AcceptError::of(failing.errno);
    let waits = facts.view.depth > 0;
    let severity = match error {
        // That connection is lost anyway, and the next call accepts the next one.
        AcceptError::Aborted => Severity::Info,
        _ if facts.is_stalled() || waits && facts.figures.overflows > 0 => Severity::Critical,
        _ => Severity::Warning,
    };
    let mut evidence = vec![
        ("errno", f64::from(failing.errno)),
        ("failures", failing.times() as f64),
        ("failures_per_second", facts.recent.rate(facts.figures.fails)),
        ("for_us", (facts.now_ns.saturating_sub(failing.since_ns) / 1_000) as f64),
        ("depth", f64::from(facts.view.depth)),
        ("accepted", facts.figures.accepts as f64),
    ];
    if let Some(used) = failing.used {
        evidence.extend([("open", used.open as f64), ("open_limit", used.limit as f64)]);
    }
    Some(FindingVerdict {
        severity,
        owner: error.owner(),
        headline: format!(
            "accept() fails: {} ({}), {} so far.",
            error.words(),
            errno_name(failing.errno),
            count_of(failing.times(), "time")
        ),
        text: text(facts, failing, error),
        evidence,
        fix: fix(facts, error).into(),
    })
}

fn text(facts: &ListenerFacts<'_>, failing: &Failing, error: AcceptError) -> Text {
    let often = facts.recent.rate(facts.figures.fails);
    let depth = facts.view.depth;
    let all_open = matches!(failing.used, Some(used) if used.open >= used.limit);
    let waits = error != AcceptError::Aborted && depth > 0;
    let begin = format!(
        "It began {} ago; the recent rate is {} a second. The last call was by thread {} of \
         process {}.",
        duration_us(facts.now_ns.saturating_sub(failing.since_ns) / 1_000),
        rate(often),
        failing.tid,
        failing.pid
    );
    Text::from(begin)
        .say("descriptors", error == AcceptError::Descriptors, || descriptors(failing))
        .rest_on("all-open", error == AcceptError::Descriptors && all_open)
        .say("files", error == AcceptError::Files, || files(failing))
        .say("memory", error == AcceptError::Memory, || {
            "The kernel had no memory for the new socket.".to_owned()
        })
        .say("aborted", error == AcceptError::Aborted, || {
            "The peer had reset the connection while it was queued, and the call asked for the \
             peer's address. The call took that connection off the queue, and the next call \
             carries on."
                .to_owned()
        })
        .say("forbidden", error == AcceptError::Forbidden, || {
            "A policy forbids the call: an LSM such as SELinux or AppArmor, seccomp, or BPF."
                .to_owned()
        })
        .say("spins", often >= SPINS, || {
            "The caller retries without waiting, and burns a CPU.".to_owned()
        })
        .say("stalled", waits && facts.is_stalled(), || {
            let stalled = duration_us(facts.stalled_ns / 1_000);
            format!("{} in the queue, and none has been accepted for {stalled}.", wait(depth))
        })
        .say("waits", waits && !facts.is_stalled(), || format!("{} in the queue.", wait(depth)))
}

fn wait(depth: u32) -> String {
    if depth == 1 {
        "1 connection is waiting".to_owned()
    } else {
        format!("{} connections are waiting", count(depth.into()))
    }
}

/// Says how many descriptors the process has open, as far as they were counted.
fn descriptors(failing: &Failing) -> String {
    match failing.used {
        Some(used) if used.open >= used.limit => {
            format!(
                "The process has all of its {} open (RLIMIT_NOFILE).",
                count_of(used.limit, "descriptor")
            )
        }
        Some(used) => format!(
            "When checked, the process had {} of {} open (RLIMIT_NOFILE).",
            count(used.open),
            count_of(used.limit, "descriptor")
        ),
        None => "The process has as many descriptors open as RLIMIT_NOFILE allows.".to_owned(),
    }
}

/// Says how many files the machine has open, as far as they were counted.
fn files(failing: &Failing) -> String {
    match failing.used {
        Some(used) => format!(
            "When checked, the machine had {} of {} open (fs.file-max).",
            count(used.open),
            count_of(used.limit, "file")
        ),
        None => "The machine has as many files open as fs.file-max allows.".to_owned(),
    }
}

fn fix(facts: &ListenerFacts<'_>, error: AcceptError) -> &'static str {
    match error {
        AcceptError::Descriptors if facts.recent.rate(facts.figures.fails) >= SPINS => {
            "raise the limit (LimitNOFILE= in the unit, ulimit -n, worker_rlimit_nofile) above the \
             number of connections wanted, or find what is never closed. After a failure, wait for \
             a descriptor to be closed instead of retrying at once."
        }
        AcceptError::Descriptors => {
            "raise the limit (LimitNOFILE= in the unit, ulimit -n, worker_rlimit_nofile) above the \
             number of connections wanted, or find what is never closed."
        }
        AcceptError::Files => {
            "raise fs.file-max, and find out who holds so many files open (lsof, or /proc/PID/fd)."
        }
        AcceptError::Memory => {
            "find out where memory runs out: the memory limit of its cgroup (memory.max), \
             net.ipv4.tcp_mem, or the machine."
        }
        AcceptError::Aborted => {
            "nothing here, if the server carries on after this error; find out why peers reset."
        }
        AcceptError::Forbidden => "check the audit log, and allow this service to call accept().",
        AcceptError::Other => {
            "check the server's log for this error; accept(2) says what it means."
        }
    }
}
