//! The cases, one file a topic.

mod accept;
mod command;
mod coverage;
mod finding;
mod listener;
mod overflow;
mod robust;
mod server;
mod target;

use crate::harness::{Case, Tiers, Where, World};

/// Every case.
pub fn all() -> Vec<Case> {
    [
        accept::CASES,
        listener::CASES,
        overflow::CASES,
        finding::CASES,
        target::CASES,
        robust::CASES,
        command::CASES,
        coverage::CASES,
        server::CASES,
    ]
    .concat()
}

/// A case that depends on the tier.
const fn each_tier(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case { name, place: Where::Everywhere, tiers: Tiers::Each, run }
}

/// A case that is the same on every tier.
const fn any_tier(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case { name, place: Where::Everywhere, tiers: Tiers::Any, run }
}

/// A case that needs the programs of an ordinary machine.
const fn native(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case { name, place: Where::Native, tiers: Tiers::Any, run }
}
