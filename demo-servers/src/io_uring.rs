//! Accepts through io_uring.

use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;
use std::thread;
use std::time::Duration;

use clap::Args;
use humantime::parse_duration;
use io_uring::{IoUring, opcode, types};
use socket2::Socket;

use crate::sock::{self, Accepted, ListenOptions};
use crate::uring;

/// Knobs of the io_uring server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Sleep this long before each accept is submitted
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub accept_delay: Duration,
    /// Keep accepted connections open, and have no more than N further descriptors. Beyond that,
    /// accept fails with EMFILE, which is printed as `failed 24`
    #[arg(long, value_name = "N")]
    pub spare: Option<u64>,
    /// Print `accepted FD PEER-PORT ENTERED-NS RETURNED-NS` for each accept (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
}

/// The kernel does not let this process use io_uring.
#[derive(Debug)]
pub struct Unavailable(pub(crate) io::Error);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "io_uring is not available here: {} (see the sysctl kernel.io_uring_disabled)",
            self.0
        )
    }
}

impl std::error::Error for Unavailable {}

/// Serves until signalled. Fails with [`Unavailable`] where the kernel refuses a ring.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut ring = IoUring::new(8).map_err(Unavailable)?;
    let listener = options.listen.open()?;
    options.spare.map(sock::limit_descriptors).transpose()?;
    loop {
        thread::sleep(options.accept_delay);
        let accepted = match accept(&mut ring, &listener) {
            Err(error)
                if options.spare.is_some()
                    && error.downcast_ref().is_some_and(sock::announce_failure) =>
            {
                continue;
            }
            accepted => accepted?,
        };
        if options.trace {
            accepted.trace();
        }
        let _ = sock::reply(&accepted.socket);
        if options.spare.is_some() {
            mem::forget(accepted.socket);
        }
    }
}

fn accept(ring: &mut IoUring, listener: &Socket) -> anyhow::Result<Accepted> {
    let entry =
        opcode::Accept::new(types::Fd(listener.as_raw_fd()), ptr::null_mut(), ptr::null_mut())
            .build();
    let entered_ns = sock::monotonic_ns();
    // SAFETY: the entry holds no pointer, and the listener stays open until its completion is
    // taken.
    let accepted = unsafe { uring::complete(ring, &entry) };
    let returned_ns = sock::monotonic_ns();
    // SAFETY: the completion delivers a descriptor that nobody else owns.
    let socket = unsafe { Socket::from_raw_fd(accepted? as c_int) };
    let peer = sock::address(&socket.peer_addr()?)?;
    Ok(Accepted { socket, peer, entered_ns, returned_ns })
}
