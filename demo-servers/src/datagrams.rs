//! Receives datagrams more slowly than they come, or sends them.

use std::ffi::c_int;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use clap::Args;
use humantime::parse_duration;
use socket2::{Domain, Protocol, Socket, Type};

use crate::reading::{ReadOptions, Reader};
use crate::sock::{address, announce};

/// Knobs of the receiver and the sender.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Send to this address, instead of receiving
    #[arg(long, value_name = "ADDR")]
    pub target: Option<SocketAddr>,
    /// Address to receive on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub bind: SocketAddr,
    /// Sleep this long before each datagram
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Receiver: size of the receive buffer (SO_RCVBUF)
    #[arg(long, value_name = "BYTES")]
    pub receive_buffer: Option<usize>,
    /// Receiver: how to read
    #[command(flatten)]
    pub input: ReadOptions,
    /// Sender: datagrams to send
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub count: u64,
    /// Sender: bytes of each datagram
    #[arg(long, default_value_t = 100, value_name = "BYTES")]
    pub size: usize,
    /// Receiver: print `received N BYTES dropped M` after each datagram (totals)
    #[arg(long)]
    pub trace: bool,
}

/// Receives until signalled (prints `bound to ADDR`), or sends and prints `sent N BYTES`.
pub fn run(options: &Options) -> anyhow::Result<()> {
    match options.target {
        Some(target) => send(target, options),
        None => receive(options),
    }
}

fn send(target: SocketAddr, options: &Options) -> anyhow::Result<()> {
    let socket = Socket::new(Domain::for_address(target), Type::DGRAM, Some(Protocol::UDP))?;
    socket.connect(&target.into())?;
    let payload = vec![b'x'; options.size];
    for _ in 0..options.count {
        thread::sleep(options.pause);
        socket.send(&payload)?;
    }
    announce(format_args!("sent {} {}", options.count, options.count * options.size as u64));
    Ok(())
}

fn receive(options: &Options) -> anyhow::Result<()> {
    let socket = Socket::new(Domain::for_address(options.bind), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&options.bind.into())?;
    let mut reader = Reader::new(&options.input)?;
    announce(format_args!("bound to {}", address(&socket.local_addr()?)?));
    let (mut received, mut bytes) = (0u64, 0);
    loop {
        thread::sleep(options.pause);
        bytes += reader.read(&socket)?.len();
        received += 1;
        if options.trace {
            announce(format_args!("received {received} {bytes} dropped {}", drops(&socket)?));
        }
    }
}

/// Returns the datagrams that the kernel dropped since the socket was made, because its receive
/// buffer was full (`SO_MEMINFO`).
pub(crate) fn drops(socket: &impl AsRawFd) -> io::Result<u32> {
    const SO_MEMINFO: c_int = 55;
    const DROPS: usize = 8;
    let mut info = [0u32; DROPS + 1];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the pointer and the length describe the array.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if status == 0 { Ok(info[DROPS]) } else { Err(io::Error::last_os_error()) }
}
