//! Tracks: a process has its listeners and those whom it calls, these have a track for each
//! connection, and a listener has its counters.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use super::{
    packets::Packets,
    proto::{CounterDescriptor, ProcessDescriptor, TrackDescriptor, UNIT_COUNT},
};
use crate::{
    bounded::Bounded,
    model::{MAX_CONNECTIONS, event::Role, event::SockId},
    run::Party,
    text::Untrusted,
};

/// Processes, listeners and groups that are known to be described. One that gave way is described
/// again when it comes up again.
const MAX_DESCRIBED: usize = 65_536;

/// Kind of a track, which is a part of its number.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Process = 1,
    Listener,
    Depth,
    Limit,
    SynDepth,
    Calls,
    Connection,
    /// An exchange that began before the one before it had ended.
    Overlap,
    Holds,
    Findings,
    Watch,
    Flow,
}

/// Returns a number for a track or an arrow: the same for the same thing, and no other's.
fn number(kind: Kind, id: u64) -> u64 {
    // splitmix64, which is a bijection.
    let mut z = id.wrapping_add((kind as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns the number of the arrow between a call and what it was made for.
pub(super) fn flow(sock: SockId, seq: u32) -> u64 {
    number(Kind::Flow, sock ^ number(Kind::Flow, u64::from(seq)))
}

/// Returns the number of a listener's track.
pub(super) fn listener(sock: SockId) -> u64 {
    number(Kind::Listener, sock)
}

/// The counters of a listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    pub(super) depth: u64,
    pub(super) limit: u64,
    pub(super) syn_depth: u64,
}

/// A connection that has a track.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// End of its newest exchange.
    end_ns: u64,
}

/// The tracks that are described already.
#[derive(Debug)]
pub(super) struct Tracks {
    described: Bounded<u64, ()>,
    lines: Bounded<SockId, Line>,
}

impl Tracks {
    pub(super) fn new() -> Self {
        Self { described: Bounded::new(MAX_DESCRIBED), lines: Bounded::new(MAX_CONNECTIONS) }
    }

    /// Describes a track that is not yet; returns its number.
    fn describe<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        uuid: u64,
        parent: Option<u64>,
        describe: impl FnOnce() -> TrackDescriptor,
    ) -> io::Result<u64> {
        if !self.described.contains(uuid) {
            self.described.insert(uuid, ());
            let track = TrackDescriptor { uuid: Some(uuid), parent_uuid: parent, ..describe() };
            packets.describe(track)?;
        }
        Ok(uuid)
    }

    /// Returns the track of what is about the watch as a whole.
    pub(super) fn watch<W: Write>(&mut self, packets: &mut Packets<W>) -> io::Result<u64> {
        let uuid = number(Kind::Watch, 0);
        self.describe(packets, uuid, None, || named("backscope: the watch itself"))
    }

    /// Returns the track of findings.
    pub(super) fn findings<W: Write>(&mut self, packets: &mut Packets<W>) -> io::Result<u64> {
        let uuid = number(Kind::Findings, 0);
        self.describe(packets, uuid, None, || named("backscope: findings"))
    }

    /// Returns the track of a process.
    pub(super) fn process<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        pid: u32,
        comm: &Untrusted,
    ) -> io::Result<u64> {
        let uuid = number(Kind::Process, pid.into());
        self.describe(packets, uuid, None, || TrackDescriptor {
            process: Some(ProcessDescriptor {
                pid: i32::try_from(pid).ok(),
                process_name: Some(comm.for_terminal().to_string()),
            }),
            ..TrackDescriptor::default()
        })
    }

    /// Returns the track of a listener. Before its first sample only its port is known.
    pub(super) fn listener<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        sock: SockId,
        process: u64,
        at: &str,
    ) -> io::Result<u64> {
        let uuid = number(Kind::Listener, sock);
        self.describe(packets, uuid, Some(process), || named(&format!("listener {at}")))
    }

    /// Tells whether a listener has a track.
    pub(super) fn has_listener(&self, sock: SockId) -> bool {
        self.described.contains(number(Kind::Listener, sock))
    }

    /// Returns the counters of a listener.
    pub(super) fn counters<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        sock: SockId,
    ) -> io::Result<Counters> {
        let parent = number(Kind::Listener, sock);
        let mut counter = |kind: Kind, name: &str, scale: &str| {
            let uuid = number(kind, sock);
            self.describe(packets, uuid, Some(parent), || TrackDescriptor {
                name: Some(name.to_owned()),
                counter: Some(CounterDescriptor {
                    unit: Some(UNIT_COUNT),
                    unit_name: None,
                    y_axis_share_key: Some(format!("{scale} {sock}")),
                }),
                ..TrackDescriptor::default()
            })
        };
        Ok(Counters {
            depth: counter(Kind::Depth, "accept queue", "accept")?,
            limit: counter(Kind::Limit, "accept queue: limit", "accept")?,
            syn_depth: counter(Kind::SynDepth, "SYN queue", "syn")?,
        })
    }

    /// Returns the track of a connection.
    pub(super) fn connection<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        sock: SockId,
        party: &Party,
    ) -> io::Result<u64> {
        let uuid = number(Kind::Connection, sock);
        if self.lines.contains(sock) {
            return Ok(uuid);
        }
        let process = self.process(packets, party.pid, &party.comm)?;
        let parent = match (party.role, party.listener) {
            (Role::Server, Some(listener)) => {
                let at = format!("on port {}", party.local.port());
                self.listener(packets, listener, process, &at)?
            }
            (Role::Server, None) => {
                self.group(packets, process, party.pid, "accepted on", party.local)?
            }
            (Role::Client, _) => self.group(packets, process, party.pid, "calls to", party.peer)?,
        };
        self.lines.insert(sock, Line { end_ns: 0 });
        packets.describe(TrackDescriptor {
            uuid: Some(uuid),
            parent_uuid: Some(parent),
            ..named(&match party.role {
                Role::Server => format!("from {}", party.peer),
                Role::Client => format!("to {} from {}", party.peer, party.local),
            })
        })?;
        Ok(uuid)
    }

    /// Returns the track of connections of one process that have one address in common.
    fn group<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        process: u64,
        pid: u32,
        words: &str,
        at: SocketAddr,
    ) -> io::Result<u64> {
        let ip = match at.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => u128::from(ip.to_bits()),
            std::net::IpAddr::V6(ip) => ip.to_bits(),
        };
        let mut id = number(Kind::Calls, u64::from(pid) << 16 | u64::from(at.port()));
        id = number(Kind::Calls, id ^ (ip >> 64) as u64);
        let uuid = number(Kind::Calls, id ^ ip as u64 ^ words.len() as u64);
        self.describe(packets, uuid, Some(process), || named(&format!("{words} {at}")))
    }

    /// Returns the track for an exchange of a connection that has one: the connection's, or one of
    /// its own where the exchange before it has not ended. Slices of a track can only be nested.
    pub(super) fn exchange<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        (sock, seq): (SockId, u32),
        (start_ns, end_ns): (u64, u64),
    ) -> io::Result<u64> {
        let connection = number(Kind::Connection, sock);
        let Some(line) = self.lines.get_mut(sock) else { return Ok(connection) };
        if start_ns >= line.end_ns {
            line.end_ns = end_ns;
            return Ok(connection);
        }
        let uuid = number(Kind::Overlap, sock ^ number(Kind::Overlap, u64::from(seq)));
        packets.describe(TrackDescriptor {
            uuid: Some(uuid),
            parent_uuid: Some(connection),
            ..named("meanwhile")
        })?;
        Ok(uuid)
    }

    /// Returns the track of what the kernel held of a connection (`--detail events`).
    pub(super) fn holds<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        sock: SockId,
    ) -> io::Result<u64> {
        let parent = Some(number(Kind::Connection, sock));
        self.describe(packets, number(Kind::Holds, sock), parent, || named("bytes held"))
    }

    /// Takes note that a connection has ended.
    pub(super) fn ended(&mut self, sock: SockId) {
        self.lines.remove(sock);
    }
}

fn named(name: &str) -> TrackDescriptor {
    TrackDescriptor { name: Some(name.to_owned()), ..TrackDescriptor::default() }
}
