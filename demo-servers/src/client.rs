//! Asks a request-response server, one request after another on one connection or on several, and
//! says how long each took.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use humantime::parse_duration;
use socket2::{Domain, Socket, Type};

use crate::reading::{ReadOptions, Reader};
use crate::sock::{self, TcpInfo, announce, monotonic_ns, set_tcp_option};
use crate::writing::{WriteOptions, Writer};

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Server to ask
    #[arg(long, value_name = "ADDR")]
    pub target: SocketAddr,
    /// Calls that read
    #[command(flatten)]
    pub input: ReadOptions,
    /// Calls that write
    #[command(flatten)]
    pub output: WriteOptions,
    /// Requests to send
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub count: u64,
    /// Do all of it so many times, each time on a new connection
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub repeat: u64,
    /// Sleep this long before each request
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Sleep only before every N-th request
    #[arg(long, default_value = "1", value_name = "N")]
    pub pause_every: NonZeroU64,
    /// Bytes of a request, unless --writes says them
    #[arg(long, default_value_t = 40, value_name = "BYTES")]
    pub request: usize,
    /// Bytes of an answer
    #[arg(long, default_value_t = 200, value_name = "BYTES")]
    pub response: usize,
    /// Connections, each of which sends that many requests
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with = "keep")]
    pub connections: usize,
    /// Requests to send before their answers are read
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub pipeline: usize,
    /// The server speaks first, with a message as long as an answer
    #[arg(long)]
    pub listen_first: bool,
    /// Write-write-read: the same as --writes 4,200
    #[arg(long, conflicts_with = "writes")]
    pub wwr: bool,
    /// Acknowledge at once (TCP_QUICKACK before each read)
    #[arg(long)]
    pub quickack: bool,
    /// Sleep this long before each answer is read
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub slow_read: Duration,
    /// Size of the receive buffer (SO_RCVBUF)
    #[arg(long, value_name = "BYTES")]
    pub receive_buffer: Option<usize>,
    /// Connect with Multipath TCP
    #[arg(long)]
    pub mptcp: bool,
    /// Wait for a line on standard input before the first request
    #[arg(long)]
    pub wait: bool,
    /// Then keep the connection open until a line comes on standard input
    #[arg(long)]
    pub keep: bool,
    /// Print a line for each request and for the connection (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
    /// After each write, look until the peer's kernel has acknowledged all of it, or the answer
    /// comes; the line for the request ends with `pending`, bytes that were not yet acknowledged
    /// when the write returned, `left`, bytes that were not at the end, and `acked_ns`
    #[arg(long, requires = "trace")]
    pub trace_acks: bool,
}

/// Asks, prints `answered N` and closes, on each connection. With `--trace`, `asked` for each time
/// and `finished` for the connection, both followed by `name=value` words.
pub fn run(options: &Options) -> anyhow::Result<()> {
    (0..options.repeat).try_for_each(|_| together(options))
}

/// Holds so many conversations at once.
fn together(options: &Options) -> anyhow::Result<()> {
    let mut conversations = Vec::new();
    for _ in 0..options.connections.max(1) {
        conversations.push(Conversation::begin(options)?);
    }
    if options.wait {
        io::stdin().read_line(&mut String::new())?;
    }
    if options.connections <= 1 {
        return conversations.into_iter().try_for_each(|conversation| conversation.hold(options));
    }
    thread::scope(|scope| {
        let mut running = Vec::new();
        for conversation in conversations {
            running.push(scope.spawn(|| conversation.hold(options)));
        }
        running.into_iter().try_for_each(|running| match running.join() {
            Ok(outcome) => outcome,
            Err(_) => anyhow::bail!("a connection's thread panicked"),
        })
    })
}

struct Conversation {
    socket: Socket,
    port: u16,
    reader: Reader,
    writer: Writer,
    bytes_in: usize,
    bytes_out: usize,
}

impl Conversation {
    fn begin(options: &Options) -> anyhow::Result<Self> {
        let output = match options.wwr {
            true => WriteOptions { writes: vec![4, 200], ..options.output.clone() },
            false => options.output.clone(),
        };
        let mut writer = Writer::new(&output, output.pieces(options.request), b'\n')?;
        ensure!(!writer.is_empty(), "a request needs at least one byte");
        if options.pipeline > 1 {
            writer.repeat(options.pipeline)?;
        }
        let socket = Socket::new(
            Domain::for_address(options.target),
            Type::STREAM,
            Some(sock::protocol(options.mptcp)),
        )?;
        if let Some(bytes) = options.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        writer.prepare(&socket)?;
        let start_ns = monotonic_ns();
        socket
            .connect(&options.target.into())
            .with_context(|| format!("connecting to {}", options.target))?;
        let port = sock::address(&socket.local_addr()?)?.port();
        if options.trace {
            announce(format_args!("connected {port} {start_ns} {}", monotonic_ns()));
        }
        Ok(Self {
            socket,
            port,
            reader: Reader::new(&options.input)?,
            writer,
            bytes_in: 0,
            bytes_out: 0,
        })
    }

    fn hold(mut self, options: &Options) -> anyhow::Result<()> {
        if options.listen_first {
            self.read(options.response, options)?;
        }
        for seq in 1..=options.count {
            if seq.is_multiple_of(options.pause_every.get()) {
                thread::sleep(options.pause);
            }
            self.ask(seq, options).with_context(|| format!("request {seq}"))?;
        }
        announce(format_args!("answered {}", options.count));
        if options.keep {
            io::stdin().read_line(&mut String::new())?;
        }
        self.finish(options)
    }

    fn ask(&mut self, seq: u64, options: &Options) -> io::Result<()> {
        let write_ns = monotonic_ns();
        self.writer.write(&self.socket)?;
        let written_ns = monotonic_ns();
        self.bytes_out += self.writer.len();
        let acks = options.trace_acks.then(|| self.await_acks()).transpose()?;
        thread::sleep(options.slow_read);
        let (first_ns, done_ns) = self.read(options.response * options.pipeline, options)?;
        if options.trace {
            let acks = match acks {
                Some([pending, left, acked_ns]) => {
                    format!(" pending={pending} left={left} acked_ns={acked_ns}")
                }
                None => String::new(),
            };
            announce(format_args!(
                "asked port={} seq={seq} write_ns={write_ns} written_ns={written_ns} \
                 first_ns={first_ns} done_ns={done_ns} us={}{acks}",
                self.port,
                (done_ns - write_ns) / 1_000,
            ));
        }
        Ok(())
    }

    /// Waits until all that was written is acknowledged, or there is something to read. Returns the
    /// bytes that were not acknowledged at first and at the end, and the time of the end.
    fn await_acks(&self) -> io::Result<[u64; 3]> {
        let pending = sock::unacknowledged(&self.socket)? as u64;
        let mut left = pending;
        while left > 0 && !sock::readable_within(&self.socket, 1)? {
            left = sock::unacknowledged(&self.socket)? as u64;
        }
        Ok([pending, left, monotonic_ns()])
    }

    /// Reads so many bytes. Returns the times at which the first and the last read returned.
    fn read(&mut self, bytes: usize, options: &Options) -> io::Result<(u64, u64)> {
        let (mut got, mut first_ns, mut last_ns) = (0, 0, 0);
        while got < bytes {
            if options.quickack {
                set_tcp_option(&self.socket, libc::TCP_QUICKACK, 1)?;
            }
            match self.reader.read(&self.socket)?.len() {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => got += count,
            }
            last_ns = monotonic_ns();
            first_ns = if first_ns == 0 { last_ns } else { first_ns };
        }
        self.bytes_in += got;
        Ok((first_ns, last_ns))
    }

    /// Prints the totals of the connection, and closes it.
    fn finish(self, options: &Options) -> anyhow::Result<()> {
        if options.trace {
            let info = TcpInfo::of(&self.socket)?;
            announce(format_args!(
                "finished port={} in={} out={}{info}",
                self.port, self.bytes_in, self.bytes_out
            ));
        }
        Ok(())
    }
}
