//! What was around a finding: the last minute in memory, and a file for each incident.

use std::{collections::VecDeque, time::Duration};

use rustc_hash::FxHashSet;

use super::{EXTENSION, Heads, options::Trigger};
use crate::{
    files::{Failure, FileId, Files},
    model::{
        event::{Sample, SockId},
        output::{FindingOutput, FindingState},
    },
    record::{
        encoder::Body,
        format::Totals,
        writer::{Numbers, WriteError, end, head},
    },
    text::{bytes, duration_us},
};

/// Memory for the time before a finding, bytes. A server that is so busy that it takes more has less
/// time before.
const MEMORY: usize = 64 * 1_024 * 1_024;
/// The time before a finding is kept in so many segments, and up to one more.
const SEGMENTS: u64 = 6;
/// A file goes on while there are further findings, for at most so many times the time after one.
const LONGEST: u64 = 10;

/// Chunks that can stand behind a header: the first ones say what has to be known of before.
#[derive(Debug, Default)]
struct Segment {
    begun_ns: u64,
    bodies: Vec<Body>,
    bytes: usize,
    /// Chunks at the beginning that only a file which begins here has.
    beginning: usize,
}

/// A file that is being written.
#[derive(Debug)]
struct OpenFile {
    id: FileId,
    numbers: Numbers,
    entries: u64,
    until_ns: u64,
    latest_ns: u64,
}

/// The last minute of a watch, and the incidents that files are made of.
#[derive(Debug)]
pub(super) struct Incidents {
    heads: Heads,
    triggers: Vec<Trigger>,
    around_ns: u64,
    max_bytes: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// Findings that stand and were told already.
    standing: FxHashSet<(&'static str, SockId)>,
    open: Option<OpenFile>,
    /// Bytes in files.
    written: u64,
}

impl Incidents {
    pub(super) fn new(
        heads: Heads,
        triggers: Vec<Trigger>,
        around: Duration,
        max_bytes: Option<u64>,
    ) -> Self {
        let begun_ns = heads.header.setup.attached_ns;
        let first = Segment { begun_ns, ..Segment::default() };
        Self {
            heads,
            triggers,
            around_ns: u64::try_from(around.as_nanos()).unwrap_or(u64::MAX),
            max_bytes: max_bytes.unwrap_or(u64::MAX),
            segments: VecDeque::from([first]),
            standing: FxHashSet::default(),
            open: None,
            written: 0,
        }
    }

    /// True if a new segment is to begin with a sample of this time.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        self.segments.back().is_none_or(|segment| {
            now_ns.saturating_sub(segment.begun_ns) >= self.around_ns / SEGMENTS
        })
    }

    pub(super) fn put(&mut self, files: &mut Files, body: Body) -> Result<(), WriteError> {
        if let Some(open) = &mut self.open {
            let chunk = open.numbers.chunk(&body)?;
            open.entries += body.entries;
            self.written += chunk.len() as u64;
            files.append(open.id, chunk);
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += body.contents.len();
            segment.bodies.push(body);
        }
        self.forget(0);
        Ok(())
    }

    /// A sample was written, and its chunk closed. With a `beginning` a new segment begins, if one
    /// is due.
    pub(super) fn sampled(
        &mut self,
        files: &mut Files,
        sample: &Sample,
        beginning: &[Body],
    ) -> Result<(), WriteError> {
        let now_ns = sample.ts_ns;
        if self.open.as_ref().is_some_and(|open| now_ns >= open.until_ns) {
            self.close(files)?;
        }
        if self.is_due(now_ns) && !beginning.is_empty() {
            self.segments.push_back(Segment {
                begun_ns: now_ns,
                bodies: beginning.to_vec(),
                bytes: beginning.iter().map(|body| body.contents.len()).sum(),
                beginning: beginning.len(),
            });
        }
        self.forget(now_ns);
        Ok(())
    }

    /// A finding was reported. Where it is one that is asked for, and new, a file begins, or goes on
    /// for longer.
    pub(super) fn found(
        &mut self,
        files: &mut Files,
        output: &FindingOutput,
    ) -> Result<(), WriteError> {
        let FindingOutput { ts_ns, state, finding } = output;
        let this = (finding.kind, finding.sock);
        if *state == FindingState::Ended {
            self.standing.remove(&this);
            return Ok(());
        }
        let is_wanted = self.triggers.iter().any(|trigger| trigger.wants(finding));
        if !is_wanted || !self.standing.insert(this) {
            return Ok(());
        }
        let until_ns = ts_ns.saturating_add(self.around_ns);
        if let Some(open) = &mut self.open {
            open.until_ns = until_ns.min(open.latest_ns);
            note!("backscope: {} It is in the same file.", finding.headline);
            return Ok(());
        }
        let before: usize = self.segments.iter().map(|segment| segment.bytes).sum();
        if self.written.saturating_add(before as u64) > self.max_bytes {
            note!(
                "backscope: {} It is not kept: {} of incidents are, and --max-size allows {}.",
                finding.headline,
                bytes(self.written),
                bytes(self.max_bytes)
            );
            return Ok(());
        }
        let begun_ns = self.segments.front().map_or(*ts_ns, |segment| segment.begun_ns);
        let name = self.heads.name(Some(finding.kind), *ts_ns);
        note!(
            "backscope: {} Keeping it in {name}.bsrec, with {} before it.",
            finding.headline,
            duration_us(ts_ns.saturating_sub(begun_ns) / 1_000)
        );
        let latest_ns = ts_ns.saturating_add(self.around_ns.saturating_mul(LONGEST));
        self.begin(files, name, (begun_ns, until_ns, latest_ns))
    }

    /// Learns that a file could not be written: if it is the one that is open, it ends there.
    pub(super) fn failed(&mut self, failure: &Failure) {
        if self.open.as_ref().is_some_and(|open| open.id == failure.id) {
            self.open = None;
        }
    }

    pub(super) fn end(&mut self, files: &mut Files) -> Result<(), WriteError> {
        self.close(files)
    }

    fn begin(
        &mut self,
        files: &mut Files,
        name: String,
        (begun_ns, until_ns, latest_ns): (u64, u64, u64),
    ) -> Result<(), WriteError> {
        let mut numbers = Numbers::default();
        let mut contents = head(&self.heads.at(begun_ns), &mut numbers)?;
        let mut entries = 0;
        for (place, segment) in self.segments.iter().enumerate() {
            let known = if place == 0 { 0 } else { segment.beginning };
            for body in &segment.bodies[known.min(segment.bodies.len())..] {
                contents.extend(numbers.chunk(body)?);
                entries += body.entries;
            }
        }
        self.written += contents.len() as u64;
        let id = files.create(name, EXTENSION, contents);
        self.open = Some(OpenFile { id, numbers, entries, until_ns, latest_ns });
        Ok(())
    }

    fn close(&mut self, files: &mut Files) -> Result<(), WriteError> {
        if let Some(mut open) = self.open.take() {
            let totals = Totals { entries: open.entries, cost: None };
            files.close(open.id, end(&totals, &mut open.numbers)?);
        }
        Ok(())
    }

    /// Drops segments that are too old, and the oldest while there are too many bytes.
    fn forget(&mut self, now_ns: u64) {
        let mut held: usize = self.segments.iter().map(|segment| segment.bytes).sum();
        while let Some(next) = self.segments.get(1) {
            let is_old = now_ns.saturating_sub(next.begun_ns) >= self.around_ns;
            if !is_old && held <= MEMORY {
                break;
            }
            if let Some(segment) = self.segments.pop_front() {
                held -= segment.bytes;
            }
        }
    }
}
