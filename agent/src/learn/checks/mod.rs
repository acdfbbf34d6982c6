//! The code of the lessons: what runs, and which facts the evidence yields.

pub(super) mod accept_queue;
pub(super) mod acceptors;
pub(super) mod broker;
pub(super) mod cpu;
pub(super) mod datagrams;
pub(super) mod https;
pub(super) mod idempotency;
pub(super) mod map;
pub(super) mod nagle;
pub(super) mod patterns;
pub(super) mod polling;
pub(super) mod processes;
pub(super) mod protocol;
pub(super) mod proxy;
pub(super) mod reading;
pub(super) mod sessions;
pub(super) mod syn_queue;
pub(super) mod talk;
mod traffic;
