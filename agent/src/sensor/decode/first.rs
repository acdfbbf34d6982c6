//! Recognises the protocol by a connection's first bytes. The bytes themselves go no further.

use backscope_abi as abi;
use backscope_abi::role;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::record::{address, record as read};
use crate::bounded::Bounded;
use crate::model::event::{Event, Http2Streams, QuicDatagram, Recognised, Sign, SockId};
use crate::protocol::{self, Reading, Records, Streams};

/// Directions whose first bytes came in parts, and are not complete yet.
const MAX_WAITING: usize = 1_024;
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
pub(in crate::sensor) struct FirstBytes {
    /// First bytes that say nothing yet without those that follow.
    waiting: Bounded<(SockId, bool), Vec<u8>>,
    /// The records of TLS.
    records: Bounded<(SockId, bool), Records>,
    /// UDP sockets that speak QUIC: what has a short header there is QUIC's.
    quic: Bounded<SockId, ()>,
    /// Connections that speak HTTP/2.
    streams: Bounded<SockId, Streams>,
    /// Method and path of requests are shown, too.
    paths: bool,
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
        let (streams, gone) = self.streams(&head, bytes);
        if let Some(streams) = streams {
            push(Sign::Http2Streams(streams));
        }
        if let Some((sock, streams)) = gone {
            let sign = Sign::Http2Streams(streams.in_part());
            events.push(Event::Recognised(Recognised { ts_ns: head.ts_ns, sock, sign }));
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
            && !self.quic.contains(head.sock)
        {
            self.quic.insert(head.sock, ());
        }
        if let Some(sign) = sign {
            events.push(recognised(&head, sign));
        }
        if self.quic.contains(head.sock)
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
        let mut waiting = self.waiting.remove(key).unwrap_or_default();
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
        if more && head.last == 0 {
            self.waiting.insert(key, waiting);
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

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use abi::PayloadPrefix;

    use super::*;

    /// A frame of SETTINGS without any.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// A record as the probes write it.
    fn record(kind: u32, size: usize, sock: SockId, bytes: &[u8]) -> Vec<u8> {
        let mut record = vec![0; size];
        let mut put = |at: usize, field: &[u8]| record[at..at + field.len()].copy_from_slice(field);
        put(offset_of!(PayloadPrefix, kind), &kind.to_ne_bytes());
        put(offset_of!(PayloadPrefix, length), &(bytes.len() as u32).to_ne_bytes());
        put(offset_of!(PayloadPrefix, sock), &sock.to_ne_bytes());
        put(offset_of!(PayloadPrefix, at), &0_u32.to_ne_bytes());
        record.extend_from_slice(bytes);
        record
    }

    fn http2(sock: SockId) -> Vec<u8> {
        let bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &SETTINGS].concat();
        // A stream that is opened and ended by its request.
        let opens = [&bytes[..], &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82]].concat();
        record(abi::PAYLOAD_PREFIX, size_of::<PayloadPrefix>(), sock, &opens)
    }

    fn quic(sock: SockId) -> Vec<u8> {
        // The head of an Initial packet of version 1 that fills the datagram.
        let mut bytes = vec![0xc0, 0, 0, 0, 1, 8];
        bytes.extend([7; 8]);
        bytes.extend([0, 0, 0x44, 0x9e]);
        bytes.resize(511, 0);
        let mut record =
            record(abi::DATAGRAM_PREFIX, size_of::<abi::DatagramPrefix>(), sock, &bytes);
        record[offset_of!(PayloadPrefix, at)..][..4].copy_from_slice(&1_200_u32.to_ne_bytes());
        record
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
            assert_eq!(streams(&first.take(&http2(sock))), [(sock, told)]);
        }
        for age in 1..=10 {
            let new = MAX_FOLLOWED as u64 + age;
            let of_old = Http2Streams { partly: true, ..told };
            assert_eq!(streams(&first.take(&http2(new))), [(new, told), (age, of_old)]);
        }
        assert_eq!(first.lost()[2], ("http2_streams", 10));
        first.forget(11);
        assert_eq!(streams(&first.take(&http2(9_999))).len(), 1, "there was room");
        assert_eq!(first.lost()[2], ("http2_streams", 10));
    }

    #[test]
    fn quic_is_told_of_new_sockets_though_no_old_one_was_seen_to_close() {
        let mut first = FirstBytes::new(false);
        for sock in 1..=MAX_QUIC_SOCKETS as u64 + 10 {
            let events = first.take(&quic(sock));
            let has_packets = matches!(&events[..], [_, Event::Quic(quic)] if quic.sock == sock);
            assert!(has_packets, "socket {sock}: {events:?}");
        }
        assert_eq!(first.lost()[3], ("quic_sockets", 10));
        first.forget(4_000);
        first.take(&quic(9_999));
        assert_eq!(first.lost()[3], ("quic_sockets", 10), "there was room");
    }

    #[test]
    fn first_bytes_that_came_in_parts_make_room_for_newer_ones() {
        let mut first = FirstBytes::new(false);
        let newest = MAX_WAITING as u64 + 3;
        for sock in 1..=newest {
            // Whether it is gRPC its first request will show.
            let bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            first.take(&record(abi::PAYLOAD_PREFIX, size_of::<PayloadPrefix>(), sock, bytes));
        }
        assert_eq!(first.lost()[0], ("first_bytes", 3));
        assert!(!first.waiting.contains((3, false)) && first.waiting.contains((4, false)));
        assert!(first.waiting.contains((newest, false)));
    }

    #[test]
    fn what_a_census_does_not_show_is_forgotten() {
        let mut first = FirstBytes::new(false);
        let bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let begin = |sock| record(abi::PAYLOAD_PREFIX, size_of::<PayloadPrefix>(), sock, bytes);
        for sock in [1, 2] {
            first.take(&begin(sock));
        }
        let made = first.made();
        first.take(&begin(3));
        first.keep(made, &FxHashSet::from_iter([2]));
        let known = |sock| (first.streams.contains(sock), first.waiting.contains((sock, false)));
        assert_eq!(known(1), (false, false));
        assert_eq!([known(2), known(3)], [(true, true); 2], "the third came after its beginning");
        assert_eq!(first.lost(), FirstBytes::new(false).lost(), "that is no loss");
    }
}
