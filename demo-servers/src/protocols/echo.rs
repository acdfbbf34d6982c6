//! The same messages over one protocol or another: each comes back as it was sent.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum, value_parser};
use futures_util::future::join_all;
use http::Method;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream as AsyncStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::acceptor::thread_per_connection;
use crate::demo::tasks::{Tasks, in_time};
use crate::demo::{Report, Stop, connect, explain, timeout};
use crate::http::{
    Sender, accept_all, answer, listen, run as run_server, serve, serve_http2, serve_over, whole,
};
use crate::https;
use crate::naming::name_thread;
use crate::sock::{ListenOptions, announce, announce_listener};

/// A protocol that carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// A datagram for each
    Udp,
    /// All in one stream
    Tcp,
    /// A request for each, one after another
    Http1,
    /// HTTP/1.1 within TLS 1.3
    Tls,
    /// A stream for each, without TLS
    Http2,
}

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Protocol that carries the messages
    #[arg(long, value_enum, default_value_t = Over::Tcp, value_name = "PROTOCOL")]
    pub over: Over,
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
}

/// Sends each message back until signalled. Of each stream of TCP it prints `connection bytes=N
/// reads=N` at its end.
///
/// # Errors
/// The address cannot be had.
pub fn run(options: &ServerOptions) -> anyhow::Result<()> {
    let repeat = async |request: http::Request<hyper::body::Incoming>, _| {
        let body = request.into_body().collect().await?.to_bytes();
        Ok(answer(http::StatusCode::OK, body))
    };
    let listen = || listen(&options.listen);
    match options.over {
        Over::Udp => datagrams(options.listen.listen),
        Over::Tcp => {
            thread_per_connection(&options.listen.open()?, stream);
            Ok(())
        }
        Over::Http1 => run_server("event-loop", async { serve(&listen()?, repeat).await }),
        Over::Http2 => run_server("event-loop", async { serve_http2(&listen()?, repeat).await }),
        Over::Tls => {
            let acceptor = TlsAcceptor::from(https::server_config()?);
            run_server("event-loop", async {
                accept_all(&listen()?, |socket| {
                    let acceptor = acceptor.clone();
                    async move {
                        // A client that does not finish the handshake has left.
                        if let Ok(socket) = acceptor.accept(socket).await {
                            serve_over(TokioIo::new(socket), true, |request| repeat(request, 0))
                                .await;
                        }
                    }
                })
                .await
            })
        }
    }
}

fn datagrams(listen: SocketAddr) -> anyhow::Result<()> {
    name_thread("one-by-one");
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&listen.into())?;
    announce_listener(&socket)?;
    let socket = UdpSocket::from(socket);
    let mut message = vec![0; LARGEST];
    loop {
        let (length, peer) = socket.recv_from(&mut message)?;
        // A client that has left must not keep others from their answers.
        let _ = socket.send_to(&message[..length], peer);
    }
}

fn stream(mut socket: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let (mut bytes, mut reads) = (0, 0);
    loop {
        let length = socket.read(&mut buffer)?;
        if length == 0 {
            announce(format_args!("connection bytes={bytes} reads={reads}"));
            return socket.shutdown(Shutdown::Write);
        }
        bytes += length;
        reads += 1;
        socket.write_all(&buffer[..length])?;
    }
}

/// Most bytes of a message.
const LARGEST: usize = 65_507;
/// Bytes of a message's number, with which it begins.
const NUMBER: usize = 6;

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct ClientOptions {
    /// Protocol that carries the messages
    #[arg(long, value_enum, default_value_t = Over::Tcp, value_name = "PROTOCOL")]
    pub over: Over,
    /// Messages to send, without waiting for the answers if the protocol can
    #[arg(
        long,
        default_value_t = 100,
        value_name = "N",
        value_parser = value_parser!(u64).range(1..100_000)
    )]
    pub messages: u64,
    /// Bytes of each
    #[arg(
        long,
        default_value_t = 100,
        value_name = "BYTES",
        value_parser = value_parser!(u32).range(NUMBER as i64..=1_000)
    )]
    pub message_size: u32,
    /// Give up on what has not come back after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// What came back.
#[derive(Default)]
struct Tally {
    report: Report,
    calls: [u64; 2],
    overtaken: u64,
    next: u64,
}

/// Sends the messages and awaits them back. Facts: `sends` and `receives` (calls that moved
/// messages; 0 where a library makes them), `overtaken` (messages that came back before an earlier
/// one), and `last_us` (until the last one was back).
pub(crate) fn ask(options: &ClientOptions, server: SocketAddr, stop: &Stop) -> Report {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let outcome = match options.over {
        Over::Udp => tally.datagrams(options, server),
        Over::Tcp => tally.stream(options, server),
        Over::Http1 | Over::Tls | Over::Http2 => {
            tally.report = Tasks::run(stop, async |tasks| {
                if let Err(what) = requests(options, server, tasks).await {
                    tasks.count(|report| report.error(what));
                }
            });
            Ok(())
        }
    };
    let Tally { mut report, calls: [sends, receives], overtaken, .. } = tally;
    if let Err(what) = outcome {
        report.error(what);
    }
    let last_us = match options.over {
        // The time in which it waited for what was lost is not theirs.
        Over::Udp => report.latency_us.max(),
        _ => begun.elapsed().as_micros() as u64,
    };
    report.facts.extend([
        ("sends", sends),
        ("receives", receives),
        ("overtaken", overtaken),
        ("last_us", last_us),
    ]);
    report
}

/// The message of this number.
fn message(options: &ClientOptions, number: u64) -> Vec<u8> {
    let mut message = format!("{number:0NUMBER$}").into_bytes();
    message.resize(options.message_size as usize, b'.');
    message
}

impl Tally {
    /// Counts a message that came back.
    fn came(&mut self, message: &[u8], begun: Instant) -> Result<(), String> {
        let number = message.get(..NUMBER).and_then(|digits| str::from_utf8(digits).ok());
        let number: u64 =
            number.and_then(|digits| digits.parse().ok()).ok_or("no number came back")?;
        self.overtaken += u64::from(number < self.next);
        self.next = self.next.max(number + 1);
        self.report.answer(None, begun.elapsed());
        Ok(())
    }

    fn datagrams(&mut self, options: &ClientOptions, server: SocketAddr) -> Result<(), String> {
        let connected = || -> io::Result<UdpSocket> {
            let socket =
                Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
            socket.connect(&server.into())?;
            Ok(socket.into())
        };
        let socket = connected().map_err(|error| explain("opening a socket", &error))?;
        let begun = Instant::now();
        for number in 0..options.messages {
            socket.send(&message(options, number)).map_err(|error| explain("sending", &error))?;
            self.report.asked += 1;
            self.calls[0] += 1;
        }
        let mut buffer = vec![0; LARGEST];
        while self.report.answered < options.messages {
            let left = options.timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            let read = socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut buffer));
            match read {
                Ok(length) => {
                    self.calls[1] += 1;
                    self.came(&buffer[..length], begun)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(explain("waiting for an answer", &error)),
            }
        }
        Ok(())
    }

    fn stream(&mut self, options: &ClientOptions, server: SocketAddr) -> Result<(), String> {
        let begun = Instant::now();
        let mut socket = connect(server, None, options.timeout)?;
        self.report.connections += 1;
        for number in 0..options.messages {
            socket
                .write_all(&message(options, number))
                .map_err(|error| explain("sending", &error))?;
            self.report.asked += 1;
            self.calls[0] += 1;
        }
        socket.shutdown(Shutdown::Write).map_err(|error| explain("closing", &error))?;
        let size = options.message_size as usize;
        let (mut buffer, mut received) = (vec![0; 65_536], Vec::new());
        loop {
            let read = socket.read(&mut buffer);
            let length = read.map_err(|error| explain("waiting for an answer", &error))?;
            if length == 0 {
                return Ok(());
            }
            self.calls[1] += 1;
            received.extend_from_slice(&buffer[..length]);
            while received.len() >= size {
                let message: Vec<u8> = received.drain(..size).collect();
                self.came(&message, begun)?;
            }
        }
    }
}

/// Connects, and sends each message in a request: over HTTP/2 all at once.
async fn requests(
    options: &ClientOptions,
    server: SocketAddr,
    tasks: &Tasks<'_>,
) -> Result<(), String> {
    let sender = in_time("connecting", options.timeout, open(options.over, server)).await?;
    tasks.count(|report| report.connections += 1);
    let shared: Vec<Sender> = (1..options.messages).map_while(|_| sender.share()).collect();
    if options.over == Over::Http2 {
        let senders = shared.into_iter().chain([sender]).zip(0..);
        let asked = senders.map(async |(mut sender, number)| {
            request(options, server, &mut sender, number, tasks).await
        });
        return join_all(asked).await.into_iter().collect();
    }
    let mut sender = sender;
    for number in 0..options.messages {
        request(options, server, &mut sender, number, tasks).await?;
    }
    Ok(())
}

async fn open(over: Over, server: SocketAddr) -> io::Result<Sender> {
    if over != Over::Tls {
        return Sender::connect(server, over == Over::Http2).await;
    }
    let connector = TlsConnector::from(https::client_config().map_err(io::Error::other)?);
    let socket = AsyncStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::IpAddress(server.ip().into());
    Sender::over(TokioIo::new(connector.connect(name, socket).await?), false).await
}

async fn request(
    options: &ClientOptions,
    server: SocketAddr,
    sender: &mut Sender,
    number: u64,
    tasks: &Tasks<'_>,
) -> Result<(), String> {
    let begun = Instant::now();
    let sent = message(options, number);
    let request = sender
        .request(Method::POST, server, "/")
        .body(whole(Bytes::from(sent.clone())))
        .map_err(|error| error.to_string())?;
    tasks.count(|report| report.asked += 1);
    let exchange = sender.exchange(request);
    let (_, body) = in_time("waiting for an answer", options.timeout, exchange).await?;
    if body != sent {
        return Err("something else came back".to_owned());
    }
    tasks.answer(None, begun);
    Ok(())
}
