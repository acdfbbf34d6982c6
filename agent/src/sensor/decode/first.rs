//! Recognises the protocol by a connection's first bytes. The bytes themselves go no further.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use backscope_abi as abi;
use backscope_abi::role;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::record::{address, record as read};
use crate::model::event::{Event, Http2Streams, QuicDatagram, Recognised, Sign, SockId};
use crate::protocol::{self, Reading, Records, Streams};

/// Directions whose first bytes came in parts, and are not complete yet.
const MAX_WAITING: usize = 1_024;
/// Directions of TLS connections whose handshake is followed at once.
const MAX_FOLLOWED: usize = 4_096;

/// UDP sockets whose QUIC is followed.
const MAX_QUIC_SOCKETS: usize = 4_096;

/// Directions of which more is to come, with what is known of them.
///
/// [`FirstBytes::take`] is given each record; [`FirstBytes::forget`] each connection that ended.
pub(in crate::sensor) struct FirstBytes {
    /// First bytes that say nothing yet without those that follow.
    waiting: HashMap<(SockId, bool), Vec<u8>>,
    /// The records of TLS.
    records: HashMap<(SockId, bool), Records>,
    /// UDP sockets that speak QUIC: what has a short header there is QUIC's.
    quic: FxHashSet<SockId>,
    /// Connections that speak HTTP/2.
    streams: HashMap<SockId, Streams>,
    /// Method and path of requests are shown, too.
    paths: bool,
}

impl FirstBytes {
    pub(in crate::sensor) fn new(paths: bool) -> Self {
        Self {
            waiting: HashMap::new(),
            records: HashMap::new(),
            quic: FxHashSet::default(),
            streams: HashMap::new(),
            paths,
        }
    }

    /// Takes a record of first bytes, and returns what is recognised in it, perhaps together with
    /// those before it.
    pub(in crate::sensor) fn take(&mut self, record: &[u8]) -> SmallVec<[Event; 1]> {
        match read(record) {
            Some(abi::DATAGRAM_PREFIX) => self.datagram(record),
            _ => self.bytes(record),
        }
    }

    fn bytes(&mut self, record: &[u8]) -> SmallVec<[Event; 1]> {
        let mut events = SmallVec::new();
        let Some((head, bytes)) = parts::<abi::PayloadPrefix>(record, |head| head.length) else {
            return events;
        };
        let mut push = |sign| events.push(recognised(&head, sign));
        if head.fast_open != 0 && head.at == 0 {
            push(Sign::FastOpen);
        }
        if let Some(sign) = self.name(&head, bytes) {
            push(sign);
        }
        self.follow(&head, bytes, &mut push);
        if let Some(streams) = self.streams(&head, bytes) {
            push(Sign::Http2Streams(streams));
        }
        events
    }

    fn datagram(&mut self, record: &[u8]) -> SmallVec<[Event; 1]> {
        let mut events = SmallVec::new();
        let Some((abi::DatagramPrefix { head, peer }, bytes)) =
            parts::<abi::DatagramPrefix>(record, |datagram| datagram.head.length)
        else {
            return events;
        };
        let sign = protocol::read_datagram(bytes, usize::try_from(head.at).unwrap_or(usize::MAX));
        if let Some(Sign::Quic { .. }) = sign
            && self.quic.len() < MAX_QUIC_SOCKETS
        {
            self.quic.insert(head.sock);
        }
        if let Some(sign) = sign {
            events.push(recognised(&head, sign));
        }
        if self.quic.contains(&head.sock)
            && let Some(packets) = protocol::quic_packets(bytes)
        {
            events.push(Event::Quic(QuicDatagram {
                ts_ns: head.ts_ns,
                sock: head.sock,
                peer: if peer.port == 0 { None } else { Some(address(peer)) },
                outbound: head.outbound != 0,
                packets,
            }));
        }
        events
    }

    fn name(&mut self, head: &abi::PayloadPrefix, bytes: &[u8]) -> Option<Sign> {
        let key = (head.sock, head.outbound != 0);
        let mut waiting = self.waiting.remove(&key).unwrap_or_default();
        // With a part missing the rest says nothing.
        if usize::try_from(head.at).ok()? != waiting.len() && head.preexisting == 0 {
            return None;
        }
        waiting.extend_from_slice(bytes);
        let Reading { sign, more } = protocol::read(from_client(head), &waiting);
        let sign = match sign {
            Some(sign) => Some(protocol::detail(sign, &waiting, self.paths)),
            None => None,
        };
        if more && head.last == 0 && self.waiting.len() < MAX_WAITING {
            self.waiting.insert(key, waiting);
        }
        sign
    }

    /// The streams of an HTTP/2 connection that was seen from its beginning, if there are others
    /// than before.
    fn streams(&mut self, head: &abi::PayloadPrefix, bytes: &[u8]) -> Option<Http2Streams> {
        let (from_client, room) = (from_client(head), self.streams.len() < MAX_FOLLOWED);
        let begins = head.at == 0 && head.preexisting == 0 && Streams::begins(from_client, bytes);
        let streams = match self.streams.entry(head.sock) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) if begins && room => place.insert(Streams::default()),
            Entry::Vacant(_) => return None,
        };
        streams.take(from_client, head.at.into(), bytes, head.last != 0)
    }

    /// Follows the records of a TLS connection that was seen from its beginning.
    fn follow(&mut self, head: &abi::PayloadPrefix, bytes: &[u8], mut push: impl FnMut(Sign)) {
        let (key, at) = ((head.sock, head.outbound != 0), u64::from(head.at));
        if head.preexisting != 0 {
            return;
        }
        if !self.records.contains_key(&key) {
            if !protocol::is_tls(bytes) || self.records.len() >= MAX_FOLLOWED {
                return;
            }
            self.records.insert(key, Records::starting_at(at));
        }
        if let Some(records) = self.records.get_mut(&key) {
            records.take(from_client(head), at, bytes, |record| push(Sign::TlsRecord(record)));
        }
        if head.last != 0 {
            self.records.remove(&key);
        }
    }

    /// Forgets a connection that ended.
    pub(in crate::sensor) fn forget(&mut self, sock: SockId) {
        self.streams.remove(&sock);
        for outbound in [false, true] {
            self.waiting.remove(&(sock, outbound));
            self.records.remove(&(sock, outbound));
        }
    }
}

/// The head of a record, and the bytes behind it.
fn parts<T: Copy>(record: &[u8], length: impl Fn(&T) -> u32) -> Option<(T, &[u8])> {
    let head: T = read(record)?;
    let length = usize::try_from(length(&head)).ok()?;
    let bytes = record.get(size_of::<T>()..)?.get(..length)?;
    Some((head, bytes))
}

fn recognised(head: &abi::PayloadPrefix, sign: Sign) -> Event {
    Event::Recognised(Recognised { ts_ns: head.ts_ns, sock: head.sock, sign })
}

fn from_client(head: &abi::PayloadPrefix) -> bool {
    (head.role == role::CLIENT) == (head.outbound != 0)
}
