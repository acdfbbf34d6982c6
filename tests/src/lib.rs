//! End-to-end tests: the agent and the demo servers as programs, a real kernel, no mocks.
//!
//! One program, `e2e`, runs the cases of one registry ([`cases::all`]), a network namespace for each
//! case: natively (`cargo test -p backscope-tests`), and in virtual machines on both tiers of hooks,
//! whose `/init` (`backscope-vm-init`) starts it.

pub mod cases;
pub mod cost;
pub mod harness;
pub mod servers;
