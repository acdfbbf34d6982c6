//! Recognises the protocol by a connection's first bytes. The bytes themselves go no further.

use backscope_abi as abi;
use backscope_abi::role;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::record::{address, record as read};
use crate::bounded::Bounded;
use crate::model::event::{Event, Http2Streams, QuicDatagram, Recognised, Sign, SockId};
use crate::protocol::{self, Reading, Records, Scrubbed, Streams};
use crate::sensor::places::Places;

/// Directions whose first bytes came in parts, and are not complete yet.
const MAX_WAITING: usize = 1_024;
/// They are kept no longer than this, ns: whoever sends a hello sends the rest of it at once.
const WAITS_NS: u64 = 10_000_000_000;
/// Directions of TLS connections whose handshake is followed at once, and HTTP/2 connections whose
/// streams are.
const MAX_FOLLOWED: usize = 4_096;

/// UDP sockets whose QUIC is followed.
const MAX_QUIC_SOCKETS: usize = 4_096;

/// Directions of which more is to come, with what is known of them.
///
/// In each table the oldest entry gives way to a new one, and is counted ([`FirstBytes::lost`]).
///
/// [`FirstBytes::take`] is given each record; [`FirstBytes::forget`] each connection that ended, and
/// each UDP socket; [`FirstBytes::keep`] the connections that a census has shown.
/// [`FirstBytes::let_go`] is called at each refresh.
pub(in crate::sensor) struct FirstBytes {
    /// First bytes that say nothing yet without those that follow.
    waiting: Bounded<(SockId, bool), Waiting>,
    /// The records of TLS.
    records: Bounded<(SockId, bool), Records>,
    /// UDP sockets that speak QUIC: what has a short header there is QUIC's.
    quic: Bounded<SockId, ()>,
    /// Connections that speak HTTP/2.
    streams: Bounded<SockId, Streams>,
    /// Method and path of requests are shown, too.
    paths: bool,
}

/// First bytes, and the time of the newest.
struct Waiting {
    bytes: Scrubbed,
    ts_ns: u64,
}

/// A record of first bytes, which lie elsewhere.
enum Record {
    Bytes(abi::PayloadPrefix),
    Datagram(abi::DatagramPrefix),
}

impl Record {
    fn of(record: &[u8]) -> Option<Self> {
        if read(record) == Some(abi::DATAGRAM_PREFIX) {
            Some(Self::Datagram(read(record)?))
        } else {
            Some(Self::Bytes(read(record)?))
        }
    }

    fn head(&self) -> &abi::PayloadPrefix {
        match self {
            Self::Bytes(head) => head,
            Self::Datagram(datagram) => &datagram.head,
        }
    }
}

impl FirstBytes {
    pub(in crate::sensor) fn new(paths: bool) -> Self {
        Self {
            waiting: Bounded::new(MAX_WAITING),
            records: Bounded::new(MAX_FOLLOWED),
            quic: Bounded::new(MAX_QUIC_SOCKETS),
            streams: Bounded::new(MAX_FOLLOWED),
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
        let Some(record) = Record::of(record) else { return SmallVec::new() };
        let abi::PayloadPrefix { place, length, .. } = *record.head();
        let events = places.look(place, length, |bytes| self.look(&record, bytes));
        events.unwrap_or_default()
    }

    /// Takes a record and the bytes that it would name.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(in crate::sensor) fn take_bytes(
        &mut self,
        record: &[u8],
        bytes: &[u8],
    ) -> SmallVec<[Event; 1]> {
        let Some(record) = Record::of(record) else { return SmallVec::new() };
        self.look(&record, bytes)
    }

    fn look(&mut self, record: &Record, bytes: &[u8]) -> SmallVec<[Event; 1]> {
        match record {
            Record::Bytes(head) => self.bytes(head, bytes),
            Record::Datagram(datagram) => self.datagram(datagram, bytes),
        }
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
        let (streams, gone) = self.streams(head, bytes);
        if let Some(streams) = streams {
            push(Sign::Http2Streams(streams));
        }
        if let Some((sock, streams)) = gone {
            let sign = Sign::Http2Streams(streams.in_part());
            events.push(Event::Recognised(Recognised { ts_ns: head.ts_ns, sock, sign }));
        }
        events
    }

    fn datagram(&mut self, datagram: &abi::DatagramPrefix, bytes: &[u8]) -> SmallVec<[Event; 1]> {
        let abi::DatagramPrefix { head, peer } = datagram;
        let mut events = SmallVec::new();
        let sign = protocol::read_datagram(bytes, usize::try_from(head.at).unwrap_or(usize::MAX));
        if let Some(Sign::Quic { .. }) = sign
            && !self.quic.contains(head.sock)
        {
            self.quic.insert(head.sock, ());
        }
        if let Some(sign) = sign {
            events.push(recognised(head, sign));
        }
        if self.quic.contains(head.sock)
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
        let mut waiting = self.waiting.remove(key).map(|waiting| waiting.bytes);
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
        if more && head.last == 0 {
            let bytes = waiting.unwrap_or_else(|| Scrubbed::copy_of(bytes));
            self.waiting.insert(key, Waiting { bytes, ts_ns: head.ts_ns });
        }
        sign
    }

    /// The streams of an HTTP/2 connection that was seen from its beginning, if there are others
    /// than before; and the connection that gave way to it.
    fn streams(
        &mut self,
        head: &abi::PayloadPrefix,
        bytes: &[u8],
    ) -> (Option<Http2Streams>, Option<(SockId, Streams)>) {
        let (from_client, mut gone) = (from_client(head), None);
        let is_first = head.at == 0 && head.preexisting == 0;
        if is_first && Streams::begins(from_client, bytes) && !self.streams.contains(head.sock) {
            gone = self.streams.insert(head.sock, Streams::default());
        }
        let Some(streams) = self.streams.get_mut(head.sock) else { return (None, gone) };
        (streams.take(from_client, head.at.into(), bytes, head.last != 0), gone)
    }

    /// Follows the records of a TLS connection that was seen from its beginning.
    fn follow(&mut self, head: &abi::PayloadPrefix, bytes: &[u8], mut push: impl FnMut(Sign)) {
        let (key, at) = ((head.sock, head.outbound != 0), u64::from(head.at));
        if head.preexisting != 0 {
            return;
        }
        if !self.records.contains(key) {
            if !protocol::is_tls(bytes) {
                return;
            }
            self.records.insert(key, Records::starting_at(at));
        }
        if let Some(records) = self.records.get_mut(key) {
            records.take(from_client(head), at, bytes, |record| push(Sign::TlsRecord(record)));
        }
        if head.last != 0 {
            self.records.remove(key);
        }
    }

    /// Lets go of bytes that have waited too long for the rest: the end of their connection may
    /// have been lost.
    pub(in crate::sensor) fn let_go(&mut self, now_ns: u64) {
        self.waiting.retain(|waiting| now_ns.saturating_sub(waiting.ts_ns) < WAITS_NS);
    }

    /// Forgets a connection that ended, or a UDP socket.
    pub(in crate::sensor) fn forget(&mut self, sock: SockId) {
        self.streams.remove(sock);
        self.quic.remove(sock);
        for outbound in [false, true] {
            self.waiting.remove((sock, outbound));
            self.records.remove((sock, outbound));
        }
    }

    /// How many entries were made in the tables of connections, for [`FirstBytes::keep`].
    pub(in crate::sensor) fn made(&self) -> [u64; 3] {
        [self.waiting.made(), self.records.made(), self.streams.made()]
    }

    /// Forgets the connections that are not among these, and of which the first bytes came before
    /// [`FirstBytes::made`] returned `made`.
    pub(in crate::sensor) fn keep(&mut self, made: [u64; 3], held: &FxHashSet<SockId>) {
        let [waiting, records, streams] = made;
        self.waiting.keep(waiting, |(sock, _)| held.contains(&sock));
        self.records.keep(records, |(sock, _)| held.contains(&sock));
        self.streams.keep(streams, |sock| held.contains(&sock));
    }

    /// What gave way in each table, by the name under which it counts as lost.
    pub(in crate::sensor) fn lost(&self) -> [(&'static str, u64); 4] {
        [
            ("first_bytes", self.waiting.gave_way()),
            ("tls_records", self.records.gave_way()),
            ("http2_streams", self.streams.gave_way()),
            ("quic_sockets", self.quic.gave_way()),
        ]
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
    use abi::PayloadPrefix;

    use super::*;

    const HELLO: &[u8] = include_bytes!("../../protocol/samples/curl-tls.bin");

    /// A frame of SETTINGS without any.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// The head of a record as the probes write it.
    fn head(sock: SockId, at: usize, ts_ns: u64) -> PayloadPrefix {
        PayloadPrefix {
            kind: abi::PAYLOAD_PREFIX,
            length: 0,
            sock,
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

    fn take(first: &mut FirstBytes, sock: SockId, bytes: &[u8]) -> SmallVec<[Event; 1]> {
        first.bytes(&head(sock, 0, 1), bytes)
    }

    /// A stream that is opened and ended by its request.
    fn take_http2(first: &mut FirstBytes, sock: SockId) -> SmallVec<[Event; 1]> {
        let bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &SETTINGS].concat();
        take(first, sock, &[&bytes[..], &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82]].concat())
    }

    fn take_quic(first: &mut FirstBytes, sock: SockId) -> SmallVec<[Event; 1]> {
        // The head of an Initial packet of version 1 that fills the datagram.
        let mut bytes = vec![0xc0, 0, 0, 0, 1, 8];
        bytes.extend([7; 8]);
        bytes.extend([0, 0, 0x44, 0x9e]);
        bytes.resize(511, 0);
        let peer = abi::Endpoint::default();
        let datagram = abi::DatagramPrefix { head: head(sock, 1_200, 1), peer };
        first.datagram(&datagram, &bytes)
    }

    fn streams(events: &[Event]) -> Vec<(SockId, Http2Streams)> {
        let mut streams = Vec::new();
        for event in events {
            if let Event::Recognised(Recognised { sock, sign: Sign::Http2Streams(told), .. }) =
                event
            {
                streams.push((*sock, *told));
            }
        }
        streams
    }

    #[test]
    fn streams_are_told_of_new_connections_though_no_old_one_was_seen_to_end() {
        let mut first = FirstBytes::new(false);
        let told = Http2Streams { opened: 1, most: 1, partly: false };
        for sock in 1..=MAX_FOLLOWED as u64 {
            assert_eq!(streams(&take_http2(&mut first, sock)), [(sock, told)]);
        }
        for age in 1..=10 {
            let new = MAX_FOLLOWED as u64 + age;
            let of_old = Http2Streams { partly: true, ..told };
            assert_eq!(streams(&take_http2(&mut first, new)), [(new, told), (age, of_old)]);
        }
        assert_eq!(first.lost()[2], ("http2_streams", 10));
        first.forget(11);
        assert_eq!(streams(&take_http2(&mut first, 9_999)).len(), 1, "there was room");
        assert_eq!(first.lost()[2], ("http2_streams", 10));
    }

    #[test]
    fn quic_is_told_of_new_sockets_though_no_old_one_was_seen_to_close() {
        let mut first = FirstBytes::new(false);
        for sock in 1..=MAX_QUIC_SOCKETS as u64 + 10 {
            let events = take_quic(&mut first, sock);
            let has_packets = matches!(&events[..], [_, Event::Quic(quic)] if quic.sock == sock);
            assert!(has_packets, "socket {sock}: {events:?}");
        }
        assert_eq!(first.lost()[3], ("quic_sockets", 10));
        first.forget(4_000);
        take_quic(&mut first, 9_999);
        assert_eq!(first.lost()[3], ("quic_sockets", 10), "there was room");
    }

    #[test]
    fn first_bytes_that_came_in_parts_make_room_for_newer_ones() {
        let mut first = FirstBytes::new(false);
        let newest = MAX_WAITING as u64 + 3;
        for sock in 1..=newest {
            // Whether it is gRPC its first request will show.
            let bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            take(&mut first, sock, bytes);
        }
        assert_eq!(first.lost()[0], ("first_bytes", 3));
        assert!(!first.waiting.contains((3, false)) && first.waiting.contains((4, false)));
        assert!(first.waiting.contains((newest, false)));
    }

    #[test]
    fn what_a_census_does_not_show_is_forgotten() {
        let mut first = FirstBytes::new(false);
        let bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for sock in [1, 2] {
            take(&mut first, sock, bytes);
        }
        let made = first.made();
        take(&mut first, 3, bytes);
        first.keep(made, &FxHashSet::from_iter([2]));
        let known = |sock| (first.streams.contains(sock), first.waiting.contains((sock, false)));
        assert_eq!(known(1), (false, false));
        assert_eq!([known(2), known(3)], [(true, true); 2], "the third came after its beginning");
        assert_eq!(first.lost(), FirstBytes::new(false).lost(), "that is no loss");
    }

    /// Tells whether a hello is recognised of which the rest comes after so long.
    fn is_told_after(seconds: u64) -> bool {
        let (first, rest) = HELLO.split_at(100);
        let (mut bytes, ts_ns) = (FirstBytes::new(false), seconds * 1_000_000_000);
        assert!(bytes.bytes(&head(7, 0, 1), first).is_empty(), "more is waited for");
        bytes.let_go(ts_ns);
        let told = bytes.bytes(&head(7, 100, ts_ns), rest);
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
        assert!(bytes.bytes(&head(7, 0, 1), &HELLO[..100]).is_empty());
        assert!(bytes.waiting.contains((7, false)));
        bytes.forget(7);
        assert!(bytes.waiting.is_empty() && bytes.records.is_empty());
    }
}
