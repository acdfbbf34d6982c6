//! The thread that writes files while a watch or a replay goes on: those of a flight recorder, and
//! those that the keys of the screen ask for.
//!
//! A watch gives up the right to make files once it is attached. This thread keeps it, in one folder
//! (Landlock), and can do nothing else: it opens no file that was there before. And the watch never
//! waits for a disk.

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

use crate::{privileges::sandbox, record::caller_of_sudo};

/// Bytes that may wait for the disk. What comes beyond them is lost, and a reader of the file says
/// how many chunks are missing.
const QUEUE: usize = 64 * 1_024 * 1_024;
/// Files of one name that are told apart by a number.
const SAME_NAME: u32 = 99;

/// A file, for as long as it is written.
pub(crate) type FileId = u64;

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

/// What the thread may do beyond making and writing files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removes {
    /// It removes files: the oldest gives way.
    Files,
    /// Nothing.
    Nothing,
}

/// A name to be, which gets a number if it is taken.
#[derive(Clone, Debug)]
struct Name {
    stem: String,
    extension: &'static str,
}

enum Job {
    Create { id: FileId, name: Name, bytes: Vec<u8> },
    Append { id: FileId, bytes: Vec<u8> },
    End { id: FileId, bytes: Vec<u8> },
    Remove { id: FileId },
}

/// A file could not be written. It ends with its last whole chunk.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) id: FileId,
    /// As far as it got one: where no file could be made, what its name would have begun with.
    pub(crate) name: String,
    pub(crate) error: io::Error,
}

/// What became of a file.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was made.
    Made { id: FileId, name: String },
    /// It is whole.
    Closed { id: FileId, name: String, length: u64 },
    /// It could not be written.
    Failed(Failure),
}

/// The files that are there in the end.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Their folder.
    pub(crate) path: PathBuf,
    /// Names and lengths, in the order in which they were made.
    pub(crate) files: Vec<(String, u64)>,
    /// Chunks for which there was no room.
    pub(crate) lost: u64,
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.error.kind(), format!("{}: {}", failure.name, failure.error))
    }
}

/// Files that a thread writes.
#[derive(Debug)]
pub(crate) struct Files {
    jobs: Sender<Job>,
    /// Bytes of jobs that are not done.
    queued: Arc<AtomicUsize>,
    outcomes: Receiver<Outcome>,
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
    pub(crate) fn start(folder: Folder, removes: Removes) -> io::Result<(Self, Option<String>)> {
        let path = folder.path.clone();
        let (jobs, to_do) = channel();
        let (tells, outcomes) = channel();
        let (begun, outcome) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&queued);
        let thread = thread::Builder::new().name("files".to_owned()).spawn(move || {
            let mut written =
                Written { folder: folder.fd, open: BTreeMap::new(), kept: BTreeMap::new() };
            match sandbox::enter_for_files(&folder.path, removes == Removes::Files) {
                Ok((confined, gap)) => {
                    let _ = begun.send(Ok(gap));
                    written.work(&to_do, &tells, &left);
                    drop(confined);
                }
                Err(error) => {
                    let _ = begun.send(Err(error));
                }
            }
            written.kept
        })?;
        let gap = outcome.recv().map_err(|_| io::Error::other("the thread of files ended"))??;
        Ok((Self { jobs, queued, outcomes, thread, next: 0, lost: 0, path }, gap))
    }

    /// Makes a file whose name begins so. What stands at its beginning always finds room.
    pub(crate) fn create(
        &mut self,
        stem: String,
        extension: &'static str,
        bytes: Vec<u8>,
    ) -> FileId {
        self.next += 1;
        let id = self.next;
        self.give(bytes.len(), Job::Create { id, name: Name { stem, extension }, bytes });
        id
    }

    /// Returns a way to write on into a file that was made.
    pub(crate) fn stream(&self, id: FileId) -> FileStream {
        FileStream { id, jobs: self.jobs.clone(), queued: Arc::clone(&self.queued) }
    }

    /// Adds a chunk to a file, if the disk keeps up.
    pub(crate) fn append(&mut self, id: FileId, bytes: Vec<u8>) {
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
    pub(crate) fn close(&mut self, id: FileId, bytes: Vec<u8>) {
        self.give(bytes.len(), Job::End { id, bytes });
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, id: FileId) {
        self.give(0, Job::Remove { id });
    }

    /// Returns what became of files since the last call.
    pub(crate) fn outcomes(&mut self) -> Vec<Outcome> {
        self.outcomes.try_iter().collect()
    }

    /// Waits until everything is written. Returns the files that are there, and what became of those
    /// that nobody has asked about.
    ///
    /// # Errors
    /// The thread panicked.
    pub(crate) fn end(self) -> io::Result<(Kept, Vec<Outcome>)> {
        let Self { jobs, outcomes, thread, lost, path, .. } = self;
        drop(jobs);
        let kept = thread.join().map_err(|_| io::Error::other("the thread of files panicked"))?;
        let files = kept.into_values().collect();
        Ok((Kept { path, files, lost }, outcomes.try_iter().collect()))
    }

    fn give(&mut self, length: usize, job: Job) {
        self.queued.fetch_add(length, Ordering::Relaxed);
        // The thread ends with this end of the channel, or it has panicked: the end tells.
        let _ = self.jobs.send(job);
    }
}

/// The writing end of one file. What is written at once is a chunk: it gets there whole, or not.
#[derive(Debug)]
pub(crate) struct FileStream {
    id: FileId,
    jobs: Sender<Job>,
    queued: Arc<AtomicUsize>,
}

impl FileStream {
    /// Closes the file.
    pub(crate) fn close(self) {
        let _ = self.jobs.send(Job::End { id: self.id, bytes: Vec::new() });
    }
}

impl Write for FileStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.queued.load(Ordering::Relaxed) + bytes.len() > QUEUE {
            return Err(io::Error::other("the disk is too slow"));
        }
        self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        let job = Job::Append { id: self.id, bytes: bytes.to_vec() };
        self.jobs.send(job).map_err(|_| io::Error::other("the thread of files ended"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    fn work(&mut self, jobs: &Receiver<Job>, tells: &Sender<Outcome>, queued: &AtomicUsize) {
        for job in jobs {
            let (id, length) = match &job {
                Job::Create { id, bytes, .. }
                | Job::Append { id, bytes }
                | Job::End { id, bytes } => (*id, bytes.len()),
                Job::Remove { id } => (*id, 0),
            };
            let name = match &job {
                Job::Create { name, .. } => format!("{}.{}", name.stem, name.extension),
                _ => self.open.get(&id).map(|open| open.name.clone()).unwrap_or_default(),
            };
            let outcome = self.work_on(job);
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    // It is written no further; what is whole can be read.
                    if let Some(open) = self.open.remove(&id) {
                        let _ = open.file.set_len(open.length);
                        if open.length == 0 {
                            self.unlink(id);
                        }
                    }
                    Some(Outcome::Failed(Failure { id, name, error }))
                }
            };
            if let Some(outcome) = outcome {
                let _ = tells.send(outcome);
            }
            queued.fetch_sub(length, Ordering::Relaxed);
        }
    }

    fn work_on(&mut self, job: Job) -> io::Result<Option<Outcome>> {
        match job {
            Job::Create { id, name, bytes } => {
                let (name, file) = self.create(&name)?;
                self.kept.insert(id, (name.clone(), 0));
                self.open.insert(id, Open { file, name: name.clone(), length: 0 });
                self.append(id, &bytes)?;
                Ok(Some(Outcome::Made { id, name }))
            }
            Job::Append { id, bytes } => {
                self.append(id, &bytes)?;
                Ok(None)
            }
            Job::End { id, bytes } => {
                self.append(id, &bytes)?;
                Ok(self.open.remove(&id).map(|open| {
                    let Open { name, length, .. } = open;
                    Outcome::Closed { id, name, length }
                }))
            }
            Job::Remove { id } => {
                self.open.remove(&id);
                self.unlink(id);
                Ok(None)
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
    fn create(&self, name: &Name) -> io::Result<(String, File)> {
        let Name { stem, extension } = name;
        for number in 1..=SAME_NAME {
            let name = match number {
                1 => format!("{stem}.{extension}"),
                _ => format!("{stem}-{number}.{extension}"),
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
