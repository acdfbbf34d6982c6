//! A few bytes in place, more of them elsewhere.

use std::ops::Range;

/// Bytes that have room in place.
const ROOM: usize = 30;

/// Bytes that are mostly few. It takes 32 of them itself.
#[derive(Clone, Debug)]
pub(super) enum Packed {
    Few(u8, [u8; ROOM]),
    Many(Vec<u8>),
}

const _: () = assert!(size_of::<Packed>() == 32, "every connection has one");

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

    /// Puts these in the place of some, whatever the lengths of both.
    pub(super) fn replace(&mut self, place: Range<usize>, by: &[u8]) {
        if let Self::Few(length, bytes) = self {
            let (old, end) = (usize::from(*length), place.start + by.len());
            let new = old - place.len() + by.len();
            if new <= ROOM {
                bytes.copy_within(place.end..old, end);
                bytes[place.start..end].copy_from_slice(by);
                *length = new as u8;
                return;
            }
            *self = Self::Many(bytes[..old].to_vec());
        }
        if let Self::Many(bytes) = self {
            bytes.splice(place, by.iter().copied());
        }
    }

    #[cfg(test)]
    pub(super) fn is_spilled(&self) -> bool {
        matches!(self, Self::Many(_))
    }
}
