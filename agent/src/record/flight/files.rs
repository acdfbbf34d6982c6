//! The thread that writes the files of a flight recorder.
//!
//! A watch gives up the right to make files once it is attached. This thread keeps it, in one folder
//! (Landlock), and can do nothing else; and the watch never waits for a disk.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use rustix::{
    fs::{AtFlags, Gid, Mode, OFlags, Uid, fchown, openat, unlinkat},
    io::Errno,
};

use crate::{
    privileges::sandbox,
    record::caller_of_sudo,
    text::{bytes, count_of},
};

/// Bytes that may wait for the disk. What comes beyond them is lost, and a reader of the file says
/// how many chunks are missing.
const QUEUE: usize = 64 * 1_024 * 1_024;
/// Extension of recordings.
const EXTENSION: &str = "bsrec";
/// Files of one name that are told apart by a number.
const SAME_NAME: u32 = 99;

/// A file, for as long as it is written.
pub(super) type FileId = u64;

/// A folder to put files into.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

impl Folder {
    /// Opens a folder.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path: path.to_owned(), fd: File::open(path)?.into() })
    }
}

enum Job {
    Create { id: FileId, name: String, bytes: Vec<u8> },
    Append { id: FileId, bytes: Vec<u8> },
    End { id: FileId, bytes: Vec<u8> },
    Remove { id: FileId },
}

/// A file could not be written. It ends with its last whole chunk.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) id: FileId,
    pub(super) name: String,
    pub(super) error: io::Error,
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.error.kind(), format!("{}: {}", failure.name, failure.error))
    }
}

/// The files of a flight recorder, written by a thread.
#[derive(Debug)]
pub(crate) struct Files {
    jobs: Sender<Job>,
    /// Bytes of jobs that are not done.
    queued: Arc<AtomicUsize>,
    failed: Receiver<Failure>,
    thread: JoinHandle<BTreeMap<FileId, (String, u64)>>,
    next: FileId,
    /// Chunks for which there was no room.
    lost: u64,
    path: PathBuf,
}

impl Files {
    /// Starts the thread. Returns what is missing of its confinement, too.
    ///
    /// # Errors
    /// There can be no such thread, or it cannot be confined.
    pub(crate) fn start(folder: Folder) -> io::Result<(Self, Option<String>)> {
        let path = folder.path.clone();
        let (jobs, to_do) = channel();
        let (fails, failed) = channel();
        let (begun, outcome) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&queued);
        let thread = thread::Builder::new().name("files".to_owned()).spawn(move || {
            let mut written =
                Written { folder: folder.fd, open: BTreeMap::new(), kept: BTreeMap::new() };
            match sandbox::enter_for_files(&folder.path) {
                Ok((confined, gap)) => {
                    let _ = begun.send(Ok(gap));
                    written.work(&to_do, &fails, &left);
                    drop(confined);
                }
                Err(error) => {
                    let _ = begun.send(Err(error));
                }
            }
            written.kept
        })?;
        let gap = outcome.recv().map_err(|_| io::Error::other("the thread of files ended"))??;
        Ok((Self { jobs, queued, failed, thread, next: 0, lost: 0, path }, gap))
    }

    /// Makes a file whose name begins so. What stands at its beginning always finds room.
    pub(super) fn create(&mut self, name: String, bytes: Vec<u8>) -> FileId {
        self.next += 1;
        let id = self.next;
        self.give(bytes.len(), Job::Create { id, name, bytes });
        id
    }

    /// Adds a chunk to a file, if the disk keeps up.
    pub(super) fn append(&mut self, id: FileId, bytes: Vec<u8>) {
        if self.queued.load(Ordering::Relaxed) + bytes.len() > QUEUE {
            if self.lost == 0 {
                note!(
                    "backscope: the disk is too slow: parts of the recording are lost; who reads it \
                     is told which"
                );
            }
            self.lost += 1;
            return;
        }
        self.give(bytes.len(), Job::Append { id, bytes });
    }

    /// Adds the last chunk to a file, and closes it.
    pub(super) fn close(&mut self, id: FileId, bytes: Vec<u8>) {
        self.give(bytes.len(), Job::End { id, bytes });
    }

    /// Removes a file.
    pub(super) fn remove(&mut self, id: FileId) {
        self.give(0, Job::Remove { id });
    }

    /// Returns the files that could not be written since the last call.
    pub(super) fn failures(&mut self) -> Vec<Failure> {
        self.failed.try_iter().collect()
    }

    /// Waits until everything is written. Returns sentences on what is there.
    ///
    /// # Errors
    /// One of the last jobs failed.
    pub(super) fn end(self) -> io::Result<Vec<String>> {
        let Self { jobs, failed, thread, lost, path, .. } = self;
        drop(jobs);
        let kept = thread.join().map_err(|_| io::Error::other("the thread of files panicked"))?;
        if let Some(failure) = failed.try_iter().next() {
            return Err(failure.into());
        }
        let mut told = Vec::new();
        let names: Vec<&str> = kept.values().map(|(name, _)| name.as_str()).collect();
        let length = bytes(kept.values().map(|(_, length)| length).sum());
        let folder = path.display();
        match names.as_slice() {
            [] => {}
            [one] => {
                told.push(format!("recorded into {} ({length})", path.join(one).display()));
            }
            [first, .., last] => told.push(format!(
                "recorded into {} in {folder}, {first} to {last} ({length})",
                count_of(names.len() as u64, "file")
            )),
        }
        if lost != 0 {
            told.push(format!("lost since the disk was too slow: {}", count_of(lost, "chunk")));
        }
        Ok(told)
    }

    fn give(&mut self, length: usize, job: Job) {
        self.queued.fetch_add(length, Ordering::Relaxed);
        // The thread ends with this end of the channel, or it has panicked: the end tells.
        let _ = self.jobs.send(job);
    }
}

/// A file that is open.
struct Open {
    file: File,
    name: String,
    /// Bytes of whole chunks.
    length: u64,
}

/// What the thread has.
struct Written {
    folder: OwnedFd,
    open: BTreeMap<FileId, Open>,
    /// Names and lengths of files that are there.
    kept: BTreeMap<FileId, (String, u64)>,
}

impl Written {
    fn work(&mut self, jobs: &Receiver<Job>, failed: &Sender<Failure>, queued: &AtomicUsize) {
        for job in jobs {
            let (id, length) = match &job {
                Job::Create { id, bytes, .. }
                | Job::Append { id, bytes }
                | Job::End { id, bytes } => (*id, bytes.len()),
                Job::Remove { id } => (*id, 0),
            };
            let name = match &job {
                Job::Create { name, .. } => name.clone(),
                _ => self.open.get(&id).map(|open| open.name.clone()).unwrap_or_default(),
            };
            if let Err(error) = self.work_on(job) {
                // It is written no further; what is whole can be read.
                if let Some(open) = self.open.remove(&id) {
                    let _ = open.file.set_len(open.length);
                    if open.length == 0 {
                        self.unlink(id);
                    }
                }
                let _ = failed.send(Failure { id, name, error });
            }
            queued.fetch_sub(length, Ordering::Relaxed);
        }
    }

    fn work_on(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Create { id, name, bytes } => {
                let (name, file) = self.create(&name)?;
                self.kept.insert(id, (name.clone(), 0));
                self.open.insert(id, Open { file, name, length: 0 });
                self.append(id, &bytes)
            }
            Job::Append { id, bytes } => self.append(id, &bytes),
            Job::End { id, bytes } => {
                self.append(id, &bytes)?;
                self.open.remove(&id);
                Ok(())
            }
            Job::Remove { id } => {
                self.open.remove(&id);
                self.unlink(id);
                Ok(())
            }
        }
    }

    /// A file that has failed before is written no more.
    fn append(&mut self, id: FileId, bytes: &[u8]) -> io::Result<()> {
        let Some(open) = self.open.get_mut(&id) else { return Ok(()) };
        open.file.write_all(bytes)?;
        open.length += bytes.len() as u64;
        if let Some((_, length)) = self.kept.get_mut(&id) {
            *length = open.length;
        }
        Ok(())
    }

    /// Makes a new file that only its owner can read: under sudo, the user that called it.
    fn create(&self, stem: &str) -> io::Result<(String, File)> {
        for number in 1..=SAME_NAME {
            let name = match number {
                1 => format!("{stem}.{EXTENSION}"),
                _ => format!("{stem}-{number}.{EXTENSION}"),
            };
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            match openat(&self.folder, &name, flags, Mode::RUSR | Mode::WUSR) {
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
                Ok(fd) => {
                    if let Some((user, group)) = caller_of_sudo() {
                        fchown(&fd, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
                    }
                    return Ok((name, fd.into()));
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn unlink(&mut self, id: FileId) {
        if let Some((name, _)) = self.kept.remove(&id) {
            // Whoever removed it before did the same.
            let _ = unlinkat(&self.folder, &name, AtFlags::empty());
        }
    }
}
