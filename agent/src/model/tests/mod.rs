//! Synthetic event sequences.

mod accepts;
mod bounds;
mod chain;
mod claims;
mod connection_facts;
pub(crate) mod connections;
mod connects;
mod datagrams;
mod ends;
mod exchanges;
pub(crate) mod facts;
mod findings;
mod flow;
mod ignored;
mod lists;
mod long_poll;
mod loops;
mod lost_ends;
mod past;
mod pauses;
mod processors;
pub(crate) mod proxy;
mod streams;
mod tails;
mod unanswered;
mod upstream;
pub(crate) mod world;
