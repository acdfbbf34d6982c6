//! A connection from its first segment to its last: connect, a stream of bytes, a half-close, an
//! answer, and the end, in order or by a reset.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use humantime::parse_duration;
use socket2::SockRef;

use crate::acceptor::thread_per_connection;
use crate::demo::{RETRY, Report, Stop, connect_as, explain, timeout};
use crate::naming::with_name;
use crate::sock::{ListenOptions, TcpInfo};

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// End connections with a reset instead of closing them in order (SO_LINGER 0)
    #[arg(long)]
    pub server_reset: bool,
}

/// Reads each connection until the client has closed its half, and answers with the number of
/// bytes, until signalled.
///
/// # Errors
/// The address cannot be had.
pub fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    thread_per_connection(&options.listen.open()?, |mut socket| {
        let bytes = io::copy(&mut socket, &mut io::sink())?;
        // Data that are not yet sent or acknowledged are discarded.
        if options.server_reset {
            return SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
        socket.write_all(with_name(|name| format!("{name} {bytes}\n")).as_bytes())
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
    /// Bytes to send on each connection
    #[arg(long, default_value_t = 10_000, value_name = "BYTES")]
    pub bytes: usize,
    /// Send them in this many writes
    #[arg(
        long,
        default_value_t = 5,
        value_name = "N",
        value_parser = value_parser!(u64).range(1..)
    )]
    pub writes: u64,
    /// Reset the connection once they are sent, instead of closing a half and reading
    #[arg(long)]
    pub client_reset: bool,
    /// Never close a half, so that the server cannot know that this was all
    #[arg(long, conflicts_with = "client_reset")]
    pub no_half_close: bool,
    /// Routers that a packet of the client may pass, and one more (IP_TTL) [default: the kernel's]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=255))]
    pub ttl: Option<u32>,
    /// Pause after each connection
    #[arg(long, default_value = "100ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Give up on a connection or an answer after this long
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// Counts of connections.
#[derive(Default)]
struct Counts {
    counted: u64,
    orderly: u64,
    reset: u64,
    unanswered: u64,
    segments: [u64; 2],
}

/// Makes one connection after another. Facts: `counted` (bytes that the server says it read),
/// `orderly` (connections that the server ended with a FIN), `reset` (that either side reset),
/// `unanswered` (that the client gave up), and `segments_out` and `segments_in` of all connections
/// that were not reset. `time_wait` are sockets to the server that the kernel keeps after their end.
pub(crate) fn converse(options: &ClientOptions, server: SocketAddr, stop: &Stop) -> Report {
    let mut report = Report::default();
    let mut counts = Counts::default();
    while !stop.is_stopped() && options.connections.is_none_or(|most| report.asked < most) {
        let outcome = one(options, server, &mut report, &mut counts);
        stop.sleep(if outcome.is_ok() { options.pause } else { RETRY });
        if let Err(what) = outcome
            && stop.is_failure()
        {
            report.error(what);
        }
    }
    report.facts.extend([
        ("counted", counts.counted),
        ("orderly", counts.orderly),
        ("reset", counts.reset),
        ("unanswered", counts.unanswered),
        ("segments_out", counts.segments[0]),
        ("segments_in", counts.segments[1]),
    ]);
    report.facts.extend(time_wait(server).map(|count| ("time_wait", count)));
    report
}

fn one(
    options: &ClientOptions,
    server: SocketAddr,
    report: &mut Report,
    counts: &mut Counts,
) -> Result<(), String> {
    report.asked += 1;
    let mut socket = connect_as(server, options.timeout, |socket| match options.ttl {
        Some(ttl) => socket.set_ttl_v4(ttl),
        None => Ok(()),
    })?;
    report.connections += 1;
    let begun = Instant::now();
    send(&mut socket, options).map_err(|error| explain("sending", &error))?;
    if options.client_reset {
        counts.reset += 1;
        return SockRef::from(&socket)
            .set_linger(Some(Duration::ZERO))
            .map_err(|error| explain("closing", &error));
    }
    let mut answer = String::new();
    match socket.read_to_string(&mut answer) {
        Ok(_) => counts.orderly += 1,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            counts.reset += 1;
            return Ok(());
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            counts.unanswered += 1;
            return Ok(());
        }
        Err(error) => return Err(explain("waiting for an answer", &error)),
    }
    let (name, bytes) = answer.trim_end().split_once(' ').ok_or("the answer is not a number")?;
    counts.counted += bytes.parse::<u64>().map_err(|_| "the answer is not a number")?;
    report.answer(Some(name), begun.elapsed());
    let info = TcpInfo::of(&socket).map_err(|error| explain("reading TCP_INFO", &error))?;
    counts.segments[0] += u64::from(info.segments_out);
    counts.segments[1] += u64::from(info.segments_in);
    Ok(())
}

/// Sockets to this server in TIME_WAIT in the network of the calling thread; `None` if the kernel
/// does not tell.
fn time_wait(server: SocketAddr) -> Option<u64> {
    let table = if server.is_ipv4() { "tcp" } else { "tcp6" };
    let sockets = fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
    Some(count_time_wait(&sockets, server.port()))
}

/// Counts them in such a table.
fn count_time_wait(sockets: &str, port: u16) -> u64 {
    const TIME_WAIT: &str = "06";
    let port = format!(":{port:04X}");
    let of_server = |line: &&str| {
        let mut words = line.split_whitespace().skip(2);
        words.next().is_some_and(|peer| peer.ends_with(&port)) && words.next() == Some(TIME_WAIT)
    };
    sockets.lines().skip(1).filter(of_server).count() as u64
}

fn send(socket: &mut TcpStream, options: &ClientOptions) -> io::Result<()> {
    let data = vec![b'x'; options.bytes];
    let piece =
        options.bytes.div_ceil(usize::try_from(options.writes).unwrap_or(usize::MAX)).max(1);
    data.chunks(piece).try_for_each(|piece| socket.write_all(piece))?;
    if options.no_half_close || options.client_reset {
        Ok(())
    } else {
        socket.shutdown(Shutdown::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_in_time_wait_are_counted() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
                        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n\
                        1: 0100007F:C001 0100007F:1F90 06 00000000:00000000 03:00001773\n\
                        2: 0100007F:C002 0100007F:1F91 06 00000000:00000000 03:00001773\n\
                        3: 0100007F:1F90 0100007F:C001 06 00000000:00000000 03:00001773\n\
                        4: 0100007F:C003 0100007F:1F90 01 00000000:00000000 00:00000000\n";
        assert_eq!([8080, 8081, 9].map(|port| count_time_wait(table, port)), [1, 1, 0]);
    }
}
