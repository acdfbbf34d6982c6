//! Records of TLS: their kinds, their lengths and where they begin. Their contents stay unread, but
//! for the hellos.

use super::heads::Heads;
use super::tls::{HEAD, LONGEST};
use crate::model::event::TlsRecord;

/// Records of the handshake that are not encrypted. They are not reported: the hellos are.
const HANDSHAKE: u8 = 22;
/// Kinds of records: ChangeCipherSpec, Alert, Handshake, ApplicationData, Heartbeat.
const KINDS: std::ops::RangeInclusive<u8> = 20..=24;
/// Records reported of one direction: a client's handshake and its first request, or a server's.
const MOST: u32 = 8;

/// The records of one direction of a connection.
#[derive(Clone, Debug)]
pub struct Records {
    heads: Heads<HEAD>,
    reported: u32,
}

impl Records {
    /// Starts with a record behind so many bytes of this direction.
    pub fn starting_at(next: u64) -> Self {
        Self { heads: Heads::starting_at(next), reported: 0 }
    }

    /// Takes bytes that were read or written behind `at` others, and reports the records that begin
    /// in them.
    pub fn take(
        &mut self,
        from_client: bool,
        at: u64,
        bytes: &[u8],
        mut report: impl FnMut(TlsRecord),
    ) {
        let reported = &mut self.reported;
        self.heads.take(at, bytes, |at, head| {
            let [kind, 3, 0..=4, high, low] = *head else { return None };
            let length = u16::from_be_bytes([high, low]);
            let is_record = KINDS.contains(&kind) && usize::from(length) <= LONGEST + 256;
            if !is_record || *reported >= MOST {
                return None;
            }
            if kind != HANDSHAKE {
                report(TlsRecord { from_client, kind, length, at });
                *reported += 1;
            }
            Some(length.into())
        });
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
        let (mut records, mut told) = (Records::starting_at(0), Vec::new());
        for (at, bytes) in pieces {
            records.take(true, *at, bytes, |record| {
                told.push((record.kind, record.length, record.at))
            });
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
            let pieces: Vec<_> = flight
                .chunks(size)
                .enumerate()
                .map(|(i, piece)| ((i * size) as u64, piece))
                .collect();
            assert_eq!(told(&pieces), EXPECTED, "in pieces of {size}");
        }
    }

    #[test]
    fn bodies_need_not_be_there_but_heads_must() {
        let flight = flight();
        // As a call is read that moved more than is looked at.
        assert_eq!(
            told(&[(0, &flight[..100]), (517, &flight[517..530]), (581, &flight[581..])]),
            EXPECTED
        );
        assert_eq!(told(&[(0, &flight[..100]), (520, &flight[520..])]), [], "a head was missed");
        assert_eq!(told(&[(0, b"GET / HTTP/1.1\r\n")]), []);
    }

    #[test]
    fn no_more_is_told_than_a_handshake_has() {
        let much: Vec<u8> = (0..100).flat_map(|_| record(23, 10)).collect();
        assert_eq!(told(&[(0, &much)]).len(), MOST as usize);
    }
}
