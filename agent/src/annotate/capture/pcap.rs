//! pcap, whose packets are turned into blocks of pcapng.

use std::io::Read;

use super::{
    CaptureError, Input, Link, MAX_BLOCK, Next, Order, Packet,
    pcapng::{AROUND, BEFORE_PACKET, IF_TSRESOL, INTERFACE, ORDER, PACKET, SECTION},
};

/// Begins a file whose stamps are in µs.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
/// Begins a file whose stamps are in ns.
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Others that begin a file: their packets have longer headers.
const VARIANTS: [u32; 2] = [0xa1b2_cd34, 0xa1e2_cb12];
/// Bytes of the file's header behind its first number.
const HEADER: usize = 20;
/// Bytes of a packet's header.
const PACKET_HEADER: usize = 16;

#[derive(Debug)]
pub(super) struct Pcap<R> {
    input: Input<R>,
    order: Order,
    /// The fraction of a second is in so many ns.
    unit_ns: u32,
    link: Link,
    /// Longest packet; 0 for no limit.
    snaplen: u32,
    /// The section's header and the interface have been returned.
    has_begun: bool,
    packet: Vec<u8>,
}

impl<R: Read> Pcap<R> {
    pub(super) fn new(mut input: Input<R>, magic: [u8; 4]) -> Result<Self, CaptureError> {
        let (order, unit_ns) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (MICROSECONDS, _) => (Order::Little, 1_000),
            (_, MICROSECONDS) => (Order::Big, 1_000),
            (NANOSECONDS, _) => (Order::Little, 1),
            (_, NANOSECONDS) => (Order::Big, 1),
            (little, big) => {
                let variant = [little, big].into_iter().find(|magic| VARIANTS.contains(magic));
                return Err(variant.map_or(CaptureError::NotACapture, CaptureError::Variant));
            }
        };
        let mut header = [0; HEADER];
        if input.fill(&mut header)? < HEADER {
            let reason = "the file ends within its header";
            return Err(CaptureError::Block { offset: 0, reason });
        }
        let snaplen = order.u32_at(&header, 12).unwrap_or(0);
        // Above it is the length of a frame's checksum.
        let link = Link(order.u32_at(&header, 16).unwrap_or(0) as u16);
        let (has_begun, packet) = (false, Vec::new());
        Ok(Self { input, order, unit_ns, link, snaplen, has_begun, packet })
    }

    pub(super) fn next(&mut self, block: &mut Vec<u8>) -> Result<Next, CaptureError> {
        block.clear();
        if !self.has_begun {
            self.has_begun = true;
            self.begin(block);
            return Ok(Next::Block(None));
        }
        let offset = self.input.offset;
        let mut header = [0; PACKET_HEADER];
        match self.input.fill(&mut header)? {
            PACKET_HEADER => {}
            0 => return Ok(Next::End),
            _ => return Ok(Next::CutShort(offset)),
        }
        let [seconds, fraction, captured, length] =
            [0, 4, 8, 12].map(|at| self.order.u32_at(&header, at).unwrap_or(0));
        if captured as usize > MAX_BLOCK {
            return Err(CaptureError::Block { offset, reason: "the packet is too long" });
        }
        let mut packet = std::mem::take(&mut self.packet);
        packet.clear();
        let is_whole = self.input.append(&mut packet, captured as usize)?;
        let next = if is_whole {
            let stamp =
                u64::from(seconds) * u64::from(1_000_000_000 / self.unit_ns) + u64::from(fraction);
            self.block(block, stamp, &packet, length)
        } else {
            Next::CutShort(offset)
        };
        self.packet = packet;
        Ok(next)
    }

    /// Writes the header of a section, and its only interface.
    fn begin(&self, block: &mut Vec<u8>) {
        let section: [&[u8]; 6] = [
            &SECTION.to_le_bytes(),
            &28_u32.to_le_bytes(),
            &ORDER.to_le_bytes(),
            // Version 1.0, and of unknown length.
            &[1, 0, 0, 0],
            &[0xff; 8],
            &28_u32.to_le_bytes(),
        ];
        let unit = if self.unit_ns == 1 { 9 } else { 6 };
        let interface: [&[u8]; 8] = [
            &INTERFACE.to_le_bytes(),
            &32_u32.to_le_bytes(),
            &self.link.0.to_le_bytes(),
            &[0, 0],
            &self.snaplen.to_le_bytes(),
            &IF_TSRESOL.to_le_bytes(),
            // Its length, its value, and the end of the options.
            &[1, 0, unit, 0, 0, 0, 0, 0, 0, 0],
            &32_u32.to_le_bytes(),
        ];
        for part in section.into_iter().chain(interface) {
            block.extend(part);
        }
    }

    fn block(&self, block: &mut Vec<u8>, stamp: u64, packet: &[u8], length: u32) -> Next {
        let padded = packet.len().next_multiple_of(4);
        let total = (AROUND + 20 + padded) as u32;
        let captured = packet.len() as u32;
        let numbers = [PACKET, total, 0, (stamp >> 32) as u32, stamp as u32, captured, length];
        for number in numbers {
            block.extend(number.to_le_bytes());
        }
        block.extend(packet);
        block.resize(BEFORE_PACKET + padded, 0);
        block.extend(total.to_le_bytes());
        Next::Block(Some(Packet {
            ts_ns: stamp.saturating_mul(self.unit_ns.into()),
            link: self.link,
            data: (BEFORE_PACKET, BEFORE_PACKET + packet.len()),
            options: BEFORE_PACKET + padded,
            order: Order::Little,
        }))
    }
}
