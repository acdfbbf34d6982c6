//! Synthetic event sequences.

mod bounds;
mod findings;
mod flow;
pub(crate) mod world;
