//! Writes recordings.

use std::{
    borrow::Borrow,
    fs::{self, File},
    io::{self, IsTerminal, Write},
    os::{
        fd::AsFd,
        unix::fs::{OpenOptionsExt, fchown},
    },
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    encoder::{Body, Encoder},
    format::{HEADER_COPIES, Header, Kind, MAGIC, RecordEntry, Totals, VERSION, chunk},
};
use crate::model::event::Event;

/// The path that stands for standard output.
pub const STDOUT: &str = "-";

/// Reason why there is no file to record into.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// It is there already.
    #[error("{} exists already; choose another name, or use --force to replace it", .0.display())]
    Exists(PathBuf),
    /// It is there, and no regular file.
    #[error("{} is not a regular file", .0.display())]
    NoFile(PathBuf),
    /// Standard output is a terminal.
    #[error("a recording is not for a terminal: send standard output to a file or a program")]
    Terminal,
    /// The system refuses.
    #[error("cannot create {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Reason why nothing more can be recorded. Everything written before can be read.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refuses.
    #[error("cannot write the recording")]
    Io(#[from] io::Error),
    /// Something cannot be serialised.
    #[error("cannot serialise an entry of the recording")]
    Encode(#[from] postcard::Error),
    /// One entry is greater than a chunk may be.
    #[error("an entry of {0} bytes is too large to be recorded")]
    TooLarge(usize),
}

/// Checks early whether [`create`] has a chance.
///
/// # Errors
/// `path` is taken and may not be replaced.
pub fn check_path(path: &Path, replace: bool) -> Result<(), CreateError> {
    if path == Path::new(STDOUT) {
        return if io::stdout().is_terminal() { Err(CreateError::Terminal) } else { Ok(()) };
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(CreateError::NoFile(path.to_owned())),
        Ok(_) if !replace => Err(CreateError::Exists(path.to_owned())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CreateError::Io { path: path.to_owned(), source }),
    }
}

/// Makes a new file that only its owner can read: under sudo, the user that called it. With
/// `replace` a file of that name goes first. [`STDOUT`] is no file that is made.
///
/// # Errors
/// `path` is taken and may not be replaced, or the system refuses.
pub fn create(path: &Path, replace: bool) -> Result<File, CreateError> {
    check_path(path, replace)?;
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists(path.to_owned()),
        _ => CreateError::Io { path: path.to_owned(), source },
    };
    if path == Path::new(STDOUT) {
        return Ok(io::stdout().as_fd().try_clone_to_owned().map_err(failed)?.into());
    }
    if replace {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    // Never an open of what somebody else put there: root records into folders that others can
    // write to.
    let file =
        File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    if let Some((user, group)) = caller_of_sudo() {
        fchown(&file, Some(user), Some(group)).map_err(failed)?;
    }
    Ok(file)
}

/// User and group that called sudo: a replay needs no root.
pub fn caller_of_sudo() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let id = |name| std::env::var(name).ok()?.parse().ok();
    Some((id("SUDO_UID")?, id("SUDO_GID")?))
}

/// Writes one recording.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    numbers: Numbers,
    encoder: Encoder,
    /// Entries written.
    entries: u64,
    /// Bytes of whole chunks.
    length: u64,
    /// Time of the batch whose entries come now, and of the newest one that is written, ns of
    /// `CLOCK_MONOTONIC`.
    batch_ns: Option<u64>,
    reaches_ns: Option<u64>,
    /// Bytes that the disk of a test takes.
    #[cfg(test)]
    room: u64,
}

impl WriteError {
    /// Returns the reason alone: "No space left on device".
    pub fn reason(&self) -> String {
        match self {
            Self::Io(error) => bare(error),
            Self::Encode(_) | Self::TooLarge(_) => self.to_string(),
        }
    }
}

/// Returns the text of an error of the system without its number.
pub(crate) fn bare(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn new(out: W, header: &Header) -> Result<Self, WriteError> {
        let (numbers, encoder) = (Numbers::default(), Encoder::default());
        let (entries, length, batch_ns, reaches_ns) = (0, 0, None, None);
        let mut writer = Self {
            out,
            numbers,
            encoder,
            entries,
            length,
            batch_ns,
            reaches_ns,
            #[cfg(test)]
            room: u64::MAX,
        };
        let head = head(header, &mut writer.numbers)?;
        writer.put_bytes(&head)?;
        Ok(writer)
    }

    /// Begins a recording in the middle of a watch, with what has to be known of before.
    ///
    /// # Errors
    /// `out` takes no more.
    pub(super) fn resumed(out: W, header: &Header, beginning: &[Body]) -> Result<Self, WriteError> {
        let mut writer = Self::new(out, header)?;
        for body in beginning {
            writer.put(Some(body.clone()))?;
        }
        Ok(writer)
    }

    /// Adds an entry. A sample or the end closes the chunk, and so does its size.
    ///
    /// # Errors
    /// `out` takes no more, or the entry is too large.
    pub fn write<E: Borrow<Event> + Serialize>(
        &mut self,
        entry: &RecordEntry<E>,
    ) -> Result<(), WriteError> {
        if let RecordEntry::Batch(now_ns) = entry {
            self.batch_ns = Some(*now_ns);
        }
        let body = self.encoder.write(entry)?;
        self.put(body)
    }

    /// Closes the chunk, if there is anything in it.
    ///
    /// # Errors
    /// `out` takes no more, or the last entry is too large.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let body = self.encoder.flush()?;
        self.put(body)
    }

    /// Writes the end mark, and gives `out` back.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn end(mut self) -> Result<W, WriteError> {
        self.flush()?;
        let totals = Totals { entries: self.entries, cost: self.encoder.cost };
        let end = end(&totals, &mut self.numbers)?;
        self.put_bytes(&end)?;
        Ok(self.out)
    }

    /// Gives `out` back without an end.
    pub(super) fn leave(self) -> W {
        self.out
    }

    fn put(&mut self, body: Option<Body>) -> Result<(), WriteError> {
        match body {
            Some(body) => {
                self.entries += body.entries;
                let bytes = self.numbers.chunk(&body)?;
                self.put_bytes(&bytes)?;
                self.reaches_ns = self.batch_ns;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        #[cfg(test)]
        self.fail_if_full(bytes)?;
        self.out.write_all(bytes)?;
        self.out.flush()?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Lets the disk be full after so many bytes.
    #[cfg(test)]
    pub(crate) fn fail_after(&mut self, bytes: u64) {
        self.room = bytes;
    }

    #[cfg(test)]
    fn fail_if_full(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.room.saturating_sub(self.length) as usize;
        if left >= bytes.len() {
            return Ok(());
        }
        self.out.write_all(&bytes[..left])?;
        Err(io::Error::from_raw_os_error(libc::ENOSPC))
    }

    /// Time up to which everything is written, ns of `CLOCK_MONOTONIC`; `None` if there is nothing
    /// but the header.
    pub fn reaches_ns(&self) -> Option<u64> {
        self.reaches_ns
    }
}

impl Writer<File> {
    /// Cuts a file that can take no more behind its last whole chunk. Where the system refuses, a
    /// reader leaves the rest out.
    pub fn cut(&self) {
        let _ = self.out.set_len(self.length);
    }
}

/// Gives the chunks of a file their numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    next: u32,
}

impl Numbers {
    /// Returns a chunk with the next number, as it stands in the file.
    ///
    /// # Errors
    /// The contents are too long.
    pub(super) fn chunk(&mut self, body: &Body) -> Result<Vec<u8>, WriteError> {
        let bytes = chunk(body.kind, self.next, &body.contents)
            .ok_or(WriteError::TooLarge(body.contents.len()))?;
        self.next = self.next.wrapping_add(1);
        Ok(bytes)
    }
}

/// Returns the beginning of a file, up to the first entries.
///
/// # Errors
/// The header cannot be serialised, or is too large.
pub(super) fn head(header: &Header, numbers: &mut Numbers) -> Result<Vec<u8>, WriteError> {
    let mut bytes = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
    let contents = postcard::to_extend(&header.attached.sandbox, postcard::to_stdvec(header)?)?;
    let body = Body { kind: Kind::Header, contents, entries: 0 };
    for _ in 0..HEADER_COPIES {
        bytes.extend(numbers.chunk(&body)?);
    }
    Ok(bytes)
}

/// Returns the end mark.
///
/// # Errors
/// None but for want of memory.
pub(super) fn end(totals: &Totals, numbers: &mut Numbers) -> Result<Vec<u8>, WriteError> {
    let contents = postcard::to_stdvec(totals)?;
    numbers.chunk(&Body { kind: Kind::End, contents, entries: 0 })
}
