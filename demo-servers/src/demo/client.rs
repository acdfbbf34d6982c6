//! The client of nearly every demo: connections, on each some requests, with pauses.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, value_parser};
use humantime::parse_duration;
use socket2::{Domain, Protocol, Socket, Type};

use super::orders::{self, OrderOptions};
use super::{Report, Stop};
use crate::communication::broker::PubSubOptions;
use crate::communication::jobs::JobOptions;
use crate::communication::news::NewsOptions;
use crate::communication::opening::PatternOptions;
use crate::communication::sessions::SessionOptions;
use crate::execution::Count;
use crate::https;
use crate::protocols::grpc::GrpcOptions;
use crate::protocols::http::HttpOptions;
use crate::protocols::http1::Http1Options;
use crate::protocols::websocket::WebSocketOptions;
use crate::protocols::{echo, layers, tcp, udp, webrtc};
use crate::proxying::forward::ThroughOptions;
use crate::sock::set_tcp_option;

/// Longest first word that is taken for a name, bytes.
const LONGEST_NAME: usize = 32;
/// Pause after a failure.
pub(crate) const RETRY: Duration = Duration::from_millis(100);

/// A client with its knobs.
#[derive(Clone, Debug, Subcommand)]
pub enum Client {
    /// Sends lines and reads an answer to each
    Requests(RequestOptions),
    /// Sends orders, and resends any that was not answered in time
    Orders(OrderOptions),
    /// Makes connections over one of the ways to HTTPS
    Https(https::client::Options),
    /// Makes connections for HTTP/3, over QUIC
    Quic(https::quic_client::Options),
    /// Sends requests over one connection after another, and counts at each layer
    Layers(layers::ClientOptions),
    /// Sends messages over one protocol or another, and awaits them back
    Echo(echo::ClientOptions),
    /// Sends requests in datagrams
    Udp(udp::ClientOptions),
    /// Sends a stream of bytes, and closes its half
    Tcp(tcp::ClientOptions),
    /// Opens WebRTC data channels
    Webrtc(webrtc::ClientOptions),
    /// Sends HTTP requests
    Http(HttpOptions),
    /// Sends HTTP/1.1 requests; if told to, without waiting for the answers (pipelining)
    Http1(Http1Options),
    /// Sends messages over WebSocket
    #[command(name = "websocket")]
    WebSocket(WebSocketOptions),
    /// Makes gRPC calls
    Grpc(GrpcOptions),
    /// Submits jobs
    Jobs(JobOptions),
    /// Learns of events
    News(NewsOptions),
    /// Uses one pattern after another
    Patterns(PatternOptions),
    /// Publishes and subscribes
    PublishSubscribe(PubSubOptions),
    /// Runs sessions
    Sessions(SessionOptions),
    /// Sends requests through a forward proxy
    ThroughProxy(ThroughOptions),
}

impl Client {
    /// Runs until its work is done or it is stopped.
    pub fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        let start = Instant::now();
        let mut report = match self {
            Self::Requests(options) => options.run(server, stop),
            Self::Orders(options) => orders::run(options, server, stop),
            Self::Https(options) => https::client::run(options, server, stop),
            Self::Quic(options) => https::quic_client::run(options, server, stop),
            Self::Layers(options) => layers::ask(options, server, stop),
            Self::Echo(options) => echo::ask(options, server, stop),
            Self::Udp(options) => udp::ask(options, server, stop),
            Self::Tcp(options) => tcp::converse(options, server, stop),
            Self::Webrtc(options) => webrtc::converse(options, server, stop),
            Self::Http(options) => options.run(server, stop),
            Self::Http1(options) => options.run(server, stop),
            Self::WebSocket(options) => options.run(server, stop),
            Self::Grpc(options) => options.run(server, stop),
            Self::Jobs(options) => options.run(server, stop),
            Self::News(options) => options.run(server, stop),
            Self::Patterns(options) => options.run(server, stop),
            Self::PublishSubscribe(options) => options.run(server, stop),
            Self::Sessions(options) => options.run(server, stop),
            Self::ThroughProxy(options) => options.run(server, stop),
        };
        report.took = start.elapsed();
        report
    }
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct RequestOptions {
    /// Concurrent connections; 2x is two for each processor
    #[arg(long, default_value = "8", value_name = "N")]
    pub clients: Count,
    /// Requests on each connection; 0: it stays open until the end
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub requests: u64,
    /// Total connections [default: no limit]
    #[arg(long, value_name = "N")]
    pub connections: Option<u64>,
    /// Pause after each answer
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Bytes of a request
    #[arg(
        long,
        default_value_t = 40,
        value_name = "BYTES",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub request_size: u32,
    /// Sleep this long before each answer is read
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub slow_read: Duration,
    /// Size of the client's receive buffer (SO_RCVBUF)
    #[arg(long, value_name = "BYTES")]
    pub receive_buffer: Option<usize>,
    /// Acknowledge at once (TCP_QUICKACK before each read)
    #[arg(long)]
    pub quickack: bool,
    /// Give up on a connection or an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// Parses a timeout. It must not be 0, which sockets take for no timeout.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(time) if time.is_zero() => Err("must be longer than 0".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

impl RequestOptions {
    fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        let begun = AtomicU64::new(0);
        let report = Mutex::new(Report::default());
        thread::scope(|scope| {
            for _ in 0..self.clients.get() {
                scope.spawn(|| {
                    while !stop.is_stopped()
                        && self
                            .connections
                            .is_none_or(|most| begun.fetch_add(1, Ordering::Relaxed) < most)
                    {
                        let outcome = self.converse(server, stop, &report);
                        stop.sleep(if outcome.is_ok() { self.pause } else { RETRY });
                        if let Err(what) = outcome
                            && stop.is_failure()
                        {
                            tally(&report, |report| report.error(what));
                        }
                    }
                });
            }
        });
        report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one connection. An error is given in words.
    fn converse(
        &self,
        server: SocketAddr,
        stop: &Stop,
        report: &Mutex<Report>,
    ) -> Result<(), String> {
        let mut socket = connect(server, self.receive_buffer, self.timeout)?;
        tally(report, |report| report.connections += 1);
        let mut request = vec![b'x'; self.request_size as usize - 1];
        request.push(b'\n');
        for number in 1.. {
            let start = Instant::now();
            socket.write_all(&request).map_err(|error| explain("sending", &error))?;
            tally(report, |report| report.asked += 1);
            thread::sleep(self.slow_read);
            let worker = self
                .read_answer(&mut socket)
                .map_err(|error| explain("waiting for an answer", &error))?;
            let took = start.elapsed();
            tally(report, |report| report.answer(worker.as_deref(), took));
            if number == self.requests || !stop.sleep(self.pause) {
                break;
            }
        }
        Ok(())
    }

    /// Reads a line. Returns its first word if it has several: the name of the server that
    /// answered.
    fn read_answer(&self, socket: &mut TcpStream) -> io::Result<Option<String>> {
        let mut buffer = [0; 65536];
        // The beginning of the line may come in pieces.
        let mut begin = Vec::new();
        loop {
            if self.quickack {
                set_tcp_option(socket, libc::TCP_QUICKACK, 1)?;
            }
            let data = match socket.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => &buffer[..count],
            };
            begin.extend(data.iter().take(LONGEST_NAME.saturating_sub(begin.len())));
            if data.ends_with(b"\n") {
                return Ok(first_word(&begin));
            }
        }
    }
}

fn first_word(line: &[u8]) -> Option<String> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    Some(String::from_utf8_lossy(&line[..end]).into_owned())
}

fn tally(report: &Mutex<Report>, count: impl FnOnce(&mut Report)) {
    count(&mut report.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Connects. The timeout holds for reads and writes of the socket, too.
pub(crate) fn connect(
    server: SocketAddr,
    receive_buffer: Option<usize>,
    timeout: Duration,
) -> Result<TcpStream, String> {
    connect_as(server, timeout, |socket| match receive_buffer {
        Some(bytes) => socket.set_recv_buffer_size(bytes),
        None => Ok(()),
    })
}

/// Connects a socket that was prepared, as [`connect`] does.
pub(crate) fn connect_as(
    server: SocketAddr,
    timeout: Duration,
    prepare: impl FnOnce(&Socket) -> io::Result<()>,
) -> Result<TcpStream, String> {
    let connected = || -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
        prepare(&socket)?;
        socket.connect_timeout(&server.into(), timeout)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        Ok(socket.into())
    };
    connected().map_err(|error| explain("connecting", &error))
}

/// Returns the failure in words that are the same each time, so that equal ones are counted
/// together.
pub(crate) fn explain(doing: &str, error: &io::Error) -> String {
    let what = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "timed out".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server closed".to_owned(),
        kind => kind.to_string(),
    };
    format!("{doing}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_begin_with_a_name() {
        assert_eq!(first_word(b"worker-1 xxx\n").as_deref(), Some("worker-1"));
        assert_eq!(first_word(b"xxxxxxx\n"), None);
    }

    #[test]
    fn no_timeout_is_none() {
        assert!(timeout("0s").is_err() && timeout("soon").is_err());
        assert_eq!(timeout("1s"), Ok(Duration::from_secs(1)));
    }
}
