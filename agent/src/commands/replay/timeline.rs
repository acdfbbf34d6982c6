//! A look through a whole recording before it is played: when findings begin and end, and what is
//! missing.

use std::{
    collections::BTreeMap,
    fs::File,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    model::{
        Model, WallClock,
        event::{Event, SockId},
        output::{FindingOutput, FindingState, Output},
        snapshot::Finding,
    },
    record::{Damage, ReadError, Reader, RecordEntry},
    tui::{Gap, Mark, Track},
};

/// Findings that are marked and can be jumped to; further ones are left out.
const MAX_FINDINGS: usize = 10_000;
/// Pauses and damages that are marked.
const MAX_GAPS: usize = 1_000;

/// How far the look through a recording has come. It can be given up.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Entries read.
    entries: AtomicU64,
    given_up: AtomicBool,
}

impl Progress {
    /// Entries read so far.
    pub(super) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Asks for the end.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Counts an entry; false if nobody waits for the rest.
    fn count(&self) -> bool {
        self.entries.fetch_add(1, Ordering::Relaxed);
        !self.given_up.load(Ordering::Relaxed)
    }
}

/// A finding: when it began, when it ended if it did, and what it said last.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FindingSpan {
    pub(super) from_ns: u64,
    pub(super) until_ns: Option<u64>,
    pub(super) finding: Finding,
}

/// A part of a recording in which less is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
    /// The file is damaged; otherwise exchanges were not watched.
    pub(super) is_damage: bool,
}

/// Result of a look through the whole recording. Times are ns of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
    /// In the order in which they began.
    pub(super) findings: Vec<FindingSpan>,
    pub(super) missing: Vec<Missing>,
    pub(super) damages: Vec<Damage>,
    pub(super) damage_count: u64,
    clock: WallClock,
}

impl Timeline {
    /// Reads all of it; what was read before `progress` was given up otherwise.
    ///
    /// # Errors
    /// The file can't be read on.
    pub(super) fn of(reader: &mut Reader<File>, progress: &Progress) -> Result<Self, ReadError> {
        let mut look = Look::new(reader);
        while let Some(entry) = reader.next_entry()? {
            look.take(entry, reader.damage_count());
            if !progress.count() {
                break;
            }
        }
        Ok(look.end(reader))
    }

    /// Returns the moments at which findings begin, each once.
    pub(super) fn moments(&self) -> impl DoubleEndedIterator<Item = u64> {
        let mut moments: Vec<u64> = self.findings.iter().map(|span| span.from_ns).collect();
        moments.dedup();
        moments.into_iter()
    }

    /// Returns what the screen marks.
    pub(super) fn track(&self) -> Track {
        let since_us = |ns: u64| ns.saturating_sub(self.begin_ns) / 1_000;
        let mark = |span: &FindingSpan| Mark {
            // Up: a jump there must not end a moment before the finding stands.
            from_us: span.from_ns.saturating_sub(self.begin_ns).div_ceil(1_000),
            until_us: span.until_ns.map(since_us),
            severity: span.finding.severity,
            holder: span.finding.holder(),
            subject: span.finding.subject.clone(),
            headline: span.finding.headline.clone(),
        };
        let gap = |missing: &Missing| Gap {
            from_us: since_us(missing.from_ns),
            until_us: since_us(missing.until_ns),
            is_damage: missing.is_damage,
        };
        Track {
            marks: self.findings.iter().map(mark).collect(),
            gaps: self.missing.iter().map(gap).collect(),
            ends: Some(self.ends()),
        }
    }

    /// Returns the clock on the wall (UTC) at both ends, with the days if they differ.
    fn ends(&self) -> (String, String) {
        let (begin, end) = (self.clock.rfc3339(self.begin_ns), self.clock.rfc3339(self.end_ns));
        let parts = |text: &str| {
            let (day, time) = text.split_once('T').unwrap_or(("", text));
            (day.to_owned(), time.split('.').next().unwrap_or(time).to_owned())
        };
        let ((first, from), (last, until)) = (parts(&begin), parts(&end));
        if first == last {
            (format!("{from}Z"), format!("{until}Z"))
        } else {
            (format!("{first} {from}Z"), format!("{last} {until}Z"))
        }
    }
}

/// The look so far.
struct Look {
    model: Model,
    out: Vec<Output>,
    timeline: Timeline,
    /// Places in `timeline.findings` of those that stand.
    standing: BTreeMap<(&'static str, SockId), usize>,
    damaged_since_ns: Option<u64>,
    paused_since_ns: Option<u64>,
}

impl Look {
    fn new(reader: &Reader<File>) -> Self {
        let header = reader.header();
        let begin_ns = header.setup.attached_ns;
        let timeline = Timeline {
            begin_ns,
            end_ns: begin_ns,
            findings: Vec::new(),
            missing: Vec::new(),
            damages: Vec::new(),
            damage_count: 0,
            clock: header.clock,
        };
        Self {
            model: Model::new(header.setup.clone()),
            out: Vec::new(),
            timeline,
            standing: BTreeMap::new(),
            damaged_since_ns: None,
            paused_since_ns: None,
        }
    }

    fn take(&mut self, entry: RecordEntry, damage_count: u64) {
        if damage_count > self.timeline.damage_count {
            self.timeline.damage_count = damage_count;
            self.damaged_since_ns.get_or_insert(self.timeline.end_ns);
        }
        match entry {
            RecordEntry::Batch(now_ns) | RecordEntry::Finish(now_ns) => {
                self.timeline.end_ns = self.timeline.end_ns.max(now_ns);
                if let Some(from_ns) = self.damaged_since_ns.take() {
                    self.miss(from_ns, true);
                }
            }
            entry => {
                if let RecordEntry::Event(Event::Pause(pause)) = &entry {
                    let since_ns = pause.begins.then_some(pause.ts_ns);
                    if let Some(from_ns) = std::mem::replace(&mut self.paused_since_ns, since_ns) {
                        self.miss(from_ns, false);
                    }
                }
                entry.give(&mut self.model, &mut self.out);
            }
        }
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain(..) {
            if let Output::Finding(finding) = output {
                self.found(finding);
            }
        }
        self.out = out;
    }

    fn found(&mut self, FindingOutput { state, finding, .. }: FindingOutput) {
        let now_ns = self.timeline.end_ns;
        let key = (finding.kind, finding.sock);
        let findings = &mut self.timeline.findings;
        if state == FindingState::Begun {
            if findings.len() < MAX_FINDINGS {
                self.standing.insert(key, findings.len());
                findings.push(FindingSpan { from_ns: now_ns, until_ns: None, finding });
            }
            return;
        }
        if let Some(&at) = self.standing.get(&key) {
            findings[at].finding = finding;
            if state == FindingState::Ended {
                findings[at].until_ns = Some(now_ns);
                self.standing.remove(&key);
            }
        }
    }

    /// Notes that something is missing until now.
    fn miss(&mut self, from_ns: u64, is_damage: bool) {
        let Timeline { missing, end_ns, .. } = &mut self.timeline;
        if missing.len() < MAX_GAPS {
            missing.push(Missing { from_ns, until_ns: (*end_ns).max(from_ns), is_damage });
        }
    }

    fn end(mut self, reader: &Reader<File>) -> Timeline {
        if reader.damage_count() > self.timeline.damage_count {
            self.damaged_since_ns.get_or_insert(self.timeline.end_ns);
        }
        if let Some(from_ns) = self.damaged_since_ns {
            self.miss(from_ns, true);
        }
        if let Some(from_ns) = self.paused_since_ns {
            self.miss(from_ns, false);
        }
        // What stands at the end says its latest.
        for finding in self.model.snapshot().findings {
            if let Some(&at) = self.standing.get(&(finding.kind, finding.sock)) {
                self.timeline.findings[at].finding = finding;
            }
        }
        self.timeline.missing.sort_by_key(|missing| missing.from_ns);
        self.timeline.damages = reader.damages().to_vec();
        self.timeline.damage_count = reader.damage_count();
        self.timeline
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;
    use crate::{
        model::{event::Pause, tests::world::SECOND},
        record::tests::{busy_entries, recording},
    };

    fn look(bytes: &[u8]) -> Timeline {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        Timeline::of(&mut Reader::new(file).unwrap(), &Progress::default()).unwrap()
    }

    /// A server whose trouble is over after 30 s, and then nothing happens for 10 s.
    fn entries() -> Vec<RecordEntry> {
        let mut entries = busy_entries();
        let Some(RecordEntry::Event(last)) = entries
            .iter()
            .rfind(|entry| matches!(entry, RecordEntry::Event(Event::Sample(_))))
            .cloned()
        else {
            panic!("it has samples")
        };
        let Event::Sample(mut sample) = last else { panic!("it is one") };
        for listener in &mut sample.listeners {
            listener.depth = 0;
            listener.peak = 0;
        }
        for _ in 0..10 {
            sample.ts_ns += SECOND;
            entries.push(RecordEntry::Batch(sample.ts_ns));
            entries.push(RecordEntry::Event(Event::Sample(sample.clone())));
        }
        entries
    }

    #[test]
    fn findings_begin_and_end_when_the_screen_shows_so() {
        let timeline = look(&recording(&entries()));
        assert!(!timeline.findings.is_empty());
        for span in &timeline.findings {
            assert!(span.from_ns > timeline.begin_ns && span.from_ns < timeline.end_ns);
        }
        let refused = timeline.findings.iter().find(|span| span.finding.kind.contains("overflow"));
        let until_ns = refused.and_then(|span| span.until_ns).expect("it ended");
        assert!(until_ns > timeline.end_ns - 9 * SECOND && until_ns <= timeline.end_ns);
        let track = timeline.track();
        assert_eq!(track.marks.len(), timeline.findings.len());
        assert_eq!(track.gaps, []);
    }

    #[test]
    fn what_a_finding_said_last_is_what_is_shown() {
        let timeline = look(&recording(&busy_entries()));
        let file = recording(&busy_entries());
        let mut reader = Reader::new(&file[..]).unwrap();
        let mut model = Model::new(reader.header().setup.clone());
        while let Some(entry) = reader.next_entry().unwrap() {
            entry.give(&mut model, &mut Vec::new());
        }
        let standing = model.snapshot().findings;
        assert!(!standing.is_empty());
        for finding in standing {
            let same = |span: &&FindingSpan| span.until_ns.is_none() && span.finding == finding;
            assert_eq!(timeline.findings.iter().filter(same).count(), 1, "{finding:?}");
        }
    }

    #[test]
    fn pauses_and_damage_are_gaps() {
        let mut entries = busy_entries();
        let batches: Vec<(usize, u64)> = entries
            .iter()
            .enumerate()
            .filter_map(|(at, entry)| match entry {
                RecordEntry::Batch(ts_ns) => Some((at, *ts_ns)),
                _ => None,
            })
            .collect();
        let pause = |ts_ns, begins| RecordEntry::Event(Event::Pause(Pause { ts_ns, begins }));
        let (ended, begun) = (batches[15], batches[10]);
        entries.insert(ended.0 + 1, pause(ended.1, false));
        entries.insert(begun.0 + 1, pause(begun.1, true));
        let whole = recording(&entries);
        let paused = Missing { from_ns: begun.1, until_ns: ended.1, is_damage: false };
        assert_eq!(look(&whole).missing, [paused]);

        let cut = look(&whole[..whole.len() - 40]);
        assert_eq!(cut.damage_count, 1);
        let damage = cut.missing.last().copied().expect("the end is missing");
        assert!(damage.is_damage && damage.until_ns == cut.end_ns, "{damage:?}");
    }

    #[test]
    fn who_gives_up_waits_for_no_more() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&recording(&busy_entries())).unwrap();
        file.rewind().unwrap();
        let progress = Progress::default();
        progress.give_up();
        let timeline = Timeline::of(&mut Reader::new(file).unwrap(), &progress).unwrap();
        assert_eq!((progress.entries(), timeline.findings.len()), (1, 0));
    }

    #[test]
    fn the_ends_have_the_time_on_the_wall() {
        let timeline = look(&recording(&busy_entries()));
        let (begin, end) = timeline.ends();
        assert_eq!(begin, "22:13:20Z", "14 November 2023, as the header says");
        assert!(end > begin, "{end}");
    }
}
