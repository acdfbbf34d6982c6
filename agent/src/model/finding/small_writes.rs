//! Responses are written in many small pieces.

use super::{Dealings, Text, Verdict};
use crate::model::snapshot::{Owner, Severity, SliceKind};
use crate::model::text::{count, of_last, rate_of, were};
use crate::model::work;

/// Small writes a second from which on the system calls alone are a load.
const MANY_A_SECOND: f64 = 20_000.0;

/// An exchange counts if it has at least four writes of less than 256 bytes, they are at least half of its writes, and
/// they come less than 10 ms apart. A tenth of all exchanges must; it is a warning when such writes were held, or are a load.
pub(super) fn check(dealings: &Dealings<'_>) -> Option<Verdict> {
    let work = dealings.work;
    if !dealings.are_many(work.small_exchanges) {
        return None;
    }
    let held = work.slow(SliceKind::Nagle).count >= 3;
    let hurts = held || work::rate(work.small_writes) >= MANY_A_SECOND;
    let writes = work.small_writes / work.small_exchanges.max(1);
    let bytes = work.small_bytes / work.small_writes.max(1);
    Some(Verdict {
        severity: if hurts { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: format!("Responses are written in {} pieces of {} B on average.", count(writes), count(bytes)),
        text: Text::default()
            .rest_on("hurts", hurts)
            .say("small", true, || {
                let small = of_last(work.small_exchanges, work.exchanges, "exchange");
                let a_second = rate_of(work::rate(work.small_writes), "write");
                format!("{small} {}, {a_second}.", were(work.small_exchanges))
            })
            .say("held", held, || "Nagle's algorithm held some of them (see nagle-delayed-ack).".into())
            .say("not-held", !held, || "Each is a system call, and may be a packet of its own.".into()),
        evidence: vec![
            ("exchanges", work.small_exchanges as f64),
            ("of", work.exchanges as f64),
            ("writes_per_exchange", writes as f64),
            ("bytes_per_write", bytes as f64),
            ("writes_per_second", work::rate(work.small_writes)),
        ],
        fix: "gather the response in a buffer, or write it with one writev().".into(),
    })
}
