//! Records that are acknowledged: once they are written, once they are on the disk, or once a
//! replica has them. It counts what an acknowledgement was worth.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use anyhow::Context;
use clap::{Args, ValueEnum};
use humantime::{format_duration, parse_duration};

use crate::acceptor::thread_per_connection;
use crate::demo::{Launcher, Server};
use crate::execution::run_or_end;
use crate::naming::name_thread;
use crate::sock::{ListenOptions, announce};

/// The answer to each record.
const ANSWER: &[u8] = b"store done\n";
/// Longest record, bytes.
const LONGEST: u64 = 1 << 20;

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// What has to have happened to a record before it is acknowledged
    #[arg(long, value_enum, default_value_t = Ack::Disk, value_name = "WHEN")]
    pub ack: Ack,
    /// A sync takes at least so long, as on a slow disk
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub sync_time: Duration,
    /// A replica, which is a process of its own, takes so long for each record
    #[arg(long, default_value = "50ms", value_name = "TIME", value_parser = parse_duration)]
    pub replica_time: Duration,
    /// Keep no records, and be the replica
    #[arg(long, hide = true)]
    pub be_replica: bool,
    /// Print what became of the records, at the end of each connection
    #[arg(long)]
    pub trace: bool,
}

/// What has to have happened to a record before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ack {
    /// It was written: the kernel has it in the page cache
    Written,
    /// It is on the disk (fdatasync)
    Disk,
    /// The replica has it
    Replica,
    /// It was written, and will be sent to the replica
    ReplicaLater,
}

/// Serves until signalled. Each line is a record.
///
/// # Errors
/// The address, or a file in the directory for temporary files, cannot be had; or the replica does
/// not start.
pub fn run(options: &Options, launcher: &Launcher) -> anyhow::Result<()> {
    if options.be_replica {
        return be_replica(options);
    }
    let store = Store::new(options.sync_time)?;
    let replica = match options.ack {
        Ack::Replica | Ack::ReplicaLater => Some(start_replica(options, launcher)?),
        Ack::Written | Ack::Disk => None,
    };
    thread::scope(|scope| {
        let mut queue = None;
        if let Some((_, connection)) = &replica {
            let (sender, records) = mpsc::channel();
            queue = Some(sender);
            let store = &store;
            scope.spawn(move || {
                name_thread("replication");
                run_or_end("replication", || store.replicate(connection, &records));
            });
        }
        let queue = Mutex::new(queue);
        thread_per_connection(&options.listen.open()?, |socket| {
            socket.set_nodelay(true)?;
            let outcome = store.serve(&socket, options.ack, &queue);
            if options.trace {
                store.tell();
            }
            outcome
        });
        Ok(())
    })
}

/// A file that is gone with this process.
fn file() -> anyhow::Result<File> {
    let path = env::temp_dir().join(format!("demo-servers-store-{}", process::id()));
    let file = OpenOptions::new().append(true).create_new(true).open(&path);
    let file = file.with_context(|| format!("cannot create {}", path.display()))?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Starts the replica and connects to it.
fn start_replica(options: &Options, launcher: &Launcher) -> anyhow::Result<(Server, TcpStream)> {
    let time = format!("--replica-time={}", format_duration(options.replica_time));
    let words = ["store", "--be-replica", &time];
    let replica = Server::start(launcher, &words.map(Into::into))?;
    let connection = TcpStream::connect(replica.address()).context("connecting to the replica")?;
    connection.set_nodelay(true)?;
    Ok((replica, connection))
}

fn be_replica(options: &Options) -> anyhow::Result<()> {
    thread_per_connection(&options.listen.open()?, |socket| {
        socket.set_nodelay(true)?;
        let mut lines = BufReader::new(&socket);
        while next_line(&mut lines)?.is_some() {
            thread::sleep(options.replica_time);
            (&socket).write_all(ANSWER)?;
        }
        Ok(())
    });
    Ok(())
}

/// Reads a line; `None` at the end.
fn next_line(lines: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    io::Read::take(lines, LONGEST).read_until(b'\n', &mut line)?;
    Ok(if line.is_empty() { None } else { Some(line) })
}

type Queue = Mutex<Option<Sender<Vec<u8>>>>;

/// The records, and how far each step has come with them. They are numbered from 1.
struct Store {
    file: File,
    sync_time: Duration,
    steps: Mutex<Steps>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Steps {
    written: u64,
    acknowledged: u64,
    /// Those that a sync covers.
    synced: u64,
    syncing: bool,
    syncs: u64,
    longest_sync: Duration,
    /// Those that the replica has.
    replicated: u64,
    /// The most that were acknowledged and that the replica did not have.
    behind: u64,
}

impl Store {
    fn new(sync_time: Duration) -> anyhow::Result<Self> {
        Ok(Self { file: file()?, sync_time, steps: Mutex::default(), changed: Condvar::new() })
    }

    /// Serves a connection to its end.
    fn serve(&self, socket: &TcpStream, ack: Ack, queue: &Queue) -> io::Result<()> {
        let mut lines = BufReader::new(socket);
        let mut answers = socket;
        while let Some(record) = next_line(&mut lines)? {
            let number = self.write(record, queue)?;
            match ack {
                Ack::Written | Ack::ReplicaLater => {}
                Ack::Disk => self.sync(number)?,
                Ack::Replica => self.await_replica(number),
            }
            answers.write_all(ANSWER)?;
            let mut steps = self.steps();
            steps.acknowledged += 1;
            steps.behind = steps.behind.max(steps.acknowledged.saturating_sub(steps.replicated));
        }
        Ok(())
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed.
    fn wait<'a>(&self, steps: MutexGuard<'a, Steps>) -> MutexGuard<'a, Steps> {
        self.changed.wait(steps).unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record, and hands it to who replicates, if anybody does. Returns its number.
    fn write(&self, record: Vec<u8>, queue: &Queue) -> io::Result<u64> {
        let mut steps = self.steps();
        (&self.file).write_all(&record)?;
        if let Some(queue) = &*queue.lock().unwrap_or_else(PoisonError::into_inner) {
            // Who takes it lives as long as the process.
            let _ = queue.send(record);
        }
        steps.written += 1;
        Ok(steps.written)
    }

    /// Waits until a sync covers the record. One thread syncs for all that have written before.
    fn sync(&self, number: u64) -> io::Result<()> {
        let mut steps = self.steps();
        while steps.synced < number {
            if steps.syncing {
                steps = self.wait(steps);
                continue;
            }
            steps.syncing = true;
            let covered = steps.written;
            drop(steps);
            let begin = Instant::now();
            let outcome = self.file.sync_data();
            thread::sleep(self.sync_time.saturating_sub(begin.elapsed()));
            steps = self.steps();
            steps.syncing = false;
            steps.syncs += 1;
            steps.longest_sync = steps.longest_sync.max(begin.elapsed());
            self.changed.notify_all();
            outcome?;
            steps.synced = covered;
        }
        Ok(())
    }

    fn await_replica(&self, number: u64) {
        let mut steps = self.steps();
        while steps.replicated < number {
            steps = self.wait(steps);
        }
    }

    /// Passes records on, one after another, each once the replica has the one before.
    fn replicate(&self, mut to: &TcpStream, records: &Receiver<Vec<u8>>) -> io::Result<()> {
        let mut answers = BufReader::new(to);
        for record in records {
            to.write_all(&record)?;
            if next_line(&mut answers)?.is_none() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.steps().replicated += 1;
            self.changed.notify_all();
        }
        Ok(())
    }

    fn tell(&self) {
        let Steps { written, acknowledged, syncs, longest_sync, behind, .. } = *self.steps();
        announce(format_args!(
            "stored written={written} acknowledged={acknowledged} syncs={syncs} longest_us={} \
             behind={behind}",
            longest_sync.as_micros()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_covers_all_that_was_written_before() {
        let store = Store::new(Duration::from_millis(20)).unwrap();
        let queue = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let number = store.write(b"record\n".to_vec(), &queue).unwrap();
                    store.sync(number).unwrap();
                });
            }
        });
        let steps = store.steps();
        assert_eq!((steps.written, steps.synced), (8, 8));
        assert!((1..=8).contains(&steps.syncs) && steps.longest_sync >= store.sync_time);
    }

    #[test]
    fn a_record_waits_for_its_replica() {
        let store = Store::new(Duration::ZERO).unwrap();
        let (sender, records) = mpsc::channel();
        let queue = Mutex::new(Some(sender));
        let (replica, primary) = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let primary = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (listener.accept().unwrap().0, primary)
        };
        let number = store.write(b"record\n".to_vec(), &queue).unwrap();
        queue.lock().unwrap().take();
        thread::scope(|scope| {
            let (store, primary) = (&store, &primary);
            scope.spawn(move || store.replicate(primary, &records).unwrap());
            scope.spawn(|| {
                let mut lines = BufReader::new(&replica);
                assert_eq!(next_line(&mut lines).unwrap().as_deref(), Some(&b"record\n"[..]));
                assert_eq!(store.steps().replicated, 0);
                (&replica).write_all(ANSWER).unwrap();
            });
            store.await_replica(number);
        });
        assert_eq!(store.steps().replicated, 1);
    }
}
