//! `report --format perfetto`: a recording as a trace for Perfetto's user interface and its trace
//! processor, in the format of `TrackEvent`.
//!
//! Exchanges are slices on the track of their connection, with their own slices inside; a call and
//! the request that it was made for are joined by an arrow. Listeners have counters of their
//! queues. Times are `CLOCK_MONOTONIC`; a snapshot of that and of the wall clock comes first, so
//! that the trace can be put beside others of the same host.
//!
//! Nothing is kept but which tracks are described, so memory does not grow with the recording.

mod events;
mod names;
mod packets;
mod proto;
#[cfg(test)]
mod tests;
mod tracks;

use std::io::{self, Read, Write};

use crate::{
    model::output::{Output, OverflowOutput},
    record::{Reader, RecordEntry},
    run::{Parties, PlayError, Visitor, play},
};
use packets::Packets;
use tracks::Tracks;

/// What waits for the first sample, and refusals that wait for the first sample of their listener:
/// further ones are left out.
const MAX_EARLY: usize = 10_000;

/// What a trace holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Exchanges.
    pub exchanges: u64,
    /// Exchanges of connections that the recording does not tell the ends of, and refusals by
    /// listeners that it has no figures of. They are left out.
    pub left_out: u64,
}

/// Writes a recording as a trace. One that breaks off is written up to there.
///
/// # Errors
/// The recording cannot be read on, or `out` takes no more.
pub fn write<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> Result<Written, PlayError> {
    let header = reader.header().clone();
    let packets = Packets::begin(out, &header.clock).map_err(PlayError::Write)?;
    let mut trace = Trace {
        packets,
        tracks: Tracks::new(),
        parties: Parties::default(),
        watches_exchanges: header.setup.exchanges,
        is_paused: false,
        first: Some(Vec::new()),
        early: Vec::new(),
        written: Written::default(),
    };
    trace.header(&header).map_err(PlayError::Write)?;
    let end_ns = play(reader, &mut trace)?;
    trace.end(end_ns, reader.damage_count()).map_err(PlayError::Write)?;
    let written = trace.written;
    trace.packets.finish().map_err(PlayError::Write)?;
    Ok(written)
}

/// A trace while it is written.
#[derive(Debug)]
struct Trace<W> {
    packets: Packets<W>,
    tracks: Tracks,
    parties: Parties,
    /// The recording has exchanges; if not, a wait in the accept queue is a slice of its own.
    watches_exchanges: bool,
    is_paused: bool,
    /// What came before the first sample, which tells the names of processes; `None` once that is
    /// there. At most [`MAX_EARLY`].
    first: Option<Vec<Output>>,
    /// Refusals by listeners before their first sample, which tells where they listen. At most
    /// [`MAX_EARLY`].
    early: Vec<OverflowOutput>,
    written: Written,
}

impl<W: Write> Trace<W> {
    /// Writes what came before the first sample: that first, since it has the names.
    fn begin(&mut self) -> io::Result<()> {
        let first = self.first.take().unwrap_or_default();
        let (samples, others): (Vec<_>, Vec<_>) =
            first.iter().partition(|output| matches!(output, Output::Listener(_)));
        samples.into_iter().chain(others).try_for_each(|output| self.output(output))
    }
}

impl<W: Write> Visitor for Trace<W> {
    fn entry(&mut self, entry: &RecordEntry) -> io::Result<()> {
        match entry {
            RecordEntry::Event(event) => self.parties.event(event),
            RecordEntry::Notices(_)
            | RecordEntry::Target(_)
            | RecordEntry::Batch(_)
            | RecordEntry::Finish(_)
            | RecordEntry::Resumed(_) => {}
        }
        Ok(())
    }

    fn outputs(&mut self, outputs: &[Output]) -> io::Result<()> {
        let Some(first) = &mut self.first else {
            return outputs.iter().try_for_each(|output| self.output(output));
        };
        first.extend_from_slice(outputs);
        let has_sample = outputs.iter().any(|output| matches!(output, Output::Listener(_)));
        if has_sample || first.len() > MAX_EARLY { self.begin() } else { Ok(()) }
    }
}
