//! Metrics and traces for a fleet: `backscope export`.
//!
//! [`Collector`] keeps metrics from what the model reports (`collect/`). It is pure. A [`Page`] is
//! what it shows at one moment; `text.rs` and `protobuf.rs` write that for Prometheus, `otlp/` for
//! an OpenTelemetry collector. `server/` answers scrapes, `traces/` makes spans of exchanges.
//!
//! # Bounds
//!
//! Labels tell who serves or is called (address, port, command name), never a peer that calls, a
//! process id, a path or a name that a client sends.
//!
//! - **Servers and called addresses:** [`MAX_SERVERS`] of both together. One that nothing happened
//!   at for ten minutes, and where nobody listens, gives way: its series end. Where none is so old,
//!   what happens at a new one is counted in the series labelled `other`, and
//!   `backscope_export_folded_total` counts it.
//! - **Findings:** [`MAX_FINDINGS`] series. Further ones are one series whose subject is `other`,
//!   by kind, severity and owner.
//! - **Histograms:** 256 buckets, whatever is counted.
//! - **Scrapes:** [`server::MAX_CONNECTIONS`] at a time, [`server::A_SECOND`] answers a second.
//! - **Spans:** [`traces::MAX_WAITING`] exchanges wait for the other side, [`otlp::MAX_QUEUED`]
//!   spans for the collector. What comes beyond is dropped and counted.

mod collect;
mod exporter;
mod family;
mod histogram;
mod labels;
pub(crate) mod otlp;
mod page;
mod protobuf;
pub(crate) mod server;
mod shared;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod traces;

pub(crate) use collect::{Collector, MAX_FINDINGS, MAX_SERVERS};
pub(crate) use exporter::{Exits, Exporter};
pub use otlp::Url;
pub use server::Address;
