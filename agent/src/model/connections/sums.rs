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
        self.find(sum.key()).map_or(0, |place| self.value(&place))
    }

    pub(super) fn add(&mut self, sum: Sum, more: u64) {
        if more > 0 {
            self.change(sum, |value| value.saturating_add(more));
        }
    }

    /// Makes it this much, unless it is more.
    pub(super) fn raise(&mut self, sum: Sum, least: u64) {
        if least > 0 {
            self.change(sum, |value| value.max(least));
        }
    }

    fn change(&mut self, sum: Sum, new: impl FnOnce(u64) -> u64) {
        let key = sum.key();
        let place = self.find(key).unwrap_or(self.0.len()..self.0.len());
        let value = self.value(&place);
        let new = new(value);
        if new == value {
            return;
        }
        let more = 7 - (new | 1).leading_zeros() as usize / 8;
        let mut entry = [0; 9];
        entry[0] = key << LENGTH_BITS | more as u8;
        entry[1..].copy_from_slice(&new.to_le_bytes());
        let entry = &entry[..2 + more];
        if place.len() == entry.len() {
            self.0[place].copy_from_slice(entry);
        } else {
            self.0.drain(place.clone());
            self.0.insert_from_slice(place.start, entry);
        }
    }

    /// Where its entry is.
    fn find(&self, key: u8) -> Option<Range<usize>> {
        let bytes = self.0.as_slice();
        let mut from = 0;
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
