//! Recordings in memory: whole, cut, scratched, and compared with the run they are of.

mod damage;
mod events;
mod extreme;
mod files;
mod flight;
mod hostile;
mod replay;

pub(crate) use events::every as every_event;
pub(crate) use hostile::{Dice, changed};
pub(crate) use replay::{busy_entries, entries_of};

use std::time::{Duration, UNIX_EPOCH};

use super::{Header, Reader, RecordEntry, Writer};
use crate::{
    model::Sandbox,
    model::{
        Setup,
        event::{Event, Sample},
        tests::world::{SECOND, START, setup},
    },
    report::{Attached, WallClock},
};

pub(crate) fn header(setup: Setup) -> Header {
    let hooks = [("accept".into(), Some("fentry fd_install".into())), ("syn".into(), None)];
    Header {
        written_by: "backscope 1.2.3".into(),
        attached: Attached {
            ts_ns: START,
            kernel: "6.18.5".into(),
            tier: setup.tier.clone(),
            hooks: hooks.into(),
            targets: vec!["server 4242".into()],
            attach_us: 311_000,
            gaps: vec!["syn: no hook".into()],
            sandbox: Some(Sandbox { landlock: Some(7), ..Sandbox::default() }),
        },
        setup,
        clock: WallClock { mono_ns: START, wall: UNIX_EPOCH + Duration::from_secs(1_700_000_000) },
        refresh: Duration::from_secs(1),
    }
}

/// A recording of these entries, ended in good order.
pub(crate) fn recording(entries: &[RecordEntry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header(setup("full"))).unwrap();
    for entry in entries {
        writer.write(entry).unwrap();
    }
    writer.end().unwrap()
}

/// Every entry that can be read, with the reader at the end.
fn read(bytes: &[u8]) -> (Vec<RecordEntry>, Reader<&[u8]>) {
    let mut reader = Reader::new(bytes).unwrap();
    let entries = std::iter::from_fn(|| reader.next_entry().unwrap()).collect();
    (entries, reader)
}

/// A sample a second, each with a batch: a chunk of its own for each.
fn ticks(count: u64) -> Vec<RecordEntry> {
    let tick = |second: u64| {
        let ts_ns = START + second * SECOND;
        [
            RecordEntry::Batch(ts_ns),
            RecordEntry::Event(Event::Sample(Sample { ts_ns, seen: second, ..Sample::default() })),
        ]
    };
    (0..count).flat_map(tick).chain([RecordEntry::Finish(START + count * SECOND)]).collect()
}
