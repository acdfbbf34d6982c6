//! Synthetic event sequences.
