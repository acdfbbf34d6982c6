//! Packet captures, read and written piece by piece: pcap and pcapng come in, pcapng goes out. What
//! is not understood stays as it is, byte for byte.

mod comment;
mod pcap;
mod pcapng;
mod segment;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

pub use comment::with_comments;
pub use segment::{Link, Segment};

/// Longest block or packet that is believed, bytes.
const MAX_BLOCK: usize = 64 << 20;

/// Reason why a capture cannot be read, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The system refuses.
    #[error("cannot read it")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not a packet capture: neither pcap nor pcapng")]
    NotACapture,
    /// It is compressed.
    #[error("it is compressed; decompress it first")]
    Compressed,
    /// It is of a kind of pcap whose packets have other headers.
    #[error(
        "a variant of pcap ({0:#010x}) that is not read; `editcap -F pcapng` turns it into one that is"
    )]
    Variant(u32),
    /// A block cannot be.
    #[error("the block at byte {offset} of the capture makes no sense: {reason}")]
    Block {
        /// Its place.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Checks early whether a file begins as a capture that is read, as
/// [`record::check_file`](crate::record::check_file) does for recordings.
///
/// # Errors
/// It does not.
pub fn check_file(file: &File) -> Result<(), CaptureError> {
    let mut begin = [0; 24];
    let Ok(length) = file.read_at(&mut begin, 0) else { return Ok(()) };
    Capture::new(&begin[..length])?;
    Ok(())
}

/// Order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Little-endian.
    Little,
    /// Big-endian.
    Big,
}

impl Order {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn of_u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn of_u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// Reads a number at this place; `None` beyond the end.
    fn u16_at(self, bytes: &[u8], at: usize) -> Option<u16> {
        Some(self.u16(bytes.get(at..at + 2)?.try_into().ok()?))
    }

    fn u32_at(self, bytes: &[u8], at: usize) -> Option<u32> {
        Some(self.u32(bytes.get(at..at + 4)?.try_into().ok()?))
    }
}

/// A packet, as its block has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its stamp, ns since 1970.
    pub ts_ns: u64,
    /// The kind of its first header.
    pub link: Link,
    /// Place of its bytes in the block.
    data: (usize, usize),
    /// Place of the block's options.
    options: usize,
    order: Order,
}

impl Packet {
    /// Returns its bytes as they were captured, which may be fewer than it had.
    pub fn bytes<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        block.get(self.data.0..self.data.1).unwrap_or_default()
    }

    /// Returns the segment of TCP that it is, if it is one.
    pub fn segment(&self, block: &[u8]) -> Option<Segment> {
        Segment::of(self.link, self.bytes(block))
    }
}

/// Reader of a capture. It returns blocks of pcapng, whatever it reads.
#[derive(Debug)]
pub struct Capture<R> {
    format: Format<R>,
    cut_short: Option<u64>,
}

#[derive(Debug)]
enum Format<R> {
    Pcap(pcap::Pcap<R>),
    Pcapng(pcapng::Pcapng<R>),
}

impl<R: Read> Capture<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// It is no capture, or none that is understood.
    pub fn new(input: R) -> Result<Self, CaptureError> {
        let mut input = Input { input, offset: 0 };
        let mut magic = [0; 4];
        if input.fill(&mut magic)? < 4 {
            return Err(CaptureError::NotACapture);
        }
        let format = match u32::from_le_bytes(magic) {
            pcapng::SECTION => Format::Pcapng(pcapng::Pcapng::new(input)),
            _ if magic[..2] == [0x1f, 0x8b] || magic == [0x28, 0xb5, 0x2f, 0xfd] => {
                return Err(CaptureError::Compressed);
            }
            _ => Format::Pcap(pcap::Pcap::new(input, magic)?),
        };
        Ok(Self { format, cut_short: None })
    }

    /// Puts the next block into `block`, and returns the packet that it has; `None` at the end.
    ///
    /// # Errors
    /// It makes no sense from here on.
    pub fn next(&mut self, block: &mut Vec<u8>) -> Result<Option<Option<Packet>>, CaptureError> {
        if self.cut_short.is_some() {
            return Ok(None);
        }
        let next = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(block)?,
            Format::Pcapng(pcapng) => pcapng.next(block)?,
        };
        match next {
            Next::Block(packet) => Ok(Some(packet)),
            Next::End => Ok(None),
            Next::CutShort(offset) => {
                self.cut_short = Some(offset);
                Ok(None)
            }
        }
    }

    /// Returns the place of the block in which the capture broke off, if it did.
    pub fn cut_short(&self) -> Option<u64> {
        self.cut_short
    }
}

/// What comes next.
enum Next {
    Block(Option<Packet>),
    End,
    /// The capture ends within the block at this place.
    CutShort(u64),
}

/// Bytes with their place.
#[derive(Debug)]
struct Input<R> {
    input: R,
    offset: u64,
}

impl<R: Read> Input<R> {
    /// Reads as many bytes as there is room for, or as there are; returns their number.
    fn fill(&mut self, mut room: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !room.is_empty() {
            match self.input.read(room) {
                Ok(0) => break,
                Ok(length) => {
                    filled += length;
                    room = &mut room[length..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }

    /// Appends so many bytes to a block; false if there are fewer. Room is made as they come: a
    /// length may be a lie.
    fn append(&mut self, block: &mut Vec<u8>, length: usize) -> io::Result<bool> {
        let before = block.len();
        let read = (&mut self.input).take(length as u64).read_to_end(block)?;
        self.offset += read as u64;
        Ok(block.len() == before + length)
    }
}
