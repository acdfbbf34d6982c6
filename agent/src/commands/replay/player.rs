//! Playback of a recording: any moment of it can be shown.

use std::{
    fs::File,
    io::{Seek, SeekFrom},
};

use super::timeline::{Progress, Timeline};
use crate::{
    digest::Digest,
    model::{
        Model, WallClock,
        event::Event,
        output::Output,
        snapshot::{ConnectionQuery, FoundConnections, Snapshot},
    },
    record::{Header, ReadError, Reader, RecordEntry},
    report::page::WORST,
};

/// Plays a recording.
pub(super) struct Player {
    /// The recording. It cannot be opened once more: a replay gives up the right to.
    file: File,
    pub(super) timeline: Timeline,
    reader: Reader<File>,
    model: Model,
    /// Reports of the model, which are not shown.
    out: Vec<Output>,
    /// Time of the next batch, whose beginning has been read.
    next_ns: Option<u64>,
    ended: bool,
    position_ns: u64,
    /// Set while the newest refresh has not been shown.
    refreshed: bool,
}

impl Player {
    /// Looks through the recording and goes to its beginning.
    ///
    /// # Errors
    /// Nothing of it can be read.
    pub(super) fn open(file: File, progress: &Progress) -> Result<Self, ReadError> {
        let timeline = Timeline::of(&mut from_beginning(&file)?, progress)?;
        let reader = from_beginning(&file)?;
        let model = Model::new(reader.header().setup.clone());
        let (position_ns, out) = (timeline.begin_ns, Vec::new());
        let mut player = Self {
            file,
            timeline,
            reader,
            model,
            out,
            next_ns: None,
            ended: false,
            position_ns,
            refreshed: false,
        };
        player.advance(position_ns)?;
        Ok(player)
    }

    /// Returns the clocks of the recording.
    pub(super) fn clock(&self) -> WallClock {
        self.reader.header().clock
    }

    /// Position in the recording, ns of `CLOCK_MONOTONIC`.
    pub(super) fn position_ns(&self) -> u64 {
        self.position_ns
    }

    pub(super) fn at_end(&self) -> bool {
        self.position_ns >= self.timeline.end_ns
    }

    /// Returns the state to show, if it has changed since the last call, with the list of
    /// connections as the query asks.
    pub(super) fn refreshed(&mut self, query: &ConnectionQuery) -> Option<Snapshot> {
        if std::mem::take(&mut self.refreshed) { Some(self.model.view(query)) } else { None }
    }

    /// Returns another part of the list of connections.
    pub(super) fn find(&self, query: &ConnectionQuery) -> Option<FoundConnections> {
        self.model.find(query)
    }

    /// Header of the recording.
    pub(super) fn header(&self) -> &Header {
        self.reader.header()
    }

    /// The model at this position.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// Sums up the recording up to this position. It reads it once more, from the beginning.
    ///
    /// # Errors
    /// The file can't be read any more.
    pub(super) fn digest(&mut self) -> Result<Digest, ReadError> {
        // Both readers read at the one place that the file has.
        let place = self.file.stream_position()?;
        let mut digest = Digest::until(&mut from_beginning(&self.file)?, WORST, self.position_ns)?;
        self.file.seek(SeekFrom::Start(place))?;
        digest.so_far = !self.at_end();
        Ok(digest)
    }

    /// Goes to a moment; back from the beginning on, as a model knows no way back.
    ///
    /// # Errors
    /// The file can't be read any more.
    pub(super) fn seek(&mut self, to_ns: u64) -> Result<(), ReadError> {
        let to_ns = to_ns.clamp(self.timeline.begin_ns, self.timeline.end_ns);
        if to_ns < self.position_ns {
            self.reader = from_beginning(&self.file)?;
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
    /// The file can't be read any more.
    pub(super) fn advance(&mut self, to_ns: u64) -> Result<(), ReadError> {
        let to_ns = to_ns.min(self.timeline.end_ns);
        while !self.ended && self.next_ns.is_none_or(|next_ns| next_ns <= to_ns) {
            self.next_ns = None;
            match self.reader.next_entry()? {
                Some(RecordEntry::Batch(next_ns)) => self.next_ns = Some(next_ns),
                Some(RecordEntry::Finish(_)) | None => self.ended = true,
                Some(entry) => {
                    self.refreshed |= matches!(entry, RecordEntry::Event(Event::Sample(_)));
                    entry.give(&mut self.model, &mut self.out);
                    self.out.clear();
                }
            }
        }
        self.position_ns = to_ns;
        Ok(())
    }

    /// Returns when the next finding was made.
    pub(super) fn next_finding(&self) -> Option<u64> {
        self.timeline.moments().find(|at| *at > self.position_ns)
    }

    /// Returns when the last finding before `than_ns` was made.
    pub(super) fn finding_before(&self, than_ns: u64) -> Option<u64> {
        self.timeline.moments().rev().find(|at| *at < than_ns)
    }
}

/// Begins to read. All readers share the place in the file: one that was there before is of no use
/// any more.
pub(super) fn from_beginning(mut file: &File) -> Result<Reader<File>, ReadError> {
    file.rewind()?;
    Reader::new(file.try_clone()?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::{
        model::tests::world::SECOND,
        record::tests::{busy_entries, recording},
    };

    fn player() -> (NamedTempFile, Player) {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(&recording(&busy_entries())).unwrap();
        let player = Player::open(file.reopen().unwrap(), &Progress::default()).unwrap();
        (file, player)
    }

    #[test]
    fn back_and_on_shows_what_on_alone_does() {
        let (_file, mut player) = player();
        let begin = player.timeline.begin_ns;
        let mut straight = Vec::new();
        for second in 0..40 {
            player.seek(begin + second * SECOND).unwrap();
            straight.push(player.refreshed(&ConnectionQuery::default()));
        }
        assert!(straight.windows(2).any(|pair| pair[0] != pair[1]));
        for second in (0..40).rev().step_by(7) {
            player.seek(begin + second * SECOND).unwrap();
            assert_eq!(
                player.refreshed(&ConnectionQuery::default()),
                straight[second as usize],
                "second {second}"
            );
        }
    }

    #[test]
    fn only_what_had_come_is_shown() {
        let (_file, mut player) = player();
        player.seek(player.timeline.begin_ns + 10 * SECOND).unwrap();
        let snapshot = player.refreshed(&ConnectionQuery::default()).unwrap();
        let behind_ns = player.position_ns().checked_sub(snapshot.now_ns);
        assert!(behind_ns.is_some_and(|behind_ns| behind_ns < 2 * SECOND), "{behind_ns:?}");
        assert_eq!(player.refreshed(&ConnectionQuery::default()), None, "nothing new has come");
    }

    #[test]
    fn findings_can_be_jumped_to_both_ways() {
        let (_file, mut player) = player();
        let mut seen = Vec::new();
        while let Some(at) = player.next_finding() {
            player.seek(at).unwrap();
            assert!(!player.refreshed(&ConnectionQuery::default()).unwrap().findings.is_empty());
            seen.push(at);
        }
        assert!(!seen.is_empty());
        assert_eq!(seen, player.timeline.moments().collect::<Vec<_>>());
        player.seek(player.timeline.end_ns).unwrap();
        let back: Vec<u64> = std::iter::from_fn(|| {
            let at = player.finding_before(player.position_ns())?;
            player.seek(at).unwrap();
            Some(at)
        })
        .collect();
        seen.reverse();
        assert_eq!(
            back,
            seen.iter().copied().filter(|at| *at < player.timeline.end_ns).collect::<Vec<_>>()
        );
    }

    #[test]
    fn it_stops_at_the_ends() {
        let (_file, mut player) = player();
        player.seek(u64::MAX).unwrap();
        assert!(player.at_end());
        player.seek(0).unwrap();
        assert_eq!(player.position_ns(), player.timeline.begin_ns);
    }
}
