//! Figures of one connection, packed: few kinds occur on each, and most are small.

use std::ops::Range;

use super::packed::Packed;
use crate::model::event::HoldReason;
use crate::model::snapshot::SliceKind;

/// A figure of a connection: a sum, or a value that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    /// Time of a kind, without a trailing delayed ACK, µs.
    Time(SliceKind),
    /// Delayed ACKs of the peer that held nobody, and their time, µs.
    Trailing,
    TrailingUs,
    /// Delayed ACKs that this host sent, and how long they waited, µs.
    DelayedAcks,
    DelayedAckUs,
    Retransmits,
    /// Segments sent again so far, by the socket's own count.
    AllRetransmits,
    /// Times that bytes were held for a reason, and for how long in all, µs.
    Holds(HoldReason),
    HeldUs(HoldReason),
    /// One more than the handshake took, µs.
    Handshake,
    /// One more than it waited in the accept queue, or than its connect took, ns.
    Queued,
    /// Exchanges before the newest that were not reported.
    Missed,
    /// Exchanges that were left untold; those of them that no other stands for yet.
    Untold,
    Waiting,
    /// Connections, beside itself, that it stands for: they were left untold.
    Others,
    /// SYNs that were sent again.
    SynsAgain,
    /// Time that its requests waited for upstreams, µs.
    Upstream,
    /// Packets of the peer that the kernel ignored before the connection was queued, as one number;
    /// for a call 1 if the server ignored it.
    Ignored,
}

/// Keys of the sums of holds, behind those of the kinds of time and fifteen more; by reason.
const HOLDS: u8 = SliceKind::ALL.len() as u8 + 15;
const HELD: u8 = HOLDS + HoldReason::ALL.len() as u8;
const _: () =
    assert!(HELD as usize + HoldReason::ALL.len() <= 1 << (8 - LENGTH_BITS), "a key has six bits");

impl Sum {
    fn key(self) -> u8 {
        const OTHERS: u8 = SliceKind::ALL.len() as u8;
        match self {
            Self::Time(kind) => kind as u8,
            Self::Trailing => OTHERS,
            Self::TrailingUs => OTHERS + 1,
            Self::DelayedAcks => OTHERS + 2,
            Self::DelayedAckUs => OTHERS + 3,
            Self::Retransmits => OTHERS + 4,
            Self::Handshake => OTHERS + 5,
            Self::Queued => OTHERS + 6,
            Self::Missed => OTHERS + 7,
            Self::SynsAgain => OTHERS + 8,
            Self::Ignored => OTHERS + 9,
            Self::Upstream => OTHERS + 10,
            Self::AllRetransmits => OTHERS + 11,
            Self::Untold => OTHERS + 12,
            Self::Waiting => OTHERS + 13,
            Self::Others => OTHERS + 14,
            Self::Holds(reason) => HOLDS + reason as u8,
            Self::HeldUs(reason) => HELD + reason as u8,
        }
    }
}

/// Bits of an entry's first byte that select one of these lengths for its number. The other bits
/// are the key.
const LENGTH_BITS: u32 = 2;
const LENGTHS: [usize; 1 << LENGTH_BITS] = [1, 2, 3, 8];
/// Lengths of whole entries, a byte each. It is a constant and no table, as each step of a search
/// waits for the length of the entry before.
const ENTRIES: u32 = u32::from_le_bytes([2, 3, 4, 9]);

/// Each figure that is not 0: a byte of key and length, and the number, its lowest byte first.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums(Packed);

impl Sums {
    pub(super) fn get(&self, sum: Sum) -> u64 {
        let bytes = self.0.bytes();
        match find(bytes, sum.key(), 0..bytes.len()) {
            Some(place) => value(&bytes[place.start + 1..place.end]),
            None => 0,
        }
    }

    pub(super) fn add(&mut self, sum: Sum, more: u64) {
        self.add_all([(sum, more)]);
    }

    /// Adds several, of which each mostly stands behind the one before.
    pub(super) fn add_all(&mut self, sums: impl IntoIterator<Item = (Sum, u64)>) {
        let mut from = 0;
        for (sum, more) in sums {
            if more > 0 {
                from = self.change(sum, from, |value| value.saturating_add(more));
            }
        }
    }

    /// Raises it to this much, unless it is more already.
    pub(super) fn raise(&mut self, sum: Sum, least: u64) {
        if least > 0 {
            self.change(sum, 0, |value| value.max(least));
        }
    }

    /// Lowers it by this much, at most to 0.
    pub(super) fn lower(&mut self, sum: Sum, by: u64) {
        if by > 0 && self.get(sum) > 0 {
            self.change(sum, 0, |value| value.saturating_sub(by));
        }
    }

    /// Changes a figure. Looks for its entry from the one at `from` on, and then in those before
    /// that. Returns the place of the entry.
    fn change(&mut self, sum: Sum, from: usize, new: impl FnOnce(u64) -> u64) -> usize {
        let key = sum.key();
        let bytes = self.0.bytes_mut();
        let end = bytes.len();
        let place = find(bytes, key, from..end).or_else(|| find(bytes, key, 0..from));
        let Some(place) = place else {
            self.put(key, end..end, new(0));
            return end;
        };
        let start = place.start;
        let number = &mut bytes[start + 1..place.end];
        let new = new(value(number));
        if !set(number, new) {
            self.put(key, place, new);
        }
        start
    }

    /// Writes an entry in the place of another, or of none.
    fn put(&mut self, key: u8, place: Range<usize>, number: u64) {
        let code = LENGTHS.iter().position(|&length| length < 8 && number >> (8 * length) == 0);
        let code = code.unwrap_or(LENGTHS.len() - 1);
        let mut entry = [key << LENGTH_BITS | code as u8; 9];
        entry[1..].copy_from_slice(&number.to_le_bytes());
        self.0.replace(place, &entry[..1 + LENGTHS[code]]);
    }
}

/// Finds the entry of this key, of those in a range.
fn find(bytes: &[u8], key: u8, range: Range<usize>) -> Option<Range<usize>> {
    let mut from = range.start;
    while from < range.end
        && let Some(&head) = bytes.get(from)
    {
        let code = head & ((1 << LENGTH_BITS) - 1);
        let to = from + usize::from((ENTRIES >> (8 * code)) as u8);
        if head >> LENGTH_BITS == key {
            return Some(from..to);
        }
        from = to;
    }
    None
}

/// Reads a number of one of the lengths. Spelt out: as a loop over bytes it would be some hundred
/// instructions.
fn value(number: &[u8]) -> u64 {
    match *number {
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c] => u32::from_le_bytes([a, b, c, 0]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

/// Writes it in the place of one of that length. False if it is too large.
fn set(number: &mut [u8], new: u64) -> bool {
    let bytes = new.to_le_bytes();
    let fits = number.len() == bytes.len() || new >> (8 * number.len()) == 0;
    match number {
        _ if !fits => {}
        [a] => *a = bytes[0],
        [a, b] => (*a, *b) = (bytes[0], bytes[1]),
        [a, b, c] => (*a, *b, *c) = (bytes[0], bytes[1], bytes[2]),
        all => all.copy_from_slice(&bytes),
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_size_stand_side_by_side() {
        let mut sums = Sums::default();
        let all = SliceKind::ALL
            .map(Sum::Time)
            .into_iter()
            .chain([Sum::Trailing, Sum::HeldUs(HoldReason::Pacing)]);
        let all: Vec<Sum> = all.collect();
        for (at, &sum) in all.iter().enumerate() {
            assert_eq!(sums.get(sum), 0);
            sums.add(sum, at as u64);
        }
        for (at, &sum) in all.iter().enumerate().rev() {
            sums.add(sum, 1 << (2 * at));
        }
        for (at, &sum) in all.iter().enumerate() {
            assert_eq!(sums.get(sum), at as u64 + (1 << (2 * at)), "{sum:?}");
        }
        sums.add(Sum::Retransmits, u64::MAX - 1);
        sums.add(Sum::Retransmits, 5);
        sums.raise(Sum::Trailing, 3);
        assert_eq!((sums.get(Sum::Retransmits), sums.get(Sum::TrailingUs)), (u64::MAX, 0));
        let trailing = SliceKind::ALL.len();
        let least = trailing as u64 + (1 << (2 * trailing));
        assert_eq!(sums.get(Sum::Trailing), least, "it was more already");
    }

    #[test]
    fn usual_sums_take_no_allocation() {
        let mut sums = Sums::default();
        let times = [
            (SliceKind::Handshake, 300),
            (SliceKind::AcceptQueue, 50),
            (SliceKind::Request, 150),
            (SliceKind::ReceiveQueue, 30),
            (SliceKind::App, 16_000),
            (SliceKind::AckWait, 120),
        ];
        times.into_iter().for_each(|(kind, us)| sums.add(Sum::Time(kind), us));
        sums.add(Sum::Handshake, 301);
        sums.add(Sum::Queued, 50_001);
        assert!(!sums.0.is_spilled(), "{} bytes", sums.0.bytes().len());
    }
}
