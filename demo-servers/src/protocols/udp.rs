//! Requests and answers in datagrams: no connection, no order, and no retransmission.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, value_parser};
use humantime::parse_duration;
use socket2::{Domain, Protocol, Socket, Type};

use crate::datagrams::drops;
use crate::demo::{RETRY, Report, Stop, explain, timeout};
use crate::naming::{name_thread, with_name};
use crate::sock::announce_listener;

/// Most bytes of a datagram.
const LARGEST: usize = 65_507;

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Size of the server's receive buffer (SO_RCVBUF); what does not fit is dropped
    #[arg(long, value_name = "BYTES")]
    pub receive_buffer: Option<usize>,
    /// Read no more than this of each datagram
    #[arg(long, default_value_t = LARGEST, value_name = "BYTES")]
    pub read_size: usize,
    /// Sleep this long before each read
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub read_delay: Duration,
}

/// Answers each datagram until signalled: `one-by-one NUMBER DROPPED BYTES`, with the number of the
/// request, the datagrams that were dropped so far because the receive buffer was full, and the
/// bytes that the read returned.
///
/// # Errors
/// The address cannot be had, or the socket fails.
pub fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    name_thread("one-by-one");
    let socket =
        Socket::new(Domain::for_address(options.listen), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&options.listen.into()).with_context(|| format!("bind {}", options.listen))?;
    announce_listener(&socket)?;
    let socket = UdpSocket::from(socket);
    let mut request = vec![0; options.read_size.min(LARGEST)];
    loop {
        thread::sleep(options.read_delay);
        let (length, peer) = socket.recv_from(&mut request)?;
        let text = String::from_utf8_lossy(&request[..length]);
        let number = text.split_whitespace().next().unwrap_or_default();
        let dropped = drops(&socket)?;
        let answer = with_name(|name| format!("{name} {number} {dropped} {length}\n"));
        // A client that has left, or cannot be reached, must not keep others from their answers.
        let _ = socket.send_to(answer.as_bytes(), peer);
    }
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct ClientOptions {
    /// Total datagrams to send [default: no limit]
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// Datagrams to send before waiting for the answers
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = value_parser!(u64).range(1..)
    )]
    pub burst: u64,
    /// Bytes of each datagram
    #[arg(
        long,
        default_value_t = 100,
        value_name = "BYTES",
        value_parser = value_parser!(u32).range(1..=LARGEST as i64)
    )]
    pub request_size: u32,
    /// Pause after the answers
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Consider a datagram lost if it is not answered within this time
    #[arg(long, default_value = "200ms", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// Sends, and waits for answers. Facts: `lost` (datagrams without an answer in time), `dropped`
/// (datagrams that the server's receive buffer had no room for, by the last answer), `late`
/// (answers after their time), `got` (bytes of the answered datagrams that the server's reads
/// returned), `cut` (bytes of these datagrams that they did not) and `sending_us` (the longest time
/// that a burst took to send).
pub(crate) fn ask(options: &ClientOptions, server: SocketAddr, stop: &Stop) -> Report {
    let mut client = Client {
        options,
        report: Report::default(),
        dropped: 0,
        late: 0,
        got: 0,
        cut: 0,
        sending: Duration::ZERO,
    };
    let outcome = client.run(server, stop).map_err(|error| explain("opening a socket", &error));
    let Client { mut report, dropped, late, got, cut, sending, .. } = client;
    if let Err(what) = outcome {
        report.error(what);
    }
    report.facts.extend([
        ("lost", report.asked - report.answered),
        ("dropped", dropped),
        ("late", late),
        ("got", got),
        ("cut", cut),
        ("sending_us", u64::try_from(sending.as_micros()).unwrap_or(u64::MAX)),
    ]);
    report
}

struct Client<'a> {
    options: &'a ClientOptions,
    report: Report,
    dropped: u64,
    late: u64,
    got: u64,
    cut: u64,
    sending: Duration,
}

impl Client<'_> {
    fn run(&mut self, server: SocketAddr, stop: &Stop) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
        socket.connect(&server.into())?;
        let socket = UdpSocket::from(socket);
        while !stop.is_stopped() {
            let left = self.options.requests.map_or(u64::MAX, |most| most - self.report.asked);
            if left == 0 {
                break;
            }
            let outcome = self.burst(&socket, self.options.burst.min(left));
            stop.sleep(if outcome.is_ok() { self.options.pause } else { RETRY });
            // An ICMP message says that nobody listens.
            if let Err(error) = outcome
                && stop.is_failure()
            {
                self.report.error(explain("asking", &error));
            }
        }
        Ok(())
    }

    fn request(&self, number: u64) -> Vec<u8> {
        let mut request = format!("{number} ").into_bytes();
        request.resize(request.len().max(self.options.request_size as usize), b'x');
        request
    }

    /// Sends so many, and waits for as many answers.
    fn burst(&mut self, socket: &UdpSocket, count: u64) -> io::Result<()> {
        let first = self.report.asked;
        let begun = Instant::now();
        for number in first..first + count {
            let request = self.request(number);
            self.report.asked += 1;
            socket.send(&request)?;
        }
        self.sending = self.sending.max(begun.elapsed());
        let deadline = Instant::now() + self.options.timeout;
        let (mut answer, mut missing) = ([0; 256], count);
        while missing > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let length = match socket.recv(&mut answer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let text = String::from_utf8_lossy(&answer[..length]);
            let mut words = text.split_whitespace();
            let name = words.next();
            let [number, dropped, read] =
                [(); 3].map(|()| words.next().and_then(|word| word.parse::<u64>().ok()));
            self.dropped = dropped.unwrap_or(self.dropped);
            if let Some(number) = number.filter(|number| *number >= first) {
                self.report.answer(name, begun.elapsed());
                let sent = self.request(number).len() as u64;
                self.got += read.unwrap_or(0);
                self.cut += read.map_or(0, |read| sent.saturating_sub(read));
                missing -= 1;
            } else {
                self.late += 1;
            }
        }
        Ok(())
    }
}
