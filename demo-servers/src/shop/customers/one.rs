//! One customer: connections, on each some requests, with pauses.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::Options;
use super::tally::Tally;

/// Pause after a failure.
const RETRY: Duration = Duration::from_millis(300);
/// The first of the ports that are tried for a proxy with few of them.
const FIRST_PORT: u16 = 20_000;
/// Ports that are tried at most.
const MOST_PORTS: u16 = 2_000;

/// A customer. Its pauses follow from its number, so that each run is like the others.
pub(super) struct Customer<'a> {
    options: &'a Options,
    port: Option<u16>,
    random: u64,
    asked: u64,
}

impl<'a> Customer<'a> {
    pub(super) fn new(options: &'a Options, number: u64, port: Option<u16>) -> Self {
        Self { options, port, random: number.wrapping_mul(7_919).wrapping_add(1), asked: number }
    }

    /// Comes again and again.
    pub(super) fn come(mut self, tally: &Tally, gate: &Barrier) {
        // Not all at once, unless they are to be.
        thread::sleep(self.pause());
        loop {
            if let Some(rush) = self.options.rush {
                thread::sleep(rush);
                gate.wait();
            }
            if let Err(what) = self.visit(tally) {
                tally.failed(what);
                thread::sleep(RETRY);
            }
        }
    }

    /// One connection. A failure is given in words.
    fn visit(&mut self, tally: &Tally) -> Result<(), String> {
        let begun = Instant::now();
        let mut stream =
            connect(self.options, self.port).map_err(|error| explain("connecting", &error))?;
        let mut number = 0;
        loop {
            number += 1;
            let last = number == self.options.requests;
            // The first answer is waited for since the customer wanted to connect.
            let begun = if number == 1 { begun } else { Instant::now() };
            ask(&mut stream, &self.request(last)).map_err(|error| explain("asking", &error))?;
            tally.answered(begun.elapsed());
            if last {
                break;
            }
            thread::sleep(self.pause());
        }
        drop(stream);
        if self.options.rush.is_none() {
            thread::sleep(self.pause());
        }
        Ok(())
    }

    fn request(&mut self, last: bool) -> Vec<u8> {
        self.asked += 1;
        let report = matches!(self.options.report_every, Some(every) if self.asked % every == 0);
        let page = if report { "/report" } else { &self.options.page };
        let upload = self.options.upload;
        // A customer with one port must not be the one that closes, or it waits for the port.
        let closes = last && (self.port.is_some() || upload > 0);
        let connection = if closes { "close" } else { "keep-alive" };
        let mut request = format!(
            "POST {page} HTTP/1.1\r\nHost: shop\r\nConnection: {connection}\r\n\
             Content-Length: {upload}\r\n\r\n"
        )
        .into_bytes();
        request.resize(request.len() + upload, b'x');
        request
    }

    fn pause(&mut self) -> Duration {
        let Options { pause, pause_to, .. } = self.options;
        let Some(range) = pause_to.checked_sub(*pause).filter(|range| !range.is_zero()) else {
            return *pause;
        };
        // Knuth's generator: even enough for pauses.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *pause + range.mul_f64((self.random >> 40) as f64 / f64::from(1 << 24))
    }
}

fn connect(options: &Options, port: Option<u16>) -> io::Result<TcpStream> {
    let domain = Domain::for_address(options.target);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if let Some(port) = port {
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    }
    socket.connect_timeout(&options.target.into(), options.timeout)?;
    socket.set_read_timeout(Some(options.timeout))?;
    socket.set_write_timeout(Some(options.timeout))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// Asks, and reads the answer to its end. Returns who served it.
fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<String> {
    stream.write_all(request)?;
    let closes = request.windows(17).any(|part| part == b"Connection: close");
    let (mut answer, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let count = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..count]);
        let whole = is_whole(&answer);
        match count {
            0 if whole => return Ok(served_by(&answer)),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            // The server is the one that closes.
            _ if whole && !closes => return Ok(served_by(&answer)),
            _ => {}
        }
    }
}

fn head(answer: &[u8]) -> Option<(&str, usize)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, end + 4))
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn is_whole(answer: &[u8]) -> bool {
    let Some((head, begin)) = head(answer) else { return false };
    let length = value(head, "Content-Length").and_then(|length| length.parse::<usize>().ok());
    matches!(length, Some(length) if answer.len() >= begin + length)
}

fn served_by(answer: &[u8]) -> String {
    let served_by = head(answer).and_then(|(head, _)| value(head, "Served-By"));
    served_by.unwrap_or_default().to_owned()
}

/// Finds a port for each customer, such that one worker serves them all. If the shop does not say
/// who serves, ports are as they come.
pub(super) fn ports_of_one_worker(options: &Options) -> Vec<u16> {
    let (mut ports, mut chosen) = (Vec::new(), None);
    for port in FIRST_PORT..FIRST_PORT + MOST_PORTS {
        if ports.len() == options.customers {
            break;
        }
        let request = format!("POST {} HTTP/1.1\r\nConnection: close\r\n\r\n", "/order");
        let served = connect(options, Some(port))
            .and_then(|mut stream| ask(&mut stream, request.as_bytes()));
        let Ok(worker) = served else { continue };
        if *chosen.get_or_insert_with(|| worker.clone()) == worker {
            ports.push(port);
        }
    }
    ports
}

fn explain(doing: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("no answer in time, {doing}")
        }
        io::ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "closed without an answer".to_owned(),
        _ => format!("{doing}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServed-By: worker-2\r\n\r\nabc";
        assert!(is_whole(answer) && !is_whole(&answer[..answer.len() - 1]) && !is_whole(b"HTTP"));
        assert_eq!(served_by(answer), "worker-2");
    }
}
