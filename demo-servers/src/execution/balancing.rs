//! One thread accepts and reads messages; workers process them and answer. Messages are shared out,
//! not connections.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use clap::Args;

use super::event_loop::EventLoop;
use super::{ServerOptions, WorkerOptions, run_or_end, spawn};
use crate::connection::{Connection, Request};
use crate::naming::name_thread;
use crate::sock;

const READER: &str = "acceptor-reader";

/// Knobs of the message load balancer.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The server
    #[command(flatten)]
    pub server: ServerOptions,
    /// The workers
    #[command(flatten)]
    pub workers: WorkerOptions,
}

/// Complete messages, and the connection on which to answer them. The connection is read again only
/// after the answer, so that answers stay in order.
struct Work<'a> {
    connection: Connection<'a>,
    messages: Vec<Request>,
}

/// Serves until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let server = &options.server;
    server.prepare()?;
    name_thread(READER);
    let listener = server.open_nonblocking()?;
    let events = &EventLoop::lending(&server.service)?;
    events.listen(&listener, 0)?;
    let queue = &Queue::default();
    thread::scope(|scope| {
        for number in 1..=options.workers.workers.get() {
            spawn(scope, format!("worker-{number}"), move || work(queue, events));
        }
        run_or_end(READER, || {
            sock::announce_listener(&listener)?;
            loop {
                match events.wait()? {
                    None => {
                        if let Some(accepted) = server.accept(&listener)? {
                            events.take(accepted)?;
                        }
                    }
                    Some(mut connection) => match connection.receive() {
                        Some(messages) if messages.is_empty() => events.keep(connection)?,
                        Some(messages) => {
                            queue.put(Work { connection, messages });
                        }
                        None => {}
                    },
                }
            }
        });
    });
    Ok(())
}

/// Messages that no worker has taken yet.
#[derive(Default)]
struct Queue<'a> {
    works: Mutex<VecDeque<Work<'a>>>,
    came: Condvar,
}

impl<'a> Queue<'a> {
    /// Adds messages, and wakes one worker.
    fn put(&self, work: Work<'a>) {
        self.works().push_back(work);
        self.came.notify_one();
    }

    /// Waits for messages.
    fn take(&self) -> Work<'a> {
        let mut works = self.works();
        loop {
            if let Some(work) = works.pop_front() {
                return work;
            }
            works = self.came.wait(works).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn works(&self) -> MutexGuard<'_, VecDeque<Work<'a>>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work<'a>(queue: &Queue<'a>, events: &EventLoop<'a>) -> io::Result<()> {
    loop {
        let Work { mut connection, messages } = queue.take();
        if connection.respond(messages) {
            events.keep(connection)?;
        }
    }
}
