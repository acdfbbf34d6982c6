//! Entries that the iterator over open files shows: listeners, watched and beside them.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Read},
};

use backscope_abi as abi;

use crate::{
    model::event::SockId,
    privileges::may_trace,
    sensor::decode::{comm, record},
    text::Untrusted,
};

/// Listeners by process and descriptor.
pub(super) type Descriptors = HashMap<(u32, u32), SockId>;

/// A socket that was found.
pub(super) enum Found {
    /// A watched listener.
    Listener(abi::ScanEntry),
    /// A Unix-domain listener.
    Unix(abi::ScanUnix),
    /// A listener beside a watched one.
    Other(abi::ScanOther),
}

/// Bytes read of an iterator at a time: as many as the kernel gives. All of its output at once may
/// be half a gigabyte: it has an entry for each listener of each process that holds it.
const READ: usize = 32 * 1_024;
/// Bytes of the largest entry, and more.
const LARGEST: usize = 1_024;

/// Takes the entries of an iterator's output, as they come, up to anything that is not known.
pub(super) fn for_each_entry(mut source: impl Read, mut take: impl FnMut(Found)) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(READ + LARGEST);
    loop {
        let begin = bytes.len();
        bytes.resize(begin + READ, 0);
        let read = loop {
            match source.read(&mut bytes[begin..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        bytes.truncate(begin + read);
        let mut at = 0;
        while let Some((entry, size)) = entry(&bytes[at..]) {
            take(entry);
            at += size;
        }
        bytes.drain(..at);
        // What remains is the beginning of an entry, or nothing that is known.
        if read == 0 || bytes.len() >= LARGEST {
            return Ok(());
        }
    }
}

/// Returns the first entry in these bytes, and its size.
fn entry(bytes: &[u8]) -> Option<(Found, usize)> {
    Some(match record::<u32>(bytes)? {
        abi::SCAN_LISTENER => (Found::Listener(record(bytes)?), size_of::<abi::ScanEntry>()),
        abi::SCAN_UNIX => (Found::Unix(record(bytes)?), size_of::<abi::ScanUnix>()),
        abi::SCAN_OTHER => (Found::Other(record(bytes)?), size_of::<abi::ScanOther>()),
        _ => return None,
    })
}

/// Processes that the caller may trace. All entries of a process come one after the other, so that
/// the kernel is asked once for each.
#[derive(Debug, Default)]
pub(super) struct Traceable {
    newest: Option<(u32, bool)>,
}

impl Traceable {
    pub(super) fn has(&mut self, pid: u32) -> bool {
        match self.newest {
            Some((newest, may)) if newest == pid => may,
            _ => self.newest.insert((pid, may_trace(pid))).1,
        }
    }
}

/// Returns every process that holds a watched listener, by the output of an iterator over all
/// files: of those that are `wanted`, as many as there are.
pub(in crate::sensor) fn all_holders(
    source: impl Read,
    mut is_wanted: impl FnMut(u32) -> bool,
) -> io::Result<Vec<u32>> {
    let mut holders = BTreeSet::new();
    for_each_entry(source, |found| {
        if let Found::Listener(entry) = found
            && is_wanted(entry.tgid)
        {
            holders.insert(entry.tgid);
        }
    })?;
    Ok(holders.into_iter().collect())
}

/// Most processes that are named as holders of one listener. Further ones are counted.
pub(super) const MAX_NAMED: usize = 64;
/// Most of them, and most descriptors, of all listeners together. Each listener has the first one
/// in any case.
pub(super) const MAX_NAMED_IN_ALL: usize = 65_536;

/// The processes that hold a socket.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The first of them.
    pub(super) named: BTreeSet<u32>,
    /// The number of all.
    count: u32,
    /// The one that was counted last.
    last: u32,
    /// Descriptors of those that are named.
    pub(super) descriptors: Vec<(u32, u32)>,
    /// A descriptor found no room, or its process is not named.
    is_partial: bool,
}

impl Holders {
    /// Notes a process that holds it. All entries of a process come one after the other. Returns
    /// whether it is named; `room` is what is left for names.
    pub(super) fn note(&mut self, pid: u32, room: &mut usize) -> bool {
        if self.named.contains(&pid) {
            return true;
        }
        if self.count > 0 && self.last == pid {
            return false;
        }
        self.last = pid;
        self.count = self.count.saturating_add(1);
        if self.named.len() >= MAX_NAMED || *room == 0 && !self.named.is_empty() {
            self.is_partial = true;
            return false;
        }
        *room = room.saturating_sub(1);
        self.named.insert(pid)
    }

    /// Notes that a descriptor is not among [`descriptors`](Self::descriptors).
    pub(super) fn lacks_descriptor(&mut self) {
        self.is_partial = true;
    }

    /// Returns the number of those that are not named.
    pub(super) fn unnamed(&self) -> u32 {
        self.count.saturating_sub(u32::try_from(self.named.len()).unwrap_or(u32::MAX))
    }

    /// Returns whether every process that holds it is known, with its descriptors.
    pub(super) fn is_complete(&self) -> bool {
        !self.is_partial
    }
}

/// The path of a Unix-domain socket as `ss` shows it: one in the abstract namespace begins with
/// `@`.
pub(super) fn unix_path(raw: &abi::ScanUnix) -> Untrusted {
    let bytes = &raw.path[..raw.path.len().min(raw.length as usize)];
    match bytes.split_first() {
        Some((0, name)) => format!("@{}", String::from_utf8_lossy(name)).into(),
        _ => comm(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(listener: u64, tgid: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [abi::SCAN_LISTENER, 0] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(listener.to_ne_bytes());
        bytes.extend(tgid.to_ne_bytes());
        bytes.extend(3_u32.to_ne_bytes());
        bytes.extend(*b"server\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(bytes.len(), size_of::<abi::ScanEntry>());
        bytes
    }

    /// Gives some bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let some = self.0.len().min(self.1).min(to.len());
            let (now, later) = self.0.split_at(some);
            to[..some].copy_from_slice(now);
            self.0 = later;
            Ok(some)
        }
    }

    #[test]
    fn entries_are_read_wherever_the_output_is_cut() {
        let mut output = Vec::new();
        for pid in 0..300 {
            output.extend(held(7, pid));
        }
        for at_a_time in [1, 7, 100, 4_096, usize::MAX] {
            let mut pids = Vec::new();
            let take = |found| match found {
                Found::Listener(entry) => pids.push(entry.tgid),
                Found::Unix(_) | Found::Other(_) => unreachable!("there is none"),
            };
            for_each_entry(Slow(&output, at_a_time), take).expect("it is in memory");
            assert_eq!(pids, (0..300).collect::<Vec<_>>(), "{at_a_time} bytes at a time");
        }
        let endless = io::repeat(0xff);
        for_each_entry(endless, |_| unreachable!("nothing is known")).expect("it ends");
    }

    #[test]
    fn all_holders_are_found_however_many_there_are() {
        let mut output = Vec::new();
        for pid in 1..=300 {
            output.extend(held(7, pid));
            output.extend(held(8, pid));
        }
        let every_third = |pid| pid % 3 == 0;
        let holders = all_holders(&*output, every_third).expect("it is in memory");
        assert_eq!(holders, (3..=300).step_by(3).collect::<Vec<_>>());
    }

    #[test]
    fn holders_are_named_up_to_a_bound_and_counted_beyond() {
        let (mut holders, mut room) = (Holders::default(), MAX_NAMED_IN_ALL);
        for pid in 100..2_300 {
            // Two descriptors of each.
            let named = holders.note(pid, &mut room);
            assert_eq!(holders.note(pid, &mut room), named);
        }
        assert_eq!(holders.named, (100..164).collect());
        assert_eq!((holders.unnamed(), holders.is_complete()), (2_136, false));
        assert_eq!(room, MAX_NAMED_IN_ALL - MAX_NAMED);
        let (mut last, mut no_room) = (Holders::default(), 0);
        assert!(last.note(5, &mut no_room) && !last.note(6, &mut no_room));
        assert_eq!((last.named.len(), last.unnamed()), (1, 1), "one has a name in any case");
        let mut few = Holders::default();
        assert!(few.note(5, &mut room) && few.note(0, &mut room) && few.is_complete());
    }
}
