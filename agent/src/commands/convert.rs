//! What the commands that turn a recording into something else share: where it comes from and goes,
//! and how far they are.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::Usage;
use crate::record::{self, CreateError, ReadError};

/// Time after which a person wants to know that something happens, and then between two looks.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens a recording, and checks that it begins as one.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    let context = || format!("cannot read {}", path.display());
    let file = File::open(path).map_err(ReadError::from).with_context(context)?;
    record::check_file(&file).with_context(context)?;
    Ok(file)
}

/// Place that binary output goes to.
pub(super) type Destination = BufWriter<Box<dyn Write>>;

/// Creates the file, or takes standard output.
pub(super) fn destination(path: Option<&Path>, force: bool) -> anyhow::Result<Destination> {
    let out: Box<dyn Write> = match path {
        Some(path) => Box::new(create(path, force)?),
        None if io::stdout().is_terminal() => {
            let reason = "what this writes is not for a terminal; name a file with -o, or redirect \
                          standard output";
            return Err(Usage(reason.to_owned()).into());
        }
        None => Box::new(io::stdout()),
    };
    Ok(BufWriter::with_capacity(1 << 16, out))
}

/// Creates a file for output.
pub(super) fn create(path: &Path, force: bool) -> Result<File, CreateError> {
    record::create(path, force)
}

/// A file that is read from beginning to end. On a terminal it says how far that is.
pub(super) struct Progress {
    file: File,
    words: &'static str,
    read: u64,
    /// Its size; `None` where nobody is shown anything.
    size: Option<u64>,
    shown: Instant,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new(file: File, words: &'static str) -> Self {
        let size = file.metadata().ok().map(|metadata| metadata.len()).filter(|size| *size > 0);
        let size = size.filter(|_| io::stderr().is_terminal());
        Self { file, words, read: 0, size, shown: Instant::now(), is_shown: false }
    }

    fn show(&mut self) {
        let Some(size) = self.size else { return };
        if self.shown.elapsed() >= PATIENCE {
            let share = self.read.min(size) * 100 / size;
            let _ = write!(io::stderr(), "\r{}: {share} %", self.words);
            (self.shown, self.is_shown) = (Instant::now(), true);
        }
    }
}

impl Read for Progress {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.read += length as u64;
        self.show();
        Ok(length)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
