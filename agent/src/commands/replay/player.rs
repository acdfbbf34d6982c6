//! A recording as a film: any moment of it can be shown.

use std::{fs::File, path::PathBuf};

use crate::{
    model::{Model, event::Event, output::Output, snapshot::Snapshot},
    record::{Damage, Entry, ReadError, Reader},
};

/// Findings that can be jumped to; further ones are left out.
const MAX_FINDINGS: usize = 10_000;

/// What a look through the whole recording tells. Times are ns of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
    /// When findings were made, or became worse.
    pub(super) findings: Vec<u64>,
    pub(super) damages: Vec<Damage>,
    pub(super) damage_count: u64,
}

impl Timeline {
    fn of(reader: &mut Reader<File>) -> Result<Self, ReadError> {
        let setup = reader.header().setup.clone();
        let (begin_ns, mut end_ns, mut findings) = (setup.attached_ns, setup.attached_ns, Vec::new());
        let (mut model, mut out) = (Model::new(setup), Vec::new());
        while let Some(entry) = reader.next_entry()? {
            match entry {
                Entry::Batch(now_ns) | Entry::Finish(now_ns) => end_ns = end_ns.max(now_ns),
                entry => entry.give(&mut model, &mut out),
            }
            let found = out.drain(..).any(|output| matches!(output, Output::Finding(_)));
            if found && findings.last() != Some(&end_ns) && findings.len() < MAX_FINDINGS {
                findings.push(end_ns);
            }
        }
        let (damages, damage_count) = (reader.damages().to_vec(), reader.damage_count());
        Ok(Self { begin_ns, end_ns, findings, damages, damage_count })
    }
}

/// Plays a recording.
pub(super) struct Player {
    path: PathBuf,
    pub(super) timeline: Timeline,
    reader: Reader<File>,
    model: Model,
    /// What the model reported and nobody wants to know.
    out: Vec<Output>,
    /// When the next batch came, whose beginning has been read.
    next_ns: Option<u64>,
    ended: bool,
    position_ns: u64,
    /// The newest refresh has not been shown.
    refreshed: bool,
}

impl Player {
    /// Looks through the recording and goes to its beginning.
    ///
    /// # Errors
    /// When nothing of it can be read.
    pub(super) fn open(path: PathBuf) -> Result<Self, ReadError> {
        let timeline = Timeline::of(&mut Reader::open(&path)?)?;
        let reader = Reader::open(&path)?;
        let model = Model::new(reader.header().setup.clone());
        let (position_ns, out) = (timeline.begin_ns, Vec::new());
        let mut player =
            Self { path, timeline, reader, model, out, next_ns: None, ended: false, position_ns, refreshed: false };
        player.advance(position_ns)?;
        Ok(player)
    }

    /// Where it is, ns of `CLOCK_MONOTONIC`.
    pub(super) fn position_ns(&self) -> u64 {
        self.position_ns
    }

    pub(super) fn at_end(&self) -> bool {
        self.position_ns >= self.timeline.end_ns
    }

    /// The state to show, if it has changed since it was asked for.
    pub(super) fn refreshed(&mut self) -> Option<Snapshot> {
        std::mem::take(&mut self.refreshed).then(|| self.model.snapshot())
    }

    /// Goes to a moment; back from the beginning on, as a model knows no way back.
    ///
    /// # Errors
    /// When the file can't be read any more.
    pub(super) fn seek(&mut self, to_ns: u64) -> Result<(), ReadError> {
        let to_ns = to_ns.clamp(self.timeline.begin_ns, self.timeline.end_ns);
        if to_ns < self.position_ns {
            self.reader = Reader::open(&self.path)?;
            self.model = Model::new(self.reader.header().setup.clone());
            (self.next_ns, self.ended) = (None, false);
        }
        self.advance(to_ns)?;
        // Whatever the last refresh was.
        self.refreshed = true;
        Ok(())
    }

    /// Plays on up to a moment.
    ///
    /// # Errors
    /// When the file can't be read any more.
    pub(super) fn advance(&mut self, to_ns: u64) -> Result<(), ReadError> {
        let to_ns = to_ns.min(self.timeline.end_ns);
        while !self.ended && self.next_ns.is_none_or(|next_ns| next_ns <= to_ns) {
            self.next_ns = None;
            match self.reader.next_entry()? {
                Some(Entry::Batch(next_ns)) => self.next_ns = Some(next_ns),
                Some(Entry::Finish(_)) | None => self.ended = true,
                Some(entry) => {
                    self.refreshed |= matches!(entry, Entry::Event(Event::Sample(_)));
                    entry.give(&mut self.model, &mut self.out);
                    self.out.clear();
                }
            }
        }
        self.position_ns = to_ns;
        Ok(())
    }

    /// When the next finding was made.
    pub(super) fn next_finding(&self) -> Option<u64> {
        self.timeline.findings.iter().copied().find(|at| *at > self.position_ns)
    }

    /// When the last finding before `than_ns` was made.
    pub(super) fn finding_before(&self, than_ns: u64) -> Option<u64> {
        self.timeline.findings.iter().copied().rev().find(|at| *at < than_ns)
    }
}
