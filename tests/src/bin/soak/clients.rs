//! Clients: those who stay, and those who come and go.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use backscope_tests::harness::connect_nonblocking;
use socket2::{Domain, SockRef, Socket, Type};

use crate::{CHURN, FULL, IDLE, SERVER};

/// Clients that come and go at a time.
const THREADS: u8 = 4;
/// One connect in so many goes to the queue that is full, too.
const REFUSED_EVERY: u64 = 500;

/// Connects from this address to a port of the server.
fn connect(from: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let on: libc::c_int = 1;
    // The port is chosen at the connect, by both ends.
    // SAFETY: the pointer and the length describe `on`.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&SocketAddr::from((SERVER, port)).into())?;
    Ok(socket.into())
}

/// Opens so many connections to one of the server's keepers, asks on each once, and holds them
/// until the standard input ends.
pub(crate) fn hold(number: u8, count: usize) -> anyhow::Result<()> {
    let from = Ipv4Addr::new(127, 2, 0, number + 1);
    let port = IDLE + u16::from(number);
    let mut held = Vec::with_capacity(count);
    for at in 0..count {
        let mut client =
            connect(from, port).with_context(|| format!("connection {at} that stays"))?;
        client.write_all(b"ask\n")?;
        client.read_exact(&mut [0; 3]).context("no answer")?;
        held.push(client);
    }
    println!("open {}", held.len());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Connects, asks and leaves, again and again, until something comes on the standard input. Prints
/// how many connections were made.
pub(crate) fn churn() -> anyhow::Result<()> {
    let (ends, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut threads = Vec::new();
    for at in 0..THREADS {
        let (ends, made) = (ends.clone(), made.clone());
        threads.push(thread::spawn(move || come_and_go(at, &ends, &made)));
    }
    io::stdin().read_exact(&mut [0])?;
    ends.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    println!("made {}", made.load(Ordering::Relaxed));
    Ok(())
}

fn come_and_go(at: u8, ends: &AtomicBool, made: &AtomicU64) -> anyhow::Result<()> {
    let from = Ipv4Addr::new(127, 1, 0, at + 1);
    while !ends.load(Ordering::Relaxed) {
        let mut client = connect(from, CHURN).context("a connection that comes and goes")?;
        client.set_read_timeout(Some(Duration::from_secs(60)))?;
        client.write_all(b"ask\n")?;
        client.read_to_end(&mut Vec::new()).context("no answer")?;
        // The server has closed. A reset leaves nothing of the connection, in TIME_WAIT neither.
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        drop(client);
        if made.fetch_add(1, Ordering::Relaxed).is_multiple_of(REFUSED_EVERY) {
            drop(connect_nonblocking(SocketAddr::from((SERVER, FULL)), 1)?);
        }
    }
    Ok(())
}
