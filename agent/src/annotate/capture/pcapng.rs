//! pcapng: blocks, of which those that hold packets and describe interfaces are looked into.
//! The format is that of draft-ietf-opsawg-pcapng.

use std::io::Read;

use super::{CaptureError, Input, Link, MAX_BLOCK, Next, Order, Packet};

/// Type of a section header, the same in both orders.
pub(super) const SECTION: u32 = 0x0a0d_0d0a;
/// Type of an interface description.
pub(super) const INTERFACE: u32 = 1;
/// Type of the older packet block.
const OLDER_PACKET: u32 = 2;
/// Type of an enhanced packet block.
pub(super) const PACKET: u32 = 6;
/// The number that tells the order of a section.
pub(super) const ORDER: u32 = 0x1a2b_3c4d;
/// Bytes of a block around its contents: type, length, and length again.
pub(super) const AROUND: usize = 12;
/// Bytes before the packet in a packet block: type, length, and five numbers.
pub(super) const BEFORE_PACKET: usize = 28;
/// Option with the unit of an interface's stamps.
pub(super) const IF_TSRESOL: u16 = 9;
/// Option with what is added to them, s.
const IF_TSOFFSET: u16 = 14;

/// Interfaces of a section that are believed.
const MAX_INTERFACES: usize = 65_536;

/// Unit of the stamps of an interface.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// Ten to the power of minus this, s.
    Ten(u8),
    /// Two to the power of minus this, s.
    Two(u8),
}

impl Unit {
    fn of(byte: u8) -> Self {
        if byte & 0x80 == 0 { Self::Ten(byte) } else { Self::Two(byte & 0x7f) }
    }

    /// Returns a stamp in ns.
    fn ns(self, stamp: u64) -> u64 {
        let stamp = u128::from(stamp);
        let ns = match self {
            Self::Ten(power @ 0..=9) => stamp.checked_mul(10_u128.pow(9 - u32::from(power))),
            Self::Ten(power) => match 10_u128.checked_pow(u32::from(power) - 9) {
                Some(divisor) => Some(stamp / divisor),
                None => Some(0),
            },
            Self::Two(power) => Some((stamp * 1_000_000_000) >> power),
        };
        ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(u64::MAX)
    }
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Link,
    unit: Unit,
    offset_s: i64,
}

#[derive(Debug)]
pub(super) struct Pcapng<R> {
    input: Input<R>,
    /// The type of the first block has been read.
    at_begin: bool,
    order: Order,
    interfaces: Vec<Interface>,
}

impl<R: Read> Pcapng<R> {
    pub(super) fn new(input: Input<R>) -> Self {
        Self { input, at_begin: true, order: Order::Little, interfaces: Vec::new() }
    }

    pub(super) fn next(&mut self, block: &mut Vec<u8>) -> Result<Next, CaptureError> {
        let offset = if self.at_begin { 0 } else { self.input.offset };
        let fault = |reason| CaptureError::Block { offset, reason };
        block.clear();
        if self.at_begin {
            block.extend(SECTION.to_le_bytes());
            self.at_begin = false;
        } else if !self.input.append(block, 4)? {
            return Ok(if block.is_empty() { Next::End } else { Next::CutShort(offset) });
        }
        let is_section = block[..] == SECTION.to_le_bytes();
        // The order of a section stands behind its length.
        let head = if is_section { 8 } else { 4 };
        if !self.input.append(block, head)? {
            return Ok(Next::CutShort(offset));
        }
        if is_section {
            self.order = match Order::Little.u32_at(block, 8) {
                Some(ORDER) => Order::Little,
                Some(number) if number == ORDER.swap_bytes() => Order::Big,
                _ => return Err(fault("it is of no order")),
            };
            self.interfaces.clear();
        }
        let length = self.order.u32_at(block, 4).unwrap_or(0) as usize;
        if length > MAX_BLOCK {
            return Err(fault("it is too long"));
        }
        if !length.is_multiple_of(4) || length < block.len() + 4 {
            return Err(fault("its length cannot be"));
        }
        if !self.input.append(block, length - block.len())? {
            return Ok(Next::CutShort(offset));
        }
        if self.order.u32_at(block, length - 4) != Some(length as u32) {
            return Err(fault("its two lengths differ"));
        }
        let kind = self.order.u32_at(block, 0).unwrap_or(0);
        match kind {
            INTERFACE => self.interface(block).ok_or_else(|| fault("an interface is cut"))?,
            PACKET | OLDER_PACKET => {
                let packet = self.packet(block, kind).ok_or_else(|| fault("a packet is cut"))?;
                return Ok(Next::Block(packet));
            }
            // Simple packets have no stamp, and no room for a comment.
            _ => {}
        }
        Ok(Next::Block(None))
    }

    fn interface(&mut self, block: &[u8]) -> Option<()> {
        let order = self.order;
        let link = Link(order.u16_at(block, 8)?);
        let mut interface = Interface { link, unit: Unit::Ten(6), offset_s: 0 };
        let options = block.get(16..block.len() - 4)?;
        for (code, value) in (Options { bytes: options, order }) {
            match (code, value) {
                (IF_TSRESOL, &[unit, ..]) => interface.unit = Unit::of(unit),
                (IF_TSOFFSET, value) => {
                    let bytes: [u8; 8] = value.get(..8)?.try_into().ok()?;
                    interface.offset_s = match order {
                        Order::Little => i64::from_le_bytes(bytes),
                        Order::Big => i64::from_be_bytes(bytes),
                    };
                }
                _ => {}
            }
        }
        if self.interfaces.len() < MAX_INTERFACES {
            self.interfaces.push(interface);
        }
        Some(())
    }

    /// Returns the packet of a block; `None` for a block that is cut, and nothing for one of an
    /// interface that is not described.
    fn packet(&self, block: &[u8], kind: u32) -> Option<Option<Packet>> {
        let order = self.order;
        let interface = match kind {
            OLDER_PACKET => order.u16_at(block, 8)?.into(),
            _ => order.u32_at(block, 8)?,
        };
        let stamp = u64::from(order.u32_at(block, 12)?) << 32 | u64::from(order.u32_at(block, 16)?);
        let captured = order.u32_at(block, 20)? as usize;
        let end = BEFORE_PACKET.checked_add(captured)?;
        let options = end.checked_next_multiple_of(4)?;
        if options > block.len() - 4 {
            return None;
        }
        let Some(interface) = self.interfaces.get(interface as usize) else { return Some(None) };
        let ts_ns = interface.unit.ns(stamp);
        let offset_ns = interface.offset_s.saturating_mul(1_000_000_000);
        Some(Some(Packet {
            ts_ns: ts_ns.saturating_add_signed(offset_ns),
            link: interface.link,
            data: (BEFORE_PACKET, end),
            options,
            order,
        }))
    }
}

/// The options of a block. Those behind one that is cut are left out.
struct Options<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.u16_at(self.bytes, 0)?;
        let length = usize::from(self.order.u16_at(self.bytes, 2)?);
        let value = self.bytes.get(4..4 + length)?;
        self.bytes = self.bytes.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        if code == 0 { None } else { Some((code, value)) }
    }
}
