//! Synthetic event sequences.

mod accepts;
mod bounds;
mod claims;
pub(crate) mod connections;
mod connects;
mod datagrams;
mod dealings;
mod ends;
mod exchanges;
pub(crate) mod facts;
mod findings;
mod flow;
mod ignored;
mod loops;
mod processors;
mod proxy;
mod streams;
mod tails;
mod unanswered;
mod waiting;
pub(crate) mod world;
