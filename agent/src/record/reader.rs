//! Reads recordings, damaged ones too.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use super::{
    chunks::{Chunk, Chunks, Found},
    encoder::unpack,
    format::{HEADER_COPIES, Header, Kind, MAGIC, PREAMBLE, RecordEntry, Totals, VERSION},
    older::{self, OLDER},
    resume::Resumption,
};
use crate::model::event::Event;

/// Damages that are kept one by one; further ones are counted.
pub const MAX_DAMAGES: usize = 100;

/// Reason why nothing of a file can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refuses.
    #[error("cannot read it")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not a backscope recording")]
    NotARecording,
    /// It is of a version of the format that cannot be read.
    #[error(
        "a recording of format version {version}, which {age} backscope wrote; this one reads \
         versions {OLDER} and {VERSION}",
        version = .0,
        age = if *.0 > VERSION { "a newer" } else { "an older" }
    )]
    Version(u16),
    /// It ends before its header does, or all copies of the header are damaged.
    #[error("the header cannot be read: {0}")]
    NoHeader(Damage),
}

/// Kind of damage to a part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// The file ends within a chunk.
    #[error("cut short")]
    CutShort,
    /// The file ends behind a chunk, but without an end mark.
    #[error("the end is missing: the recorder was killed, or the file was cut")]
    NoEnd,
    /// A checksum is wrong.
    #[error("the checksum is wrong")]
    Checksum,
    /// A length cannot be.
    #[error("the length is wrong")]
    Length,
    /// Something else stands where a chunk should.
    #[error("no chunk begins here")]
    NoChunk,
    /// The contents mean nothing, though the checksum is right.
    #[error("the contents make no sense")]
    Contents,
    /// So many chunks are missing.
    #[error("{0} chunks are missing before it")]
    Missing(u32),
    /// A chunk came before.
    #[error("out of order")]
    Order,
    /// Something follows the end mark.
    #[error("data follows the end")]
    AfterEnd,
}

/// A part of a recording that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Number of the chunk, from 0.
    pub chunk: u32,
    /// Place in the file at which it begins.
    pub offset: u64,
    /// Bytes of the file that are left out; 0 if everything that is there can be read.
    pub skipped: u64,
    /// Kind of the damage.
    pub kind: DamageKind,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {} at byte {}: {}", self.chunk, self.offset, self.kind)?;
        if self.skipped > 0 { write!(f, "; {} bytes left out", self.skipped) } else { Ok(()) }
    }
}

/// Reads one recording, entry by entry. Memory is bounded by the greatest chunk that is believed.
#[derive(Debug)]
pub struct Reader<R> {
    chunks: Chunks<R>,
    version: u16,
    header: Header,
    /// The number that the next chunk should have.
    expected: u32,
    /// The open chunk: its place in the file, its contents, and the place within them.
    offset: u64,
    contents: Vec<u8>,
    at: usize,
    damages: Damages,
    totals: Option<Totals>,
    /// The beginning, if that is not the watch's.
    resumption: Option<Box<Resumption>>,
    ended: bool,
}

/// The first damages, and how many there are.
#[derive(Debug, Default)]
struct Damages {
    first: Vec<Damage>,
    count: u64,
}

impl Damages {
    fn note(&mut self, chunk: u32, offset: u64, skipped: u64, kind: DamageKind) {
        self.count += 1;
        if self.first.len() < MAX_DAMAGES {
            self.first.push(Damage { chunk, offset, skipped, kind });
        }
    }
}

impl Reader<File> {
    /// Opens a recording.
    ///
    /// # Errors
    /// Nothing of it can be read.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::new(File::open(path)?)
    }
}

/// Checks early whether a file begins as a recording that can be read: whoever creates another file
/// next would otherwise leave it empty. The place in the file stays. What cannot be read twice (a
/// pipe) is not checked.
///
/// # Errors
/// It does not begin so.
pub fn check_file(file: &File) -> Result<(), ReadError> {
    let mut preamble = [0; PREAMBLE];
    let Ok(length) = file.read_at(&mut preamble, 0) else { return Ok(()) };
    read_preamble(&preamble[..length])?;
    Ok(())
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// Nothing can be read.
    pub fn new(input: R) -> Result<Self, ReadError> {
        let mut chunks = Chunks::new(input);
        let version = read_preamble(&chunks.take(PREAMBLE)?)?;
        let mut damages = Damages::default();
        let (header, expected) = read_header(&mut chunks, &mut damages)?;
        let (offset, contents, at) = (0, Vec::new(), 0);
        Ok(Self {
            chunks,
            version,
            header,
            expected,
            offset,
            contents,
            at,
            damages,
            totals: None,
            resumption: None,
            ended: false,
        })
    }

    /// The recording's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The damages found so far, [`MAX_DAMAGES`] at most.
    pub fn damages(&self) -> &[Damage] {
        &self.damages.first
    }

    /// Number of damages in all.
    pub fn damage_count(&self) -> u64 {
        self.damages.count
    }

    /// Contents of the end mark; `None` before it was read, or if there is none.
    pub fn totals(&self) -> Option<Totals> {
        self.totals
    }

    /// Returns the next entry that can be read; `None` at the end.
    ///
    /// # Errors
    /// The system refuses to read on.
    pub fn next_entry(&mut self) -> io::Result<Option<RecordEntry>> {
        loop {
            let rest = &self.contents[self.at..];
            if !rest.is_empty() {
                match read_entry(self.version, rest) {
                    Ok((entry, beyond)) => {
                        self.at = self.contents.len() - beyond.len();
                        return Ok(Some(self.resumed(entry)));
                    }
                    Err(_) => {
                        self.damages.note(
                            self.expected.saturating_sub(1),
                            self.offset,
                            rest.len() as u64,
                            DamageKind::Contents,
                        );
                        self.at = self.contents.len();
                    }
                }
            }
            if self.ended {
                return Ok(None);
            }
            self.next_chunk()?;
        }
    }

    /// Makes an entry that of a watch which began with the recording.
    fn resumed(&mut self, mut entry: RecordEntry) -> RecordEntry {
        match (&mut entry, &self.resumption) {
            (RecordEntry::Resumed(resumption), _) => self.resumption = Some(resumption.clone()),
            (RecordEntry::Event(Event::Sample(sample)), Some(resumption)) => {
                resumption.rebase(sample);
            }
            (RecordEntry::Notices(notices), Some(resumption)) => notices.push(resumption.notice()),
            _ => {}
        }
        entry
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let before = self.chunks.offset();
        match self.chunks.next()? {
            None => {
                self.ended = true;
                self.damages.note(self.expected, before, 0, DamageKind::NoEnd);
            }
            Some(Found::Damage { offset, bytes, kind }) => {
                self.damages.note(self.expected, offset, bytes, kind);
                if self.chunks.at_end()? {
                    self.ended = true;
                    return Ok(());
                }
                // The damage is noted: the next chunk's number is right from here on, whatever it
                // is.
                if let Some(Found::Chunk(chunk)) = self.chunks.next()? {
                    self.expected = self.expected.max(chunk.number);
                    self.take_chunk(chunk)?;
                }
            }
            Some(Found::Chunk(chunk)) => self.take_chunk(chunk)?,
        }
        Ok(())
    }

    fn take_chunk(&mut self, chunk: Chunk) -> io::Result<()> {
        let Chunk { kind, number, offset, contents } = chunk;
        if number < self.expected {
            self.damages.note(number, offset, contents.len() as u64, DamageKind::Order);
            return Ok(());
        }
        if number > self.expected {
            self.damages.note(number, offset, 0, DamageKind::Missing(number - self.expected));
        }
        self.expected = number.saturating_add(1);
        match kind {
            Kind::Header => {}
            Kind::Entries => (self.offset, self.contents, self.at) = (offset, contents, 0),
            Kind::Packed => match unpack(&contents) {
                Some(entries) => (self.offset, self.contents, self.at) = (offset, entries, 0),
                None => {
                    let length = contents.len() as u64;
                    self.damages.note(number, offset, length, DamageKind::Contents);
                }
            },
            Kind::End => {
                self.ended = true;
                self.totals = postcard::from_bytes(&contents).ok();
                if self.totals.is_none() {
                    self.damages.note(number, offset, contents.len() as u64, DamageKind::Contents);
                }
                if !self.chunks.at_end()? {
                    self.damages.note(self.expected, self.chunks.offset(), 0, DamageKind::AfterEnd);
                }
            }
        }
        Ok(())
    }
}

/// Reads an entry as its version wrote it; returns the bytes behind it, too.
fn read_entry(version: u16, bytes: &[u8]) -> postcard::Result<(RecordEntry, &[u8])> {
    if version == VERSION {
        return postcard::take_from_bytes(bytes);
    }
    let (entry, beyond) = postcard::take_from_bytes::<older::OlderEntry>(bytes)?;
    Ok((entry.into(), beyond))
}

/// Reads the header; returns the number of the chunk behind it, too.
fn read_header<R: Read>(
    chunks: &mut Chunks<R>,
    damages: &mut Damages,
) -> Result<(Header, u32), ReadError> {
    for copy in 0..HEADER_COPIES {
        match chunks.next()? {
            Some(Found::Chunk(chunk)) => match header_of(&chunk.contents) {
                Ok(header) if chunk.kind == Kind::Header => {
                    return Ok((header, chunk.number.saturating_add(1)));
                }
                _ => damages.note(chunk.number, chunk.offset, 0, DamageKind::Contents),
            },
            Some(Found::Damage { offset, bytes, kind }) => damages.note(copy, offset, bytes, kind),
            None => damages.note(copy, chunks.offset(), 0, DamageKind::CutShort),
        }
    }
    let none = Damage { chunk: 0, offset: PREAMBLE as u64, skipped: 0, kind: DamageKind::NoChunk };
    Err(ReadError::NoHeader(damages.first.first().copied().unwrap_or(none)))
}

/// Reads a header, and what stands behind it since there is a sandbox.
fn header_of(bytes: &[u8]) -> postcard::Result<Header> {
    let (mut header, beyond) = postcard::take_from_bytes::<Header>(bytes)?;
    if !beyond.is_empty() {
        header.attached.sandbox = postcard::from_bytes(beyond)?;
    }
    Ok(header)
}

/// Returns the version of the format.
fn read_preamble(bytes: &[u8]) -> Result<u16, ReadError> {
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if magic.is_empty() || !MAGIC.starts_with(magic) {
        return Err(ReadError::NotARecording);
    }
    let &[low, high] = &bytes[magic.len()..] else {
        let (offset, kind) = (bytes.len() as u64, DamageKind::CutShort);
        return Err(ReadError::NoHeader(Damage { chunk: 0, offset, skipped: 0, kind }));
    };
    match u16::from_le_bytes([low, high]) {
        version @ (OLDER | VERSION) => Ok(version),
        other => Err(ReadError::Version(other)),
    }
}
