//! First bytes, from their records to what they are recognised as. They go no further than here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use backscope_abi as abi;
use backscope_abi::role;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::stream;
use crate::model::event::{Event, Http2Streams, QuicDatagram, Recognised, Sign, SockId};
use crate::protocol::{self, Reading, Records, Streams};

/// Directions whose first bytes came in parts, and are not complete yet.
const MAX_WAITING: usize = 1_024;
/// Directions of TLS connections whose handshake is followed at once.
const MAX_FOLLOWED: usize = 4_096;

/// UDP sockets whose QUIC is followed.
const MAX_QUIC_SOCKETS: usize = 4_096;

/// What is known of directions of which more is to come.
pub(super) struct FirstBytes {
    /// First bytes that say nothing yet without those that follow.
    waiting: HashMap<(SockId, bool), Vec<u8>>,
    /// The records of TLS.
    records: HashMap<(SockId, bool), Records>,
    /// UDP sockets that speak QUIC: what has a short header there is QUIC's.
    quic: FxHashSet<SockId>,
    /// Connections that speak HTTP/2.
    streams: HashMap<SockId, Streams>,
    /// What requests ask for is told, too.
    paths: bool,
}

impl FirstBytes {
    pub(super) fn new(paths: bool) -> Self {
        Self {
            waiting: HashMap::new(),
            records: HashMap::new(),
            quic: FxHashSet::default(),
            streams: HashMap::new(),
            paths,
        }
    }

    /// What a record of first bytes tells, perhaps together with those before it.
    pub(super) fn take(&mut self, record: &[u8]) -> SmallVec<[Event; 1]> {
        match stream::record(record) {
            Some(abi::DATAGRAM_PREFIX) => self.datagram(record),
            _ => self.bytes(record),
        }
    }

    fn bytes(&mut self, record: &[u8]) -> SmallVec<[Event; 1]> {
        let mut told = SmallVec::new();
        let Some((head, bytes)) = parts::<abi::PayloadPrefix>(record, |head| head.length) else {
            return told;
        };
        let mut tell = |sign| told.push(recognised(&head, sign));
        if head.fast_open != 0 && head.at == 0 {
            tell(Sign::FastOpen);
        }
        if let Some(sign) = self.name(&head, bytes) {
            tell(sign);
        }
        self.follow(&head, bytes, &mut tell);
        if let Some(streams) = self.streams(&head, bytes) {
            tell(Sign::Http2Streams(streams));
        }
        told
    }

    fn datagram(&mut self, record: &[u8]) -> SmallVec<[Event; 1]> {
        let mut told = SmallVec::new();
        let Some((abi::DatagramPrefix { head, peer }, bytes)) =
            parts::<abi::DatagramPrefix>(record, |datagram| datagram.head.length)
        else {
            return told;
        };
        let sign = protocol::read_datagram(bytes, usize::try_from(head.at).unwrap_or(usize::MAX));
        if let Some(Sign::Quic { .. }) = sign
            && self.quic.len() < MAX_QUIC_SOCKETS
        {
            self.quic.insert(head.sock);
        }
        told.extend(sign.map(|sign| recognised(&head, sign)));
        if self.quic.contains(&head.sock)
            && let Some(packets) = protocol::quic_packets(bytes)
        {
            let (peer, outbound) =
                ((peer.port != 0).then(|| stream::address(peer)), head.outbound != 0);
            told.push(Event::Quic(QuicDatagram {
                ts_ns: head.ts_ns,
                sock: head.sock,
                peer,
                outbound,
                packets,
            }));
        }
        told
    }

    fn name(&mut self, head: &abi::PayloadPrefix, bytes: &[u8]) -> Option<Sign> {
        let key = (head.sock, head.outbound != 0);
        let mut waiting = self.waiting.remove(&key).unwrap_or_default();
        // A part that is missing cannot be made up for.
        if usize::try_from(head.at).ok()? != waiting.len() && head.preexisting == 0 {
            return None;
        }
        waiting.extend_from_slice(bytes);
        let Reading { sign, more } = protocol::read(from_client(head), &waiting);
        let sign = sign.map(|sign| protocol::detail(sign, &waiting, self.paths));
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
    fn follow(&mut self, head: &abi::PayloadPrefix, bytes: &[u8], mut tell: impl FnMut(Sign)) {
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
            records.take(from_client(head), at, bytes, |record| tell(Sign::TlsRecord(record)));
        }
        if head.last != 0 {
            self.records.remove(&key);
        }
    }

    /// A connection ended.
    pub(super) fn forget(&mut self, sock: SockId) {
        self.streams.remove(&sock);
        for outbound in [false, true] {
            self.waiting.remove(&(sock, outbound));
            self.records.remove(&(sock, outbound));
        }
    }
}

/// The head of a record, and the bytes behind it.
fn parts<T: Copy>(record: &[u8], length: impl Fn(&T) -> u32) -> Option<(T, &[u8])> {
    let head: T = stream::record(record)?;
    let bytes = record.get(size_of::<T>()..)?;
    Some((head, bytes.get(..usize::try_from(length(&head)).ok()?)?))
}

fn recognised(head: &abi::PayloadPrefix, sign: Sign) -> Event {
    Event::Recognised(Recognised { ts_ns: head.ts_ns, sock: head.sock, sign })
}

fn from_client(head: &abi::PayloadPrefix) -> bool {
    (head.role == role::CLIENT) == (head.outbound != 0)
}
