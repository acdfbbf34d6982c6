//! Recognises the protocol by a connection's first bytes. The bytes themselves go no further.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use backscope_abi as abi;
use backscope_abi::role;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::record::{address, record as read};
use crate::model::event::{Event, Http2Streams, QuicDatagram, Recognised, Sign, SockId};
use crate::protocol::{self, Reading, Records, Scrubbed, Streams};
use crate::sensor::places::Places;

/// Directions whose first bytes came in parts, and are not complete yet.
const MAX_WAITING: usize = 1_024;
/// They are kept no longer than this, ns: whoever sends a hello sends the rest of it at once.
const WAITS_NS: u64 = 10_000_000_000;
/// Directions of TLS connections whose handshake is followed at once.
const MAX_FOLLOWED: usize = 4_096;

/// UDP sockets whose QUIC is followed.
const MAX_QUIC_SOCKETS: usize = 4_096;

/// Directions of which more is to come, with what is known of them.
///
/// [`FirstBytes::take`] is given each record; [`FirstBytes::forget`] each connection that ended;
/// [`FirstBytes::let_go`] is called at each refresh.
pub(in crate::sensor) struct FirstBytes {
    /// First bytes that say nothing yet without those that follow.
    waiting: HashMap<(SockId, bool), Waiting>,
    /// The records of TLS.
    records: HashMap<(SockId, bool), Records>,
    /// UDP sockets that speak QUIC: what has a short header there is QUIC's.
    quic: FxHashSet<SockId>,
    /// Connections that speak HTTP/2.
    streams: HashMap<SockId, Streams>,
    /// Method and path of requests are shown, too.
    paths: bool,
}

/// First bytes, and the time of the newest.
struct Waiting {
    bytes: Scrubbed,
    ts_ns: u64,
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

    /// Takes a record of first bytes, and returns what is recognised in them, perhaps together with
    /// those before it. The bytes themselves are gone then.
    pub(in crate::sensor) fn take(
        &mut self,
        record: &[u8],
        places: &mut Places,
    ) -> SmallVec<[Event; 1]> {
        let is_datagram = read(record) == Some(abi::DATAGRAM_PREFIX);
        let events = if is_datagram {
            let Some(datagram) = read::<abi::DatagramPrefix>(record) else {
                return SmallVec::new();
            };
            let abi::PayloadPrefix { place, length, .. } = datagram.head;
            places.look(place, length, |bytes| self.datagram(&datagram, bytes))
        } else {
            let Some(head) = read::<abi::PayloadPrefix>(record) else { return SmallVec::new() };
            places.look(head.place, head.length, |bytes| self.bytes(&head, bytes))
        };
        events.unwrap_or_default()
    }

    fn bytes(&mut self, head: &abi::PayloadPrefix, bytes: &[u8]) -> SmallVec<[Event; 1]> {
        let mut events = SmallVec::new();
        let mut push = |sign| events.push(recognised(head, sign));
        if head.fast_open != 0 && head.at == 0 {
            push(Sign::FastOpen);
        }
        if let Some(sign) = self.name(head, bytes) {
            push(sign);
        }
        self.follow(head, bytes, &mut push);
        if let Some(streams) = self.streams(head, bytes) {
            push(Sign::Http2Streams(streams));
        }
        events
    }

    fn datagram(&mut self, datagram: &abi::DatagramPrefix, bytes: &[u8]) -> SmallVec<[Event; 1]> {
        let abi::DatagramPrefix { head, peer } = datagram;
        let mut events = SmallVec::new();
        let sign = protocol::read_datagram(bytes, usize::try_from(head.at).unwrap_or(usize::MAX));
        if let Some(Sign::Quic { .. }) = sign
            && self.quic.len() < MAX_QUIC_SOCKETS
        {
            self.quic.insert(head.sock);
        }
        if let Some(sign) = sign {
            events.push(recognised(head, sign));
        }
        if self.quic.contains(&head.sock)
            && let Some(packets) = protocol::quic_packets(bytes)
        {
            events.push(Event::Quic(QuicDatagram {
                ts_ns: head.ts_ns,
                sock: head.sock,
                peer: if peer.port == 0 { None } else { Some(address(*peer)) },
                outbound: head.outbound != 0,
                packets,
            }));
        }
        events
    }

    fn name(&mut self, head: &abi::PayloadPrefix, bytes: &[u8]) -> Option<Sign> {
        let key = (head.sock, head.outbound != 0);
        let mut waiting = self.waiting.remove(&key).map(|waiting| waiting.bytes);
        let before = waiting.as_deref().map_or(0, <[u8]>::len);
        // With a part missing the rest says nothing.
        if usize::try_from(head.at).ok()? != before && head.preexisting == 0 {
            return None;
        }
        if let Some(waiting) = &mut waiting {
            waiting.append(bytes);
        }
        let all = waiting.as_deref().unwrap_or(bytes);
        let Reading { sign, more } = protocol::read(from_client(head), all);
        let sign = match sign {
            Some(sign) => Some(protocol::detail(sign, all, self.paths)),
            None => None,
        };
        if more && head.last == 0 && self.waiting.len() < MAX_WAITING {
            let bytes = waiting.unwrap_or_else(|| Scrubbed::copy_of(bytes));
            self.waiting.insert(key, Waiting { bytes, ts_ns: head.ts_ns });
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

    /// Lets go of bytes that have waited too long for the rest: the end of their connection may
    /// have been lost.
    pub(in crate::sensor) fn let_go(&mut self, now_ns: u64) {
        self.waiting.retain(|_, waiting| now_ns.saturating_sub(waiting.ts_ns) < WAITS_NS);
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

fn recognised(head: &abi::PayloadPrefix, sign: Sign) -> Event {
    Event::Recognised(Recognised { ts_ns: head.ts_ns, sock: head.sock, sign })
}

fn from_client(head: &abi::PayloadPrefix) -> bool {
    (head.role == role::CLIENT) == (head.outbound != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = include_bytes!("../../protocol/samples/curl-tls.bin");

    fn head(at: usize, ts_ns: u64) -> abi::PayloadPrefix {
        abi::PayloadPrefix {
            kind: abi::PAYLOAD_PREFIX,
            length: 0,
            sock: 7,
            ts_ns,
            at: at as u32,
            outbound: 0,
            last: 0,
            preexisting: 0,
            role: 0,
            fast_open: 0,
            _pad: [0; 3],
            place: 0,
        }
    }

    /// Tells whether a hello is recognised of which the rest comes after so long.
    fn is_told_after(seconds: u64) -> bool {
        let (first, rest) = HELLO.split_at(100);
        let (mut bytes, ts_ns) = (FirstBytes::new(false), seconds * 1_000_000_000);
        assert!(bytes.bytes(&head(0, 1), first).is_empty(), "more is waited for");
        bytes.let_go(ts_ns);
        let told = bytes.bytes(&head(100, ts_ns), rest);
        assert!(bytes.waiting.is_empty(), "nothing is waited for any more");
        let is_hello = |event: &Event| {
            matches!(event, Event::Recognised(Recognised { sign: Sign::ClientHello(_), .. }))
        };
        told.iter().any(is_hello)
    }

    #[test]
    fn what_waits_for_the_rest_waits_for_a_moment_only() {
        assert!(is_told_after(1));
        assert!(!is_told_after(11));
    }

    #[test]
    fn what_ends_before_the_rest_comes_is_forgotten() {
        let mut bytes = FirstBytes::new(false);
        assert!(bytes.bytes(&head(0, 1), &HELLO[..100]).is_empty());
        assert_eq!(bytes.waiting.len(), 1);
        bytes.forget(7);
        assert!(bytes.waiting.is_empty() && bytes.records.is_empty());
    }
}
