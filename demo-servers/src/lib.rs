//! Servers with known faults, and the clients that bring them out: one file a pattern.
//!
//! Everything is blocking and says what it does on standard output, one line a fact, so that a script or a test can
//! wait for `listening on ADDR` and compare the times that the server itself took (`--trace`).

pub mod acceptors;
pub mod flood;
pub mod fork_storm;
pub mod inherit;
pub mod io_uring;
pub mod load;
pub mod never_accept;
pub mod slow_acceptor;
pub mod sock;
