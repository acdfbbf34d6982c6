//! Sums of one connection, packed: few kinds occur on each, and most sums are small.

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

impl Sum {
    fn key(self) -> u8 {
        match self {
            Self::Time(kind) => kind as u8,
            Self::Trailing => 64,
            Self::TrailingUs => 65,
            Self::DelayedAcks => 66,
            Self::DelayedAckUs => 67,
            Self::Retransmits => 68,
            Self::Holds(reason) => 128 + reason as u8,
            Self::HeldUs(reason) => 160 + reason as u8,
        }
    }
}

/// A number of seven bits a byte, the lowest first; the highest bit tells that more follow. Of `u64::MAX` it takes ten.
const LONGEST: usize = 10;

/// Each sum that is not 0: its key, and the number.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums(SmallVec<[u8; 24]>);

impl Sums {
    pub(super) fn get(&self, sum: Sum) -> u64 {
        self.find(sum.key()).map_or(0, |place| place.value)
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
        let place = self.find(key).unwrap_or(Place { from: self.0.len(), to: self.0.len(), value: 0 });
        let value = new(place.value);
        if value == place.value {
            return;
        }
        let mut packed = [0; 1 + LONGEST];
        packed[0] = key;
        let length = 1 + pack(value, &mut packed[1..]);
        let packed = &packed[..length];
        if place.to - place.from != packed.len() {
            self.0.drain(place.from..place.to);
            self.0.insert_from_slice(place.from, packed);
        } else {
            self.0[place.from..place.to].copy_from_slice(packed);
        }
    }

    fn find(&self, key: u8) -> Option<Place> {
        let mut from = 0;
        while let Some((&known, rest)) = self.0.get(from..).and_then(<[u8]>::split_first) {
            if known == key {
                let (value, length) = unpack(rest);
                return Some(Place { from, to: from + 1 + length, value });
            }
            // The last byte of a number is the one without the highest bit.
            from += 2 + rest.iter().position(|byte| byte & 0x80 == 0)?;
        }
        None
    }
}

struct Place {
    from: usize,
    to: usize,
    value: u64,
}

/// Returns how many bytes it took.
fn pack(mut value: u64, bytes: &mut [u8]) -> usize {
    let mut length = 0;
    for byte in bytes {
        length += 1;
        *byte = value as u8 & 0x7f;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    length
}

/// The number, and how many bytes it took.
fn unpack(bytes: &[u8]) -> (u64, usize) {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(LONGEST).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (value, at + 1);
        }
    }
    (value, bytes.len().min(LONGEST))
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
