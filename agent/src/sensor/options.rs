//! Options of a watch, and the probes' configuration that follows from them.

use std::path::PathBuf;

use backscope_abi::Config;

use super::targets::{Targets, kernel_comm};
use crate::{kernel::preflight, model::Tier};

/// Options of a watch: its targets, and how closely they are watched.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The processes and ports.
    pub targets: Targets,
    /// Not higher than this tier, and exactly this one if it is [`Tier::Full`]; `None` for the best
    /// there is.
    pub tier: Option<Tier>,
    /// Every single event is shown: SYNs, and what happens on connections.
    pub events: bool,
    /// Exchanges are watched, not queues alone.
    pub exchanges: bool,
    /// Exchanges are not watched all the time: the largest part of the processor time of the watched
    /// processes that the watch may take, from 0 to 1. `None` for whatever it takes.
    pub budget: Option<f64>,
    /// The first bytes of connections are looked at, for their protocol.
    pub protocols: bool,
    /// Of requests of HTTP/1 in them, method and path are shown.
    pub paths: bool,
    /// Size of the ring buffer in bytes, a power of two; `None` for the default.
    pub ring_bytes: Option<u32>,
    /// An object of the probes with log lines in it, to be loaded in place of ours.
    pub probe_log: Option<PathBuf>,
}

impl Options {
    /// The probes' configuration, but for what the kernel decides of it.
    pub(super) fn config(&self) -> Config {
        let targets = &self.targets;
        let mut comm = [0; 16];
        if let Some(name) = &targets.comm {
            // A NUL follows.
            let name = kernel_comm(name);
            comm[..name.len()].copy_from_slice(name);
        }
        Config {
            all: targets.all.into(),
            follow: targets.follow.into(),
            events: self.events.into(),
            exchanges: self.exchanges.into(),
            has_pauses: self.budget.is_some().into(),
            payload_prefix: self.protocols.into(),
            ring_bytes: self.ring_bytes.unwrap_or(if self.events {
                backscope_abi::RING_BYTES_EVENTS
            } else {
                backscope_abi::RING_BYTES
            }),
            tick_ns: preflight::tick_ns().try_into().unwrap_or(u32::MAX),
            by_comm: targets.comm.is_some().into(),
            by_port: (!targets.ports.is_empty()).into(),
            agent: std::process::id(),
            comm,
            ..Config::EMPTY
        }
    }
}
