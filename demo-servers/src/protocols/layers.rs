//! One request over one connection, counted at each layer: the application's bytes, TCP's segments,
//! and IP's packets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use humantime::parse_duration;

use crate::acceptor::thread_per_connection;
use crate::demo::{RETRY, Report, Stop, connect, explain, timeout};
use crate::https::message;
use crate::naming::with_name;
use crate::sock::{ListenOptions, TcpInfo};

/// Bytes of an IPv4 header, and of an IPv6 header, without options.
const IP_HEADER: [u64; 2] = [20, 40];
/// Bytes of a TCP header without options.
const TCP_HEADER: u64 = 20;
/// Bytes of the timestamps in each segment.
const TIMESTAMPS: u64 = 12;
/// Bytes of a SYN's other options: maximum segment size, selective ACKs, window scale.
const SYN_OPTIONS: u64 = 8;

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Bytes of an answer's body
    #[arg(long, default_value_t = 3000, value_name = "BYTES")]
    pub response: usize,
}

/// Serves HTTP until signalled, each connection by a thread.
///
/// # Errors
/// The address cannot be had.
pub fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    thread_per_connection(&options.listen.open()?, |mut socket| {
        let mut received = Vec::new();
        loop {
            let Some(head) = message::take_head(&mut received) else {
                if read(&mut socket, &mut received)? == 0 {
                    return Ok(());
                }
                if !message::may_be_request(&received) {
                    return socket.write_all(&message::refusal());
                }
                continue;
            };
            let last = message::is_last(&head);
            socket.write_all(&with_name(|name| message::response(name, options.response, last)))?;
            if last {
                return Ok(());
            }
        }
    });
    Ok(())
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct ClientOptions {
    /// Total connections [default: no limit]
    #[arg(long, value_name = "N")]
    pub connections: Option<u64>,
    /// Pause after each connection
    #[arg(long, default_value = "200ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Give up on a connection or an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// Calls, bytes and segments of one connection, counted by the client after the server has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layers {
    /// System calls of the application that moved data: writes, reads.
    calls: [u64; 2],
    /// Bytes of HTTP: sent, received.
    http: [u64; 2],
    /// TCP segments: sent, received. IP carries each in a packet.
    segments: [u64; 2],
    /// Those with data.
    with_data: [u64; 2],
    /// Whether segments have timestamps.
    timestamps: bool,
    ipv6: bool,
}

impl Layers {
    fn facts(&self) -> [(&'static str, u64); 12] {
        let options = if self.timestamps { TIMESTAMPS } else { 0 };
        // One SYN each way.
        let tcp = self.segments.map(|count| count * (TCP_HEADER + options) + SYN_OPTIONS);
        let ip = self.segments.map(|count| count * IP_HEADER[usize::from(self.ipv6)]);
        [
            ("writes", self.calls[0]),
            ("reads", self.calls[1]),
            ("http_out", self.http[0]),
            ("http_in", self.http[1]),
            ("segments_out", self.segments[0]),
            ("segments_in", self.segments[1]),
            ("with_data_out", self.with_data[0]),
            ("with_data_in", self.with_data[1]),
            ("tcp_out", self.http[0] + tcp[0]),
            ("tcp_in", self.http[1] + tcp[1]),
            ("ip_out", self.http[0] + tcp[0] + ip[0]),
            ("ip_in", self.http[1] + tcp[1] + ip[1]),
        ]
    }
}

/// Asks over one connection after another. The facts are of the last one: `writes` and `reads`
/// (system calls), `http_out` and `http_in` (bytes of the application), `segments_out` and
/// `segments_in`, `with_data_out` and `with_data_in` (segments with data), and the bytes with the
/// headers of TCP (`tcp_out`, `tcp_in`) and of IP (`ip_out`, `ip_in`). The kernel counts the
/// segments; the headers have the sizes that Linux sends.
pub(crate) fn ask(options: &ClientOptions, server: SocketAddr, stop: &Stop) -> Report {
    let mut report = Report::default();
    let mut last = None;
    while !stop.is_stopped() && options.connections.is_none_or(|most| report.asked < most) {
        match one(options, server, &mut report) {
            Ok(layers) => last = Some(layers),
            Err(what) => {
                stop.sleep(RETRY);
                if stop.is_failure() {
                    report.error(what);
                }
            }
        }
        stop.sleep(options.pause);
    }
    report.facts.extend(last.iter().flat_map(Layers::facts));
    report
}

fn one(options: &ClientOptions, server: SocketAddr, report: &mut Report) -> Result<Layers, String> {
    report.asked += 1;
    let mut socket = connect(server, None, options.timeout)?;
    report.connections += 1;
    let begun = Instant::now();
    let request = message::request(true);
    socket.write_all(&request).map_err(|error| explain("sending", &error))?;
    let (mut received, mut reads) = (Vec::new(), 0);
    // The last read returns 0.
    while read(&mut socket, &mut received)
        .map_err(|error| explain("waiting for an answer", &error))?
        > 0
    {
        reads += 1;
    }
    let took = begun.elapsed();
    let info = TcpInfo::of(&socket).map_err(|error| explain("reading TCP_INFO", &error))?;
    let answer = received.len() as u64;
    message::take_head(&mut received);
    report.answer(message::name_in(&received).as_deref(), took);
    Ok(Layers {
        calls: [1, reads],
        http: [request.len() as u64, answer],
        segments: [info.segments_out.into(), info.segments_in.into()],
        with_data: [info.data_segments_out.into(), info.data_segments_in.into()],
        timestamps: info.timestamps,
        ipv6: server.is_ipv6(),
    })
}

/// Reads once. Returns the number of bytes.
fn read(socket: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 16_384];
    let count = socket.read(&mut buffer)?;
    received.extend_from_slice(&buffer[..count]);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_adds_its_headers() {
        let layers = Layers {
            calls: [1, 1],
            http: [60, 3000],
            segments: [4, 4],
            with_data: [1, 2],
            timestamps: true,
            ipv6: false,
        };
        let facts = layers.facts();
        let fact = |name| facts.iter().find(|(known, _)| *known == name).unwrap().1;
        // A SYN has 40 bytes of header, other segments 32.
        assert_eq!(fact("tcp_out"), 60 + 40 + 3 * 32);
        assert_eq!(fact("ip_out"), fact("tcp_out") + 4 * 20);
        assert_eq!(fact("ip_in"), 3000 + 40 + 3 * 32 + 4 * 20);
    }
}
