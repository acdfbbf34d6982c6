//! Datagrams are dropped because a socket's receive buffer is full.

use super::{FindingVerdict, Text};
use crate::model::datagrams::Datagrams;
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, duration_us, rate};

/// So many drops in five seconds are more than a burst.
const MANY: u64 = 100;
/// If the last read is so long ago while datagrams wait, nobody reads, µs.
const STALLED_US: u64 = 1_000_000;

/// One drop in the last five seconds is a warning, a hundred are critical.
pub(super) fn check(datagrams: &Datagrams) -> Option<FindingVerdict> {
    let (sample, dropped) = (&datagrams.sample, datagrams.dropped());
    if dropped == 0 {
        return None;
    }
    let rates = datagrams.rates();
    let mut evidence = vec![
        ("dropped", dropped as f64),
        ("dropped_per_second", rates.drops),
        ("dropped_total", sample.drops as f64),
        ("queued_bytes", sample.queued_bytes as f64),
        ("buffer_bytes", sample.buffer_bytes as f64),
    ];
    if let (Some(_), Some(_)) = (sample.arrived, sample.read) {
        evidence.extend([("arrived_per_second", rates.arrived), ("read_per_second", rates.read)]);
    }
    let timed = [
        ("longest_wait_us", datagrams.longest_recent_us()),
        ("unread_us", datagrams.unread_us()),
        ("since_read_us", datagrams.since_read_us()),
        ("reader_tid", sample.reader.map(|(_, tid)| tid.into())),
    ];
    for (name, figure) in timed {
        if let Some(figure) = figure {
            evidence.push((name, figure as f64));
        }
    }
    Some(FindingVerdict {
        severity: if dropped >= MANY { Severity::Critical } else { Severity::Warning },
        owner: Owner::App,
        headline: format!(
            "Datagrams are being dropped: {} recently, {} a second.",
            count(dropped),
            rate(rates.drops)
        ),
        text: who(datagrams, full_text(datagrams)),
        evidence,
        fix: "read in batches (recvmmsg) in a dedicated thread; raise SO_RCVBUF and \
             net.core.rmem_max."
            .into(),
    })
}

/// Says how full the buffer is, and that the kernel drops datagrams meanwhile.
fn full_text(datagrams: &Datagrams) -> Text {
    let sample = &datagrams.sample;
    Text::default().say("dropped", true, || {
        format!(
            "The receive buffer holds {} of {} B. What comes while it is full is dropped, and the \
             sender is not told.",
            count(sample.queued_bytes),
            count(sample.buffer_bytes)
        )
    })
}

/// Says which thread did not read, and for how long, as far as it was seen.
fn who(datagrams: &Datagrams, text: Text) -> Text {
    let sample = &datagrams.sample;
    let unread = datagrams.unread_us();
    let (Some((pid, tid)), Some(since_us)) = (sample.reader, datagrams.since_read_us()) else {
        let never = sample.read.is_some();
        return text
            .say("never-read", never, || {
                format!("Process {} has not read from it since the watch began.", sample.pid)
            })
            .say("reader-unknown", !never, || {
                "Who reads from it, and how fast, was not observed.".into()
            });
    };
    let stopped = unread.is_some() && since_us >= STALLED_US;
    text.say("stopped", stopped, || {
        let since = duration_us(since_us);
        format!(
            "Thread {tid} of process {pid} was the last to read, {since} ago, and nobody has read \
             since."
        )
    })
    .say("slow", !stopped, || {
        let longest_us = datagrams.longest_recent_us().unwrap_or(0).max(unread.unwrap_or(0));
        format!(
            "Thread {tid} of process {pid} reads, but too slowly, or the bursts are longer than \
             the buffer: datagrams waited up to {} for it.",
            duration_us(longest_us)
        )
    })
}
