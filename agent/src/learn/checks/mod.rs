//! The code of the lessons: what runs, and which facts the evidence yields.

pub(super) mod accept_queue;
pub(super) mod acceptors;
pub(super) mod datagrams;
pub(super) mod https;
pub(super) mod idempotency;
pub(super) mod nagle;
pub(super) mod patterns;
pub(super) mod protocol;
pub(super) mod reading;
