//! Many handshakes at once from many loopback addresses and ports: what a listener sees in a SYN
//! flood, for local use only.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::load::Options;
use crate::sock::announce;

/// Sockets kept open at a time, below the usual limit of open files. The oldest is closed for a new
/// one.
const OPEN: usize = 900;
/// Hard bound on the number of handshakes, whatever was asked for.
const MOST: u64 = 1_000_000;

/// Begins `--connections` (10 000) handshakes within `--duration` (60 s) at most; prints `flooded N
/// refused M`.
///
/// Fails if the target is not an IPv4 loopback address.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let IpAddr::V4(target) = options.target.ip() else {
        anyhow::bail!("a flood needs an IPv4 target")
    };
    anyhow::ensure!(target.is_loopback(), "a flood goes to 127.0.0.0/8 only");
    let total = options.connections.unwrap_or(10_000).min(MOST);
    let end = Instant::now() + options.duration.unwrap_or(Duration::from_secs(60));
    let mut open = VecDeque::new();
    let (mut begun, mut refused) = (0u64, 0u64);
    for index in 0..total {
        if Instant::now() >= end {
            break;
        }
        if open.len() == OPEN {
            open.pop_front();
        }
        match begin(SocketAddrV4::new(target, options.target.port()), index) {
            Ok(socket) => {
                open.push_back(socket);
                begun += 1;
            }
            Err(_) => refused += 1,
        }
    }
    announce(format_args!("flooded {begun} refused {refused}"));
    std::thread::sleep(options.hold);
    Ok(())
}

/// Begins the handshake number `index`, from an address and port of its own, without waiting for
/// its end.
fn begin(target: SocketAddrV4, index: u64) -> io::Result<Socket> {
    // 250 hosts in each of 250 networks: 127.1.1.1 to 127.250.250.1, and a new port each round.
    let (host, net, round) = (index % 250 + 1, index / 250 % 250 + 1, index / 62_500);
    let port = 1024 + ((index * 61 + round) % 64_000) as u16;
    let source = SocketAddr::from((Ipv4Addr::new(127, net as u8, host as u8, 1), port));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&source.into())?;
    match socket.connect(&SocketAddr::V4(target).into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}
