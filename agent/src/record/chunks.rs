//! Finds the chunks of a recording, whatever lies between them.

use std::io::{self, Read};

use super::{
    format::{CHUNK_HEAD, Kind, MAX_CONTENTS, SYNC, checksum},
    reader::DamageKind,
};

/// Bytes read at once, at least.
const READ: usize = 64 * 1_024;

/// The next part of the file.
pub(super) enum Found {
    Chunk(Chunk),
    /// Bytes that make no chunk; behind them comes one, or the end.
    Damage {
        offset: u64,
        bytes: u64,
        kind: DamageKind,
    },
}

/// A chunk whose checksum is right.
pub(super) struct Chunk {
    pub(super) kind: Kind,
    pub(super) number: u32,
    pub(super) offset: u64,
    pub(super) contents: Vec<u8>,
}

/// A first look at where a chunk should be.
enum Peek {
    /// Nothing: the file has ended.
    Nothing,
    Chunk {
        kind: Kind,
        number: u32,
        length: usize,
    },
    /// The beginning of a chunk; the file ends within it, if its length is right.
    Short,
    Bad(DamageKind),
}

/// Reads a file chunk by chunk; holds one chunk at most.
#[derive(Debug)]
pub(super) struct Chunks<R> {
    input: R,
    ended: bool,
    /// Bytes that were read; those from `start` on are still to be handled.
    window: Vec<u8>,
    start: usize,
    /// Place of `start` in the file.
    offset: u64,
}

impl<R: Read> Chunks<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, ended: false, window: Vec::new(), start: 0, offset: 0 }
    }

    /// Place in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes `count` bytes, or as many as there are.
    pub(super) fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let ahead = self.ahead(count)?;
        let bytes = ahead[..count.min(ahead.len())].to_vec();
        self.skip(bytes.len());
        Ok(bytes)
    }

    /// Whether nothing is left.
    pub(super) fn at_end(&mut self) -> io::Result<bool> {
        Ok(self.ahead(1)?.is_empty())
    }

    /// Returns the next chunk or damage; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        let offset = self.offset;
        let kind = match self.peek()? {
            Peek::Nothing => return Ok(None),
            Peek::Chunk { kind, number, length } => {
                self.skip(CHUNK_HEAD);
                let contents = self.take(length)?;
                return Ok(Some(Found::Chunk(Chunk { kind, number, offset, contents })));
            }
            Peek::Short => DamageKind::CutShort,
            Peek::Bad(kind) => kind,
        };
        let more_follows = self.find_chunk()?;
        // A chunk that others follow was not cut short.
        let kind =
            if more_follows && kind == DamageKind::CutShort { DamageKind::Length } else { kind };
        Ok(Some(Found::Damage { offset, bytes: self.offset - offset, kind }))
    }

    /// Goes on to the next chunk that is whole; false if there is none, then to the end.
    fn find_chunk(&mut self) -> io::Result<bool> {
        loop {
            self.skip(1);
            let ahead = self.ahead(READ)?;
            let (count, found) =
                (ahead.len(), ahead.windows(SYNC.len()).position(|bytes| bytes == SYNC));
            match found {
                Some(at) => self.skip(at),
                None if count < READ => {
                    self.skip(count);
                    return Ok(false);
                }
                None => {
                    // It may begin in the last bytes.
                    self.skip(count - SYNC.len());
                    continue;
                }
            }
            if let Peek::Chunk { .. } = self.peek()? {
                return Ok(true);
            }
        }
    }

    fn peek(&mut self) -> io::Result<Peek> {
        let head = self.ahead(CHUNK_HEAD)?;
        if head.is_empty() {
            return Ok(Peek::Nothing);
        }
        let common = head.len().min(SYNC.len());
        if head[..common] != SYNC[..common] {
            return Ok(Peek::Bad(DamageKind::NoChunk));
        }
        let Some((head, [kind, number @ .., l0, l1, l2, l3, c0, c1, c2, c3])) = fields(head) else {
            return Ok(Peek::Short);
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_CONTENTS {
            return Ok(Peek::Bad(DamageKind::Length));
        }
        let bytes = self.ahead(CHUNK_HEAD + length)?;
        let Some(contents) = bytes.get(CHUNK_HEAD..CHUNK_HEAD + length) else {
            return Ok(Peek::Short);
        };
        if checksum(&head, contents) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Ok(Peek::Bad(DamageKind::Checksum));
        }
        Ok(match Kind::from_byte(kind) {
            Some(kind) => Peek::Chunk { kind, number: u32::from_le_bytes(number), length },
            None => Peek::Bad(DamageKind::Contents),
        })
    }

    /// Returns the next `count` bytes, or more, or as many as there are, without taking them.
    fn ahead(&mut self, count: usize) -> io::Result<&[u8]> {
        let missing = count.saturating_sub(self.window.len() - self.start);
        if missing > 0 && !self.ended {
            self.window.drain(..self.start);
            self.start = 0;
            let wanted = missing.max(READ) as u64;
            self.ended =
                (self.input.by_ref().take(wanted).read_to_end(&mut self.window)? as u64) < wanted;
        }
        Ok(&self.window[self.start..])
    }

    /// Goes on by `count` bytes of those ahead.
    fn skip(&mut self, count: usize) {
        let count = count.min(self.window.len() - self.start);
        self.start += count;
        self.offset += count as u64;
    }
}

/// Returns the part of a chunk's head that the checksum covers, and all fields behind the sync
/// mark; `None` if it is cut short.
fn fields(head: &[u8]) -> Option<([u8; 9], [u8; 13])> {
    let fields = head.get(SYNC.len()..CHUNK_HEAD)?;
    Some((fields.get(..9)?.try_into().ok()?, fields.try_into().ok()?))
}
