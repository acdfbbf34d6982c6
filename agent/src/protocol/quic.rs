//! Packets of QUIC in a datagram, as far as they are not encrypted: their kinds, the version, the
//! ids of the connection.

use crate::model::event::QuicPackets;

/// Versions 1 and 2: others have other packets behind the same beginning (RFC 8999).
const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;
const LONGEST_ID: usize = 20;
/// Set in the first byte of a long header. The next bit is set, too, unless both ends agreed not to
/// rely on that (RFC 9287).
const LONG: u8 = 0x80;

#[derive(Clone, Copy)]
enum Kind {
    Initial,
    EarlyData,
    Handshake,
    Retry,
}

/// Reads the packets that these bytes begin with: of a datagram, or of several in a row that one
/// call moved. `None` if it is no QUIC. A packet with a short header says so little that it may be
/// anything: behind others it is one.
pub(super) fn packets(mut bytes: &[u8]) -> Option<QuicPackets> {
    let first = *bytes.first()?;
    let mut packets = QuicPackets::default();
    if first & LONG == 0 {
        packets.destination = bytes[1..].iter().copied().take(LONGEST_ID).collect();
        return Some(QuicPackets { short: true, ..packets });
    }
    while let Some((version, kind, ids)) = long(&mut bytes) {
        if packets.version.is_none() {
            packets.version = Some(if version == VERSION_1 { 1 } else { 2 });
            let [destination, source] = ids;
            (packets.destination, packets.source) = (destination.to_vec(), source.to_vec());
        }
        match kind {
            Kind::Initial => packets.initial = true,
            Kind::EarlyData => packets.early_data = true,
            Kind::Handshake => packets.handshake = true,
            // It has no length: it is the whole datagram.
            Kind::Retry => {
                packets.retry = true;
                break;
            }
        }
    }
    packets.version?;
    // A datagram may be filled up with zeros.
    packets.short = matches!(bytes.first(), Some(&first) if first & LONG == 0 && first != 0);
    Some(packets)
}

/// Takes a number off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn skip<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// Takes an integer of variable length off the front (RFC 9000, 16).
fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let [first] = take::<1>(bytes)?;
    let mut value = usize::from(first & 0x3f);
    for _ in 1..1 << (first >> 6) {
        let [next] = take::<1>(bytes)?;
        value = value.checked_mul(256)? + usize::from(next);
    }
    Some(value)
}

fn id<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [length] = take::<1>(bytes)?;
    let length = usize::from(length);
    if length > LONGEST_ID {
        return None;
    }
    skip(bytes, length)
}

/// Takes one packet with a long header off, as far as it is there (RFC 9000, 17.2): its version,
/// kind, destination and source. Takes nothing if there is none.
fn long<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Kind, [&'a [u8]; 2])> {
    let mut rest = *bytes;
    let [first] = take::<1>(&mut rest)?;
    let version = u32::from_be_bytes(take(&mut rest)?);
    if first & LONG == 0 || version != VERSION_1 && version != VERSION_2 {
        return None;
    }
    let ids = [id(&mut rest)?, id(&mut rest)?];
    // Version 2 counts the types from another one on (RFC 9369, 3.2).
    let kind = match ((first >> 4 & 3) + if version == VERSION_2 { 3 } else { 0 }) & 3 {
        0 => Kind::Initial,
        1 => Kind::EarlyData,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    };
    if let Kind::Retry = kind {
        *bytes = &[];
        return Some((version, kind, ids));
    }
    if let Kind::Initial = kind {
        let token = varint(&mut rest)?;
        skip(&mut rest, token)?;
    }
    let length = varint(&mut rest)?;
    *bytes = rest.get(length..).unwrap_or_default();
    Some((version, kind, ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with a long header; a token for an Initial.
    fn packet(kind: u8, version: u32, body: usize) -> Vec<u8> {
        let mut packet = vec![0xc0 | kind << 4];
        packet.extend(version.to_be_bytes());
        packet.extend([2, 7, 8, 1, 9]);
        if kind == if version == VERSION_1 { 0 } else { 1 } {
            packet.extend([3, 1, 2, 3]);
        }
        packet.extend([0x40 | (body >> 8) as u8, body as u8]);
        packet.extend(vec![0xff; body]);
        packet
    }

    #[test]
    fn packets_that_came_together_are_told() {
        let server =
            [packet(0, VERSION_1, 120), packet(2, VERSION_1, 700), vec![0x41; 40]].concat();
        let told = packets(&server).unwrap();
        assert_eq!(
            (told.initial, told.handshake, told.short, told.early_data),
            (true, true, true, false)
        );
        assert_eq!(
            (told.version, &told.destination[..], &told.source[..]),
            (Some(1), &[7, 8][..], &[9][..])
        );
        // Version 2 has other numbers for the same kinds.
        let client = [packet(1, VERSION_2, 1_000), packet(2, VERSION_2, 100)].concat();
        let told = packets(&client).unwrap();
        assert_eq!(
            (told.version, told.initial, told.early_data, told.handshake),
            (Some(2), true, true, false)
        );
        let greased = [packet(0, VERSION_1, 120), vec![0x01; 40]].concat();
        let told = packets(&[&[greased[0] & !0x40], &greased[1..]].concat()).unwrap();
        assert!(told.initial && told.short, "without the bit that is fixed");
        assert!(
            packets(&[packet(0, VERSION_1, 120), vec![0; 40]].concat())
                .is_some_and(|told| !told.short)
        );
        let retry = packets(&packet(3, VERSION_1, 40)).unwrap();
        assert!(retry.retry && !retry.initial && !retry.short);
    }

    #[test]
    fn what_is_cut_off_is_told_as_far_as_it_goes() {
        let whole = [packet(0, VERSION_1, 120), packet(2, VERSION_1, 700)].concat();
        assert!(
            packets(&whole[..200])
                .is_some_and(|told| told.initial && told.handshake && !told.short)
        );
        assert!(packets(&whole[..140]).is_some_and(|told| told.initial && !told.handshake));
        assert_eq!(packets(&whole[..8]), None);
        assert!(packets(&[0x41; 30]).is_some_and(|told| told.short && told.version.is_none()));
        for nothing in [&[][..], &[0x80; 40], &[0xc0, 0, 0, 0, 9, 1, 1, 1, 1, 0]] {
            assert_eq!(packets(nothing), None, "{nothing:x?}");
        }
    }
}
