//! Sums of one connection, packed: few kinds occur on each, and most sums are small.

use std::ops::Range;

use smallvec::SmallVec;

use crate::model::event::HoldReason;
use crate::model::snapshot::SliceKind;

/// What is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    /// Time of a kind, without a trailing delayed ACK, µs.
    Time(SliceKind),
    /// How often the peer's ACK was delayed and held nobody, and how long, µs.
    Trailing,
    TrailingUs,
    /// Delayed ACKs that this host sent, and how long they waited, µs.
    DelayedAcks,
    DelayedAckUs,
    Retransmits,
    /// How often bytes were held for a reason, and how long, µs.
    Holds(HoldReason),
    HeldUs(HoldReason),
}

/// Keys of the sums of holds, behind those of the kinds of time and five more; by reason.
const HOLDS: u8 = SliceKind::ALL.len() as u8 + 5;
const HELD: u8 = HOLDS + HoldReason::ALL.len() as u8;
const _: () = assert!(HELD as usize + HoldReason::ALL.len() <= 1 << (8 - LENGTH_BITS), "a key has five bits");

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
            Self::Holds(reason) => HOLDS + reason as u8,
            Self::HeldUs(reason) => HELD + reason as u8,
        }
    }
}

/// Bits of an entry's first byte that tell how many bytes its number takes, less one. The key is in the others.
const LENGTH_BITS: u32 = 3;

/// Each sum that is not 0: a byte of key and length, and the number without the zeros above it, its lowest byte first.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums(SmallVec<[u8; 24]>);

impl Sums {
    pub(super) fn get(&self, sum: Sum) -> u64 {
        self.find(sum.key(), 0..self.0.len()).map_or(0, |place| self.value(&place))
    }

    pub(super) fn add(&mut self, sum: Sum, more: u64) {
        self.add_all([(sum, more)]);
    }

    /// Adds several, of which each mostly stands behind the one before.
    pub(super) fn add_all(&mut self, sums: impl IntoIterator<Item = (Sum, u64)>) {
        let mut from = 0;
        for (sum, more) in sums.into_iter().filter(|&(_, more)| more > 0) {
            from = self.change(sum, from, |value| value.saturating_add(more));
        }
    }

    /// Makes it this much, unless it is more.
    pub(super) fn raise(&mut self, sum: Sum, least: u64) {
        if least > 0 {
            self.change(sum, 0, |value| value.max(least));
        }
    }

    /// Looks for it from the entry at `from` on, and then in those before that. Returns where its own is.
    fn change(&mut self, sum: Sum, from: usize, new: impl FnOnce(u64) -> u64) -> usize {
        let key = sum.key();
        let place = self.find(key, from..self.0.len()).or_else(|| self.find(key, 0..from));
        let place = place.unwrap_or(self.0.len()..self.0.len());
        let start = place.start;
        let value = self.value(&place);
        let new = new(value);
        if new == value {
            return start;
        }
        let length = 8 - (new | 1).leading_zeros() as usize / 8;
        if place.len() != 1 + length {
            self.0.drain(place);
            self.0.insert_from_slice(start, &[0; 9][..1 + length]);
            self.0[start] = key << LENGTH_BITS | (length - 1) as u8;
        }
        // One by one is faster than as many as it may be.
        let mut rest = new;
        for byte in &mut self.0[start + 1..=start + length] {
            *byte = rest as u8;
            rest >>= 8;
        }
        start
    }

    /// Where its entry is, of those in a range.
    fn find(&self, key: u8, within: Range<usize>) -> Option<Range<usize>> {
        let bytes = self.0.get(..within.end)?;
        let mut from = within.start;
        while let Some(&head) = bytes.get(from) {
            let to = from + 2 + usize::from(head & ((1 << LENGTH_BITS) - 1));
            if head >> LENGTH_BITS == key {
                return Some(from..to);
            }
            from = to;
        }
        None
    }

    /// The number of an entry; 0 where there is none.
    fn value(&self, place: &Range<usize>) -> u64 {
        self.0[place.clone()].iter().skip(1).rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_size_stand_side_by_side() {
        let mut sums = Sums::default();
        let all = SliceKind::ALL.map(Sum::Time).into_iter().chain([Sum::Trailing, Sum::HeldUs(HoldReason::Pacing)]);
        let all: Vec<Sum> = all.collect();
        for (at, &sum) in all.iter().enumerate() {
            assert_eq!(sums.get(sum), 0);
            sums.add(sum, at as u64);
        }
        for (at, &sum) in all.iter().enumerate().rev() {
            sums.add(sum, 1 << (3 * at));
        }
        for (at, &sum) in all.iter().enumerate() {
            assert_eq!(sums.get(sum), at as u64 + (1 << (3 * at)), "{sum:?}");
        }
        sums.add(Sum::Retransmits, u64::MAX - 1);
        sums.add(Sum::Retransmits, 5);
        sums.raise(Sum::Trailing, 3);
        assert_eq!((sums.get(Sum::Retransmits), sums.get(Sum::TrailingUs)), (u64::MAX, 0));
        assert_eq!(sums.get(Sum::Trailing), 17 + (1 << 51), "it was more already");
    }

    #[test]
    fn usual_sums_take_no_allocation() {
        let mut sums = Sums::default();
        let kinds = [SliceKind::Handshake, SliceKind::AcceptQueue, SliceKind::ReceiveQueue, SliceKind::App];
        kinds.into_iter().for_each(|kind| sums.add(Sum::Time(kind), 16_000));
        sums.add(Sum::Time(SliceKind::AckWait), 120);
        sums.add(Sum::Time(SliceKind::RunQueue), 16_000);
        sums.add(Sum::Trailing, 1);
        sums.add(Sum::TrailingUs, 40_000);
        assert!(!sums.0.spilled(), "{} bytes", sums.0.len());
    }
}
