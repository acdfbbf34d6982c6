//! Synthetic event sequences.

mod bounds;
mod exchanges;
pub(crate) mod facts;
mod findings;
mod flow;
pub(crate) mod world;
