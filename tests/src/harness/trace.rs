//! Parses the programs' own traces of a conversation: lines of `name=value` words.

use std::collections::HashMap;

use anyhow::{Context, ensure};

use super::truth::{Accepted, Handshake};
use super::{Demo, World};

/// One line: a word, then `name=value` words. Those with a number are kept.
#[derive(Clone, Debug)]
pub struct Trace {
    line: String,
    values: HashMap<String, u64>,
}

impl Trace {
    /// Reads a line.
    pub fn parse(line: &str) -> Self {
        let pairs = line.split(' ').filter_map(|word| word.split_once('='));
        let values = pairs
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect();
        Self { line: line.to_owned(), values }
    }

    /// One of its numbers.
    pub fn get(&self, name: &str) -> anyhow::Result<u64> {
        self.values
            .get(name)
            .copied()
            .with_context(|| format!("no `{name}` in the trace: {}", self.line))
    }

    /// The time between two of its stamps, ns.
    pub fn between(&self, from: &str, to: &str) -> anyhow::Result<u64> {
        Ok(self.get(to)?.saturating_sub(self.get(from)?))
    }
}

/// One client's conversation with a server, as both of them saw it. All times are of one clock.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Port of the client.
    pub port: u16,
    /// Process of the client, which may have ended.
    pub client_pid: u32,
    /// The client's handshake.
    pub handshake: Handshake,
    /// The server's accept.
    pub accepted: Accepted,
    /// Traces of the client's requests, in order (`client --trace`).
    pub asked: Vec<Trace>,
    /// Traces of the server's answers, in order (`serve --trace`).
    pub served: Vec<Trace>,
    /// The server's last trace of the connection.
    pub closed: Trace,
    /// The client's last trace.
    pub finished: Trace,
}

impl Conversation {
    /// Runs a conversation to the end of the connection on both sides.
    pub fn hold(world: &World, server: &mut Demo, client: &[&str]) -> anyhow::Result<Self> {
        Self::begin(world, server, client)?.end(server)
    }

    /// Starts a client. With `--wait` it waits for [`Demo::go`] when it is connected, with `--keep`
    /// before it closes.
    pub fn begin(world: &World, server: &Demo, client: &[&str]) -> anyhow::Result<Begun> {
        Self::begin_at(world, &server.addr.to_string(), client)
    }

    /// Starts a client of a server that is reached under another address than it listens on.
    pub fn begin_at(world: &World, target: &str, client: &[&str]) -> anyhow::Result<Begun> {
        Ok(Begun(
            world.demo_waiting(&[&["client", "--target", target, "--trace"], client].concat())?,
        ))
    }
}

impl Conversation {
    /// Checks that server, client and the kernel (`tcp_info`) counted the same bytes. Returns the
    /// bytes that came to the server, and those that it sent.
    pub fn check_kernel(&self) -> anyhow::Result<(u64, u64)> {
        let (bytes_in, bytes_out) = (self.closed.get("in")?, self.closed.get("out")?);
        let (received, acked) = (self.closed.get("received")?, self.closed.get("acked")?);
        // The peer's FIN counts as a byte received, and ours as one acknowledged. A server that
        // closes first does not wait for acknowledgements.
        ensure!(
            received.wrapping_sub(bytes_in) <= 1,
            "{received} bytes came to the kernel: {:?}",
            self.closed
        );
        ensure!(acked <= bytes_out + 1, "{acked} bytes were acknowledged: {:?}", self.closed);
        let client = (self.finished.get("out")?, self.finished.get("in")?);
        ensure!(
            client == (bytes_in, bytes_out),
            "the client counted otherwise: {:?} {:?}",
            self.closed,
            self.finished
        );
        Ok((bytes_in, bytes_out))
    }
}

/// A client that is asking.
#[derive(Debug)]
pub struct Begun(pub Demo);

impl Begun {
    /// Waits for the end of the conversation.
    pub fn end(mut self, server: &mut Demo) -> anyhow::Result<Conversation> {
        let client = &mut self.0;
        let finished = Trace::parse(&client.await_line("finished ")?);
        let handshake = Handshake::parse(&client.await_line("connected ")?)?;
        let port = handshake.port;
        let closed = Trace::parse(&server.await_line(&format!("closed port={port} "))?);
        let accepted =
            server.lines("accepted ").map(Accepted::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Conversation {
            port,
            client_pid: client.pid(),
            handshake,
            accepted: accepted
                .into_iter()
                .find(|accept| accept.port == port)
                .context("no accept was traced")?,
            asked: client.lines("asked ").map(Trace::parse).collect(),
            served: server.lines(&format!("exchange port={port} ")).map(Trace::parse).collect(),
            closed,
            finished,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;

    #[test]
    fn words_with_numbers_count() {
        let trace = Trace::parse("closed port=5000 in=40 by=peer odd =1");
        assert_eq!(trace.get("port").ok(), Some(5000));
        assert_eq!(trace.get("in").ok(), Some(40));
        assert!(trace.get("by").is_err() && trace.get("out").is_err());
    }

    #[test]
    fn a_time_between_stamps_is_never_negative() {
        let trace = Trace::parse("asked write_ns=1000 done_ns=4000");
        assert_eq!(trace.between("write_ns", "done_ns").ok(), Some(3000));
        assert_eq!(trace.between("done_ns", "write_ns").ok(), Some(0));
    }
}
