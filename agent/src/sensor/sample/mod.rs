//! State that no record announces. It is read at each refresh: from the maps, by iterators over the
//! targets' files, and from `/proc`.

mod beside;
mod closing;
mod connections;
mod cost;
mod datagrams;
mod epolls;
mod fails;
mod listeners;
mod networks;
mod pending_accepts;
mod proc_syscall;
mod quota;
mod refused;
mod scan;
mod statistics;
mod threads;

pub(super) use self::{
    closing::{ALL_STATES, Closing, LISTENING},
    connections::Connections,
    cost::CostMeter,
    datagrams::Datagrams,
    listeners::{MAX_SCANNED_ALONE, Sampler},
    networks::Networks,
    pending_accepts::note_pending_accepts,
    quota::{Quotas, WAITED_NS},
    refused::listen_drops,
    scan::all_holders,
    threads::Threads,
};
