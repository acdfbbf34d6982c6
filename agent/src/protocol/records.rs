//! The records of TLS: which of them, of what length, begins where. What is in them stays unread, but for the hellos.

use super::tls::{HEAD, LONGEST};
use crate::model::event::TlsRecord;

/// Records of the handshake that are not encrypted, and that only the hellos are told from.
const HANDSHAKE: u8 = 22;
/// What records there are: ChangeCipherSpec, Alert, Handshake, ApplicationData, Heartbeat.
const KINDS: std::ops::RangeInclusive<u8> = 20..=24;
/// Records told of one direction: a client's handshake and its first request, or a server's.
const MOST: u32 = 8;

/// The records of one direction of a connection, from bytes that come in order, with gaps.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Where the next record begins.
    next: u64,
    /// As much of its head as is there.
    head: Vec<u8>,
    told: u32,
    lost: bool,
}

impl Records {
    /// Records that begin at this place, behind so many bytes of this direction.
    pub fn starting_at(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Takes bytes that were read or written behind `at` others, and tells the records that begin in them. Where a head
    /// was not among the bytes, nothing is told from there on.
    pub fn take(&mut self, from_client: bool, at: u64, bytes: &[u8], mut tell: impl FnMut(TlsRecord)) {
        let end = at + bytes.len() as u64;
        while !self.lost && self.told < MOST {
            let from = self.next + self.head.len() as u64;
            if from >= end {
                return;
            }
            let Some(there) = from.checked_sub(at).and_then(|from| bytes.get(usize::try_from(from).ok()?..)) else {
                self.lost = true;
                return;
            };
            let missing = HEAD - self.head.len();
            self.head.extend_from_slice(&there[..missing.min(there.len())]);
            let [kind, 3, 0..=4, high, low] = self.head[..] else {
                self.lost = self.head.len() >= HEAD;
                return;
            };
            let length = u16::from_be_bytes([high, low]);
            if !KINDS.contains(&kind) || usize::from(length) > LONGEST + 256 {
                self.lost = true;
                return;
            }
            if kind != HANDSHAKE {
                tell(TlsRecord { from_client, kind, length, at: self.next });
                self.told += 1;
            }
            self.next += HEAD as u64 + u64::from(length);
            self.head.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &[u8] = &[20, 3, 3, 0, 1, 1];

    fn record(kind: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        [&[kind, 3, 3, high, low][..], &vec![0; length.into()]].concat()
    }

    fn told(pieces: &[(u64, &[u8])]) -> Vec<(u8, u16, u64)> {
        let (mut records, mut told) = (Records::default(), Vec::new());
        for (at, bytes) in pieces {
            records.take(true, *at, bytes, |record| told.push((record.kind, record.length, record.at)));
        }
        told
    }

    fn flight() -> Vec<u8> {
        [record(22, 512), CHANGE.to_vec(), record(23, 53), record(23, 100)].concat()
    }

    const EXPECTED: [(u8, u16, u64); 3] = [(20, 1, 517), (23, 53, 523), (23, 100, 581)];

    #[test]
    fn records_are_told_however_they_are_cut() {
        let flight = flight();
        assert_eq!(told(&[(0, &flight)]), EXPECTED);
        for size in [1, 2, 3, 5, 7, 64, 517] {
            let pieces: Vec<_> = flight.chunks(size).enumerate().map(|(i, piece)| ((i * size) as u64, piece)).collect();
            assert_eq!(told(&pieces), EXPECTED, "in pieces of {size}");
        }
    }

    #[test]
    fn bodies_need_not_be_there_but_heads_must() {
        let flight = flight();
        // As a call is read that moved more than is looked at.
        assert_eq!(told(&[(0, &flight[..100]), (517, &flight[517..530]), (581, &flight[581..])]), EXPECTED);
        assert_eq!(told(&[(0, &flight[..100]), (520, &flight[520..])]), [], "a head was missed");
        assert_eq!(told(&[(0, b"GET / HTTP/1.1\r\n")]), []);
    }

    #[test]
    fn no_more_is_told_than_a_handshake_has() {
        let much: Vec<u8> = (0..100).flat_map(|_| record(23, 10)).collect();
        assert_eq!(told(&[(0, &much)]).len(), MOST as usize);
    }
}
