//! Writes recordings.

use std::{
    borrow::Borrow,
    fs::{self, File},
    io::{self, Write},
    mem,
    os::unix::fs::{OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::format::{
    CHUNK_TARGET, HEADER_COPIES, Header, Kind, MAGIC, RecordEntry, Totals, VERSION, chunk,
};
use crate::model::event::Event;

/// Reason why there is no file to record into.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// It is there already.
    #[error("{} exists already; choose another name, or use --force to replace it", .0.display())]
    Exists(PathBuf),
    /// It is there, and no regular file.
    #[error("{} is not a regular file", .0.display())]
    NoFile(PathBuf),
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
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(CreateError::NoFile(path.to_owned())),
        Ok(_) if !replace => Err(CreateError::Exists(path.to_owned())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CreateError::Io { path: path.to_owned(), source }),
    }
}

/// Makes a new file that only its owner can read: under sudo, the user that called it. With
/// `replace` a file of that name goes first.
///
/// # Errors
/// `path` is taken and may not be replaced, or the system refuses.
pub fn create(path: &Path, replace: bool) -> Result<File, CreateError> {
    check_path(path, replace)?;
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists(path.to_owned()),
        _ => CreateError::Io { path: path.to_owned(), source },
    };
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
    /// Number of the next chunk.
    chunk: u32,
    /// The contents of the open chunk.
    contents: Vec<u8>,
    totals: Totals,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn new(out: W, header: &Header) -> Result<Self, WriteError> {
        let mut writer = Self { out, chunk: 0, contents: Vec::new(), totals: Totals::default() };
        writer.put(&[MAGIC.as_slice(), &VERSION.to_le_bytes()].concat())?;
        let sandbox = &header.attached.sandbox;
        let header = postcard::to_extend(sandbox, postcard::to_stdvec(header)?)?;
        for _ in 0..HEADER_COPIES {
            writer.put_chunk(Kind::Header, &header)?;
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
        self.contents = postcard::to_extend(entry, mem::take(&mut self.contents))?;
        self.totals.entries += 1;
        let ends = match entry {
            RecordEntry::Event(event) => {
                if let Event::Sample(sample) = event.borrow() {
                    self.totals.cost = Some(sample.cost);
                    true
                } else {
                    false
                }
            }
            RecordEntry::Finish(_) => true,
            _ => false,
        };
        if ends || self.contents.len() >= CHUNK_TARGET { self.flush() } else { Ok(()) }
    }

    /// Closes the chunk, if there is anything in it.
    ///
    /// # Errors
    /// `out` takes no more, or the last entry is too large.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        if self.contents.is_empty() {
            return Ok(());
        }
        let mut contents = mem::take(&mut self.contents);
        let written = self.put_chunk(Kind::Entries, &contents);
        contents.clear();
        self.contents = contents;
        written
    }

    /// Writes the end mark, and gives `out` back.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn end(mut self) -> Result<W, WriteError> {
        self.flush()?;
        let totals = postcard::to_stdvec(&self.totals)?;
        self.put_chunk(Kind::End, &totals)?;
        Ok(self.out)
    }

    fn put_chunk(&mut self, kind: Kind, contents: &[u8]) -> Result<(), WriteError> {
        let bytes =
            chunk(kind, self.chunk, contents).ok_or(WriteError::TooLarge(contents.len()))?;
        self.chunk = self.chunk.wrapping_add(1);
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }
}
