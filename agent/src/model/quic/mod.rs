//! The beginnings of QUIC connections, from their datagrams: how many round trips the first answer
//! took.
//!
//! All of it is the application's doing: the kernel moves datagrams, and knows of no connection.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::event::{QuicDatagram, Role, SockId};
use super::snapshot::{QuicAnswer, QuicView};

/// Connections followed at once; of more the oldest are given up.
const MAX_FOLLOWED: usize = 4_096;
/// Datagrams remembered of each: a handshake has some ten.
const MAX_SEEN: usize = 24;
/// Connections of a socket that are shown.
const MAX_SHOWN: usize = 8;

#[derive(Clone, Debug)]
struct Seen {
    ts_ns: u64,
    from_client: bool,
}

/// A connection until its first answer.
#[derive(Clone, Debug)]
struct Opening {
    view: QuicView,
    seen: Vec<Seen>,
    /// The client's first packet with data of the application: 0-RTT or 1-RTT.
    asked: Option<usize>,
    /// Ids that what arrives may be addressed to.
    ids: Vec<Vec<u8>>,
}

/// Connections over UDP sockets. What arrives is found by the id that it is addressed to, what
/// leaves by its peer: of arrivals the peer is known on connected sockets alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Flows {
    /// By number, in the order in which they began.
    opening: BTreeMap<u64, Opening>,
    numbers: u64,
    by_id: FxHashMap<(SockId, Vec<u8>), u64>,
    by_peer: FxHashMap<(SockId, SocketAddr), u64>,
    sockets: FxHashMap<SockId, Socket>,
    /// Those that got their first answer since they were last told.
    answered: Vec<QuicView>,
}

/// What is known of one socket.
#[derive(Clone, Debug, Default)]
struct Socket {
    connections: u64,
    /// The last ones that were answered.
    shown: VecDeque<QuicView>,
    /// Length of the ids that it goes by itself.
    id_length: usize,
    /// The newest connection that it made: a client soon goes by ids that nobody else can know.
    newest_client: Option<u64>,
}

impl Flows {
    /// Packets were read or written.
    pub(super) fn seen(&mut self, datagram: &QuicDatagram) {
        let number =
            self.find(datagram).or_else(|| self.reply(datagram)).or_else(|| self.begin(datagram));
        let Some((number, opening)) =
            number.and_then(|number| Some((number, self.opening.get_mut(&number)?)))
        else {
            return;
        };
        opening.add(datagram);
        let (own_id, peer) = (opening.own_id().map(<[u8]>::to_vec), opening.view.peer);
        if let Some(answer) = opening.answer(datagram) {
            let view = QuicView { answer: Some(answer), ..opening.view.clone() };
            self.end(number);
            self.show(&view);
            return self.answered.push(view);
        }
        if let Some(id) = own_id {
            self.sockets.entry(datagram.sock).or_default().id_length = id.len();
            self.goes_by(number, id);
        }
        if let Some(peer) = peer {
            self.by_peer.insert((datagram.sock, peer), number);
        }
    }

    /// The connection that packets belong to.
    fn find(&self, datagram: &QuicDatagram) -> Option<u64> {
        let packets = &datagram.packets;
        let by_peer = datagram.peer.and_then(|peer| self.by_peer.get(&(datagram.sock, peer)));
        let is_its = |number: &&u64| {
            self.opening.get(*number).is_some_and(|opening| opening.may_have(datagram))
        };
        if let Some(number) = by_peer.filter(is_its) {
            return Some(*number);
        }
        if datagram.outbound {
            return None;
        }
        let socket = self.sockets.get(&datagram.sock)?;
        let length =
            if packets.version.is_some() { packets.destination.len() } else { socket.id_length };
        let by_id = packets
            .destination
            .get(..length)
            .and_then(|id| self.by_id.get(&(datagram.sock, id.to_vec())));
        by_id.or(socket.newest_client.as_ref().filter(is_its)).copied()
    }

    /// The connection that a server's first reply belongs to: by the id that the client goes by.
    /// Where several clients go by the same, as those do that have none, the oldest.
    fn reply(&self, datagram: &QuicDatagram) -> Option<u64> {
        let replies = |view: &QuicView| {
            view.role == Role::Server
                && view.sock == datagram.sock
                && view.server_id.is_none()
                && view.client_id == datagram.packets.destination
        };
        let wanted = datagram.outbound && datagram.packets.version.is_some();
        let mut opening = self.opening.iter().filter(|_| wanted);
        opening.find(|(_, opening)| replies(&opening.view)).map(|(number, _)| *number)
    }

    /// A client's first packet begins a connection.
    fn begin(&mut self, datagram: &QuicDatagram) -> Option<u64> {
        let packets = &datagram.packets;
        let version = packets.version.filter(|_| packets.initial && !packets.handshake)?;
        while self.opening.len() >= MAX_FOLLOWED
            && let Some((&oldest, _)) = self.opening.first_key_value()
        {
            self.end(oldest);
        }
        let view = QuicView {
            sock: datagram.sock,
            peer: datagram.peer,
            role: if datagram.outbound { Role::Client } else { Role::Server },
            since_ns: datagram.ts_ns,
            version,
            client_id: packets.source.clone(),
            server_id: None,
            early_data: false,
            retry: false,
            answer: None,
        };
        self.numbers += 1;
        let socket = self.sockets.entry(datagram.sock).or_default();
        socket.connections += 1;
        socket.newest_client = datagram.outbound.then_some(self.numbers).or(socket.newest_client);
        self.opening.insert(self.numbers, Opening::new(view));
        if !datagram.outbound {
            // Until the server has chosen an id, the client goes on with the one that it made up.
            self.goes_by(self.numbers, packets.destination.clone());
        }
        Some(self.numbers)
    }

    /// What arrives with this id is this connection's.
    fn goes_by(&mut self, number: u64, id: Vec<u8>) {
        if let Some(opening) =
            self.opening.get_mut(&number).filter(|opening| !opening.ids.contains(&id))
        {
            self.by_id.insert((opening.view.sock, id.clone()), number);
            opening.ids.push(id);
        }
    }

    fn end(&mut self, number: u64) {
        let Some(Opening { view, ids, .. }) = self.opening.remove(&number) else { return };
        for id in ids {
            self.by_id.remove(&(view.sock, id));
        }
        if let Some(peer) = view.peer {
            self.by_peer.remove(&(view.sock, peer));
        }
    }

    fn show(&mut self, view: &QuicView) {
        let shown = &mut self.sockets.entry(view.sock).or_default().shown;
        if shown.len() == MAX_SHOWN {
            shown.pop_front();
        }
        shown.push_back(view.clone());
    }

    /// Those that got their first answer since the last call.
    pub(super) fn take_answered(&mut self) -> Vec<QuicView> {
        std::mem::take(&mut self.answered)
    }

    /// Those that have got none yet, the oldest first.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &QuicView> {
        self.opening.values().map(|opening| &opening.view)
    }

    /// How many connections began on a socket.
    pub(super) fn count(&self, sock: SockId) -> u64 {
        self.sockets.get(&sock).map_or(0, |socket| socket.connections)
    }

    /// The last ones of a socket that were answered, oldest first.
    pub(super) fn shown(&self, sock: SockId) -> Vec<QuicView> {
        self.sockets
            .get(&sock)
            .map_or_else(Vec::new, |socket| socket.shown.iter().cloned().collect())
    }

    pub(super) fn forget(&mut self, sock: SockId) {
        self.opening.retain(|_, opening| opening.view.sock != sock);
        self.by_id.retain(|(known, _), _| *known != sock);
        self.by_peer.retain(|(known, _), _| *known != sock);
        self.sockets.remove(&sock);
    }
}

/// The id of the client in a packet with a long header.
fn client_id(role: Role, datagram: &QuicDatagram) -> &Vec<u8> {
    let from_client = (role == Role::Client) == datagram.outbound;
    if from_client { &datagram.packets.source } else { &datagram.packets.destination }
}

impl Opening {
    fn new(view: QuicView) -> Self {
        Self { view, seen: Vec::new(), asked: None, ids: Vec::new() }
    }

    /// The id that packets to this host are addressed to.
    fn own_id(&self) -> Option<&[u8]> {
        match self.view.role {
            Role::Client => Some(&self.view.client_id),
            Role::Server => self.view.server_id.as_deref(),
        }
    }

    /// Whether packets with this peer may be its own, and not those of another connection with the
    /// same one. Both ends may go by other ids soon; but without the server's first packets there
    /// are no keys for short headers.
    fn may_have(&self, datagram: &QuicDatagram) -> bool {
        let view = &self.view;
        match datagram.packets.version {
            Some(_) => view.client_id == *client_id(view.role, datagram),
            None => view.server_id.is_some(),
        }
    }

    fn add(&mut self, datagram: &QuicDatagram) {
        let (packets, view) = (&datagram.packets, &mut self.view);
        let from_client = (view.role == Role::Client) == datagram.outbound;
        view.peer = view.peer.or(datagram.peer);
        if from_client {
            view.early_data |= packets.early_data;
        } else {
            view.retry |= packets.retry;
            if packets.version.is_some() {
                view.server_id = Some(packets.source.clone());
            }
        }
        if self.seen.len() == MAX_SEEN {
            return;
        }
        if from_client && self.asked.is_none() && (packets.early_data || packets.short) {
            self.asked = Some(self.seen.len());
        }
        self.seen.push(Seen { ts_ns: datagram.ts_ns, from_client });
    }

    /// The first answer, if this datagram is it: the server's first with data of the application
    /// after the client's.
    fn answer(&self, datagram: &QuicDatagram) -> Option<QuicAnswer> {
        let from_client = (self.view.role == Role::Client) == datagram.outbound;
        let asked = self.asked.filter(|_| !from_client && datagram.packets.short)?;
        let waited_ns = datagram.ts_ns.saturating_sub(self.seen[asked].ts_ns);
        // A client hears the rest of what the server sent before, too.
        if self.view.role == Role::Client && waited_ns < self.least_ns(asked) {
            return None;
        }
        Some(QuicAnswer {
            round_trips: self.flights(asked),
            us: datagram.ts_ns.saturating_sub(self.view.since_ns) / 1_000,
        })
    }

    /// Flights of the client up to its request. What this end sent is answered a round trip later:
    /// about as long as the longest of these waits. What came in less than half of that was on its
    /// way before.
    fn flights(&self, asked: usize) -> u32 {
        1 + self.waits(asked, self.least_ns(asked)).count() as u32
    }

    fn least_ns(&self, asked: usize) -> u64 {
        self.waits(asked, 0).max().unwrap_or(0) / 2
    }

    /// From the beginning of each burst of this end to the other's first datagram that came at
    /// least so much later, ns.
    fn waits(&self, asked: usize, least_ns: u64) -> impl Iterator<Item = u64> {
        let mut sent_ns = None;
        self.seen[..=asked].iter().filter_map(move |seen| {
            if seen.from_client == (self.view.role == Role::Client) {
                sent_ns = sent_ns.or(Some(seen.ts_ns));
                return None;
            }
            let wait_ns = seen.ts_ns.saturating_sub(sent_ns?);
            (wait_ns >= least_ns).then(|| sent_ns = None)?;
            Some(wait_ns)
        })
    }
}

#[cfg(test)]
mod tests;
