//! Everything that a case needs: a network namespace of its own, demo servers, the agent, and the
//! kernel's counters.

mod agent;
pub mod bpf;
pub mod chromium;
mod client;
mod contract;
mod demo;
pub mod exporter;
pub mod json;
pub mod ledger;
pub mod memory;
pub mod net;
mod process;
mod run;
pub mod schema;
pub mod terminal;
pub mod trace;
pub mod truth;
pub mod web;
mod world;

pub use agent::{Agent, Ended, Watch};
pub use client::{Client, Protocol, Talk, ask, connect, connect_nonblocking, converse, talk};
pub use demo::Demo;
pub use process::{Process, copy_program, signal, terminate};
pub use run::{
    Case, Machine, Processor, Since, Tiers, Varies, Verdict, Where, adopt_orphans, cpu_pressure,
    end_leftovers, run, runs,
};
pub use world::{Skip, Tier, World, skip, unprivileged_reason};
