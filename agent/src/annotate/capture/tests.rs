//! Captures of each form, read and written again.

use std::net::SocketAddr;

use super::{Capture, CaptureError, Link, Order, Segment, with_comments};

/// A packet of TCP between two addresses, behind a header of this kind.
pub(crate) fn packet(link: Link, from: &str, to: &str, flags: u8, data: usize) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let mut tcp = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(std::iter::repeat_n(b'x', data));
    let (mut ip, kind) = match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            let mut ip = vec![0x45, 0];
            ip.extend((20 + tcp.len() as u16).to_be_bytes());
            ip.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
            ip.extend(from.ip().octets());
            ip.extend(to.ip().octets());
            (ip, 0x0800_u16)
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend((tcp.len() as u16).to_be_bytes());
            ip.extend([6, 64]);
            ip.extend(from.ip().octets());
            ip.extend(to.ip().octets());
            (ip, 0x86dd)
        }
        _ => panic!("of two families"),
    };
    ip.extend(tcp);
    let mut packet = match link.0 {
        0 | 108 => vec![2, 0, 0, 0],
        1 => [&[0; 12][..], &kind.to_be_bytes()].concat(),
        113 => [&[0; 14][..], &kind.to_be_bytes()].concat(),
        276 => [&kind.to_be_bytes()[..], &[0; 18]].concat(),
        _ => Vec::new(),
    };
    packet.extend(ip);
    packet
}

/// A file of pcap with packets at these moments, ns since 1970.
pub(crate) fn pcap(
    order: Order,
    nanoseconds: bool,
    link: Link,
    packets: &[(u64, Vec<u8>)],
) -> Vec<u8> {
    let magic: u32 = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut file = order.of_u32(magic).to_vec();
    file.extend([order.of_u16(2), order.of_u16(4)].concat());
    for number in [0, 0, 262_144, u32::from(link.0)] {
        file.extend(order.of_u32(number));
    }
    for (ts_ns, packet) in packets {
        let fraction = (ts_ns % 1_000_000_000) as u32;
        let fraction = if nanoseconds { fraction } else { fraction / 1_000 };
        let length = packet.len() as u32;
        for number in [(ts_ns / 1_000_000_000) as u32, fraction, length, length] {
            file.extend(order.of_u32(number));
        }
        file.extend(packet);
    }
    file
}

fn block(order: Order, kind: u32, contents: &[u8]) -> Vec<u8> {
    let padded = contents.len().next_multiple_of(4);
    let total = order.of_u32((padded + 12) as u32);
    let mut block = [order.of_u32(kind), total].concat();
    block.extend(contents);
    block.resize(8 + padded, 0);
    block.extend(total);
    block
}

/// A file of pcapng with blocks that are not understood, packets with options and without, and two
/// sections.
pub(crate) fn pcapng(order: Order, packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for _ in 0..2 {
        let section = [&order.of_u32(0x1a2b_3c4d)[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        file.extend(block(order, 0x0a0d_0d0a, &section));
        let resolution = [&order.of_u16(9)[..], &order.of_u16(1), &[9, 0, 0, 0], &[0; 4]].concat();
        let interface = [&order.of_u16(1)[..], &[0, 0], &[0; 4], &resolution].concat();
        file.extend(block(order, 1, &interface));
        file.extend(block(order, 0x0bad_cafe, b"nobody knows this one"));
        for (number, (ts_ns, packet)) in packets.iter().enumerate() {
            let length = order.of_u32(packet.len() as u32);
            let mut contents = order.of_u32(0).to_vec();
            contents.extend(order.of_u32((ts_ns >> 32) as u32));
            contents.extend(order.of_u32(*ts_ns as u32));
            contents.extend([length, length].concat());
            contents.extend(packet);
            contents.resize(contents.len().next_multiple_of(4), 0);
            if number % 2 == 1 {
                // Flags, and an option of nobody's.
                contents.extend([&order.of_u16(2)[..], &order.of_u16(4), &[1, 2, 3, 4]].concat());
                contents.extend([&order.of_u16(2_988)[..], &order.of_u16(3), b"abc\0"].concat());
                contents.extend([0; 4]);
            }
            file.extend(block(order, 6, &contents));
        }
        file.extend(block(order, 3, &[&order.of_u32(8)[..], b"8 bytes."].concat()));
    }
    file
}

/// A packet as it is read: its stamp, its bytes, and its comments and other options.
type Read = (u64, Vec<u8>, Vec<(u16, Vec<u8>)>);

/// Reads a file; returns its packets, and what it is as pcapng.
fn read(file: &[u8]) -> (Vec<Read>, Vec<u8>) {
    let mut capture = Capture::new(file).expect("a capture");
    let (mut packets, mut copy, mut block) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(packet) = capture.next(&mut block).expect("a block") {
        copy.extend(&block);
        if let Some(packet) = packet {
            let mut options = Vec::new();
            let mut rest = &block[packet.options..block.len() - 4];
            while let Some(code) = packet.order.u16_at(rest, 0).filter(|code| *code != 0) {
                let length = usize::from(packet.order.u16_at(rest, 2).expect("a length"));
                options.push((code, rest[4..4 + length].to_vec()));
                rest = &rest[4 + length.next_multiple_of(4)..];
            }
            packets.push((packet.ts_ns, packet.bytes(&block).to_vec(), options));
        }
    }
    assert_eq!(capture.cut_short(), None);
    (packets, copy)
}

fn some_packets() -> Vec<(u64, Vec<u8>)> {
    let (a, b) = ("10.0.0.1:80", "10.0.0.2:4000");
    let at = 1_700_000_000_123_456_000_u64;
    (0..5).map(|n| (at + n * 1_001_000, packet(Link(1), a, b, 0x10, n as usize))).collect()
}

#[test]
fn every_form_of_pcap_is_read() {
    let packets = some_packets();
    for order in [Order::Little, Order::Big] {
        for nanoseconds in [false, true] {
            let (found, copy) = read(&pcap(order, nanoseconds, Link(1), &packets));
            let expected: Vec<Read> =
                packets.iter().map(|(ts, bytes)| (*ts, bytes.clone(), Vec::new())).collect();
            assert_eq!(found, expected, "{order:?} {nanoseconds}");
            // What it becomes is pcapng with the same packets.
            assert_eq!(read(&copy).0, expected);
        }
    }
}

#[test]
fn what_is_not_understood_stays_as_it_is() {
    for order in [Order::Little, Order::Big] {
        let file = pcapng(order, &some_packets());
        let (packets, copy) = read(&file);
        assert_eq!(copy, file);
        assert_eq!(packets.len(), 10);
        assert_eq!(packets[6].0, some_packets()[1].0);
    }
}

#[test]
fn a_comment_changes_nothing_else() {
    for order in [Order::Little, Order::Big] {
        let file = pcapng(order, &some_packets());
        let (before, _) = read(&file);
        let mut capture = Capture::new(file.as_slice()).expect("a capture");
        let (mut block, mut out, mut copy) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(packet) = capture.next(&mut block).expect("a block") {
            match packet {
                Some(packet) => {
                    with_comments(&block, &packet, ["held 43 µs", "and"], &mut out);
                    copy.extend(&out);
                }
                None => copy.extend(&block),
            }
        }
        let (after, same) = read(&copy);
        assert_eq!(same, copy, "it is well-formed");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((before.0, &before.1), (after.0, &after.1));
            let comments = [(1, "held 43 µs".as_bytes().to_vec()), (1, b"and".to_vec())];
            assert_eq!(after.2[..2], comments);
            assert_eq!(after.2[2..], before.2, "the options that it had");
        }
        assert_eq!(before.len(), after.len());
    }
}

#[test]
fn a_long_comment_is_cut_between_characters() {
    let file = pcapng(Order::Little, &some_packets()[..1]);
    let mut capture = Capture::new(file.as_slice()).expect("a capture");
    let (mut block, mut out) = (Vec::new(), Vec::new());
    let packet = loop {
        if let Some(packet) = capture.next(&mut block).expect("a block").expect("a packet") {
            break packet;
        }
    };
    with_comments(&block, &packet, ["µ".repeat(40_000)], &mut out);
    let section = &file[..28 + 32];
    let (packets, _) = read(&[section, &out].concat());
    assert_eq!(packets[0].2[0].1.len(), 65_534);
    assert!(std::str::from_utf8(&packets[0].2[0].1).is_ok());
}

#[test]
fn segments_are_found_behind_every_kind_of_header() {
    let ends = [("10.0.0.1:80", "10.0.0.2:4000"), ("[fd00::1]:80", "[fd00::2]:4000")];
    for link in [0, 1, 12, 101, 108, 113, 228, 229, 276] {
        for (from, to) in ends {
            let whole = packet(Link(link), from, to, 0x10, 100);
            // However little of it was captured, up to the end of its header.
            for captured in [whole.len(), whole.len() - 60, whole.len() - 100] {
                let segment = Segment::of(Link(link), &whole[..captured]).expect("a segment");
                let expected = Segment {
                    source: from.parse().unwrap(),
                    destination: to.parse().unwrap(),
                    has_data: true,
                    is_first: false,
                };
                assert_eq!(segment, expected, "{link} {captured}");
            }
            let syn = Segment::of(Link(link), &packet(Link(link), from, to, 2, 0)).expect("a SYN");
            assert!(syn.is_first && !syn.has_data, "{link}");
            for captured in 0..whole.len() - 101 {
                assert_eq!(Segment::of(Link(link), &whole[..captured]), None, "{link} {captured}");
            }
        }
    }
    let mapped = packet(Link(1), "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.2]:4000", 0x10, 1);
    let segment = Segment::of(Link(1), &mapped).expect("a segment");
    assert_eq!(segment.source, "10.0.0.1:80".parse().unwrap());
    // With a tag of a VLAN.
    let plain = packet(Link(1), ends[0].0, ends[0].1, 0x10, 1);
    let tagged = [&plain[..12], &[0x81, 0, 0, 7], &plain[12..]].concat();
    assert!(Segment::of(Link(1), &tagged).is_some());
}

#[test]
fn what_is_no_capture_is_told() {
    let refused = |bytes: &[u8]| Capture::new(bytes).err().map(|error| error.to_string());
    assert!(refused(b"").is_some_and(|told| told.contains("not a packet capture")));
    assert!(refused(b"GIF89a..").is_some_and(|told| told.contains("not a packet capture")));
    assert!(refused(&[0x1f, 0x8b, 8, 0]).is_some_and(|told| told.contains("decompress")));
    assert!(refused(&0xa1b2_cd34_u32.to_le_bytes()).is_some_and(|told| told.contains("editcap")));
}

#[test]
fn a_capture_that_breaks_off_anywhere_is_read_up_to_there() {
    let files =
        [pcap(Order::Little, true, Link(1), &some_packets()), pcapng(Order::Big, &some_packets())];
    for file in files {
        let mut seen = 0;
        for cut in 0..file.len() {
            let Ok(mut capture) = Capture::new(&file[..cut]) else { continue };
            let (mut block, mut packets, mut length) = (Vec::new(), 0, 0);
            loop {
                match capture.next(&mut block) {
                    Ok(Some(packet)) => {
                        packets += usize::from(packet.is_some());
                        length += block.len();
                    }
                    Ok(None) => break,
                    Err(error) => panic!("{cut}: {error}"),
                }
            }
            seen = seen.max(packets);
            assert!(length > 0 || packets == 0);
        }
        assert!(seen >= 4);
    }
}

#[test]
fn lengths_that_cannot_be_are_told() {
    let file = pcapng(Order::Little, &some_packets());
    for (place, value) in [(28 + 4, 13_u32), (28 + 4, 4), (28 + 4, u32::MAX), (60 + 4, 8)] {
        let mut broken = file.clone();
        broken[place..place + 4].copy_from_slice(&value.to_le_bytes());
        let mut capture = Capture::new(broken.as_slice()).expect("a section");
        let mut block = Vec::new();
        let error = loop {
            match capture.next(&mut block) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{place} {value}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, CaptureError::Block { .. }), "{error}");
    }
}
