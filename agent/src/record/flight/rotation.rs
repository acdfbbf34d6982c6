//! The last minutes of a watch, in files of which the oldest is removed.

use std::{collections::VecDeque, time::Duration};

use super::{EXTENSION, Heads};
use crate::{
    files::{Failure, FileId, Files},
    model::event::Sample,
    record::{
        encoder::Body,
        format::Totals,
        writer::{Numbers, WriteError, end, head},
    },
};

/// What is kept is spread over so many files, and up to one more.
const PARTS: u32 = 8;
/// Shortest and longest time of one file.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(600);

/// One of the files.
#[derive(Debug)]
struct Part {
    id: FileId,
    begun_ns: u64,
    bytes: u64,
    /// Bytes of its beginning, which says what has to be known of before.
    beginning: u64,
}

/// The last minutes of a watch.
#[derive(Debug)]
pub(super) struct Rotation {
    heads: Heads,
    keep_ns: u64,
    max_bytes: u64,
    part_ns: u64,
    part_bytes: u64,
    /// The files, oldest first; the last one is being written.
    parts: VecDeque<Part>,
    /// Those of the last one.
    numbers: Numbers,
    entries: u64,
    /// The disk is full: the oldest gives way, and a new file begins.
    is_full: bool,
}

impl Rotation {
    /// Begins with the first file.
    ///
    /// # Errors
    /// The header cannot be serialised.
    pub(super) fn new(
        heads: Heads,
        keep: Option<Duration>,
        max_bytes: Option<u64>,
        files: &mut Files,
    ) -> Result<Self, WriteError> {
        let (mut keep_ns, mut part_ns) = (u64::MAX, u64::MAX);
        if let Some(keep) = keep {
            keep_ns = nanos(keep);
            part_ns = nanos((keep / PARTS).clamp(SHORTEST, LONGEST));
        }
        let max_bytes = max_bytes.unwrap_or(u64::MAX);
        let begin_ns = heads.header.setup.attached_ns;
        let mut rotation = Self {
            heads,
            keep_ns,
            max_bytes,
            part_ns,
            part_bytes: max_bytes / u64::from(PARTS),
            parts: VecDeque::new(),
            numbers: Numbers::default(),
            entries: 0,
            is_full: false,
        };
        rotation.begin(files, begin_ns, &[])?;
        Ok(rotation)
    }

    /// True if a new file is to begin with a sample of this time.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        let Some(part) = self.parts.back() else { return true };
        let lasted_ns = now_ns.saturating_sub(part.begun_ns);
        // A file that is all beginning would be no gain.
        let news = part.bytes - part.beginning;
        self.is_full || lasted_ns >= self.part_ns || news >= self.part_bytes
    }

    pub(super) fn put(&mut self, files: &mut Files, body: &Body) -> Result<(), WriteError> {
        let chunk = self.numbers.chunk(body)?;
        self.entries += body.entries;
        self.make_room(files, chunk.len() as u64);
        if let Some(part) = self.parts.back_mut() {
            part.bytes += chunk.len() as u64;
            files.append(part.id, chunk);
        }
        Ok(())
    }

    /// A sample was written, and its chunk closed. With a `beginning` a new file begins, if one is
    /// due.
    pub(super) fn sampled(
        &mut self,
        files: &mut Files,
        sample: &Sample,
        beginning: &[Body],
    ) -> Result<(), WriteError> {
        let now_ns = sample.ts_ns;
        if self.is_due(now_ns) && !beginning.is_empty() {
            self.close(files)?;
            if std::mem::take(&mut self.is_full) {
                self.remove_oldest(files);
            }
            self.begin(files, now_ns, beginning)?;
        }
        // A file is as old as its end, where the next one begins.
        while self
            .parts
            .get(1)
            .is_some_and(|next| now_ns.saturating_sub(next.begun_ns) >= self.keep_ns)
        {
            self.remove_oldest(files);
        }
        Ok(())
    }

    /// Learns that a file could not be written. Returns whether an older one can make room; `None`
    /// if it is not one of these.
    pub(super) fn failed(&mut self, failure: &Failure) -> Option<bool> {
        if !self.parts.iter().any(|part| part.id == failure.id) {
            return None;
        }
        self.is_full = true;
        Some(self.parts.len() > 1)
    }

    pub(super) fn end(&mut self, files: &mut Files) -> Result<(), WriteError> {
        self.close(files)
    }

    fn begin(
        &mut self,
        files: &mut Files,
        now_ns: u64,
        beginning: &[Body],
    ) -> Result<(), WriteError> {
        self.numbers = Numbers::default();
        let mut bytes = head(&self.heads.at(now_ns), &mut self.numbers)?;
        self.entries = 0;
        for body in beginning {
            bytes.extend(self.numbers.chunk(body)?);
            self.entries += body.entries;
        }
        let length = bytes.len() as u64;
        self.make_room(files, length);
        let id = files.create(self.heads.name(None, now_ns), EXTENSION, bytes);
        self.parts.push_back(Part { id, begun_ns: now_ns, bytes: length, beginning: length });
        Ok(())
    }

    fn close(&mut self, files: &mut Files) -> Result<(), WriteError> {
        if let Some(part) = self.parts.back() {
            let totals = Totals { entries: self.entries, cost: None };
            files.close(part.id, end(&totals, &mut self.numbers)?);
        }
        Ok(())
    }

    /// Removes old files until so many bytes more find room; the one that is being written stays.
    fn make_room(&mut self, files: &mut Files, more: u64) {
        while self.parts.len() > 1 && self.bytes().saturating_add(more) > self.max_bytes {
            self.remove_oldest(files);
        }
    }

    fn remove_oldest(&mut self, files: &mut Files) {
        if self.parts.len() > 1
            && let Some(part) = self.parts.pop_front()
        {
            files.remove(part.id);
        }
    }

    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
