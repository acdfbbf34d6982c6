//! Listening sockets, accepts and clocks, as the patterns need them.

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Options of listening.
#[derive(Args, Clone, Debug)]
pub struct ListenOptions {
    /// Address to listen on; port 0 takes a free one, [::]:PORT takes IPv4 too
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Backlog to pass to listen(2)
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub backlog: c_int,
    /// Accept data in the SYN (TCP Fast Open), with at most this many pending requests
    #[arg(long, value_name = "N")]
    pub fastopen: Option<c_int>,
    /// Keep a connection in the SYN queue until its first data (TCP_DEFER_ACCEPT)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub defer_accept: Option<Duration>,
    /// Listen with Multipath TCP, as Go does since 1.24; other clients are still served over TCP
    #[arg(long)]
    pub mptcp: bool,
}

impl ListenOptions {
    /// Opens the listener and prints `listening on ADDR`.
    pub fn open(&self) -> anyhow::Result<Socket> {
        let listener = self.bind(false)?;
        listener.listen(self.backlog).context("listen")?;
        announce_listener(&listener)?;
        Ok(listener)
    }

    /// Binds without listening; with `reuse_port`, as one of a SO_REUSEPORT group.
    pub fn bind(&self, reuse_port: bool) -> anyhow::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(self.listen),
            Type::STREAM,
            Some(protocol(self.mptcp)),
        )?;
        socket.set_reuse_address(true)?;
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        if self.listen.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        if let Some(pending) = self.fastopen {
            set_tcp_option(&socket, libc::TCP_FASTOPEN, pending).context("TCP_FASTOPEN")?;
        }
        if let Some(wait) = self.defer_accept {
            let seconds = c_int::try_from(wait.as_secs().max(1)).unwrap_or(c_int::MAX);
            set_tcp_option(&socket, libc::TCP_DEFER_ACCEPT, seconds).context("TCP_DEFER_ACCEPT")?;
        }
        socket.bind(&self.listen.into()).with_context(|| format!("bind {}", self.listen))?;
        Ok(socket)
    }
}

/// TCP, or Multipath TCP.
pub fn protocol(mptcp: bool) -> Protocol {
    if mptcp { Protocol::MPTCP } else { Protocol::TCP }
}

/// Prints `listening on ADDR`.
pub fn announce_listener(listener: &Socket) -> io::Result<()> {
    let local = address(&listener.local_addr()?)?;
    announce(format_args!("listening on {local}"));
    Ok(())
}

/// Prints one line with a single write, so that lines of several processes on one pipe stay whole.
/// Goes on serving if the reader has ended.
pub fn announce(line: std::fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// Prints a line about a failure to standard error. Goes on serving if nobody takes it, where
/// `eprintln!` would panic.
pub(crate) fn complain(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "demo-servers: {line}");
}

/// Limits the process to so many descriptors beyond those that are open.
pub fn limit_descriptors(spare: u64) -> io::Result<()> {
    let mut open = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    // The limit is on the number of a new descriptor, and there may be gaps between the open ones.
    // The descriptor of /proc/self/fd itself is closed by now, and leaves a gap, too.
    let mut gaps = (0..).filter(|number| !open.contains(number));
    let most = gaps.nth(spare.saturating_sub(1) as usize).unwrap_or(spare);
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the pointer is to a limit of ours.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Prints `failed ERRNO` if no descriptor was left; returns false for any other error.
pub fn announce_failure(error: &io::Error) -> bool {
    let fails = error.raw_os_error() == Some(libc::EMFILE);
    if fails {
        announce(format_args!("failed {}", libc::EMFILE));
    }
    fails
}

/// The system call that accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `accept(2)`
    Accept,
    /// `accept4(2)`
    Accept4,
}

/// A connection with the times around the call that returned it.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    /// Its peer.
    pub peer: SocketAddr,
    /// Before the call, `CLOCK_MONOTONIC` ns.
    pub entered_ns: u64,
    /// After it.
    pub returned_ns: u64,
}

impl Accepted {
    /// Prints `accepted FD PEER-PORT ENTERED-NS RETURNED-NS`.
    pub fn trace(&self) {
        let (fd, port) = (self.socket.as_raw_fd(), self.peer.port());
        announce(format_args!("accepted {fd} {port} {} {}", self.entered_ns, self.returned_ns));
    }
}

/// Accepts one connection with this system call. The standard library always uses `accept4`.
pub fn accept(listener: &Socket, call: Call) -> io::Result<Accepted> {
    let fd = listener.as_raw_fd();
    let entered_ns = monotonic_ns();
    // SAFETY: the pointers are to a SockAddr's own storage and length, valid during the call; on
    // success the kernel has filled them.
    let result = unsafe {
        SockAddr::try_init(|storage, len| {
            let got = match call {
                Call::Accept => libc::accept(fd, storage.cast(), len),
                Call::Accept4 => libc::accept4(fd, storage.cast(), len, libc::SOCK_CLOEXEC),
            };
            if got < 0 { Err(io::Error::last_os_error()) } else { Ok(got) }
        })
    };
    let returned_ns = monotonic_ns();
    let (accepted, peer) = result?;
    // SAFETY: accept returned this descriptor just now and nobody else owns it.
    let socket = unsafe { Socket::from_raw_fd(accepted) };
    Ok(Accepted { socket, peer: address(&peer)?, entered_ns, returned_ns })
}

/// Reads what the client has sent and answers with a small HTTP response.
pub fn reply(mut connection: &Socket) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut request = [0; 1024];
    match connection.read(&mut request) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    connection.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
}

/// Sets an integer option of the TCP level.
pub fn set_tcp_option(socket: &impl AsRawFd, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The IP address in a socket address.
pub fn address(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| io::Error::other("not an IP socket"))
}

/// Counters that the kernel keeps for a connection (`tcp_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Whether the server took data from the SYN (TCP Fast Open).
    pub syn_data: bool,
    /// Whether segments have timestamps.
    pub timestamps: bool,
    /// Bytes sent by this side that the peer acknowledged.
    pub bytes_acked: u64,
    /// Bytes received from the peer.
    pub bytes_received: u64,
    /// Retransmitted segments.
    pub retransmits: u32,
    /// Smoothed round-trip time, µs.
    pub rtt_us: u32,
    /// Segments sent, with data or without.
    pub segments_out: u32,
    /// Segments received.
    pub segments_in: u32,
    /// Segments with data sent.
    pub data_segments_out: u32,
    /// Segments with data received.
    pub data_segments_in: u32,
}

/// Bits of `tcpi_options`.
const TCPI_OPT_TIMESTAMPS: u8 = 1;
const TCPI_OPT_SYN_DATA: u8 = 32;

impl TcpInfo {
    /// Reads the counters of a socket.
    pub fn of(socket: &impl AsRawFd) -> io::Result<Self> {
        let mut info = [0u8; 256];
        let mut length = info.len() as libc::socklen_t;
        // SAFETY: the pointer and the length describe the buffer.
        let status = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if status == 0 { Ok(Self::parse(&info)) } else { Err(io::Error::last_os_error()) }
    }

    /// Parses the struct. Its fields have never moved in `linux/tcp.h`.
    fn parse(info: &[u8; 256]) -> Self {
        let four = |at: usize| u32::from_ne_bytes(std::array::from_fn(|byte| info[at + byte]));
        let eight = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| info[at + byte]));
        Self {
            timestamps: info[5] & TCPI_OPT_TIMESTAMPS != 0,
            syn_data: info[5] & TCPI_OPT_SYN_DATA != 0,
            rtt_us: four(68),
            retransmits: four(100),
            bytes_acked: eight(120),
            bytes_received: eight(128),
            segments_out: four(136),
            segments_in: four(140),
            data_segments_in: four(152),
            data_segments_out: four(156),
        }
    }
}

impl std::fmt::Display for TcpInfo {
    /// ` received=N acked=N retransmits=N rtt_us=N`, to end a line of a trace.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes_acked, bytes_received, retransmits, rtt_us, .. } = self;
        write!(
            f,
            " received={bytes_received} acked={bytes_acked} retransmits={retransmits} \
             rtt_us={rtt_us}"
        )
    }
}

/// Returns how many bytes written to the socket the peer's kernel has not acknowledged yet.
pub fn unacknowledged(socket: &impl AsRawFd) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: SIOCOUTQ, which TIOCOUTQ is, writes an integer of ours.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } {
        0 => Ok(bytes.max(0) as usize),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for one of these events (POLLIN, POLLOUT), or for the connection's end.
pub fn wait_for(fd: &impl AsRawFd, events: i16) -> io::Result<()> {
    let mut waiting = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: the pointer is to one pollfd of ours, as the count says.
    let got = unsafe { libc::poll(&raw mut waiting, 1, -1) };
    match io::Error::last_os_error() {
        error if got < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Returns whether there is something to read, or the peer's end, within so many ms.
pub(crate) fn readable_within(fd: &impl AsRawFd, ms: c_int) -> io::Result<bool> {
    let mut waiting = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one pollfd of ours, as the count says.
    match unsafe { libc::poll(&raw mut waiting, 1, ms) } {
        got if got >= 0 => Ok(got > 0),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

/// `CLOCK_MONOTONIC`, ns: the clock of the kernel's own stamps.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Returns the time of a clock that cannot fail, ns.
pub(crate) fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both pointers are to an rlimit of ours; a refusal leaves the limit as it was.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
