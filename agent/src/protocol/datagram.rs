//! Protocols over UDP, each by one datagram.

use crate::model::event::Sign;

/// A datagram, or as much of its beginning as is there; `size` is how long it is.
pub(super) fn read(bytes: &[u8], size: usize) -> Option<Sign> {
    quic(bytes, size).or_else(|| dtls(bytes)).or_else(|| stun(bytes, size))
}

/// Takes a number off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn skip(bytes: &mut &[u8], count: usize) -> Option<()> {
    *bytes = bytes.get(count..)?;
    Some(())
}

/// An integer of variable length (RFC 9000, 16).
fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let [first] = take::<1>(bytes)?;
    let mut value = usize::from(first & 0x3f);
    for _ in 1..1 << (first >> 6) {
        let [next] = take::<1>(bytes)?;
        value = value.checked_mul(256)? + usize::from(next);
    }
    Some(value)
}

/// Versions 1 and 2: others have other packets behind the same beginning (RFC 8999).
const QUIC_1: u32 = 1;
const QUIC_2: u32 = 0x6b33_43cf;
/// A datagram with a client's first packet is no smaller (RFC 9000, 14.1).
const LEAST_INITIAL: usize = 1_200;

#[derive(Clone, Copy, PartialEq)]
enum Packet {
    Initial,
    EarlyData,
    Other,
}

/// Packets with long headers may come together in a datagram (RFC 9000, 12.2).
fn quic(mut bytes: &[u8], size: usize) -> Option<Sign> {
    let (version, first) = quic_packet(&mut bytes)?;
    // An Initial is what a connection begins with; early data may come in a datagram of their own.
    if first == Packet::Other || first == Packet::Initial && size < LEAST_INITIAL {
        return None;
    }
    let mut early_data = first == Packet::EarlyData;
    while let Some((_, packet)) = quic_packet(&mut bytes) {
        early_data |= packet == Packet::EarlyData;
    }
    Some(Sign::Quic { version: if version == QUIC_1 { 1 } else { 2 }, early_data })
}

/// Takes one packet off, as far as it is there.
fn quic_packet(bytes: &mut &[u8]) -> Option<(u32, Packet)> {
    const LONG_AND_FIXED: u8 = 0xc0;
    const LONGEST_ID: usize = 20;
    let [first] = take::<1>(bytes)?;
    let version = u32::from_be_bytes(take(bytes)?);
    if first & LONG_AND_FIXED != LONG_AND_FIXED || version != QUIC_1 && version != QUIC_2 {
        return None;
    }
    for _ in 0..2 {
        let [length] = take::<1>(bytes)?;
        let length = usize::from(length);
        (length <= LONGEST_ID).then_some(())?;
        skip(bytes, length)?;
    }
    // Version 2 counts the types from another one on (RFC 9369, 3.2).
    let kind = ((first >> 4 & 3) + if version == QUIC_2 { 3 } else { 0 }) & 3;
    let packet = match kind {
        0 => Packet::Initial,
        1 => Packet::EarlyData,
        _ => Packet::Other,
    };
    if packet == Packet::Initial {
        let token = varint(bytes)?;
        skip(bytes, token)?;
    }
    let length = varint(bytes)?;
    *bytes = bytes.get(length..).unwrap_or_default();
    Some((version, packet))
}

/// A hello of DTLS, which begins a connection (RFC 6347, 4.1 and RFC 9147, 4).
fn dtls(bytes: &[u8]) -> Option<Sign> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    match bytes {
        // Epoch 0, whatever number of the record, its length, and the message with its length, number and place.
        [HANDSHAKE, 0xfe, 0xfd | 0xff, 0, 0, _, _, _, _, _, _, high, low, CLIENT_HELLO, rest @ ..] => {
            let record = usize::from(*high) << 8 | usize::from(*low);
            let [_, _, _, _, _, _, _, _, _, piece_high, piece_low, ..] = rest else { return None };
            let piece = usize::from(*piece_high) << 8 | usize::from(*piece_low);
            (record == piece + 12).then_some(Sign::Dtls)
        }
        _ => None,
    }
}

/// A message with the magic cookie (RFC 8489, 5).
fn stun(bytes: &[u8], size: usize) -> Option<Sign> {
    const HEAD: usize = 20;
    let [kind, _, high, low, 0x21, 0x12, 0xa4, 0x42, ..] = bytes else { return None };
    let length = usize::from(*high) << 8 | usize::from(*low);
    (kind & 0xc0 == 0 && length.is_multiple_of(4) && size == HEAD + length).then_some(Sign::Stun)
}
