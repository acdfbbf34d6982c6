//! Data wait long in the receive queue before anybody reads them.

use super::text::Text;
use super::{Cause, ConnectionFacts, FindingVerdict};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count_of, duration_us, of_last, percent};

/// A wait this long on average hurts, µs.
const LONG_US: u64 = 30_000;

/// A tenth of all exchanges must lie unread for 20 ms or longer, or a connection for a second now.
/// It is a warning when exchanges wait 30 ms on average, or a connection is unread now.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let (unread, stuck) = (&facts.stats.unread.waits, &facts.stuck.unread);
    let many = facts.are_many(unread.count);
    if !many && stuck.count == 0 {
        return None;
    }
    let reader = Reader::of(facts);
    let headline = if many {
        format!(
            "Requests wait {} unread, {} at worst.",
            duration_us(unread.mean_us()),
            duration_us(unread.worst_us)
        )
    } else {
        let (connections, worst) =
            (count_of(stuck.count, "connection"), duration_us(stuck.worst_us));
        format!("Data lies unread on {connections}, for up to {worst} so far.")
    };
    let lacks = reader.lacks(facts);
    let hurts = stuck.count > 0 || unread.mean_us() >= LONG_US && lacks != Some(true);
    Some(FindingVerdict {
        severity: if hurts { Severity::Warning } else { Severity::Info },
        owner: owner(facts, reader),
        headline,
        text: text(facts, reader),
        evidence: vec![
            ("exchanges", unread.count as f64),
            ("of", facts.stats.exchanges as f64),
            ("wait_mean_us", unread.mean_us() as f64),
            ("wait_max_us", unread.worst_us as f64),
            ("on_cpu_us", facts.stats.unread.cpu_us as f64),
            ("run_queue_us", facts.stats.unread.delay_us as f64),
            ("starved_us", facts.stats.unread.lack.starved_us as f64),
            ("unread_now", stuck.count as f64),
        ],
        fix: match facts.cpu.stopped_lately(facts.now_ns) {
            Some(pid) => {
                format!("resume process {pid} (kill -CONT {pid}), and find out who stopped it.")
                    .into()
            }
            None if lacks == Some(true) => Reader::NoCpu(1.0).fix().into(),
            None => reader.fix().into(),
        },
    })
}

/// The owner of the wait. It is the application only if the readers are known to have computed or
/// slept, or no thread of the process to have lacked a CPU.
fn owner(facts: &ConnectionFacts<'_>, reader: Reader) -> Owner {
    match reader {
        Reader::NoCpu(_) => Owner::Kernel,
        Reader::Busy(_) => Owner::App,
        Reader::Asleep(_) if reader.lacks(facts) != Some(true) => Owner::App,
        Reader::Unknown if reader.lacks(facts) == Some(false) => Owner::App,
        _ => Owner::Unknown,
    }
}

fn text(facts: &ConnectionFacts<'_>, reader: Reader) -> Text {
    let stopped = facts.cpu.stopped_lately(facts.now_ns);
    let (waited, all) = (facts.stats.unread.waits.count, facts.stats.exchanges);
    let lacks = reader.lacks(facts);
    Text::default()
        .say("waited", waited > 0, || {
            format!("{} waited like this in the receive queue.", of_last(waited, all, "exchange"))
        })
        .say("reader", true, || reader.text(stopped.is_some()))
        .infer("lacked-cpu", lacks == Some(true), || LACKED.into())
        .say("had-cpu", matches!(reader, Reader::Unknown) && lacks == Some(false), || HAD.into())
        .say("stopped", stopped.is_some(), || {
            format!("Process {} is stopped (SIGSTOP, or a debugger).", stopped.unwrap_or_default())
        })
        .follows_from(no_cpu(facts, reader), Cause::Here("throttled"))
        .follows_from(no_cpu(facts, reader), Cause::Here("cpu-starved"))
        .follows_from(facts.stats.app.is_blocking(), Cause::Here("slow-app"))
}

/// Tells whether the readers, or threads that they waited for, are known to have had no CPU.
fn no_cpu(facts: &ConnectionFacts<'_>, reader: Reader) -> bool {
    matches!(reader, Reader::NoCpu(_)) || reader.lacks(facts) == Some(true)
}

const LACKED: &str = "At that time, other threads of the process were ready to run and had no CPU \
    for as long. If one of them was to pass the data on, that is what the data waited for.";

const HAD: &str = "No thread of the process was ready to run and without a CPU for as long then.";

/// Activity of the reader meanwhile.
#[derive(Clone, Copy, Debug)]
enum Reader {
    Busy(f64),
    NoCpu(f64),
    Asleep(f64),
    Unknown,
}

impl Reader {
    fn of(facts: &ConnectionFacts<'_>) -> Self {
        let stats = facts.stats;
        // If less than half of the time was seen, it proves nothing.
        if stats.unread.known_us == 0 || stats.unread.known_us * 2 < stats.unread.waits.us {
            return Self::Unknown;
        }
        let share = |us: u64| us as f64 / stats.unread.known_us as f64;
        let (cpu, delay) = (share(stats.unread.cpu_us), share(stats.unread.delay_us));
        if delay >= 0.5 {
            Self::NoCpu(delay)
        } else if cpu >= 0.5 {
            Self::Busy(cpu)
        } else {
            Self::Asleep((1.0 - cpu - delay).max(0.0))
        }
    }

    /// Tells whether other threads of the process lacked a CPU for as long: one of them may have
    /// had to hand the data on, or held what the reader wanted. `None` if that is not known, or the
    /// reader itself is known to have had work or no CPU.
    fn lacks(self, facts: &ConnectionFacts<'_>) -> Option<bool> {
        let is_open = matches!(self, Self::Asleep(_) | Self::Unknown);
        if is_open { facts.stats.unread.lack.starved() } else { None }
    }

    fn text(self, stopped: bool) -> String {
        match self {
            // It did not wait of its own accord.
            Self::Asleep(share) if stopped => {
                format!("The reading threads were on no CPU for {} of that time.", percent(share))
            }
            Self::Busy(share) => {
                format!(
                    "The reading threads were busy meanwhile, on a CPU for {} of that time.",
                    percent(share)
                )
            }
            Self::NoCpu(share) => {
                format!(
                    "The reading threads were ready to run but had no CPU for {} of that time.",
                    percent(share)
                )
            }
            Self::Asleep(share) => {
                format!(
                    "The reading threads slept for {} of that time, waiting for something else.",
                    percent(share)
                )
            }
            Self::Unknown => "What the reading threads did meanwhile was not observed.".into(),
        }
    }

    fn fix(self) -> &'static str {
        match self {
            Self::Busy(_) => {
                "add workers, or do less work in the thread that reads: each request waits for \
                 those before it."
            }
            Self::NoCpu(_) => {
                "add CPUs or run fewer competing threads; check CPU quotas (cgroup cpu.max) and \
                 priorities."
            }
            _ => {
                "wait for readiness with epoll, and keep sleeps, locks and blocking calls out of \
                 the thread that reads."
            }
        }
    }
}
