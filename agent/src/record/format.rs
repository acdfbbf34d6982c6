//! Format of the file: [`MAGIC`], the version (2 bytes), then chunks. Whole numbers of fixed size
//! are little-endian.
//!
//! A chunk is [`SYNC`], its kind (1 byte), its number (4 bytes, from 0), the length of its contents
//! (4 bytes), the CRC-32 of those nine bytes and the contents (4 bytes), and the contents, in
//! postcard:
//!
//! | kind | contents | where |
//! |---|---|---|
//! | 0 | [`Header`], and since there is one the sandbox of its [`Attached`] | the first [`HEADER_COPIES`]: damage to one does not cost the recording |
//! | 1 | [`RecordEntry`] after entry | one a refresh, or as soon as there are [`CHUNK_TARGET`] bytes |
//! | 2 | [`Totals`] | the last one, of a recording that was ended and not cut off |
//! | 3 | the same as 1, compressed with deflate | in place of 1, where that is shorter |
//!
//! The recordings of a flight recorder begin with [`RecordEntry::Resumed`].
//!
//! Each chunk is written at once and can be read without the others, so that a file is good up to
//! the last chunk whatever ends its writer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::resume::Resumption;
use crate::model::{
    Attached, Ending, Model, Setup, WallClock,
    event::{Cost, Event},
    output::Output,
};
use crate::text::Untrusted;

/// Begins every recording. The first byte is no text, and the line ends show a transfer that
/// changed them.
pub(super) const MAGIC: [u8; 8] = *b"\x89BSREC\r\n";
/// The version of the format: postcard names no fields, so each change to what is serialised is a
/// new one. Recordings of the version before are read by way of `older.rs`. There is no version 3:
/// one flipped bit must not make one version of another.
/// An event that is added behind the last changes nothing that was recorded before.
pub const VERSION: u16 = 4;
/// Begins every chunk.
pub(super) const SYNC: [u8; 8] = *b"\xf5chunk\n\xfa";
/// [`MAGIC`] and the version.
pub(super) const PREAMBLE: usize = MAGIC.len() + 2;
/// Bytes before the contents of a chunk.
pub(super) const CHUNK_HEAD: usize = SYNC.len() + 1 + 4 + 4 + 4;
/// Contents at which a chunk is closed.
pub(super) const CHUNK_TARGET: usize = 64 * 1_024;
/// The longest contents: the target and one entry beyond it. A longer chunk is neither written nor
/// believed.
pub(super) const MAX_CONTENTS: usize = 16 * 1_024 * 1_024;
/// Copies of the header that are written.
pub(super) const HEADER_COPIES: u32 = 2;

/// Kind of a chunk's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 0,
    Entries = 1,
    End = 2,
    Packed = 3,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Header, Self::Entries, Self::End, Self::Packed]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Facts that a reader needs before the first entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The program that wrote it, and its version.
    pub written_by: Untrusted,
    /// Kernel, tier, hooks and targets.
    pub attached: Attached,
    /// Setup of the model.
    pub setup: Setup,
    /// The kernel's clock and the wall clock at one moment.
    pub clock: WallClock,
    /// Time between two samples.
    pub refresh: Duration,
}

impl Header {
    /// Returns the header of a recording of the same watch that begins at this time.
    pub(super) fn at(&self, ts_ns: u64) -> Self {
        let mut header = self.clone();
        header.setup.attached_ns = ts_ns;
        header.attached.ts_ns = ts_ns;
        header
    }
}

/// One input of the model. A writer need not own the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecordEntry<E = Event> {
    /// A batch begins at this moment, ns of `CLOCK_MONOTONIC`: the entries behind it came to the
    /// model then, whatever their own times, and all earlier outputs have been shown.
    Batch(u64),
    /// New description of the watched processes and ports.
    Target(Untrusted),
    /// Notices on the watch itself, in place of those before.
    Notices(Vec<Untrusted>),
    /// An event.
    Event(E),
    /// The run ended at this moment, ns of `CLOCK_MONOTONIC`.
    Finish(u64),
    /// The recording begins in the middle of a watch. The reader makes what follows that of a watch
    /// which was attached then.
    Resumed(Box<Resumption>),
}

impl RecordEntry {
    /// Gives it to the model, as a live run does and so a replay must.
    pub fn give(&self, model: &mut Model, out: &mut Vec<Output>) {
        match self {
            Self::Batch(_) | Self::Resumed(_) => {}
            Self::Target(target) => model.set_target(target.clone()),
            Self::Notices(notices) => model.set_notices(notices.clone()),
            Self::Event(event) => model.apply(event, out),
            Self::Finish(now_ns) => {
                let mut ending = Self::begin_finish(*now_ns, model, out);
                while model.finish_on(&mut ending, out) {}
            }
        }
    }

    /// Gives the model the end of the run, whose parts are then [`Model::finish_on`]'s.
    pub(crate) fn begin_finish(now_ns: u64, model: &mut Model, out: &mut Vec<Output>) -> Ending {
        let before = out.len();
        let ending = model.begin_finish(now_ns, out);
        // The last sample has just reported every listener.
        let mut place = 0..;
        out.retain(|output| place.next() < Some(before) || !matches!(output, Output::Listener(_)));
        ending
    }
}

/// Contents of the end mark of a recording that was ended in good order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Entries written.
    pub entries: u64,
    /// Cost of backscope itself, by the last sample.
    pub cost: Option<Cost>,
}

/// Returns a chunk as it stands in the file; `None` if the contents are too long.
pub(super) fn chunk(kind: Kind, number: u32, contents: &[u8]) -> Option<Vec<u8>> {
    if contents.len() > MAX_CONTENTS {
        return None;
    }
    let length = u32::try_from(contents.len()).ok()?;
    let mut bytes = Vec::with_capacity(CHUNK_HEAD + contents.len());
    bytes.extend(SYNC);
    bytes.push(kind as u8);
    bytes.extend(number.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(checksum(&bytes[SYNC.len()..], contents).to_le_bytes());
    bytes.extend(contents);
    Some(bytes)
}

/// Computes the CRC-32 of a chunk's kind, number, length and contents.
pub(super) fn checksum(head: &[u8], contents: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(contents);
    hasher.finalize()
}
