//! One thread accepts and reads messages; workers process them and answer. Messages are shared out,
//! not connections.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
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
    let (queue, works) = mpsc::channel();
    let works = &Mutex::new(works);
    thread::scope(|scope| {
        for number in 1..=options.workers.workers.get() {
            spawn(scope, format!("worker-{number}"), move || work(works, events));
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
                            let work = Work { connection, messages };
                            queue.send(work).map_err(|_| io::ErrorKind::BrokenPipe)?;
                        }
                        None => {}
                    },
                }
            }
        });
    });
    Ok(())
}

fn work<'a>(works: &Mutex<mpsc::Receiver<Work<'a>>>, events: &EventLoop<'a>) -> io::Result<()> {
    loop {
        // One free worker waits at the channel with the lock held, the others wait for the lock.
        let next = works.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Work { mut connection, messages }) = next else { return Ok(()) };
        if connection.respond(messages) {
            events.keep(connection)?;
        }
    }
}
