//! The event log: the newest accepts, refusals and changes.

use std::collections::VecDeque;

use super::event::{Accept, Stage};
use super::output::OverflowOutput;
use super::snapshot::{LogEntry, StreamKind};

/// Entries kept; the oldest goes first.
pub const MAX_STREAM: usize = 5_000;

#[derive(Clone, Debug, Default)]
pub(super) struct EventLog {
    /// By time, oldest first.
    entries: VecDeque<LogEntry>,
    logged: u64,
}

impl EventLog {
    pub(super) fn accepted(&mut self, accept: &Accept) {
        self.push(LogEntry {
            ts_ns: accept.ts_ns,
            listener: accept.listener,
            what: StreamKind::Accept {
                peer: accept.peer,
                queued_us: accept.queued_us(),
                tid: accept.tid,
                comm: accept.comm.clone(),
                fd: accept.fd,
            },
        });
    }

    /// Adds a refusal. Syncookies refuse nobody, and a flood of them would drive everything else
    /// out: they count in the totals only.
    pub(super) fn overflowed(&mut self, overflow: &OverflowOutput) {
        if overflow.stage == Stage::Cookie {
            return;
        }
        self.push(LogEntry {
            ts_ns: overflow.ts_ns,
            listener: overflow.listener,
            what: StreamKind::Overflow {
                peer: overflow.peer,
                stage: if overflow.stage_certain { Some(overflow.stage) } else { None },
                count: overflow.count,
                depth: overflow.depth,
                limit: overflow.limit,
            },
        });
    }

    pub(super) fn entries(&self) -> Vec<LogEntry> {
        self.entries.iter().cloned().collect()
    }

    /// Number of entries that there ever were.
    pub(super) fn logged(&self) -> u64 {
        self.logged
    }

    /// Puts an entry in its place.
    pub(super) fn push(&mut self, entry: LogEntry) {
        self.logged += 1;
        // Records of several CPUs come nearly in order, so the place is near the end.
        let before = self.entries.iter().rposition(|other| other.ts_ns <= entry.ts_ns);
        let place = before.map_or(0, |at| at + 1);
        self.entries.insert(place, entry);
        if self.entries.len() > MAX_STREAM {
            self.entries.pop_front();
        }
    }
}
