//! One connection of the request-response server: requests of a line each, one answer a request.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::time::Duration;

use anyhow::Context;
use socket2::Socket;

use crate::fault::ThreadTime;
use crate::naming;
use crate::reading::Reader;
use crate::service::ServiceOptions;
use crate::sock::{TcpInfo, announce, monotonic_ns, set_tcp_option};
use crate::upstream::Upstream;
use crate::writing::Writer;

/// A connection that is being served.
pub(crate) struct Connection<'a> {
    socket: Option<Socket>,
    port: u16,
    options: &'a ServiceOptions,
    reader: Reader,
    writer: Writer,
    upstream: Option<Upstream>,
    request: Request,
    served: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// The peer has said that it will send no more.
    mute: bool,
}

/// The part of an incomplete request that has been read so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request {
    bytes: u64,
    reads: u32,
    /// Return times of the first and the newest read that took any of it.
    first_read_ns: u64,
    read_ns: u64,
}

impl Request {
    fn take(&mut self, bytes: u64, now_ns: u64) {
        if self.reads == 0 {
            self.first_read_ns = now_ns;
        }
        self.read_ns = now_ns;
        self.reads += 1;
        self.bytes += bytes;
    }
}

impl<'a> Connection<'a> {
    /// Prepares the socket and speaks first if that was asked for.
    pub(crate) fn begin(
        socket: Socket,
        port: u16,
        options: &'a ServiceOptions,
    ) -> anyhow::Result<Self> {
        let writer = Writer::new(&options.output, options.output.pieces(options.response), b'\n')?;
        writer.prepare(&socket)?;
        let reader = Reader::new(&options.input)?;
        let request = Request::default();
        let upstream = options.upstream.map(Upstream::connect).transpose().context("upstream")?;
        let mut connection = Self {
            socket: Some(socket),
            port,
            options,
            reader,
            writer,
            upstream,
            request,
            served: 0,
            bytes_in: 0,
            bytes_out: 0,
            mute: false,
        };
        if options.speak_first {
            connection.answer(Request::default())?;
        }
        Ok(connection)
    }

    /// Its descriptor, while it is open.
    pub(crate) fn fd(&self) -> Option<i32> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Reads once and answers what is complete. Returns whether the connection goes on.
    pub(crate) fn advance(&mut self) -> bool {
        self.receive().is_some_and(|requests| self.respond(requests))
    }

    /// Reads once and returns the requests that are now complete; `None` if the connection is over.
    pub(crate) fn receive(&mut self) -> Option<Vec<Request>> {
        match self.read() {
            Ok(requests) => self.socket.is_some().then_some(requests),
            Err(error) => self.survives(&error).then(Vec::new),
        }
    }

    /// Answers these requests. Returns whether the connection goes on.
    pub(crate) fn respond(&mut self, requests: Vec<Request>) -> bool {
        for request in requests {
            if !self.mute
                && let Err(error) = self.answer(request)
                && !self.survives(&error)
            {
                return false;
            }
            if self.options.close_after.is_some_and(|most| self.served >= most) {
                self.end("server");
                return false;
            }
        }
        true
    }

    /// Ends the connection, unless the error only means that nothing was ready. Returns whether it
    /// goes on.
    fn survives(&mut self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::Interrupted => return true,
            io::ErrorKind::WouldBlock if !self.has_timed_out() => return true,
            io::ErrorKind::WouldBlock => self.end("idle"),
            _ => self.end(&format!("error by_errno={}", error.raw_os_error().unwrap_or(0))),
        }
        false
    }

    /// Returns whether `WouldBlock` means that the idle timeout has passed: reads block, so nothing
    /// else gives this error.
    fn has_timed_out(&self) -> bool {
        let waits = |socket: &Socket| !socket.nonblocking().unwrap_or(true);
        self.options.idle_timeout.is_some() && self.socket.as_ref().is_some_and(waits)
    }

    fn read(&mut self) -> io::Result<Vec<Request>> {
        let Some(socket) = &self.socket else { return Ok(Vec::new()) };
        self.options.fault.before_read();
        self.writer.settle(socket)?;
        if self.options.quickack {
            set_tcp_option(socket, libc::TCP_QUICKACK, 1)?;
        }
        let data = self.reader.read(socket)?;
        let now_ns = monotonic_ns();
        self.bytes_in += data.len() as u64;
        if data.is_empty() {
            self.end("peer");
            return Ok(Vec::new());
        }
        let mut requests = Vec::new();
        for (length, complete) in lines(data) {
            self.request.take(length as u64, now_ns);
            if complete {
                requests.push(std::mem::take(&mut self.request));
            }
        }
        Ok(requests)
    }

    /// Answers one request. Its fields are 0 if the server speaks first, without a request.
    fn answer(&mut self, request: Request) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let begun_ns = monotonic_ns();
        let before = self.options.trace.then(ThreadTime::now);
        self.options.fault.before_answer();
        if let Some(upstream) = &mut self.upstream {
            upstream.ask()?;
        }
        let spent = before.map(|before| ThreadTime::now().since(before));
        naming::with_name(|name| self.writer.sign(name));
        let write_ns = monotonic_ns();
        let writes = self.writer.write(socket)?;
        let written_ns = monotonic_ns();
        self.served += 1;
        self.bytes_out += self.writer.len() as u64;
        if self.options.half_close && request.bytes > 0 {
            socket.shutdown(Shutdown::Write)?;
            self.mute = true;
        }
        if let Some(spent) = spent {
            let Request { bytes, reads, first_read_ns, read_ns } = request;
            // SAFETY: a plain system call without arguments.
            let tid = unsafe { libc::gettid() };
            announce(format_args!(
                "exchange port={} seq={} tid={tid} in={bytes} reads={reads} \
                 first_read_ns={first_read_ns} read_ns={read_ns} begun_ns={begun_ns}{spent} \
                 write_ns={write_ns} written_ns={written_ns} out={} writes={writes}",
                self.port,
                self.served,
                self.writer.len(),
            ));
        }
        Ok(())
    }

    /// Closes it in the way that was asked for. `by` names the side that ended it.
    fn end(&mut self, by: &str) {
        let Some(socket) = self.socket.take() else { return };
        let info = TcpInfo::of(&socket).map_or_else(|_| String::new(), |info| info.to_string());
        if self.options.linger0 {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        if self.options.leak_close_wait {
            // The injected fault: the descriptor leaks, and nobody closes it.
            let _ = socket.into_raw_fd();
        } else {
            drop(socket);
        }
        if self.options.trace {
            let (port, bytes_in, bytes_out) = (self.port, self.bytes_in, self.bytes_out);
            announce(format_args!(
                "closed port={port} in={bytes_in} out={bytes_out}{info} by={by}"
            ));
        }
    }
}

/// Lengths of the lines in the data, each with whether it is complete.
fn lines(data: &[u8]) -> Vec<(usize, bool)> {
    data.split_inclusive(|byte| *byte == b'\n')
        .map(|line| (line.len(), line.ends_with(b"\n")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn lines_may_be_cut_off() {
        assert_eq!(lines(b"ab\nc\nde"), [(3, true), (2, true), (2, false)]);
        assert_eq!(lines(b"\n"), [(1, true)]);
        assert!(lines(b"").is_empty());
    }
}
