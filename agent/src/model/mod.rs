//! The pure core: events in, snapshots and report objects out. No clock, no sockets, no BPF.

pub mod event;
pub mod snapshot;
