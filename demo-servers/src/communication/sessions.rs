//! Where the state of a session is: in the worker that began it, where all workers find it, or in
//! the request.

use std::collections::HashMap;
use std::ffi::c_int;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use http::header::{CONNECTION, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use humantime::parse_duration;
use hyper::body::Incoming;
use socket2::Socket;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::demo::client::timeout;
use crate::demo::tasks::{Tasks, in_time};
use crate::demo::{Launcher, Report, Stop};
use crate::execution::{Count, WorkerOptions, run_or_end};
use crate::http::{
    Answer, Numbers, Sender, answer, header, run as run_worker, serve_connection, whole,
};
use crate::naming::name_thread;
use crate::slow_acceptor::is_transient;
use crate::sock::{self, Call, ListenOptions};

/// Name of the cookie.
const SESSION: &str = "session=";

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Threads, each with an event loop; they get the connections in turn
    #[command(flatten)]
    pub workers: WorkerOptions,
    /// Where the state of a session is kept
    #[arg(long, value_enum, default_value_t = State::Memory, value_name = "WHERE")]
    pub state: State,
    /// Begin anew after this many connections, once, when the next one is there: the same process
    /// with nothing in its memory (exec). The listener stays open
    #[arg(long, value_name = "N")]
    pub restart_after: Option<u64>,
    /// Listener that was open before the program began anew
    #[arg(long, hide = true, value_name = "FD", conflicts_with = "restart_after")]
    pub inherited: Option<c_int>,
}

/// Where the state of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// In the memory of the worker that began the session
    Memory,
    /// Where all workers find it
    Shared,
    /// In each request: the workers keep none
    Request,
}

/// Serves until signalled: `POST /login` begins a session, `POST /cart` puts one thing more into
/// its cart.
pub fn run(options: &Options, launcher: &Launcher) -> anyhow::Result<()> {
    sock::raise_open_files();
    name_thread("acceptor");
    let listener = match options.inherited {
        Some(fd) => inherit(fd)?,
        None => options.listen.open()?,
    };
    // Session numbers are unique across all workers.
    let numbers = Arc::<Numbers>::default();
    let carts = || Arc::new(Carts { numbers: Arc::clone(&numbers), carts: Mutex::default() });
    let shared = carts();
    let workers = (1..=options.workers.workers.get()).map(|number| {
        let (sender, connections) = mpsc::unbounded_channel();
        let carts = match options.state {
            State::Memory => Some(carts()),
            State::Shared => Some(Arc::clone(&shared)),
            State::Request => None,
        };
        let name = format!("worker-{number}");
        thread::spawn(move || {
            run_or_end("a worker", || {
                work(&name, connections, carts).map_err(std::io::Error::other)
            })
        });
        sender
    });
    let workers = workers.collect::<Vec<_>>();
    for (accepted, worker) in (0..).zip(workers.iter().cycle()) {
        if options.restart_after == Some(accepted) {
            // Whoever comes next has an answer to all before.
            sock::wait_for(&listener, libc::POLLIN)?;
            return Err(begin_anew(options, &listener, launcher));
        }
        let socket = loop {
            match sock::accept(&listener, Call::Accept4) {
                Ok(accepted) => break accepted.socket,
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error.into()),
            }
        };
        socket.set_nonblocking(true)?;
        worker.send(std::net::TcpStream::from(socket))?;
    }
    Ok(())
}

/// Takes a listener that the program had before it began anew.
fn inherit(fd: c_int) -> anyhow::Result<Socket> {
    // SAFETY: a call that fails for what is no descriptor.
    ensure!(unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0, "{fd} is no open descriptor");
    // SAFETY: it is open, and this process, which has just begun, has no other owner of it.
    let listener = unsafe { Socket::from_raw_fd(fd) };
    ensure!(listener.is_listener()?, "descriptor {fd} is no listener");
    listener.set_cloexec(true)?;
    Ok(listener)
}

/// Replaces the program by itself: all memory and all threads are gone, the listener is not.
fn begin_anew(options: &Options, listener: &Socket, launcher: &Launcher) -> anyhow::Error {
    if let Err(error) = listener.set_cloexec(false) {
        return error.into();
    }
    sock::announce(format_args!("begins anew"));
    let state = options.state.to_possible_value();
    let mut command = Command::new(&launcher.program);
    command
        .args(&launcher.prefix)
        .arg("sessions")
        .arg(format!("--workers={}", options.workers.workers))
        .arg(format!("--state={}", state.as_ref().map_or("", PossibleValue::get_name)))
        .arg(format!("--inherited={}", listener.as_raw_fd()));
    anyhow::Error::new(command.exec()).context("cannot begin anew")
}

fn work(
    name: &str,
    mut connections: UnboundedReceiver<std::net::TcpStream>,
    carts: Option<Arc<Carts>>,
) -> anyhow::Result<()> {
    run_worker(name, async {
        while let Some(socket) = connections.recv().await {
            let (socket, carts) = (TcpStream::from_std(socket)?, carts.clone());
            tokio::spawn(serve_connection(socket, move |request| {
                let carts = carts.clone();
                async move { respond(&request, carts.as_deref()) }
            }));
        }
        Ok(())
    })
}

/// The sessions that a worker knows: the number of things in each one's cart.
struct Carts {
    numbers: Arc<Numbers>,
    carts: Mutex<HashMap<u64, u64>>,
}

impl Carts {
    fn begin(&self) -> u64 {
        let session = self.numbers.next();
        self.carts.lock().unwrap_or_else(PoisonError::into_inner).insert(session, 0);
        session
    }

    /// Adds one thing to the cart; `None` if there is no such session.
    fn add(&self, session: u64) -> Option<u64> {
        let mut carts = self.carts.lock().unwrap_or_else(PoisonError::into_inner);
        let cart = carts.get_mut(&session)?;
        *cart += 1;
        Some(*cart)
    }
}

fn respond(request: &Request<Incoming>, carts: Option<&Carts>) -> Answer {
    let cookie = header(request.headers(), COOKIE.as_str());
    let session = cookie.and_then(|cookie| cookie.strip_prefix(SESSION)?.parse::<u64>().ok());
    Ok(match (request.method(), request.uri().path()) {
        (&Method::POST, "/login") => {
            with_cookie(carts.map_or(0, Carts::begin), "welcome\n".to_owned())?
        }
        (&Method::POST, "/cart") => {
            // Without state in the worker the cookie is the cart itself. A real server would sign
            // it.
            let cart = session.and_then(|session| match carts {
                Some(carts) => carts.add(session),
                None => session.checked_add(1),
            });
            match (cart, carts) {
                (None, _) => answer(StatusCode::UNAUTHORIZED, "there is no such session\n"),
                (Some(cart), Some(_)) => answer(StatusCode::OK, format!("in the cart: {cart}\n")),
                (Some(cart), None) => with_cookie(cart, format!("in the cart: {cart}\n"))?,
            }
        }
        _ => answer(StatusCode::NOT_FOUND, "POST /login or POST /cart\n"),
    })
}

fn with_cookie(value: u64, text: String) -> Answer {
    let mut response = answer(StatusCode::OK, text);
    let cookie = HeaderValue::try_from(format!("{SESSION}{value}; HttpOnly; SameSite=Strict"))?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct SessionOptions {
    /// Concurrent sessions; 2x is two for each processor
    #[arg(long, default_value = "4", value_name = "N")]
    pub clients: Count,
    /// Sessions of each client, one after another; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub sessions: u64,
    /// Requests of a session after its login
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub steps: u64,
    /// Use one connection for a session, instead of one for each request
    #[arg(long)]
    pub keep_alive: bool,
    /// Pause after each answer
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Give up on an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// A session as its client has it.
struct Session<'a> {
    options: &'a SessionOptions,
    server: SocketAddr,
    tasks: &'a Tasks<'a>,
    cookie: Option<String>,
    connection: Option<Sender>,
}

impl SessionOptions {
    /// Has sessions. Facts: `sessions` (begun), `steps` (requests of sessions), `lost` (steps that
    /// came to a worker that did not know the session).
    pub(crate) fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        Tasks::run(stop, async |tasks| {
            ["sessions", "steps", "lost"].into_iter().for_each(|fact| tasks.add(fact, 0));
            let clients = tasks.each(self.clients.get(), async |_| {
                let mut number = 0;
                while tasks.go_on() && (self.sessions == 0 || number < self.sessions) {
                    number += 1;
                    Session { options: self, server, tasks, cookie: None, connection: None }
                        .hold()
                        .await?;
                }
                Ok(())
            });
            clients.await;
        })
    }
}

impl Session<'_> {
    async fn hold(&mut self) -> Result<(), String> {
        self.ask("/login").await?;
        self.tasks.add("sessions", 1);
        for _ in 0..self.options.steps {
            if !self.tasks.sleep(self.options.pause).await {
                break;
            }
            let status = self.ask("/cart").await?;
            self.tasks.add("steps", 1);
            self.tasks.add("lost", (status == StatusCode::UNAUTHORIZED).into());
        }
        self.tasks.sleep(self.options.pause).await;
        Ok(())
    }

    async fn ask(&mut self, path: &str) -> Result<StatusCode, String> {
        let mut sender = match self.connection.take() {
            Some(sender) => sender,
            None => {
                let connect = Sender::connect(self.server, false);
                let sender = in_time("connecting", self.options.timeout, connect).await?;
                self.tasks.count(|report| report.connections += 1);
                sender
            }
        };
        let mut request = sender.request(Method::POST, self.server, path);
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        if !self.options.keep_alive {
            request = request.header(CONNECTION, "close");
        }
        let request = request.body(whole("")).map_err(|error| error.to_string())?;
        let start = Instant::now();
        self.tasks.count(|report| report.asked += 1);
        let (head, _) =
            in_time("waiting for an answer", self.options.timeout, sender.exchange(request))
                .await?;
        self.tasks.answer(header(&head.headers, "server"), start);
        self.keep_cookie(&head.headers);
        self.connection = self.options.keep_alive.then_some(sender);
        Ok(head.status)
    }

    fn keep_cookie(&mut self, headers: &HeaderMap) {
        if let Some(cookie) =
            header(headers, SET_COOKIE.as_str()).and_then(|cookie| cookie.split(';').next())
        {
            self.cookie = Some(cookie.to_owned());
        }
    }
}
