//! Recordings of the lessons' rounds, which the program carries compressed.

use anyhow::anyhow;
use miniz_oxide::inflate::decompress_to_vec;

/// A recording of one round.
#[derive(Clone, Copy, Debug)]
pub struct Recording(
    /// Its bytes, as `build.rs` has compressed them.
    pub &'static [u8],
);

impl Recording {
    /// Returns the recording as it was made.
    ///
    /// # Errors
    /// If the program is damaged.
    pub fn bytes(self) -> anyhow::Result<Vec<u8>> {
        decompress_to_vec(self.0).map_err(|error| anyhow!("cannot unpack the recording: {error:?}"))
    }
}
