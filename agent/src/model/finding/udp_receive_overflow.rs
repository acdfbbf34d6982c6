//! Datagrams are dropped since a socket's receive buffer is full.

use super::Verdict;
use crate::model::datagrams::Datagrams;
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::{count, rate};

/// Drops in five seconds from which on it is no burst.
const MANY: u64 = 100;

/// Any drop in the last five seconds is a warning, a hundred are critical.
pub(super) fn check(datagrams: &Datagrams) -> Option<Verdict> {
    let (sample, dropped) = (&datagrams.sample, datagrams.dropped());
    if dropped == 0 {
        return None;
    }
    Some(Verdict {
        severity: if dropped >= MANY { Severity::Critical } else { Severity::Warning },
        owner: Owner::App,
        headline: format!(
            "Datagrams are being dropped: {} lately, {} a second.",
            count(dropped),
            rate(datagrams.rate())
        ),
        text: format!(
            "The receive buffer holds {} of {} B. What comes while it is full is dropped without a word to the sender: \
             the application reads too slowly, or in bursts longer than the buffer.",
            count(sample.queued_bytes),
            count(sample.buffer_bytes)
        ),
        evidence: vec![
            ("dropped", dropped as f64),
            ("dropped_per_second", datagrams.rate()),
            ("dropped_total", sample.drops as f64),
            ("queued_bytes", sample.queued_bytes as f64),
            ("buffer_bytes", sample.buffer_bytes as f64),
        ],
        fix: "read in batches (recvmmsg) in a thread of its own; raise SO_RCVBUF and net.core.rmem_max.".into(),
    })
}
