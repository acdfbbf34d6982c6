//! A few bytes in place, more of them elsewhere.

use std::ops::Range;

/// Number of bytes that fit in place.
const ROOM: usize = 22;

/// Bytes that are mostly few. It takes 24 of them itself.
#[derive(Clone, Debug)]
pub(super) enum Packed {
    Few(u8, [u8; ROOM]),
    Many(Box<[u8]>),
}

const _: () = assert!(size_of::<Packed>() == 24, "every connection has one");

impl Default for Packed {
    fn default() -> Self {
        Self::Few(0, [0; ROOM])
    }
}

impl Packed {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Few(length, bytes) => &bytes[..usize::from(*length)],
            Self::Many(bytes) => bytes,
        }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Few(length, bytes) => &mut bytes[..usize::from(*length)],
            Self::Many(bytes) => bytes,
        }
    }

    /// Replaces a range of bytes by others, of any length.
    pub(super) fn replace(&mut self, place: Range<usize>, by: &[u8]) {
        let old = self.bytes().len();
        let new = old - place.len() + by.len();
        if let Self::Few(length, bytes) = self
            && new <= ROOM
        {
            let end = place.start + by.len();
            if place.end < old {
                bytes.copy_within(place.end..old, end);
            }
            bytes[place.start..end].copy_from_slice(by);
            *length = new as u8;
            return;
        }
        let bytes = self.bytes();
        *self = Self::Many([&bytes[..place.start], by, &bytes[place.end..]].concat().into());
    }

    #[cfg(test)]
    pub(super) fn is_spilled(&self) -> bool {
        matches!(self, Self::Many(_))
    }
}
