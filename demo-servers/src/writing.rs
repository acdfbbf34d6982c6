//! The ways to write a message to a connection: in one piece or several, by one system call or
//! another.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use humantime::parse_duration;
use io_uring::{IoUring, opcode, types};
use socket2::Socket;

use crate::io_uring::Unavailable;
use crate::reading::{counted, message};
use crate::sock::{set_tcp_option, wait_for};
use crate::uring;

/// Smallest capacity of a pipe, bytes.
const PIPE: usize = 4096;

/// The system call that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SendMethod {
    /// `write(2)`, one call per piece
    Write,
    /// `writev(2)`, all pieces in one call
    Writev,
    /// `send(2)`, one call per piece
    Send,
    /// `sendmsg(2)`, all pieces in one call
    Sendmsg,
    /// `sendmmsg(2)`, one message per piece, all in one call
    Sendmmsg,
    /// `sendfile(2)` from memory, one call per piece
    Sendfile,
    /// `splice(2)` from memory through a pipe
    Splice,
    /// `send(2)` with MSG_ZEROCOPY, one call per piece
    Zerocopy,
    /// Sends through io_uring, one after another
    #[value(name = "io_uring")]
    IoUring,
}

/// Uses of TCP_CORK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cork {
    /// Set it before the first piece, clear it after the last
    Lift,
    /// Set it and never clear it: the kernel sends after 200 ms
    Forget,
}

/// Options of writing.
#[derive(Args, Clone, Debug)]
pub struct WriteOptions {
    /// System call that writes
    #[arg(long, value_enum, default_value_t = SendMethod::Write)]
    pub out: SendMethod,
    /// Pieces in which to write a message, instead of one: 4,200
    #[arg(long, value_name = "BYTES,BYTES", value_delimiter = ',')]
    pub writes: Vec<usize>,
    /// Sleep this long between pieces
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub between: Duration,
    /// Set TCP_NODELAY
    #[arg(long)]
    pub nodelay: bool,
    /// Use TCP_CORK
    #[arg(long, value_enum, value_name = "WHAT")]
    pub cork: Option<Cork>,
    /// Pass MSG_MORE with every piece but the last (send, sendmsg, zerocopy, io_uring)
    #[arg(long)]
    pub more: bool,
}

impl WriteOptions {
    /// Returns the lengths of the pieces of a message. One piece of `length` bytes unless others
    /// were given.
    pub fn pieces(&self, length: usize) -> Vec<usize> {
        if self.writes.is_empty() { vec![length] } else { self.writes.clone() }
    }
}

/// Writes one message, again and again, in the way that was asked for.
pub struct Writer {
    options: WriteOptions,
    pieces: Vec<usize>,
    payload: Vec<u8>,
    /// The payload as a file, for the calls that take one.
    file: Option<File>,
    pipe: Option<(io::PipeReader, io::PipeWriter)>,
    ring: Option<IoUring>,
}

impl Writer {
    /// Makes a writer for messages of these pieces that end with `end`. Fails with [`Unavailable`]
    /// where the kernel refuses a ring.
    pub fn new(options: &WriteOptions, pieces: Vec<usize>, end: u8) -> anyhow::Result<Self> {
        let method = options.out;
        let flagged = matches!(
            method,
            SendMethod::Send
                | SendMethod::Sendmsg
                | SendMethod::Sendmmsg
                | SendMethod::Zerocopy
                | SendMethod::IoUring
        );
        ensure!(!options.more || flagged, "this way of writing does not take MSG_MORE");
        ensure!(pieces.iter().all(|piece| *piece > 0), "a piece needs at least one byte");
        let mut payload = vec![b'x'; pieces.iter().sum()];
        if let Some(last) = payload.last_mut() {
            *last = end;
        }
        let file = matches!(method, SendMethod::Sendfile | SendMethod::Splice)
            .then(|| in_memory(&payload))
            .transpose()?;
        let pipe = (method == SendMethod::Splice).then(io::pipe).transpose()?;
        let ring = (method == SendMethod::IoUring)
            .then(|| IoUring::new(2))
            .transpose()
            .map_err(Unavailable)?;
        Ok(Self { options: options.clone(), pieces, payload, file, pipe, ring })
    }

    /// Makes it write so many messages at once, in one piece.
    pub fn repeat(&mut self, count: usize) -> anyhow::Result<()> {
        ensure!(
            self.pieces.len() == 1 && self.file.is_none(),
            "several messages at once must be in one piece of memory"
        );
        self.payload = self.payload.repeat(count);
        self.pieces = vec![self.payload.len()];
        Ok(())
    }

    /// Begins the message with this word and a space, if the message is long enough and its memory
    /// may change.
    pub(crate) fn sign(&mut self, word: &str) {
        let fixed = self.file.is_some() || self.options.out == SendMethod::Zerocopy;
        // The message keeps its last byte.
        if !fixed && word.len() + 1 < self.payload.len() {
            self.payload[..word.len()].copy_from_slice(word.as_bytes());
            self.payload[word.len()] = b' ';
        }
    }

    /// Bytes of a message.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Sets the socket options that this way of writing needs.
    pub fn prepare(&self, socket: &Socket) -> io::Result<()> {
        if self.options.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        if self.options.out == SendMethod::Zerocopy {
            set_option(socket, libc::SO_ZEROCOPY, 1)?;
        }
        Ok(())
    }

    /// Writes the message. Returns the number of calls that took bytes. Waits for room where the
    /// socket does not block.
    pub fn write(&mut self, socket: &Socket) -> io::Result<u32> {
        if self.options.cork.is_some() {
            set_tcp_option(socket, libc::TCP_CORK, 1)?;
        }
        let (mut done, mut calls) = (0, 0);
        while done < self.payload.len() {
            if done > 0 && !self.options.between.is_zero() {
                thread::sleep(self.options.between);
            }
            match self.write_some(socket, done) {
                Ok(count) => {
                    done += count;
                    calls += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_for(socket, libc::POLLOUT)?
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.options.cork == Some(Cork::Lift) {
            set_tcp_option(socket, libc::TCP_CORK, 0)?;
        }
        self.settle(socket)?;
        Ok(calls)
    }

    /// Reads the kernel's completions of zero-copy sends. If nobody read them, it would refuse
    /// further sends in the end.
    pub fn settle(&self, socket: &Socket) -> io::Result<()> {
        if self.options.out != SendMethod::Zerocopy {
            return Ok(());
        }
        let mut header = message(&mut []);
        loop {
            // SAFETY: a header without buffers; control data that has no place is dropped.
            let got =
                unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE) };
            match counted(got) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes one call for the bytes after the first `done`.
    fn write_some(&mut self, socket: &Socket, done: usize) -> io::Result<usize> {
        let fd = socket.as_raw_fd();
        let left = remaining(&self.pieces, done);
        let piece = &self.payload[done..done + left[0]];
        let (data, length) = (piece.as_ptr().cast::<c_void>(), piece.len());
        let more = if self.options.more && left.len() > 1 { libc::MSG_MORE } else { 0 };
        let flags = more | libc::MSG_NOSIGNAL;
        match self.options.out {
            // SAFETY: the pointer and the length describe the piece.
            SendMethod::Write => counted(unsafe { libc::write(fd, data, length) }),
            // SAFETY: as above.
            SendMethod::Send => counted(unsafe { libc::send(fd, data, length, flags) }),
            SendMethod::Zerocopy => {
                // SAFETY: as above. The payload never changes, so the kernel may look at it later.
                counted(unsafe { libc::send(fd, data, length, flags | libc::MSG_ZEROCOPY) })
            }
            SendMethod::Writev => {
                let parts = vectors(&self.payload[done..], &left);
                // SAFETY: the vectors describe pieces of the payload.
                counted(unsafe { libc::writev(fd, parts.as_ptr(), parts.len() as c_int) })
            }
            SendMethod::Sendmsg => {
                let mut parts = vectors(&self.payload[done..], &left);
                let header = message(&mut parts);
                // SAFETY: the header holds vectors that describe pieces of the payload, and nothing
                // else.
                counted(unsafe { libc::sendmsg(fd, &raw const header, libc::MSG_NOSIGNAL) })
            }
            SendMethod::Sendmmsg => sendmmsg(fd, &mut vectors(&self.payload[done..], &left), flags),
            SendMethod::Sendfile => {
                let mut offset = done as libc::off_t;
                // SAFETY: the offset is ours; both descriptors are open.
                counted(unsafe { libc::sendfile(fd, self.source()?, &raw mut offset, length) })
            }
            SendMethod::Splice => self.splice(fd, done, length),
            SendMethod::IoUring => {
                let Some(ring) = &mut self.ring else { return Err(io::Error::other("no ring")) };
                let entry = opcode::Send::new(types::Fd(fd), data.cast(), length as u32)
                    .flags(flags)
                    .build();
                // SAFETY: the entry describes the piece, which outlives its completion.
                unsafe { uring::complete(ring, &entry) }
            }
        }
    }

    fn source(&self) -> io::Result<c_int> {
        self.file.as_ref().map(AsRawFd::as_raw_fd).ok_or_else(|| io::Error::other("no file"))
    }

    /// Moves at most as much as fits into the pipe, all of it on to the socket, so that the pipe is
    /// empty afterwards.
    fn splice(&self, fd: c_int, done: usize, length: usize) -> io::Result<usize> {
        let Some((from, to)) = &self.pipe else { return Err(io::Error::other("no pipe")) };
        let mut offset = done as libc::off64_t;
        let (source, to, length) = (self.source()?, to.as_raw_fd(), length.min(PIPE));
        // SAFETY: the offset is ours; the descriptors are open.
        let taken = counted(unsafe {
            libc::splice(source, &raw mut offset, to, ptr::null_mut(), length, 0)
        })?;
        let mut moved = 0;
        while moved < taken {
            let left = taken - moved;
            // SAFETY: no offsets; the descriptors are open.
            match counted(unsafe {
                libc::splice(from.as_raw_fd(), ptr::null_mut(), fd, ptr::null_mut(), left, 0)
            }) {
                Ok(count) => moved += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_for(&fd, libc::POLLOUT)?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }
}

/// Returns the lengths of the pieces that are left after the first `done` bytes.
fn remaining(pieces: &[usize], mut done: usize) -> Vec<usize> {
    let mut left = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let gone = done.min(*piece);
        done -= gone;
        if gone < *piece {
            left.push(piece - gone);
        }
    }
    left
}

/// Returns one vector for each piece.
fn vectors(mut payload: &[u8], pieces: &[usize]) -> Vec<libc::iovec> {
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let (part, rest) = payload.split_at(*piece);
        parts.push(libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
        payload = rest;
    }
    parts
}

fn sendmmsg(fd: c_int, parts: &mut [libc::iovec], flags: c_int) -> io::Result<usize> {
    let mut messages: Vec<_> = parts
        .iter_mut()
        .map(|part| libc::mmsghdr { msg_hdr: message(std::slice::from_mut(part)), msg_len: 0 })
        .collect();
    // SAFETY: as many headers as are said, each with one vector that describes a piece of the
    // payload.
    let sent =
        unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), messages.len() as u32, flags as _) };
    let sent = counted(sent as isize)?;
    Ok(messages[..sent].iter().map(|message| message.msg_len as usize).sum())
}

fn in_memory(content: &[u8]) -> io::Result<File> {
    // SAFETY: a C string that lives through the call; the descriptor is checked before it is owned.
    let fd = unsafe { libc::memfd_create(c"payload".as_ptr(), libc::MFD_CLOEXEC) };
    counted(fd as isize)?;
    // SAFETY: memfd_create returned this descriptor just now and nobody else owns it.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(content)?;
    Ok(file)
}

fn set_option(socket: &Socket, name: c_int, value: c_int) -> io::Result<()> {
    let (data, length) = ((&raw const value).cast(), size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let status =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, data, length) };
    counted(status as isize).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_is_left() {
        assert_eq!(remaining(&[4, 200], 0), [4, 200]);
        assert_eq!(remaining(&[4, 200], 4), [200]);
        assert_eq!(remaining(&[4, 200], 3), [1, 200]);
        assert_eq!(remaining(&[4, 200], 104), [100]);
        assert!(remaining(&[4, 200], 204).is_empty());
    }

    #[test]
    fn every_way_writes_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let to = listener.local_addr().expect("an address");
        for out in SendMethod::value_variants() {
            let options = WriteOptions {
                out: *out,
                writes: vec![4, 9_000, 1],
                nodelay: true,
                between: Duration::ZERO,
                cork: None,
                more: false,
            };
            let Ok(mut writer) = Writer::new(&options, options.pieces(0), b'\n') else { continue };
            let socket = Socket::from(TcpStream::connect(to).expect("a connection"));
            let (mut peer, _) = listener.accept().expect("the same");
            writer.prepare(&socket).expect("options");
            let calls = writer.write(&socket).expect("room in the send buffer");
            drop(socket);
            let mut got = Vec::new();
            peer.read_to_end(&mut got).expect("to its end");
            assert_eq!((got.len(), got.last()), (9_005, Some(&b'\n')), "{out:?}");
            let at_once =
                matches!(out, SendMethod::Writev | SendMethod::Sendmsg | SendMethod::Sendmmsg);
            assert_eq!(calls == 1, at_once, "{out:?} took {calls} calls");
        }
    }
}
