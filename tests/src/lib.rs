//! End-to-end tests: the agent and the demo servers as programs, a real kernel, no mocks.
//!
//! One registry of cases ([`cases::all`]) runs natively (`cargo test -p backscope-tests`, a network
//! namespace for each case) and as PID 1 of a virtual machine (`backscope-vm-init`, on both tiers
//! of hooks).

pub mod cases;
pub mod cost;
pub mod harness;
pub mod servers;
