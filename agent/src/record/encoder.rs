//! Turns entries into the contents of chunks.

use std::{borrow::Borrow, mem};

use serde::Serialize;

use super::{
    format::{CHUNK_TARGET, Kind, MAX_CONTENTS, RecordEntry},
    writer::WriteError,
};
use crate::model::event::{Cost, Event};

/// Level of compression. The fastest leaves a tenth more; slower ones gain nothing.
const LEVEL: u8 = 2;

/// Contents of a chunk, compressed where that makes them shorter.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) kind: Kind,
    pub(super) contents: Vec<u8>,
    /// Entries in it.
    pub(super) entries: u64,
}

impl Body {
    /// Packs entries that were serialised.
    fn of(serialised: &[u8], entries: u64) -> Self {
        let packed = miniz_oxide::deflate::compress_to_vec(serialised, LEVEL);
        if packed.len() < serialised.len() {
            Self { kind: Kind::Packed, contents: packed, entries }
        } else {
            Self { kind: Kind::Entries, contents: serialised.to_vec(), entries }
        }
    }
}

/// Returns the entries of a packed chunk; `None` if it is none, or has more than a chunk may have.
pub(super) fn unpack(contents: &[u8]) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_with_limit(contents, MAX_CONTENTS).ok()
}

/// Collects entries until they make a chunk.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// The entries of the open chunk, serialised, and their number.
    serialised: Vec<u8>,
    entries: u64,
    /// Cost of backscope itself, by the last sample.
    pub(super) cost: Option<Cost>,
}

impl Encoder {
    /// Adds an entry. A sample or the end closes the chunk, and so does its size: its contents are
    /// returned then.
    ///
    /// # Errors
    /// It cannot be serialised, or is too large.
    pub(super) fn write<E: Borrow<Event> + Serialize>(
        &mut self,
        entry: &RecordEntry<E>,
    ) -> Result<Option<Body>, WriteError> {
        self.serialised = postcard::to_extend(entry, mem::take(&mut self.serialised))?;
        self.entries += 1;
        let ends = match entry {
            RecordEntry::Event(event) => match event.borrow() {
                Event::Sample(sample) => {
                    self.cost = Some(sample.cost);
                    true
                }
                _ => false,
            },
            RecordEntry::Finish(_) => true,
            _ => false,
        };
        if ends || self.serialised.len() >= CHUNK_TARGET { self.flush() } else { Ok(None) }
    }

    /// Closes the chunk, if there is anything in it.
    ///
    /// # Errors
    /// The last entry is too large.
    pub(super) fn flush(&mut self) -> Result<Option<Body>, WriteError> {
        let entries = mem::take(&mut self.entries);
        if self.serialised.is_empty() {
            return Ok(None);
        }
        if self.serialised.len() > MAX_CONTENTS {
            let length = mem::take(&mut self.serialised).len();
            return Err(WriteError::TooLarge(length));
        }
        let body = Body::of(&self.serialised, entries);
        self.serialised.clear();
        Ok(Some(body))
    }
}
