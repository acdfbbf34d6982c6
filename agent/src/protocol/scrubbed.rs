//! Bytes of strangers that have to be kept for a moment.

use std::ops::Deref;

use zeroize::{Zeroize, Zeroizing};

/// Bytes that are overwritten when they are let go, and where they were before they moved to have
/// more room.
#[derive(Clone, Debug, Default)]
pub struct Scrubbed(Zeroizing<Vec<u8>>);

impl Scrubbed {
    /// Starts with these bytes.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::default();
        copy.append(bytes);
        copy
    }

    /// Appends bytes.
    pub fn append(&mut self, bytes: &[u8]) {
        let length = self.0.len() + bytes.len();
        if length > self.0.capacity() {
            // A vector that grows by itself leaves what it had behind.
            let mut roomier = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            roomier.extend_from_slice(&self.0);
            self.0 = roomier;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Lets go of the bytes; their room stays.
    pub fn clear(&mut self) {
        self.0.zeroize();
    }
}

impl Deref for Scrubbed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Scrubbed;

    #[test]
    fn bytes_stay_in_order_however_they_come() {
        let all: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        for size in [1, 7, 1_000] {
            let mut kept = Scrubbed::default();
            for part in all.chunks(size) {
                kept.append(part);
            }
            assert_eq!(&kept[..], &all, "in parts of {size}");
        }
    }
}
