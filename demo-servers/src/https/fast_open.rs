//! TCP Fast Open: data in the SYN.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::sock::{announce, set_tcp_option};

/// The setting of this network namespace: which sides of a connection may use it.
const SYSCTL: &str = "/proc/sys/net/ipv4/tcp_fastopen";
/// The bit that allows it for servers.
const SERVERS: u32 = 2;
/// Most SYNs with data that wait for the client's ACK.
pub(super) const PENDING: libc::c_int = 128;

/// Prints what to do if servers may not use it here. Connections then begin without it.
pub(super) fn explain_if_forbidden() {
    let allowed = fs::read_to_string(SYSCTL).ok().and_then(|text| text.trim().parse::<u32>().ok());
    if allowed.is_some_and(|allowed| allowed & SERVERS == 0) {
        announce(format_args!(
            "this kernel takes no data in a SYN: net.ipv4.tcp_fastopen lacks bit {SERVERS}, that \
             for servers. With --rtt the demo has a network namespace of its own, which allows it. \
             Otherwise set it: sysctl -w net.ipv4.tcp_fastopen=3"
        ));
    }
}

/// Connects. With `fast_open`, and a cookie of the server from a former connection, the SYN waits
/// for the first write. Reads and writes have the timeout, too.
pub(super) fn connect(
    server: SocketAddr,
    fast_open: bool,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if fast_open {
        set_tcp_option(&socket, libc::TCP_FASTOPEN_CONNECT, 1)?;
    }
    socket.connect_timeout(&server.into(), timeout)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))?;
    Ok(socket.into())
}
