//! Takes the connections of the shop, in one of four ways.

use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

use super::service::{Next, Visit, look_up_name};
use super::{Names, Options, Serve};
use crate::epoll::Epoll;
use crate::execution::run_or_end;
use crate::naming::name_thread;
use crate::slow_acceptor::is_transient;
use crate::sock::{self, Call, complain};

/// Pause after an accept that failed.
const RETRY: Duration = Duration::from_millis(50);
/// Failures of accept between two lines about them.
const TOLD_EVERY: u64 = 100;

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    name_thread("acceptor");
    let (workers, shards) = (options.workers.workers.get(), options.serve == Serve::Shards);
    let mut listeners = Vec::new();
    for _ in 0..if shards { workers } else { 1 } {
        listeners.push(listen(options, shards)?);
    }
    sock::announce_listener(&listeners[0])?;
    match options.serve {
        Serve::Threads => thread::scope(|scope| {
            run_or_end("acceptor", || {
                let mut accepts = Accepts::of(&listeners[0]);
                for number in 1u64.. {
                    let stream = accepts.next(options)?;
                    scope.spawn(move || {
                        name_thread(&format!("visit-{number}"));
                        serve(stream, options);
                    });
                }
                Ok(())
            });
        }),
        Serve::Loop => run_loop(&listeners[0], options)?,
        Serve::Workers | Serve::Shards => thread::scope(|scope| {
            for worker in 0..workers {
                let listener = &listeners[worker % listeners.len()];
                scope.spawn(move || {
                    let name = format!("worker-{}", worker + 1);
                    name_thread(&name);
                    run_or_end(&name, || {
                        let mut accepts = Accepts::of(listener);
                        loop {
                            serve(accepts.next(options)?, options);
                        }
                    });
                });
            }
        }),
    }
    Ok(())
}

fn listen(options: &Options, shared: bool) -> anyhow::Result<Socket> {
    let domain = Domain::for_address(options.listen);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&options.listen.into()).with_context(|| format!("bind {}", options.listen))?;
    socket.listen(options.backlog).context("listen")?;
    Ok(socket)
}

fn serve(stream: TcpStream, options: &Options) {
    // A client that has left, or was idle for too long, is no error.
    let _ = Visit::new(stream, options).and_then(Visit::serve);
}

/// Accepts, and goes on after a failure.
struct Accepts<'a> {
    listener: &'a Socket,
    failures: u64,
}

impl<'a> Accepts<'a> {
    fn of(listener: &'a Socket) -> Self {
        Self { listener, failures: 0 }
    }

    fn next(&mut self, options: &Options) -> io::Result<TcpStream> {
        loop {
            match sock::accept(self.listener, Call::Accept4) {
                Ok(accepted) => {
                    look_up_name(options, Names::Acceptor);
                    return Ok(accepted.socket.into());
                }
                Err(error) if is_transient(&error) => {}
                Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                    if self.failures.is_multiple_of(TOLD_EVERY) {
                        complain(format_args!("accept: {error}"));
                    }
                    self.failures += 1;
                    thread::sleep(RETRY);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Serves all connections in one thread. Reads do not block, so nobody is idle for too long here.
fn run_loop(listener: &Socket, options: &Options) -> io::Result<()> {
    name_thread("event-loop");
    let epoll = Epoll::watch(listener, 0)?;
    let mut accepts = Accepts::of(listener);
    let mut visits: HashMap<i32, Visit<'_>> = HashMap::new();
    loop {
        let fd = epoll.wait()?;
        let Some(visit) = visits.get_mut(&fd) else {
            let stream = accepts.next(options)?;
            stream.set_nonblocking(true)?;
            let visit = Visit::new(stream, options)?;
            let fd = visit.stream().as_raw_fd();
            epoll.add(fd, 0)?;
            visits.insert(fd, visit);
            continue;
        };
        let goes_on = match visit.advance() {
            Ok(next) => next == Next::GoOn,
            Err(error) => is_transient(&error),
        };
        if !goes_on {
            epoll.remove(fd)?;
            visits.remove(&fd);
        }
    }
}
