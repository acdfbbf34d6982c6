//! An HTTP client that asks at a fixed rate, however slow the answers are. The latency of a request
//! counts from the moment at which it was due, so a server that stalls is charged with every
//! request that it delays, not with the one that it was at ("coordinated omission").

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::answer::Answer;

/// What to ask, and how often.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) path: String,
    /// Requests under way at a time at most; the next ones wait.
    pub(super) connections: usize,
    /// A connection for each request, or connections that stay open.
    pub(super) connection_each: bool,
    /// Requests a second; as many as are answered if there is none.
    pub(super) rate: Option<f64>,
    /// The processor to run on.
    pub(super) processor: usize,
}

/// What came of the requests.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// From the moment at which a request was due to the last byte of its answer, ns.
    pub(super) latencies: Histogram<u64>,
    /// Requests without a complete answer of status 200.
    pub(super) failed: u64,
}

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

impl Outcome {
    pub(super) fn new() -> Result<Self> {
        let latencies = Histogram::new_with_bounds(1, 2 * PATIENCE.as_nanos() as u64, 3)?;
        Ok(Self { latencies, failed: 0 })
    }

    /// Adds what came of other requests.
    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        self.failed += other.failed;
        self.latencies.add(&other.latencies).context("the histograms differ")
    }

    /// Returns whether at least one request is beyond this share of them.
    pub(super) fn reaches(&self, share: f64) -> bool {
        self.latencies.len() as f64 * (1.0 - share) >= 1.0
    }

    /// Returns the latency that this share of the requests did not exceed, µs.
    pub(super) fn quantile_us(&self, share: f64) -> f64 {
        self.latencies.value_at_quantile(share) as f64 / 1e3
    }
}

/// A client in a thread of its own. It ends when this is dropped.
pub(super) struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// The thread's id.
    id: u32,
}

struct Shared {
    stop: AtomicBool,
    /// Requests that are due and wait for a connection.
    waiting: AtomicUsize,
    outcome: Mutex<Outcome>,
}

impl Client {
    /// Starts asking.
    pub(super) fn start(plan: Plan) -> Result<Self> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            outcome: Mutex::new(Outcome::new()?),
        });
        let (tell, told) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("fixed-rate".to_owned()).spawn(move || {
            let set_up = set_up(plan.processor);
            let is_set_up = set_up.is_ok();
            // Nobody listens any more if the bench is about to end.
            let _ = tell.send(set_up);
            if is_set_up {
                Asking::new(plan, &of_thread).run();
            }
        })?;
        let id = told.recv().context("the client ended")??;
        Ok(Self { shared, thread: Some(thread), id })
    }

    /// Returns what came of the requests since the last call.
    pub(super) fn take(&self) -> Result<Outcome> {
        let fresh = Outcome::new()?;
        let mut outcome = self.shared.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            bail!("the client has ended");
        }
        Ok(std::mem::replace(&mut outcome, fresh))
    }

    /// Waits a while for a server that has fallen behind, until no request waits for a connection.
    pub(super) fn catch_up(&self) {
        let deadline = Instant::now() + Duration::from_secs(3);
        while self.shared.waiting.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the processor time of the client so far, ns.
    pub(super) fn cpu_ns(&self) -> Result<f64> {
        let file = format!("/proc/self/task/{}/schedstat", self.id);
        let text = std::fs::read_to_string(&file).context(file)?;
        let first = text.split_whitespace().next().context("schedstat is empty")?;
        first.parse().context("schedstat has no number")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it has panicked, it has said so.
            let _ = thread.join();
        }
    }
}

/// Prepares the thread to wake up in time, on its processor. Returns its id.
fn set_up(processor: usize) -> Result<u32> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    rustix::thread::sched_setaffinity(None, &set)?;
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    Ok(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs())
}

/// The state of the client's thread.
struct Asking<'a> {
    plan: Plan,
    shared: &'a Shared,
    request: Vec<u8>,
    /// Requests that are due, by when they were, and have no connection yet.
    due: VecDeque<Instant>,
    connections: Vec<Connection>,
    /// What is read, until it has been looked at.
    buffer: Vec<u8>,
}

/// A connection, or the place of one.
#[derive(Default)]
struct Connection {
    stream: Option<TcpStream>,
    /// When the request under way was due.
    asked: Option<Instant>,
    answer: Answer,
}

impl<'a> Asking<'a> {
    fn new(plan: Plan, shared: &'a Shared) -> Self {
        let last = if plan.connection_each { "Connection: close\r\n" } else { "" };
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n", plan.path);
        let connections = (0..plan.connections).map(|_| Connection::default()).collect();
        let buffer = vec![0; 256 * 1024];
        Self { plan, shared, request: request.into(), due: VecDeque::new(), connections, buffer }
    }

    fn run(&mut self) {
        let period = self.plan.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        let mut next = Instant::now();
        while !self.shared.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            match period {
                Some(period) => {
                    while next <= now {
                        self.due.push_back(next);
                        next += period;
                    }
                }
                None => {
                    let idle = self.connections.iter().filter(|place| place.asked.is_none());
                    self.due = idle.map(|_| now).collect();
                }
            }
            self.send();
            self.shared.waiting.store(self.due.len(), Ordering::Relaxed);
            self.give_up(now);
            let wait = period.map_or(IDLE, |_| next.saturating_duration_since(Instant::now()));
            self.receive(wait.min(IDLE));
        }
    }

    /// Sends what is due, as far as there are connections.
    fn send(&mut self) {
        for place in &mut self.connections {
            if place.asked.is_some() {
                continue;
            }
            let Some(due) = self.due.pop_front() else { return };
            match place.ask(self.plan.address, &self.request) {
                Ok(()) => place.asked = Some(due),
                Err(_) => {
                    *place = Connection::default();
                    self.shared.failed();
                }
            }
        }
    }

    /// Counts requests as failed that nobody waits for any more.
    fn give_up(&mut self, now: Instant) {
        for place in &mut self.connections {
            if place.asked.is_some_and(|asked| now.duration_since(asked) > PATIENCE) {
                *place = Connection::default();
                self.shared.failed();
            }
        }
    }

    /// Waits so long for answers, and reads those that are there.
    fn receive(&mut self, wait: Duration) {
        let mut ready = Vec::with_capacity(self.connections.len());
        let mut fds = Vec::with_capacity(self.connections.len());
        for (at, place) in self.connections.iter().enumerate() {
            if let (Some(stream), Some(_)) = (&place.stream, place.asked) {
                ready.push(at);
                fds.push(PollFd::new(stream, PollFlags::IN));
            }
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        if poll(&mut fds, Some(&timeout)).is_err() {
            return; // A signal.
        }
        let mut is_ready = fds.iter().map(|fd| !fd.revents().is_empty());
        ready.retain(|_| is_ready.next() == Some(true));
        for at in ready {
            self.read(at);
        }
    }

    fn read(&mut self, at: usize) {
        let place = &mut self.connections[at];
        match place.read(&mut self.buffer) {
            Ok(false) => {}
            Ok(true) => {
                let asked = place.asked.take();
                if self.plan.connection_each {
                    place.stream = None;
                }
                if let Some(asked) = asked {
                    self.shared.answered(asked.elapsed());
                }
            }
            Err(_) => {
                *place = Connection::default();
                self.shared.failed();
            }
        }
    }
}

/// The longest wait for answers, after which it is looked whether to stop.
const IDLE: Duration = Duration::from_millis(50);

impl Connection {
    /// Sends a request, on a new connection if there is none.
    fn ask(&mut self, address: SocketAddr, request: &[u8]) -> Result<()> {
        let mut stream = match &self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                &*self.stream.insert(stream)
            }
        };
        self.answer = Answer::default();
        stream.write_all(request).context("sending a request")
    }

    /// Reads what is there. Returns whether the answer is complete.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let mut stream = self.stream.as_ref().context("no connection")?;
        loop {
            match stream.read(buffer) {
                Ok(0) => bail!("the server has closed the connection"),
                Ok(length) if self.answer.take(&buffer[..length])? => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Shared {
    fn answered(&self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.latencies.saturating_record(ns);
    }

    fn failed(&self) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).failed += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn plan(address: SocketAddr) -> Plan {
        Plan {
            address,
            path: "/".to_owned(),
            connections: 1,
            connection_each: false,
            rate: Some(1_000.0),
            processor: 0,
        }
    }

    /// A server that takes this long to answer each request.
    fn server(takes: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            while stream.read(&mut [0; 1_024]).is_ok_and(|length| length > 0) {
                thread::sleep(takes);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                stream.write_all(answer).expect("a reader");
            }
        });
        address
    }

    #[test]
    fn a_slow_server_is_charged_with_the_requests_that_wait() {
        let client = Client::start(plan(server(Duration::from_millis(10)))).expect("a client");
        let mut outcome = Outcome::new().expect("a histogram");
        while outcome.latencies.len() < 10 {
            thread::yield_now();
            outcome.add(&client.take().expect("an outcome")).expect("histograms");
        }
        // The tenth was due after 9 ms, and is answered after 100 ms.
        assert!(outcome.quantile_us(1.0) > 80_000.0, "{}", outcome.quantile_us(1.0));
        assert_eq!(outcome.failed, 0);
    }
    #[test]
    fn a_quantile_needs_requests_beyond_it() {
        let mut outcome = Outcome::new().expect("a histogram");
        outcome.latencies.saturating_record_n(1_000, 500);
        assert!(outcome.reaches(0.99) && !outcome.reaches(0.999));
    }

    #[test]
    fn a_connection_that_the_server_ends_is_a_failed_request() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = Client::start(plan(listener.local_addr().expect("an address")));
        let client = client.expect("a client");
        // The second one is made after the first has failed.
        drop(listener.accept().expect("a client"));
        drop(listener.accept().expect("a client again"));
        drop(listener);
        let mut outcome = Outcome::new().expect("a histogram");
        while outcome.failed < 3 {
            thread::yield_now();
            outcome.add(&client.take().expect("an outcome")).expect("histograms");
        }
        assert_eq!(outcome.latencies.len(), 0);
    }
}
