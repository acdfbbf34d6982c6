//! The ways to read from a connection: one system call each, and MSG_PEEK before it.

use std::ffi::c_int;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::ptr;

use clap::{Args, ValueEnum};
use io_uring::{IoUring, opcode, types};
use socket2::Socket;

use crate::io_uring::Unavailable;
use crate::uring;

/// The system call that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReceiveMethod {
    /// `read(2)`
    Read,
    /// `readv(2)` into two buffers
    Readv,
    /// `recv(2)`
    Recv,
    /// `recvmsg(2)`
    Recvmsg,
    /// `recvmmsg(2)` for two messages, waiting for one of them
    Recvmmsg,
    /// `splice(2)` into a pipe
    Splice,
    /// A receive through io_uring
    #[value(name = "io_uring")]
    IoUring,
}

/// Options of reading.
#[derive(Args, Clone, Debug)]
pub struct ReadOptions {
    /// System calls that read, in turn
    #[arg(long, value_enum, default_value = "read", value_delimiter = ',')]
    pub io: Vec<ReceiveMethod>,
    /// Bytes to ask for in each read
    #[arg(long, default_value_t = 65536, value_name = "BYTES")]
    pub read_size: usize,
    /// Look at the data with MSG_PEEK before each read
    #[arg(long)]
    pub peek: bool,
}

/// Reads from one connection after another in the ways that were asked for.
pub struct Reader {
    ways: Vec<ReceiveMethod>,
    /// Reads so far.
    reads: usize,
    peek: bool,
    ring: Option<IoUring>,
    pipe: Option<(PipeReader, PipeWriter)>,
    buffer: Vec<u8>,
}

impl Reader {
    /// Fails with [`Unavailable`] where the kernel refuses a ring.
    pub fn new(options: &ReadOptions) -> anyhow::Result<Self> {
        anyhow::ensure!(options.read_size > 0, "a read must ask for at least one byte");
        let wanted = |method| options.io.contains(&method);
        let ring = wanted(ReceiveMethod::IoUring)
            .then(|| IoUring::new(2))
            .transpose()
            .map_err(Unavailable)?;
        let pipe = wanted(ReceiveMethod::Splice).then(io::pipe).transpose()?;
        let buffer = vec![0; options.read_size];
        Ok(Self { ways: options.io.clone(), reads: 0, peek: options.peek, ring, pipe, buffer })
    }

    /// Reads once. The result is empty at the peer's end.
    pub fn read(&mut self, socket: &Socket) -> io::Result<&[u8]> {
        let fd = socket.as_raw_fd();
        if self.peek {
            self.recv(fd, libc::MSG_PEEK)?;
        }
        let method = self
            .ways
            .get(self.reads % self.ways.len().max(1))
            .copied()
            .unwrap_or(ReceiveMethod::Read);
        self.reads += 1;
        let got = match method {
            ReceiveMethod::Read => {
                // SAFETY: the pointer and the length describe the buffer.
                counted(unsafe {
                    libc::read(fd, self.buffer.as_mut_ptr().cast(), self.buffer.len())
                })
            }
            ReceiveMethod::Readv => {
                let parts = self.halves();
                // SAFETY: the vectors describe two halves of the buffer.
                counted(unsafe { libc::readv(fd, parts.as_ptr(), parts.len() as c_int) })
            }
            ReceiveMethod::Recv => self.recv(fd, 0),
            ReceiveMethod::Recvmsg => {
                let mut parts = self.halves();
                let mut header = message(&mut parts);
                // SAFETY: the header holds two vectors that describe halves of the buffer, and
                // nothing else.
                counted(unsafe { libc::recvmsg(fd, &raw mut header, 0) })
            }
            ReceiveMethod::Recvmmsg => self.recvmmsg(fd),
            ReceiveMethod::Splice => self.splice(fd),
            ReceiveMethod::IoUring => self.receive_by_ring(fd),
        }?;
        Ok(&self.buffer[..got])
    }

    fn recv(&mut self, fd: c_int, flags: c_int) -> io::Result<usize> {
        // SAFETY: the pointer and the length describe the buffer.
        counted(unsafe {
            libc::recv(fd, self.buffer.as_mut_ptr().cast(), self.buffer.len(), flags)
        })
    }

    /// Splits the buffer into two vectors. The first has a byte at least.
    fn halves(&mut self) -> [libc::iovec; 2] {
        let middle = self.buffer.len().div_ceil(2);
        let (first, second) = self.buffer.split_at_mut(middle);
        [first, second]
            .map(|part| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() })
    }

    fn recvmmsg(&mut self, fd: c_int) -> io::Result<usize> {
        let mut parts = self.halves();
        let middle = parts[0].iov_len;
        let mut messages = parts
            .each_mut()
            .map(|part| libc::mmsghdr { msg_hdr: message(std::slice::from_mut(part)), msg_len: 0 });
        let flags = libc::MSG_WAITFORONE;
        // SAFETY: two headers, each with one vector that describes a half of the buffer.
        let got =
            unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), 2, flags as _, ptr::null_mut()) };
        counted(got as isize)?;
        let lengths = messages.map(|message| message.msg_len as usize);
        // The first half may be partly empty: moves the second message up to its end.
        self.buffer.copy_within(middle..middle + lengths[1], lengths[0]);
        Ok(lengths.iter().sum())
    }

    /// Splices at most as much as fits into the buffer, so that the pipe is empty afterwards.
    fn splice(&mut self, fd: c_int) -> io::Result<usize> {
        let Some((from, to)) = &mut self.pipe else { return Err(io::Error::other("no pipe")) };
        let (to, room) = (to.as_raw_fd(), self.buffer.len());
        // SAFETY: no offsets; the descriptors are open.
        let moved =
            counted(unsafe { libc::splice(fd, ptr::null_mut(), to, ptr::null_mut(), room, 0) })?;
        io::Read::read_exact(from, &mut self.buffer[..moved])?;
        Ok(moved)
    }

    fn receive_by_ring(&mut self, fd: c_int) -> io::Result<usize> {
        let Some(ring) = &mut self.ring else { return Err(io::Error::other("no ring")) };
        let entry =
            opcode::Recv::new(types::Fd(fd), self.buffer.as_mut_ptr(), self.buffer.len() as u32)
                .build();
        // SAFETY: the entry describes the buffer, which outlives its completion.
        unsafe { uring::complete(ring, &entry) }
    }
}

/// A header for these vectors alone.
pub(crate) fn message(parts: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: msghdr is plain data for which all zeroes is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len() as _;
    header
}

/// The count that a system call returned, or its error.
pub(crate) fn counted(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn every_way_reads_the_same() {
        for method in ReceiveMethod::value_variants() {
            for (read_size, peek) in [(7, false), (100, false), (7, true)] {
                let (mut ours, theirs) = UnixStream::pair().expect("a pair");
                let Ok(mut reader) =
                    Reader::new(&ReadOptions { io: vec![*method], read_size, peek })
                else {
                    continue;
                };
                ours.write_all(b"0123456789").expect("room for ten bytes");
                drop(ours);
                let (theirs, mut got) = (Socket::from(theirs), Vec::new());
                loop {
                    match reader.read(&theirs).expect("a read") {
                        [] => break,
                        data => got.extend_from_slice(data),
                    }
                }
                assert_eq!(got, b"0123456789", "{method:?} {read_size} {peek}");
            }
        }
    }
}
