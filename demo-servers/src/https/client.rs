//! The client of HTTPS: connects, asks, and counts its waits for the server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};

use super::server::HTTP;
use super::tally::{Tally, Visit, VisitOptions};
use super::{HttpsWay, config, fast_open, message};
use crate::demo::{RETRY, Report, Stop, explain};
use crate::sock::TcpInfo;

/// Sessions that are remembered.
const SESSIONS: usize = 32;

/// Knobs of the client of HTTPS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct Options {
    /// The way
    #[command(flatten)]
    pub way: HttpsWay,
    /// Number and timing of the connections
    #[command(flatten)]
    pub visits: VisitOptions,
}

/// Makes one connection after another. The facts are those of [`Tally::report`]. The latency of a
/// connection's first request counts from before connect.
pub(crate) fn run(options: &Options, server: SocketAddr, stop: &Stop) -> Report {
    let mut report = Report::default();
    let mut tally = Tally::new(options.way.resumes() || options.way.fast_open);
    let config = match config::client(options.way, HTTP, Resumption::in_memory_sessions(SESSIONS)) {
        Ok(config) => Arc::new(config),
        Err(error) => {
            report.error(error.to_string());
            return report;
        }
    };
    let mut begun = 0;
    while !stop.is_stopped() && options.visits.connections.is_none_or(|most| begun < most) {
        begun += 1;
        let outcome = visit(options, &config, server, stop, &mut report, &mut tally);
        stop.sleep(if outcome.is_ok() { options.visits.pause } else { RETRY });
        if let Err(what) = outcome
            && stop.is_failure()
        {
            report.error(what);
        }
    }
    tally.report(&mut report);
    report
}

/// Runs one connection to its end. An error is given in words.
fn visit(
    options: &Options,
    config: &Arc<ClientConfig>,
    server: SocketAddr,
    stop: &Stop,
    report: &mut Report,
    tally: &mut Tally,
) -> Result<(), String> {
    let VisitOptions { requests, pause, timeout, .. } = options.visits;
    let start = Instant::now();
    let mut connection = Connection::open(options.way, config, server, timeout)?;
    report.connections += 1;
    let mut began = start;
    for number in 1.. {
        let last = number == requests || stop.is_stopped();
        report.asked += 1;
        let name =
            connection.ask(last).map_err(|error| explain_tls("waiting for an answer", &error))?;
        report.answer(name.as_deref(), began.elapsed());
        if number == 1 {
            tally.add(
                &connection.visit(start).map_err(|error| explain("reading TCP_INFO", &error))?,
            );
        }
        if last {
            break;
        }
        stop.sleep(pause);
        began = Instant::now();
    }
    connection.finish().map_err(|error| explain_tls("closing", &error))
}

/// Describes an error. The text of rustls says more than a kind of error.
fn explain_tls(doing: &str, error: &io::Error) -> String {
    match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => format!("{doing}: {inner}"),
        _ => explain(doing, error),
    }
}

struct Connection {
    socket: TcpStream,
    tls: ClientConnection,
    received: Vec<u8>,
    /// The early data that was written, until the server has accepted it.
    early: Option<Vec<u8>>,
    /// Something was sent that the server will answer.
    sent: bool,
    /// Times that it has waited for the server so far, not counting that for the SYN-ACK.
    waits: u64,
    /// Time of the answer's first byte, and the waits until then.
    first: Option<(Instant, u64)>,
    accepted: bool,
}

impl Connection {
    fn open(
        way: HttpsWay,
        config: &Arc<ClientConfig>,
        server: SocketAddr,
        timeout: Duration,
    ) -> Result<Self, String> {
        let socket = fast_open::connect(server, way.fast_open, timeout)
            .map_err(|error| explain("connecting", &error))?;
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        let tls =
            ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
        Ok(Self {
            socket,
            tls,
            received: Vec::new(),
            early: None,
            sent: false,
            waits: 0,
            first: None,
            accepted: false,
        })
    }

    /// Sends a request and reads the answer. Returns the name of the server.
    fn ask(&mut self, last: bool) -> io::Result<Option<String>> {
        self.request(message::request(last))?;
        let head = loop {
            if let Some(head) = message::take_head(&mut self.received) {
                break head;
            }
            self.advance()?;
        };
        while self.received.len() < message::length(&head) {
            self.advance()?;
        }
        let rest = self.received.split_off(message::length(&head));
        let body = std::mem::replace(&mut self.received, rest);
        Ok(message::name_in(&body))
    }

    /// Writes a request: as early data if the session allows it, otherwise after the handshake.
    fn request(&mut self, request: Vec<u8>) -> io::Result<()> {
        if let Some(mut early) = self.tls.early_data()
            && early.bytes_left() >= request.len()
        {
            early.write_all(&request)?;
            self.early = Some(request);
            return Ok(());
        }
        self.tls.writer().write_all(&request)
    }

    /// Sends all pending data, and reads once.
    fn advance(&mut self) -> io::Result<()> {
        self.send()?;
        if self.tls.read_tls(&mut self.socket)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.waits += u64::from(std::mem::take(&mut self.sent));
        let state = match self.tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert tells the peer the reason.
                self.send()?;
                return Err(io::Error::other(error));
            }
        };
        if !self.tls.is_handshaking()
            && let Some(early) = self.early.take()
        {
            self.accepted = self.tls.is_early_data_accepted();
            if !self.accepted {
                self.tls.writer().write_all(&early)?;
            }
        }
        let plain = state.plaintext_bytes_to_read();
        if plain > 0 {
            self.first.get_or_insert((Instant::now(), self.waits));
        }
        let mut plain = vec![0; plain];
        self.tls.reader().read_exact(&mut plain)?;
        self.received.append(&mut plain);
        Ok(())
    }

    /// Sends all pending data in one write, so that ClientHello and early data share a segment, as
    /// do Finished and a request.
    fn send(&mut self) -> io::Result<()> {
        let mut flight = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut flight)?;
        }
        self.sent |= !flight.is_empty();
        self.socket.write_all(&flight)
    }

    /// Returns the figures of this connection until its first answer.
    fn visit(&self, start: Instant) -> io::Result<Visit> {
        let info = TcpInfo::of(&self.socket)?;
        let (first, waits) = self.first.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Visit {
            tls: if self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
                13
            } else {
                12
            },
            resumed: self.tls.handshake_kind() == Some(HandshakeKind::Resumed),
            early_data: self.accepted,
            syn_data: info.syn_data,
            round_trips: Some(waits + u64::from(!info.syn_data)),
            first_byte: first - start,
            rtt: Duration::from_micros(info.rtt_us.into()),
        })
    }

    /// Reads to the server's end, which comes after its tickets.
    fn finish(mut self) -> io::Result<()> {
        loop {
            match self.advance() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        self.tls.send_close_notify();
        self.send()
    }
}
