//! Comments on packets.

use super::Packet;

/// Option that is a comment; there may be several.
const OPT_COMMENT: u16 = 1;
/// Longest comment, bytes.
const MAX_COMMENT: usize = 65_535;

/// Writes the block of a packet with comments before the options that it has.
pub fn with_comments(
    block: &[u8],
    packet: &Packet,
    comments: impl IntoIterator<Item = impl AsRef<str>>,
    out: &mut Vec<u8>,
) {
    let (order, end) = (packet.order, block.len().saturating_sub(4));
    out.clear();
    out.extend(&block[..packet.options.min(end)]);
    for comment in comments {
        let text = comment.as_ref();
        let mut length = text.len().min(MAX_COMMENT);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        out.extend(order.of_u16(OPT_COMMENT));
        out.extend(order.of_u16(length as u16));
        out.extend(&text.as_bytes()[..length]);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    let options = &block[packet.options.min(end)..end];
    if options.is_empty() {
        // The end of the options.
        out.extend([0; 4]);
    } else {
        out.extend(options);
    }
    let total = (out.len() + 4) as u32;
    out[4..8].copy_from_slice(&order.of_u32(total));
    out.extend(order.of_u32(total));
}
