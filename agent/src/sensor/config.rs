//! What the probes are told before they are loaded.

use backscope_abi::Config;

use super::Options;
use crate::kernel::preflight;

/// As these options want it.
pub(super) fn of(options: &Options) -> Config {
    let targets = &options.targets;
    let mut comm = [0; 16];
    if let Some(name) = &targets.comm {
        // As the kernel keeps it: 15 bytes and a NUL.
        let length = name.len().min(15);
        comm[..length].copy_from_slice(&name.as_bytes()[..length]);
    }
    Config {
        all: targets.all.into(),
        follow: targets.follow.into(),
        events: options.events.into(),
        exchanges: options.exchanges.into(),
        payload_prefix: options.protocols.into(),
        ring_bytes: options.ring_bytes.unwrap_or(if options.events {
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
