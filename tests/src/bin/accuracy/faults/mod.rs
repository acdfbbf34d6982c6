//! The faults of the matrix: actions that cause each one, and the truth by the client's clock.

mod application;
mod endings;
mod network;
mod peers;
mod processors;
mod queues;

use std::thread;
use std::time::Duration;

use crate::stage::Stage;
use crate::subjects::Subject;
use crate::truth::Label;
use crate::wire::{Ask, Wire};

/// Bytes of a big answer.
pub(crate) const BIG: usize = 4_000_000;

/// A fault.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Description of what is injected.
    pub(crate) about: &'static str,
    /// Findings that name the cause, any of them; empty if there is none to name.
    pub(crate) named: &'static [&'static str],
    /// Findings that are true as well.
    pub(crate) beside: &'static [&'static str],
    /// Requests that a server must understand for it.
    pub(crate) needs: &'static [Ask],
    /// Further condition on the server.
    pub(crate) fits: fn(&Subject) -> bool,
    /// Options of a link between the client and the server; loopback if there are none.
    pub(crate) link: &'static [&'static str],
    /// Settings of the network namespace.
    pub(crate) sysctls: &'static [(&'static str, &'static str)],
    /// Whether it is about processors, so that nothing else may run at the same time.
    pub(crate) alone: bool,
    /// Processor time that the server may have of each period, µs.
    pub(crate) quota: Option<(u64, u64)>,
    /// Seconds after which the server closes idle connections.
    pub(crate) idle: u64,
    pub(crate) drive: fn(&mut Stage<'_>) -> anyhow::Result<()>,
}

const PLAIN: Fault = Fault {
    name: "",
    about: "",
    named: &[],
    beside: &[],
    needs: &[],
    fits: |_| true,
    link: &[],
    sysctls: &[],
    alone: false,
    quota: None,
    idle: 60,
    drive: |_| Ok(()),
};

const APP: Label = ("app", "app");

pub(crate) const ALL: &[&[Fault]] =
    &[application::ALL, queues::ALL, processors::ALL, peers::ALL, network::ALL, endings::ALL];

/// Every fault.
pub(crate) fn all() -> impl Iterator<Item = &'static Fault> {
    ALL.iter().copied().flatten()
}

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

fn speaks_http(subject: &Subject) -> bool {
    subject.wire == Wire::Http
}
