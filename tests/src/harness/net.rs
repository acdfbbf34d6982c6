//! The network namespace of a case, its settings and the kernel's counters in it.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Waits until no IPv4 connection of a server on that port is established on either side.
///
/// A connection may end a little later than close(2) returns: a program that reads the files of a
/// process holds them meanwhile.
pub fn await_closing(port: u16, patience: Duration) -> anyhow::Result<()> {
    const ESTABLISHED: &str = "01";
    let server = format!(":{port:04X}");
    let deadline = Instant::now() + patience;
    loop {
        let table =
            fs::read_to_string("/proc/thread-self/net/tcp").context("reading the sockets")?;
        let open = table.lines().skip(1).any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.len() > 3 && fields[1].ends_with(&server) && fields[3] == ESTABLISHED
        });
        if !open {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "a connection on port {port} stays established");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the IPv4 connection of a client at that port has nothing on its way to the server,
/// nor unread there.
pub fn await_read(port: u16, patience: Duration) -> anyhow::Result<()> {
    const NOTHING: &str = "00000000";
    let client = format!(":{port:04X}");
    let deadline = Instant::now() + patience;
    loop {
        let table =
            fs::read_to_string("/proc/thread-self/net/tcp").context("reading the sockets")?;
        let waits = table.lines().skip(1).any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [_, local, peer, _, queues, ..] = fields[..] else { return false };
            let Some((sent, unread)) = queues.split_once(':') else { return false };
            local.ends_with(&client) && sent != NOTHING
                || peer.ends_with(&client) && unread != NOTHING
        });
        if !waits {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "what the client at {port} sent stays unread");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Gives the calling thread, and everything that it starts from now on, a network namespace of its
/// own with `lo` up.
pub fn isolate() -> anyhow::Result<()> {
    // SAFETY: a plain system call that concerns the calling thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error()).context("unshare(CLONE_NEWNET)");
    }
    loopback_up().context("bringing lo up")
}

/// Brings `lo` up in the calling thread's network namespace.
pub fn loopback_up() -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    // SAFETY: ifreq is plain data for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as _;
    request.ifr_name[1] = b'o' as _;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is.
    let status =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets a sysctl of the network namespace: `set("ipv4/tcp_syncookies", 2)`.
pub fn set(sysctl: &str, value: impl Display) -> anyhow::Result<()> {
    let path = format!("/proc/sys/net/{sysctl}");
    fs::write(&path, value.to_string()).with_context(|| format!("writing {value} to {path}"))
}

/// The `TcpExt` counters of the namespace.
#[derive(Clone, Debug)]
pub struct Counters(HashMap<String, u64>);

impl Counters {
    /// Reads the counters of the calling thread's namespace.
    pub fn read() -> anyhow::Result<Self> {
        let text =
            fs::read_to_string("/proc/thread-self/net/netstat").context("reading netstat")?;
        let mut rows = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let (names, values) = rows.next().zip(rows.next()).context("netstat has no TcpExt")?;
        let values = values.split_whitespace().map(|value| value.parse().unwrap_or(0));
        Ok(Self(names.split_whitespace().map(str::to_owned).zip(values).collect()))
    }

    /// One counter.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// Waits until something in the namespace listens on the TCP port, without connecting to it.
pub fn await_listening(port: u16, limit: Duration) -> anyhow::Result<()> {
    let wanted = format!(":{port:04X}");
    let listens = |table: &str| {
        fs::read_to_string(format!("/proc/thread-self/net/{table}")).is_ok_and(|text| {
            text.lines().any(|line| {
                let mut columns = line.split_whitespace().skip(1);
                columns.next().is_some_and(|local| local.ends_with(&wanted))
                    && columns.nth(1) == Some("0A")
            })
        })
    };
    let deadline = Instant::now() + limit;
    while !listens("tcp") && !listens("tcp6") {
        anyhow::ensure!(
            Instant::now() < deadline,
            "nothing listens on port {port} after {limit:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A TCP port that is free now, for programs that cannot choose one themselves.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// `CLOCK_MONOTONIC`, ns.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours. CLOCK_MONOTONIC cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns the bytes received and the bytes acknowledged, as the kernel counts them (`tcp_info`).
pub fn tcp_bytes(socket: &impl AsRawFd) -> io::Result<(u64, u64)> {
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    let place = info.as_mut_ptr().cast();
    // SAFETY: the pointer and the length describe the buffer.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            place,
            &raw mut length,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // These fields have never moved in `linux/tcp.h`.
    let eight = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| info[at + byte]));
    Ok((eight(128), eight(120)))
}
