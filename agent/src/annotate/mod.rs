//! `annotate`: what held the time of a recording's exchanges, as comments on the packets of a capture
//! that was made beside it.
//!
//! Stamps of a capture are wall-clock time, and those of a recording become that by its
//! [`WallClock`](crate::model::WallClock), which was read once, at the attach. `CLOCK_MONOTONIC` is
//! slewed like the wall clock, so the two run alike until somebody sets the wall clock.
//! [`Clocks`] finds that out, from connections whose first SYN both have.
//!
//! The capture is read three times: for its connections; for the packet that is nearest to each
//! remark; and to write it. So memory is that of connections and remarks, which are bounded
//! ([`MAX_FLOWS`], [`MAX_REMARKS`]), whatever the number of packets.

pub mod capture;
mod clocks;
mod flows;
mod place;
mod remarks;
#[cfg(test)]
mod tests;
mod words;

use std::{
    io::{self, BufReader, Read, Seek, Write},
    time::{Duration, UNIX_EPOCH},
};

pub use clocks::Clocks;
pub use flows::MAX_FLOWS;
pub use remarks::MAX_REMARKS;

use crate::{
    record::Reader,
    run::{PlayError, play},
};
use capture::{Capture, CaptureError, with_comments};
use flows::Flows;
use remarks::{Gatherer, Remarks};

/// Farthest that the stamp of a packet may be from the time in the recording for the two to be one
/// event, ns. Hooks of TCP and the capture's hook are microseconds apart; a loaded machine may put
/// an interrupt between them.
pub const TOLERANCE_NS: u64 = 1_000_000;

/// Reason why there is no annotated capture, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    /// The capture cannot be read.
    #[error("the capture cannot be read")]
    Capture(#[from] CaptureError),
    /// It cannot be read a second time.
    #[error("the capture cannot be read twice, as is needed; save it to a file first")]
    Rewind(#[source] io::Error),
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] PlayError),
    /// The output takes no more.
    #[error("cannot write the annotated capture")]
    Write(#[source] io::Error),
}

/// What was written, and what of the two files goes together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotated {
    /// Packets of the capture.
    pub packets: u64,
    /// Of these, such whose kind of header is not looked into.
    pub unknown_links: u64,
    /// Time of its first packet and of its last, ns since 1970; `None` without packets.
    pub captured_ns: Option<(u64, u64)>,
    /// Beginning and end of the recording, likewise.
    pub recorded_ns: (u64, u64),
    /// TCP connections of the capture, by their addresses.
    pub flows: u64,
    /// There were more than [`MAX_FLOWS`].
    pub leaves_out_flows: bool,
    /// Of these, such that the recording has.
    pub shared_flows: u64,
    /// Slices and exchanges of shared connections, in the time of the capture.
    pub remarks: u64,
    /// Slices and exchanges outside the time of the capture.
    pub beyond: u64,
    /// Slices and exchanges beyond [`MAX_REMARKS`].
    pub left_out: u64,
    /// Comments that were written.
    pub comments: u64,
    /// Packets that got any.
    pub commented: u64,
    /// Distances between a packet and what is said on it: the median and the longest, ns.
    pub distances_ns: Option<(u64, u64)>,
    /// The clocks of the two.
    pub clocks: Clocks,
    /// Place at which the capture breaks off.
    pub cut_short: Option<u64>,
}

/// Writes a capture with comments. Those of less than `min_us` are left out.
///
/// # Errors
/// One of the two cannot be read, or `out` takes no more.
pub fn annotate<D: Read + Seek, R: Read>(
    dump: &mut D,
    reader: &mut Reader<R>,
    min_us: u64,
    out: &mut impl Write,
) -> Result<Annotated, AnnotateError> {
    let mut annotated = Annotated::default();
    let flows = look_through(dump, &mut annotated)?;

    let clock = reader.header().clock;
    let attached_ns = reader.header().setup.attached_ns;
    let mut gatherer = Gatherer::new(clock, min_us, flows);
    let end_ns = play(reader, &mut gatherer)?;
    annotated.recorded_ns = (wall_ns(clock.at(attached_ns)), wall_ns(clock.at(end_ns)));
    let (flows, mut remarks) = gatherer.finish();
    annotated.shared_flows = flows.shared();
    annotated.left_out = remarks.left_out;
    annotated.clocks = flows.clocks(annotated.clocks.set_back_ns);
    remarks.shift(annotated.clocks.shift_ns);
    if let Some(captured_ns) = annotated.captured_ns {
        annotated.beyond = remarks.keep_within(captured_ns);
    }
    annotated.remarks = remarks.len();

    find_packets(dump, &flows, &mut remarks)?;
    annotated.distances_ns = remarks.distances_ns();
    write(dump, remarks, out, &mut annotated)?;
    Ok(annotated)
}

/// Returns a moment, ns since 1970.
fn wall_ns(moment: std::time::SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn open<D: Read + Seek>(dump: &mut D) -> Result<Capture<BufReader<&mut D>>, AnnotateError> {
    dump.rewind().map_err(AnnotateError::Rewind)?;
    Ok(Capture::new(BufReader::with_capacity(1 << 16, dump))?)
}

/// Finds the connections of the capture.
fn look_through<D: Read + Seek>(
    dump: &mut D,
    annotated: &mut Annotated,
) -> Result<Flows, AnnotateError> {
    let (mut capture, mut block) = (open(dump)?, Vec::new());
    let mut flows = Flows::default();
    let mut newest_ns = 0_u64;
    while let Some(packet) = capture.next(&mut block)? {
        let Some(packet) = packet else { continue };
        annotated.packets += 1;
        annotated.unknown_links += u64::from(!packet.link.is_known());
        let (first_ns, last_ns) = annotated.captured_ns.unwrap_or((packet.ts_ns, packet.ts_ns));
        annotated.captured_ns = Some((first_ns.min(packet.ts_ns), last_ns.max(packet.ts_ns)));
        let back_ns = newest_ns.saturating_sub(packet.ts_ns);
        annotated.clocks.set_back_ns = annotated.clocks.set_back_ns.max(back_ns);
        newest_ns = newest_ns.max(packet.ts_ns);
        if let Some(segment) = packet.segment(&block) {
            flows.add(&segment, packet.ts_ns);
        }
    }
    annotated.cut_short = capture.cut_short();
    (annotated.flows, annotated.leaves_out_flows) = (flows.len(), flows.leaves_out());
    Ok(flows)
}

/// Finds the packet that is nearest to each remark.
fn find_packets<D: Read + Seek>(
    dump: &mut D,
    flows: &Flows,
    remarks: &mut Remarks,
) -> Result<(), AnnotateError> {
    if remarks.len() == 0 {
        return Ok(());
    }
    let (mut capture, mut block, mut number) = (open(dump)?, Vec::new(), 0_u64);
    let mut places = place::Places::new(remarks);
    while let Some(packet) = capture.next(&mut block)? {
        let Some(packet) = packet else { continue };
        number += 1;
        let Some(segment) = packet.segment(&block) else { continue };
        let Some((flow, is_forward)) = flows.find(&segment) else { continue };
        places.offer(number, packet.ts_ns, flow, is_forward, segment.has_data);
    }
    Ok(())
}

/// Writes the capture with its comments.
fn write<D: Read + Seek>(
    dump: &mut D,
    remarks: Remarks,
    out: &mut impl Write,
    annotated: &mut Annotated,
) -> Result<(), AnnotateError> {
    let placed = remarks.by_packet();
    let mut placed = placed.iter().peekable();
    let (mut capture, mut block, mut number) = (open(dump)?, Vec::new(), 0_u64);
    let (mut comments, mut commented) = (Vec::new(), Vec::new());
    while let Some(packet) = capture.next(&mut block)? {
        let Some(packet) = packet else {
            out.write_all(&block).map_err(AnnotateError::Write)?;
            continue;
        };
        number += 1;
        comments.clear();
        while let Some((_, remark)) = placed.next_if(|(of, _)| *of == number) {
            comments.push(remark.words());
        }
        if comments.is_empty() {
            out.write_all(&block).map_err(AnnotateError::Write)?;
            continue;
        }
        annotated.comments += comments.len() as u64;
        annotated.commented += 1;
        with_comments(&block, &packet, &comments, &mut commented);
        out.write_all(&commented).map_err(AnnotateError::Write)?;
    }
    out.flush().map_err(AnnotateError::Write)
}
