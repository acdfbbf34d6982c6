//! Clients as tasks on an event loop in the calling thread.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{self, Either};

use super::client::RETRY;
use super::{Report, Stop};

/// Interval at which a waiting task checks whether to stop.
const LOOK: Duration = Duration::from_millis(20);

/// State that the tasks of a client share.
pub(crate) struct Tasks<'a> {
    stop: &'a Stop,
    report: Mutex<Report>,
}

impl<'a> Tasks<'a> {
    /// Runs the client to its end and returns what it counted.
    pub(crate) fn run(stop: &'a Stop, client: impl AsyncFnOnce(&Self)) -> Report {
        let tasks = Self { stop, report: Mutex::default() };
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(client(&tasks)),
            Err(error) => tasks.count(|report| report.error(format!("starting: {error}"))),
        }
        tasks.report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs so many tasks at once. A task that fails is counted as an error and begun again, until
    /// it succeeds.
    pub(crate) async fn each(&self, count: usize, task: impl AsyncFn(u64) -> Result<(), String>) {
        let task = &task;
        let retried = async |number| {
            while let Err(what) = task(number).await {
                let go_on = self.sleep(RETRY).await;
                if self.stop.is_failure() {
                    self.count(|report| report.error(what));
                }
                if !go_on || self.stop.is_stopped() {
                    break;
                }
            }
        };
        future::join_all((1..=count as u64).map(retried)).await;
    }

    /// Runs so many clients at once. Each makes connections one after another, until there are
    /// `most` in all, or without end.
    pub(crate) async fn each_connection(
        &self,
        clients: usize,
        most: Option<u64>,
        converse: impl AsyncFn() -> Result<(), String>,
    ) {
        let begun = AtomicU64::new(0);
        let client = async |_| {
            while self.go_on()
                && most.is_none_or(|most| begun.fetch_add(1, Ordering::Relaxed) < most)
            {
                converse().await?;
            }
            Ok(())
        };
        self.each(clients, client).await;
    }

    /// Counts something.
    pub(crate) fn count<T>(&self, count: impl FnOnce(&mut Report) -> T) -> T {
        count(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts an answer to a request of that time.
    pub(crate) fn answer(&self, by: Option<&str>, asked: Instant) {
        self.count(|report| report.answer(by, asked.elapsed()));
    }

    /// Adds to a fact.
    pub(crate) fn add(&self, fact: &'static str, more: u64) {
        self.count(|report| match report.facts.iter_mut().find(|(name, _)| *name == fact) {
            Some((_, value)) => *value += more,
            None => report.facts.push((fact, more)),
        });
    }

    /// Whether to go on.
    pub(crate) fn go_on(&self) -> bool {
        !self.stop.is_stopped()
    }

    /// Sleeps until the time is over or the client is stopped. Returns whether to go on.
    pub(crate) async fn sleep(&self, time: Duration) -> bool {
        self.unless_stopped(tokio::time::sleep(time)).await;
        self.go_on()
    }

    /// Returns the output of the future, or `None` if the client is stopped first.
    pub(crate) async fn unless_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        match future::select(pin!(future), pin!(self.stopped())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    async fn stopped(&self) {
        while self.go_on() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Returns the output of the future, or an error in words if it fails or takes longer than `limit`.
pub(crate) async fn in_time<T, E: Into<Failure>>(
    doing: &str,
    limit: Duration,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, future).await {
        Ok(outcome) => outcome.map_err(|error| format!("{doing}: {}", error.into().0)),
        Err(_) => Err(format!("{doing}: timed out")),
    }
}

/// An error in words that are the same each time.
pub(crate) struct Failure(String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::UnexpectedEof => "the server closed".to_owned(),
            kind => kind.to_string(),
        })
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self(error.to_string())
    }
}

impl Failure {
    /// Makes one of another kind of error.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        Self(error.to_string())
    }
}
