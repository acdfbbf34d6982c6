//! The beginnings of QUIC connections, from their datagrams: the round trips up to the first
//! answer.
//!
//! They are the application's work: the kernel moves datagrams, and knows of no connection.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::event::{QuicDatagram, Role, SockId};
use super::snapshot::{QuicAnswer, QuicTrip, QuicView};

/// Connections followed at once; of more the oldest are given up.
const MAX_FOLLOWED: usize = 4_096;
/// Sockets on which connections are counted; of more, one that began early gives way.
const MAX_SOCKETS: usize = 8_192;
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
struct QuicSetup {
    view: QuicView,
    seen: Vec<Seen>,
    /// The client's first packet with data of the application: 0-RTT or 1-RTT.
    asked: Option<usize>,
    /// Ids that what arrives may be addressed to.
    ids: Vec<Vec<u8>>,
}

/// Connections over UDP sockets. An arriving packet is found by the id that it is addressed to, a
/// leaving one by its peer: of arrivals the peer is known on connected sockets alone.
///
/// [`seen`](Self::seen) takes each datagram, [`take_answered`](Self::take_answered) the connections
/// that got their first answer. The other methods show sockets.
#[derive(Clone, Debug, Default)]
pub(super) struct Flows {
    /// By number, in the order in which they began.
    setups: BTreeMap<u64, QuicSetup>,
    numbers: u64,
    by_id: FxHashMap<(SockId, Vec<u8>), u64>,
    by_peer: FxHashMap<(SockId, SocketAddr), u64>,
    /// The kernel gives ids in order: the first is one of the oldest.
    sockets: BTreeMap<SockId, Socket>,
    /// Connections that were given up, and sockets that were forgotten, for others.
    gave_way: u64,
    /// Those that got their first answer since they were last taken.
    answered: Vec<QuicView>,
}

/// Connections of one socket.
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
    /// Takes packets that were read or written.
    pub(super) fn seen(&mut self, datagram: &QuicDatagram) {
        let mut number = self.find(datagram);
        if number.is_none() {
            number = self.reply(datagram);
        }
        if number.is_none() {
            number = self.begin(datagram);
        }
        let Some(number) = number else { return };
        let Some(setup) = self.setups.get_mut(&number) else { return };
        setup.add(datagram);
        let (own_id, peer) = (setup.own_id().map(<[u8]>::to_vec), setup.view.peer);
        if let Some(answer) = setup.answer(datagram) {
            let trips = setup.trips(datagram.ts_ns);
            let view = QuicView { answer: Some(answer), trips, ..setup.view.clone() };
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
        let may_belong = |number: u64| match self.setups.get(&number) {
            Some(setup) => setup.may_have(datagram),
            None => false,
        };
        if let Some(peer) = datagram.peer
            && let Some(&number) = self.by_peer.get(&(datagram.sock, peer))
            && may_belong(number)
        {
            return Some(number);
        }
        if datagram.outbound {
            return None;
        }
        let socket = self.sockets.get(&datagram.sock)?;
        let length =
            if packets.version.is_some() { packets.destination.len() } else { socket.id_length };
        if let Some(id) = packets.destination.get(..length)
            && let Some(&number) = self.by_id.get(&(datagram.sock, id.to_vec()))
        {
            return Some(number);
        }
        let newest = socket.newest_client?;
        if may_belong(newest) { Some(newest) } else { None }
    }

    /// Finds the connection that a server's first reply belongs to, by the client's id. Where
    /// several clients have the same id, or none, it is the oldest.
    fn reply(&self, datagram: &QuicDatagram) -> Option<u64> {
        if !datagram.outbound || datagram.packets.version.is_none() {
            return None;
        }
        for (&number, QuicSetup { view, .. }) in &self.setups {
            if view.role == Role::Server
                && view.sock == datagram.sock
                && view.server_id.is_none()
                && view.client_id == datagram.packets.destination
            {
                return Some(number);
            }
        }
        None
    }

    /// Begins a connection with a client's first packet.
    fn begin(&mut self, datagram: &QuicDatagram) -> Option<u64> {
        let packets = &datagram.packets;
        let version = packets.version?;
        if !packets.initial || packets.handshake {
            return None;
        }
        while self.setups.len() >= MAX_FOLLOWED
            && let Some((&oldest, _)) = self.setups.first_key_value()
        {
            self.gave_way += 1;
            self.end(oldest);
        }
        if self.sockets.len() >= MAX_SOCKETS
            && !self.sockets.contains_key(&datagram.sock)
            && let Some((&oldest, _)) = self.sockets.first_key_value()
        {
            self.gave_way += 1;
            self.forget(oldest);
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
            trips: Vec::new(),
        };
        self.numbers += 1;
        let socket = self.sockets.entry(datagram.sock).or_default();
        socket.connections += 1;
        if datagram.outbound {
            socket.newest_client = Some(self.numbers);
        }
        self.setups.insert(self.numbers, QuicSetup::new(view));
        if !datagram.outbound {
            // Until the server has chosen an id, the client uses one that it made up.
            self.goes_by(self.numbers, packets.destination.clone());
        }
        Some(self.numbers)
    }

    /// Gives this connection the arrivals with this id.
    fn goes_by(&mut self, number: u64, id: Vec<u8>) {
        if let Some(setup) = self.setups.get_mut(&number)
            && !setup.ids.contains(&id)
        {
            self.by_id.insert((setup.view.sock, id.clone()), number);
            setup.ids.push(id);
        }
    }

    fn end(&mut self, number: u64) {
        let Some(QuicSetup { view, ids, .. }) = self.setups.remove(&number) else { return };
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
        self.setups.values().map(|setup| &setup.view)
    }

    /// Sockets on which a connection began.
    pub(super) fn sockets(&self) -> impl Iterator<Item = SockId> {
        self.sockets.keys().copied()
    }

    /// Connections that were given up, and sockets that were forgotten, for others.
    pub(super) fn gave_way(&self) -> u64 {
        self.gave_way
    }

    /// Number of connections that began on a socket.
    pub(super) fn count(&self, sock: SockId) -> u64 {
        match self.sockets.get(&sock) {
            Some(socket) => socket.connections,
            None => 0,
        }
    }

    /// The last ones of a socket that were answered, oldest first.
    pub(super) fn shown(&self, sock: SockId) -> Vec<QuicView> {
        match self.sockets.get(&sock) {
            Some(socket) => socket.shown.iter().cloned().collect(),
            None => Vec::new(),
        }
    }

    pub(super) fn forget(&mut self, sock: SockId) {
        self.setups.retain(|_, setup| setup.view.sock != sock);
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

impl QuicSetup {
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

    /// Whether packets with its peer may be its own, and not those of another connection with that
    /// peer. Both ends may go by other ids soon. But without the server's first packets there are
    /// no keys for short headers.
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
        if from_client || !datagram.packets.short {
            return None;
        }
        let asked = self.asked?;
        let waited_ns = datagram.ts_ns.saturating_sub(self.seen[asked].ts_ns);
        // A client also receives packets that the server sent before the request arrived.
        if self.view.role == Role::Client && waited_ns < self.least_ns(asked) {
            return None;
        }
        Some(QuicAnswer {
            round_trips: self.flights(asked),
            us: datagram.ts_ns.saturating_sub(self.view.since_ns) / 1_000,
        })
    }

    /// Counts the flights of the client up to its request. This end's packets are answered a round
    /// trip later, which is about as long as the longest of these waits. A datagram that came in
    /// less than half of that was on its way before.
    fn flights(&self, asked: usize) -> u32 {
        1 + self.waits(asked, self.least_ns(asked)).len() as u32
    }

    fn least_ns(&self, asked: usize) -> u64 {
        let waits = self.waits(asked, 0).into_iter();
        waits.map(|(sent_ns, back_ns)| back_ns.saturating_sub(sent_ns)).max().unwrap_or(0) / 2
    }

    /// The waits of this end up to the first answer, which came at that time; a client's are its
    /// round trips.
    fn trips(&self, answered_ns: u64) -> Vec<QuicTrip> {
        let Some(asked) = self.asked else { return Vec::new() };
        let mut waits = self.waits(asked, self.least_ns(asked));
        if self.view.role == Role::Client {
            waits.push((self.seen[asked].ts_ns, answered_ns));
        }
        let since_us = |ns: u64| ns.saturating_sub(self.view.since_ns) / 1_000;
        let trip = |(sent_ns, back_ns)| QuicTrip {
            sent_us: since_us(sent_ns),
            back_us: since_us(back_ns),
        };
        waits.into_iter().map(trip).collect()
    }

    /// Waits from the beginning of each burst of this end to the other's first datagram that came
    /// at least `least_ns` later: both times, ns.
    fn waits(&self, asked: usize, least_ns: u64) -> Vec<(u64, u64)> {
        let (mut waits, mut sent_ns) = (Vec::new(), None);
        for seen in &self.seen[..=asked] {
            if seen.from_client == (self.view.role == Role::Client) {
                sent_ns = sent_ns.or(Some(seen.ts_ns));
                continue;
            }
            let Some(begun_ns) = sent_ns else { continue };
            if seen.ts_ns.saturating_sub(begun_ns) >= least_ns {
                waits.push((begun_ns, seen.ts_ns));
                sent_ns = None;
            }
        }
        waits
    }
}

#[cfg(test)]
mod tests;
