//! One thread that answers lines, in three ways: a call that blocks for one connection, a call that
//! waits for all (epoll), and calls that are handed over in advance (io_uring). It counts the
//! system calls that this takes.

use std::collections::HashMap;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use clap::{Args, ValueEnum};
use io_uring::squeue::Flags;
use io_uring::{IoUring, opcode, types};
use socket2::Socket;

use crate::epoll::Epoll;
use crate::io_uring::Unavailable;
use crate::naming::name_thread;
use crate::sock::{self, Call, ListenOptions, announce};

/// Longest request that is read at once, bytes.
const LONGEST: usize = 4096;
/// The answer to each.
const ANSWER: &[u8] = b"waiting done\n";
/// Entries of the ring: two for each connection that may be ready at once.
const ENTRIES: u32 = 256;
/// What completes if it is not a read of a connection, which has its descriptor.
const ACCEPTED: u64 = u64::MAX;
const OTHER: u64 = u64::MAX - 1;

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// How the thread waits
    #[arg(long, value_enum, default_value_t = How::Epoll, value_name = "HOW")]
    pub how: How,
    /// Print how many system calls there were, at the end of each connection
    #[arg(long)]
    pub trace: bool,
}

/// How a thread waits for the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// In a read of one connection, until that connection ends
    Blocking,
    /// In epoll_wait, for all connections
    Epoll,
    /// In io_uring_enter, for reads of all connections
    #[value(name = "io_uring")]
    IoUring,
}

/// Serves until signalled. Each request is a line that comes in one piece.
///
/// # Errors
/// The address cannot be had, or the kernel refuses a ring ([`Unavailable`]).
pub fn run(options: &Options) -> anyhow::Result<()> {
    sock::raise_open_files();
    let mut calls = Calls::new(options.trace);
    match options.how {
        How::Blocking => {
            name_thread("one-by-one");
            one_by_one(&options.listen.open()?, &mut calls)
        }
        How::Epoll => {
            name_thread("event-loop");
            by_events(&options.listen, &mut calls)
        }
        How::IoUring => {
            name_thread("ring-loop");
            let ring = IoUring::new(ENTRIES).map_err(Unavailable)?;
            by_ring(ring, &options.listen.open()?, &mut calls)
        }
    }
}

/// The system calls so far, by what they are for.
struct Calls {
    trace: bool,
    /// Those that wait for many at once.
    wait: u64,
    accept: u64,
    read: u64,
    write: u64,
    /// Those that prepare or end.
    other: u64,
}

impl Calls {
    fn new(trace: bool) -> Self {
        Self { trace, wait: 0, accept: 0, read: 0, write: 0, other: 0 }
    }

    /// A connection has ended.
    fn tell(&self) {
        if self.trace {
            announce(format_args!("calls {self}"));
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wait, accept, read, write, other, .. } = self;
        let all = wait + accept + read + write + other;
        write!(f, "all={all} wait={wait} accept={accept} read={read} write={write} other={other}")
    }
}

/// Serves one connection to its end, then accepts the next.
fn one_by_one(listener: &Socket, calls: &mut Calls) -> anyhow::Result<()> {
    loop {
        let socket = accept(listener, calls)?;
        while answer(&socket, calls)? {}
        calls.other += 1;
        drop(socket);
        calls.tell();
    }
}

/// Serves whatever is ready.
fn by_events(listen: &ListenOptions, calls: &mut Calls) -> anyhow::Result<()> {
    let listener = listen.open()?;
    let epoll = Epoll::watch(&listener, 0)?;
    let mut open = HashMap::<c_int, Socket>::new();
    loop {
        calls.wait += 1;
        let fd = epoll.wait()?;
        let Some(socket) = open.get(&fd) else {
            let socket = accept(&listener, calls)?;
            calls.other += 1;
            epoll.add(socket.as_raw_fd(), 0)?;
            open.insert(socket.as_raw_fd(), socket);
            continue;
        };
        if !answer(socket, calls)? {
            calls.other += 1;
            open.remove(&fd);
            calls.tell();
        }
    }
}

fn accept(listener: &Socket, calls: &mut Calls) -> io::Result<Socket> {
    calls.accept += 1;
    Ok(sock::accept(listener, Call::Accept4)?.socket)
}

/// Reads a request, and answers it. False at the end of the connection.
fn answer(socket: &Socket, calls: &mut Calls) -> io::Result<bool> {
    let mut request = [0_u8; LONGEST];
    calls.read += 1;
    match io::Read::read(&mut &*socket, &mut request) {
        Ok(0) => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
        Err(error) => return Err(error),
    }
    calls.write += 1;
    io::Write::write_all(&mut &*socket, ANSWER)?;
    Ok(true)
}

/// A connection of the ring's, with the buffer that its reads go to.
struct Ringed {
    socket: Socket,
    request: Box<[u8; LONGEST]>,
}

/// Hands over an accept, and a read of each connection. A completed read is answered by a write,
/// with the next read behind it: both go to the kernel with the call that waits.
fn by_ring(mut ring: IoUring, listener: &Socket, calls: &mut Calls) -> anyhow::Result<()> {
    let mut open = HashMap::<RawFd, Ringed>::new();
    let to_accept = opcode::Accept::new(
        types::Fd(listener.as_raw_fd()),
        std::ptr::null_mut(),
        std::ptr::null_mut(),
    )
    .build()
    .user_data(ACCEPTED);
    push(&mut ring, &to_accept)?;
    loop {
        calls.wait += 1;
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let completed: Vec<_> =
            ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        for (what, result) in completed {
            match what {
                ACCEPTED => {
                    anyhow::ensure!(result >= 0, io::Error::from_raw_os_error(-result));
                    // SAFETY: the completion delivers a descriptor that nobody else owns.
                    let socket = unsafe { Socket::from_raw_fd(result) };
                    let ringed = open
                        .entry(result)
                        .insert_entry(Ringed { socket, request: Box::new([0; LONGEST]) });
                    push(&mut ring, &read_of(ringed.into_mut()))?;
                    push(&mut ring, &to_accept)?;
                }
                // A write that failed: its read fails as well, and says so.
                OTHER => {}
                fd => {
                    let Some(ringed) = open.get_mut(&(fd as RawFd)) else { continue };
                    if result > 0 {
                        push(&mut ring, &write_to(&ringed.socket))?;
                        push(&mut ring, &read_of(ringed))?;
                    } else {
                        calls.other += 1;
                        open.remove(&(fd as RawFd));
                        calls.tell();
                    }
                }
            }
        }
    }
}

/// The read of the next request. It completes in any case.
fn read_of(ringed: &mut Ringed) -> io_uring::squeue::Entry {
    let fd = ringed.socket.as_raw_fd();
    opcode::Recv::new(types::Fd(fd), ringed.request.as_mut_ptr(), LONGEST as u32)
        .build()
        .user_data(fd as u64)
}

/// The write of an answer. It reports failures only, and the entry after it waits for it.
fn write_to(socket: &Socket) -> io_uring::squeue::Entry {
    opcode::Send::new(types::Fd(socket.as_raw_fd()), ANSWER.as_ptr(), ANSWER.len() as u32)
        .flags(libc::MSG_WAITALL)
        .build()
        .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS)
        .user_data(OTHER)
}

fn push(ring: &mut IoUring, entry: &io_uring::squeue::Entry) -> io::Result<()> {
    // SAFETY: what an entry points to is static, or a boxed buffer that lives until its read has
    // completed: a connection is dropped only then.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use crate::demo::in_process;

    #[test]
    fn each_way_answers_every_line() {
        for how in ["blocking", "epoll", "io_uring"] {
            if how == "io_uring" && io_uring::IoUring::new(2).is_err() {
                continue;
            }
            let knobs = ["--how", how, "--clients", "3", "--connections", "3", "--requests", "4"];
            let report = in_process::run("blocking", &knobs);
            assert_eq!((report.answered, report.errors.len()), (12, 0), "{how}: {report}");
        }
    }
}
