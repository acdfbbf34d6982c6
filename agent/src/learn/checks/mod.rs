//! The code of the lessons, one file a lesson: what runs, and which facts the evidence yields.

pub(super) mod accept_queue;
pub(super) mod nagle;
