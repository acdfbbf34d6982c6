//! `--json`: one object a line, with the names and units of the event stream's contract. What could
//! not be observed is `null`, and `gaps` or `observed_by` beside it says why.
//!
//! Each type of object has a file with its fields and what fills them: `event` is in `socket_event.rs`,
//! `datagrams` in `datagram.rs`, and a `listener` that is a Unix-domain socket in `unix.rs`. What
//! several have is in `parts.rs`.

mod accept;
mod attached;
mod connect;
mod connection;
mod datagram;
mod exchange;
mod finding;
mod listener;
mod lost;
mod notice;
mod overflow;
mod parts;
mod pattern;
mod pause;
mod process;
mod proxy;
mod quic;
#[cfg(test)]
pub(crate) mod schema;
mod socket_event;
mod summary;
mod syn;
mod thread;
mod unix;
mod workload;

use std::io;

use serde::Serialize;

use super::Sink;
use crate::model::output::{Interest, ListenerOutput, Output, UnixOutput};
use crate::model::snapshot::{Snapshot, ThreadView};
use crate::model::{Attached, WallClock};
use crate::text::{Untrusted, to_json};
use accept::AcceptBody;
use attached::AttachedBody;
use connect::ConnectBody;
use connection::ConnectionBody;
use datagram::DatagramBody;
pub(crate) use exchange::ExchangeBody;
pub(crate) use finding::FindingBody;
pub(crate) use listener::ListenerBody;
use lost::LostBody;
use notice::NoticeBody;
use overflow::OverflowBody;
pub(crate) use parts::holders_total;
use pattern::PatternBody;
use pause::PauseBody;
use process::ProcessBody;
use proxy::ProxyBody;
use quic::QuicBody;
use socket_event::{SocketEventBody, SynAckRetransmitBody};
use summary::RunSummaryBody;
#[cfg(feature = "mcp")]
pub(crate) use summary::SummaryBody;
use syn::SynBody;
use thread::ThreadBody;
use unix::UnixBody;
pub(crate) use workload::Placed;

/// Writes one JSON object a line.
#[derive(Clone, Debug)]
pub struct Json {
    clock: WallClock,
    /// The notices that hold, as far as they were written.
    notices: Vec<Untrusted>,
}

impl Json {
    /// Writes wall-clock times by `clock`.
    pub fn new(clock: WallClock) -> Self {
        Self { clock, notices: Vec::new() }
    }

    /// Writes a thread as an object, which the event stream does not have.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn thread(
        &self,
        out: &mut dyn io::Write,
        ts_ns: u64,
        thread: &ThreadView,
    ) -> io::Result<()> {
        self.line(out, "thread", ts_ns, ThreadBody::from(thread))
    }

    fn line(
        &self,
        out: &mut dyn io::Write,
        kind: &'static str,
        ts_ns: u64,
        body: impl Serialize,
    ) -> io::Result<()> {
        let object = Object { kind, ts_ns, time: self.clock.rfc3339(ts_ns), body };
        let mut line = to_json(&object)?;
        line.push(b'\n');
        out.write_all(&line)
    }
}

impl Sink for Json {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn attached(&mut self, out: &mut dyn io::Write, attached: &Attached) -> io::Result<()> {
        self.line(out, "attached", attached.ts_ns, AttachedBody::from(attached))
    }

    fn notices(&mut self, out: &mut dyn io::Write, snapshot: &Snapshot) -> io::Result<()> {
        let before = std::mem::replace(&mut self.notices, snapshot.notices.clone());
        let now_ns = snapshot.now_ns;
        for text in before.iter().filter(|text| !self.notices.contains(text)) {
            self.line(out, "notice", now_ns, NoticeBody::new(text, false))?;
        }
        for text in self.notices.iter().filter(|text| !before.contains(text)) {
            self.line(out, "notice", now_ns, NoticeBody::new(text, true))?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        out: &mut dyn io::Write,
        outputs: &[Output],
        snapshot: &Snapshot,
    ) -> io::Result<()> {
        for output in outputs {
            let ts_ns = output.ts_ns();
            let places = &snapshot.workloads;
            match output {
                Output::Listener(ListenerOutput { view, .. }) => {
                    let body = Placed::of(ListenerBody::from(view), places, view.pid);
                    self.line(out, "listener", ts_ns, body)
                }
                Output::Unix(UnixOutput { view, .. }) => {
                    let body = Placed::of(UnixBody::from(view), places, view.pid);
                    self.line(out, "listener", ts_ns, body)
                }
                Output::Syn(syn) => self.line(out, "syn", ts_ns, SynBody::from(syn)),
                Output::Overflow(overflow) => {
                    self.line(out, "overflow", ts_ns, OverflowBody::new(overflow, &snapshot.tier))
                }
                Output::Accept(accept) => {
                    let body = Placed::of(AcceptBody::from(accept), places, accept.pid);
                    self.line(out, "accept", ts_ns, body)
                }
                Output::SynAckRetransmit(retransmit) => {
                    self.line(out, "event", ts_ns, SynAckRetransmitBody::from(retransmit))
                }
                Output::Exchange(exchange) => {
                    self.line(out, "exchange", ts_ns, ExchangeBody::from(exchange))
                }
                Output::Connection(connection) => {
                    let body = ConnectionBody::from(connection.as_ref());
                    let body = Placed::of(body, places, connection.view.pid);
                    self.line(out, "connection", ts_ns, body)
                }
                Output::Connect(connect) => {
                    let body = Placed::of(ConnectBody::from(connect), places, connect.pid);
                    self.line(out, "connect", ts_ns, body)
                }
                Output::Datagrams(datagrams) => {
                    let view = &datagrams.view;
                    let body = Placed::of(DatagramBody::from(view), places, view.pid);
                    self.line(out, "datagrams", ts_ns, body)
                }
                Output::Quic(quic) => {
                    let pid = quic.process.as_ref().map(|(pid, _)| *pid);
                    let body = Placed::of(QuicBody::from(quic.as_ref()), places, pid);
                    self.line(out, "quic", ts_ns, body)
                }
                Output::Process(process) => {
                    let body = Placed::of(ProcessBody::from(process), places, process.pid);
                    self.line(out, "process", ts_ns, body)
                }
                Output::Pattern(pattern) => {
                    let view = &pattern.view;
                    let body = Placed::of(PatternBody::from(view), places, view.pid);
                    self.line(out, "pattern", ts_ns, body)
                }
                Output::Proxy(proxy) => {
                    let view = &proxy.view;
                    let body = Placed::of(ProxyBody::from(view), places, view.pid);
                    self.line(out, "proxy", ts_ns, body)
                }
                Output::SocketEvent(output) => {
                    self.line(out, "event", ts_ns, SocketEventBody::from(&output.event))
                }
                Output::Finding(finding) => {
                    let pid = finding.finding.pid;
                    let body = Placed::of(FindingBody::from(finding), places, pid);
                    self.line(out, "finding", ts_ns, body)
                }
                Output::Pause(pause) => self.line(out, "pause", ts_ns, PauseBody::from(pause)),
                Output::Lost(lost) => self.line(out, "lost", ts_ns, LostBody::from(lost)),
                Output::Summary(summary) => {
                    let body = RunSummaryBody::new(summary, places, self.clock);
                    self.line(out, "summary", ts_ns, body)
                }
            }?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Object<B> {
    /// Type of the object.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Time, ns of `CLOCK_MONOTONIC`.
    ts_ns: u64,
    /// Time by the wall clock (RFC 3339).
    time: String,
    #[serde(flatten)]
    body: B,
}
