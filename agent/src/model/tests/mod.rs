//! Synthetic event sequences.

mod bounds;
pub(crate) mod connections;
mod datagrams;
mod dealings;
mod ends;
mod exchanges;
pub(crate) mod facts;
mod findings;
mod flow;
mod proxy;
mod waiting;
pub(crate) mod world;
