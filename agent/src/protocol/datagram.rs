//! Protocols over UDP, each by one datagram.

use super::quic;
use crate::model::event::Sign;

/// Recognises a datagram of `size` bytes, by as much of its beginning as is there.
pub(super) fn read(bytes: &[u8], size: usize) -> Option<Sign> {
    quic(bytes, size).or_else(|| dtls(bytes)).or_else(|| stun(bytes, size))
}

/// A datagram with a client's first packet is no smaller (RFC 9000, 14.1).
const LEAST_INITIAL: usize = 1_200;

/// Recognises the start of a QUIC connection: an Initial, or early data in a datagram of their own.
fn quic(bytes: &[u8], size: usize) -> Option<Sign> {
    let packets = quic::packets(bytes)?;
    let begins = packets.initial && size >= LEAST_INITIAL || packets.early_data && !packets.initial;
    if !begins {
        return None;
    }
    Some(Sign::Quic { version: packets.version?, early_data: packets.early_data })
}

/// Recognises a hello of DTLS, which begins a connection (RFC 6347, 4.1 and RFC 9147, 4).
fn dtls(bytes: &[u8]) -> Option<Sign> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    match bytes {
        // Epoch 0, whatever number of the record, its length, and the message with its length,
        // number and place.
        [
            HANDSHAKE,
            0xfe,
            0xfd | 0xff,
            0,
            0,
            _,
            _,
            _,
            _,
            _,
            _,
            high,
            low,
            CLIENT_HELLO,
            rest @ ..,
        ] => {
            let record = usize::from(*high) << 8 | usize::from(*low);
            let [_, _, _, _, _, _, _, _, _, piece_high, piece_low, ..] = rest else { return None };
            let piece = usize::from(*piece_high) << 8 | usize::from(*piece_low);
            if record == piece + 12 { Some(Sign::Dtls) } else { None }
        }
        _ => None,
    }
}

/// Recognises a message of STUN by the magic cookie (RFC 8489, 5).
fn stun(bytes: &[u8], size: usize) -> Option<Sign> {
    const HEAD: usize = 20;
    let [kind, _, high, low, 0x21, 0x12, 0xa4, 0x42, ..] = bytes else { return None };
    let length = usize::from(*high) << 8 | usize::from(*low);
    let is_message = kind & 0xc0 == 0 && length.is_multiple_of(4) && size == HEAD + length;
    if is_message { Some(Sign::Stun) } else { None }
}
