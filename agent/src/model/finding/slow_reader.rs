//! Data wait long in the receive queue before anybody reads them.

use super::{Dealings, Verdict};
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::{count, count_of, duration_us, percent};

/// A wait this long on average hurts, µs.
const LONG_US: u64 = 30_000;

/// An exchange counts from 20 ms unread on. A tenth of all must; it is a warning when they wait 30 ms on average, or when a
/// connection has not been read for a second.
pub(super) fn check(dealings: &Dealings<'_>) -> Option<Verdict> {
    let (unread, stuck) = (&dealings.work.unread, &dealings.stuck.unread);
    let many = dealings.are_many(unread.count);
    if !many && stuck.count == 0 {
        return None;
    }
    let why = Why::of(dealings);
    let headline = if many {
        format!(
            "Requests wait {} unread, {} at the worst.",
            duration_us(unread.mean_us()),
            duration_us(unread.worst_us)
        )
    } else {
        let (connections, worst) = (count_of(stuck.count, "connection"), duration_us(stuck.worst_us));
        format!("Data wait unread on {connections}, for up to {worst} so far.")
    };
    Some(Verdict {
        severity: if stuck.count > 0 || unread.mean_us() >= LONG_US { Severity::Warning } else { Severity::Info },
        owner: if matches!(why, Why::NoCpu(_)) { Owner::Kernel } else { Owner::App },
        headline,
        text: format!(
            "{} of the last {} exchanges waited so in the receive queue. {}",
            count(unread.count),
            count(dealings.work.exchanges),
            why.text()
        ),
        evidence: vec![
            ("exchanges", unread.count as f64),
            ("of", dealings.work.exchanges as f64),
            ("wait_mean_us", unread.mean_us() as f64),
            ("wait_max_us", unread.worst_us as f64),
            ("on_cpu_us", dealings.work.unread_cpu_us as f64),
            ("run_queue_us", dealings.work.unread_delay_us as f64),
            ("unread_now", stuck.count as f64),
        ],
        fix: why.fix().into(),
    })
}

/// What the reader did meanwhile.
#[derive(Clone, Copy, Debug)]
enum Why {
    Busy(f64),
    NoCpu(f64),
    Asleep(f64),
    Unknown,
}

impl Why {
    fn of(dealings: &Dealings<'_>) -> Self {
        let work = dealings.work;
        // Seen of less than half of the time, it proves nothing.
        if work.unread_known_us == 0 || work.unread_known_us * 2 < work.unread.us {
            return Self::Unknown;
        }
        let share = |us: u64| us as f64 / work.unread_known_us as f64;
        let (cpu, delay) = (share(work.unread_cpu_us), share(work.unread_delay_us));
        if delay >= 0.5 {
            Self::NoCpu(delay)
        } else if cpu >= 0.5 {
            Self::Busy(cpu)
        } else {
            Self::Asleep((1.0 - cpu - delay).max(0.0))
        }
    }

    fn text(self) -> String {
        match self {
            Self::Busy(share) => {
                format!("The reading threads were busy meanwhile, on a CPU for {} of it.", percent(share))
            }
            Self::NoCpu(share) => {
                format!(
                    "The reading threads were ready but without a CPU for {} of it: others had them.",
                    percent(share)
                )
            }
            Self::Asleep(share) => {
                format!("The reading threads slept for {} of it, waiting for something else.", percent(share))
            }
            Self::Unknown => "What the reading threads did meanwhile was not observed.".into(),
        }
    }

    fn fix(self) -> &'static str {
        match self {
            Self::Busy(_) => {
                "more workers, or less work in the thread that reads: each request waits for those before it."
            }
            Self::NoCpu(_) => "more CPUs or fewer competing threads; see CPU quotas (cgroup cpu.max) and priorities.",
            _ => {
                "wait for readiness with epoll, and keep sleeps, locks and blocking calls out of the thread that reads."
            }
        }
    }
}
