//! Streams of an HTTP/2 connection in the clear, from the heads of its frames.

use std::collections::BTreeSet;

use super::heads::Heads;
use super::http::{FRAME_HEAD, PREFACE};
use crate::model::event::Http2Streams;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// The kinds that RFC 9113 has, and some beyond: others may come, but not any.
const KINDS: u8 = 32;
const END_STREAM: u8 = 1;
/// Frames are no longer unless both ends agreed on more.
const LONGEST: u64 = 1 << 24;
/// Streams that are open at a time, at most: servers allow some hundred.
const MOST_OPEN: usize = 4_096;

/// The streams of one connection.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// Frames from the server, and from the client.
    heads: [Option<Heads<FRAME_HEAD>>; 2],
    open: BTreeSet<u32>,
    newest: u32,
    /// As many were open at a time, if no end of one was missed: the server's next bytes will show
    /// that.
    perhaps: u32,
    /// A direction is not followed any more: the open streams are not known from here on.
    is_blind: bool,
    sums: Http2Streams,
}

impl Streams {
    /// The sums, if more may have come since.
    pub fn in_part(&self) -> Http2Streams {
        Http2Streams { partly: true, ..self.sums }
    }

    /// Whether bytes begin as those of a client, or of a server, do.
    pub fn begins(from_client: bool, bytes: &[u8]) -> bool {
        if from_client {
            return bytes.starts_with(PREFACE);
        }
        matches!(bytes, [0, _, _, SETTINGS, 0, 0, 0, 0, 0, ..])
    }

    /// Takes bytes that were read or written behind `at` others in this direction; `last` if no
    /// more will come. Returns the sums, if they have changed.
    pub fn take(
        &mut self,
        from_client: bool,
        at: u64,
        bytes: &[u8],
        last: bool,
    ) -> Option<Http2Streams> {
        let before = self.sums;
        let heads = &mut self.heads[usize::from(from_client)];
        if heads.is_none() && at == 0 && Self::begins(from_client, bytes) {
            *heads = Some(Heads::starting_at(if from_client { PREFACE.len() as u64 } else { 0 }));
        }
        let Some(heads) = heads else {
            self.is_blind = true;
            return None;
        };
        let (open, newest, sums) = (&mut self.open, &mut self.newest, &mut self.sums);
        // Streams that come in one piece are open at a time: none was answered before.
        let (known, mut at_once, mut most) = (*newest, 0_u32, 0_u32);
        heads.take(at, bytes, |_, head| {
            let [a, b, c, kind, flags, id @ ..] = *head;
            let length = u64::from(u32::from_be_bytes([0, a, b, c]));
            let id = u32::from_be_bytes(id) & 0x7fff_ffff;
            if kind >= KINDS || length >= LONGEST {
                return None;
            }
            if kind == HEADERS && from_client && id > *newest && open.len() < MOST_OPEN {
                *newest = id;
                open.insert(id);
                sums.opened += 1;
                at_once += 1;
            }
            let ends = !from_client && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            if ends || kind == RST_STREAM {
                at_once -= u32::from(open.remove(&id) && id > known).min(at_once);
            } else if kind == GOAWAY && from_client {
                open.clear();
            }
            sums.most = sums.most.max(at_once);
            most = most.max(open.len() as u32);
            Some(length)
        });
        self.is_blind |= heads.is_lost();
        if self.is_blind {
            self.perhaps = 0;
        } else if from_client {
            self.perhaps = self.perhaps.max(most);
        } else {
            sums.most = sums.most.max(self.perhaps);
        }
        sums.partly |= last || self.is_blind;
        if self.sums == before { None } else { Some(self.sums) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, id: u32, length: usize) -> Vec<u8> {
        let [_, a, b, c] = (length as u32).to_be_bytes();
        [&[a, b, c, kind, flags][..], &id.to_be_bytes(), &vec![0; length]].concat()
    }

    fn client(streams: &[u32]) -> Vec<u8> {
        let frames = streams.iter().flat_map(|id| frame(HEADERS, 5, *id, 30));
        PREFACE.iter().copied().chain(frame(SETTINGS, 0, 0, 12)).chain(frames).collect()
    }

    #[test]
    fn streams_are_counted_and_how_many_are_open_at_a_time() {
        let mut streams = Streams::default();
        let told = streams.take(true, 0, &client(&[1, 3, 5]), false).unwrap();
        assert_eq!(told, Http2Streams { opened: 3, most: 3, partly: false });
        // Responses to two, one of them with trailers, and settings between.
        let server = [
            frame(SETTINGS, 0, 0, 6),
            frame(HEADERS, 4, 1, 20),
            frame(DATA, 1, 1, 500),
            frame(HEADERS, 5, 3, 9),
        ]
        .concat();
        assert_eq!(streams.take(false, 0, &server, false), None);
        let at = client(&[1, 3, 5]).len() as u64;
        let told = streams.take(true, at, &frame(HEADERS, 5, 7, 30), false).unwrap();
        assert_eq!((told.opened, told.most), (4, 3), "two are left of the first");
        // More of a request that was counted, and a stream that the client gives up.
        let more = [frame(HEADERS, 5, 7, 10), frame(RST_STREAM, 0, 7, 4), frame(HEADERS, 5, 9, 30)]
            .concat();
        let told = streams.take(true, at + 39, &more, true).unwrap();
        assert_eq!(told, Http2Streams { opened: 5, most: 3, partly: true });
    }

    #[test]
    fn without_the_servers_frames_nobody_knows_how_many_are_open() {
        let mut streams = Streams::default();
        streams.take(true, 0, &client(&[1, 3]), false);
        // As it is written from several buffers.
        streams.take(false, 0, &frame(SETTINGS, 0, 0, 6), false);
        streams.take(false, 400, &frame(HEADERS, 5, 1, 20), false);
        let at = client(&[1, 3]).len() as u64;
        let told = streams
            .take(true, at, &[frame(HEADERS, 5, 5, 30), frame(HEADERS, 5, 7, 30)].concat(), false)
            .unwrap();
        assert_eq!(told, Http2Streams { opened: 4, most: 2, partly: true });
    }

    #[test]
    fn an_end_that_was_missed_makes_no_two_calls_of_one_after_the_other() {
        let mut streams = Streams::default();
        streams.take(true, 0, &client(&[1]), false);
        streams.take(
            false,
            0,
            &[frame(SETTINGS, 0, 0, 6), frame(HEADERS, 4, 1, 20)].concat(),
            false,
        );
        let at = client(&[1]).len() as u64;
        // The response's end was in another buffer. That shows when more is written.
        let told = streams.take(true, at, &frame(HEADERS, 5, 3, 30), false).unwrap();
        assert_eq!((told.opened, told.most), (2, 1));
        let told = streams.take(false, 100, &frame(HEADERS, 5, 3, 20), false).unwrap();
        assert_eq!(told, Http2Streams { opened: 2, most: 1, partly: true });
        // Where all is seen, the server's next bytes show that both were open.
        let mut streams = Streams::default();
        streams.take(true, 0, &client(&[1]), false);
        streams.take(false, 0, &frame(SETTINGS, 0, 0, 6), false);
        streams.take(true, at, &frame(HEADERS, 5, 3, 30), false);
        let told = streams.take(false, 15, &frame(HEADERS, 5, 3, 20), false).unwrap();
        assert_eq!(told, Http2Streams { opened: 2, most: 2, partly: false });
    }

    #[test]
    fn a_frame_that_was_missed_ends_the_count() {
        let mut streams = Streams::default();
        streams.take(true, 0, &client(&[1]), false);
        let told = streams.take(true, 10_000, &frame(HEADERS, 5, 3, 30), false).unwrap();
        assert_eq!(told, Http2Streams { opened: 1, most: 1, partly: true });
        assert_eq!(Streams::default().take(true, 0, b"GET / HTTP/1.1\r\n\r\n", false), None);
        assert_eq!(Streams::default().take(false, 0, b"HTTP/1.1 200 OK\r\n\r\n", false), None);
    }
}
