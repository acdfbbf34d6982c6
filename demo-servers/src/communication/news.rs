//! Ways for news to reach a client: it asks again and again, it asks and the server waits, or the
//! server writes unasked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum, value_parser};
use futures_util::stream;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use humantime::parse_duration;
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::unasked::Unasked;
use crate::demo::client::timeout;
use crate::demo::tasks::{Tasks, in_time};
use crate::demo::{Report, Stop, explain};
use crate::execution::Count;
use crate::http::{
    Answer, Sender, accept_all, answer, header, listen, padded, run as run_server, serve, sign,
    whole,
};
use crate::queues::Queues;
use crate::sock::{ListenOptions, monotonic_ns};

/// Header with the time to wait for news (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Header with the last event that a client has, when it reconnects.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";
/// Most news in an answer; those before are too old.
const MOST_AT_ONCE: u64 = 1000;

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Something happens at this interval
    #[arg(long, default_value = "200ms", value_name = "TIME", value_parser = timeout)]
    pub every: Duration,
    /// The longest that a request may wait for an event
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = parse_duration)]
    pub hold: Duration,
    /// End each stream after this many events; the client then reconnects
    #[arg(long, value_name = "N")]
    pub end_after: Option<usize>,
    /// No HTTP: write each event to all connections, unasked
    #[arg(long)]
    pub push: bool,
    /// Bytes of an event's line, with --push, if it is not longer
    #[arg(
        long,
        default_value_t = 0,
        value_name = "BYTES",
        value_parser = value_parser!(u32).range(..=10_000_000)
    )]
    pub line: u32,
    /// Print a line when a send buffer is full, and when it has room again (with --push)
    #[arg(long)]
    pub trace: bool,
}

/// Serves until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    run_server("event-loop", async {
        let listener = listen(&options.listen)?;
        let news = News::begin(options.every);
        if options.push {
            let (line, trace) = (options.line as usize, options.trace);
            return accept_all(&listener, |socket| news.push(socket, line, trace)).await;
        }
        let (hold, end_after) = (options.hold, options.end_after);
        serve(&listener, move |request, _| news.respond(request, hold, end_after)).await
    })
}

/// News come at fixed intervals, the first after one interval. Their text is their number and the
/// time at which they happened.
#[derive(Clone, Copy)]
pub(super) struct News {
    begun: Instant,
    begun_ns: u64,
    every: Duration,
}

impl News {
    /// Something happens at this interval from now on.
    pub(super) fn begin(every: Duration) -> Self {
        Self { begun: Instant::now(), begun_ns: monotonic_ns(), every }
    }

    /// Number of the latest news; 0 if nothing has happened yet.
    fn latest(&self) -> u64 {
        (self.begun.elapsed().as_nanos() / self.every.as_nanos()) as u64
    }

    fn line(&self, number: u64) -> String {
        format!("{number} {}", self.begun_ns + number * self.every.as_nanos() as u64)
    }

    /// Waits until the news with this number have happened.
    async fn happens(&self, number: u64) {
        let since_begin = Duration::from_nanos(number * self.every.as_nanos() as u64);
        tokio::time::sleep_until((self.begun + since_begin).into()).await;
    }

    /// Writes each event to a connection, as a line of so many bytes at least.
    pub(super) async fn push(self, socket: TcpStream, size: usize, trace: bool) {
        let mut connection = Unasked::new(socket, trace);
        for number in self.latest() + 1.. {
            self.happens(number).await;
            let line = self.line(number);
            let line = if line.len() < size { padded(line + " ", size) } else { line };
            if connection.write(format!("{line}\n").as_bytes()).await.is_err() {
                break;
            }
        }
    }

    pub(super) async fn respond(
        self,
        request: Request<Incoming>,
        hold: Duration,
        end_after: Option<usize>,
    ) -> Answer {
        if header(request.headers(), ACCEPT.as_str())
            .is_some_and(|accept| accept.contains(EVENT_STREAM))
        {
            return Ok(self.events(request.headers(), end_after));
        }
        // A client that gives no number gets the latest.
        let after =
            request.uri().query().and_then(|query| query.strip_prefix("after=")?.parse().ok());
        let after = after.unwrap_or_else(|| self.latest().saturating_sub(1));
        if let Some(wait) = wait(request.headers()) {
            // After a timeout the answer is empty, as without a wait.
            let _ = tokio::time::timeout(wait.min(hold), self.happens(after + 1)).await;
        }
        let latest = self.latest();
        if after >= latest {
            return Ok(answer(StatusCode::NO_CONTENT, ""));
        }
        let numbers = after.max(latest.saturating_sub(MOST_AT_ONCE)) + 1..=latest;
        Ok(answer(
            StatusCode::OK,
            numbers.map(|number| self.line(number) + "\n").collect::<String>(),
        ))
    }

    /// Answers with a stream of events that begins after the last one that the client has.
    fn events(self, headers: &HeaderMap, end_after: Option<usize>) -> Response<crate::http::Body> {
        let latest = self.latest();
        let last = header(headers, LAST_EVENT_ID.as_str())
            .and_then(|last| last.parse().ok())
            .unwrap_or(latest);
        let first = last.clamp(latest.saturating_sub(MOST_AT_ONCE), latest) + 1;
        let events = stream::unfold((first, 0), move |(number, sent)| async move {
            if end_after.is_some_and(|most| sent >= most) {
                return None;
            }
            self.happens(number).await;
            let event = format!("id: {number}\ndata: {}\n\n", self.line(number));
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), (number + 1, sent + 1)))
        });
        let mut response =
            Response::new(StreamBody::new(events).map_err(|never| match never {}).boxed_unsync());
        sign(response.headers_mut());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// Returns the time that the client is willing to wait: `Prefer: wait=SECONDS`.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = header(headers, PREFER.as_str())?.strip_prefix("wait=")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The way in which a client gets news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Asks again and again
    ShortPolling,
    /// Asks, and the server answers only when something has happened
    LongPolling,
    /// Asks once for a stream of events
    Events,
    /// Connects, and asks nothing (of a server that was told to --push)
    Push,
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct NewsOptions {
    /// How to learn of events
    #[arg(long, value_enum, default_value_t = By::ShortPolling, value_name = "HOW")]
    pub by: By,
    /// Connections; 2x is two for each processor
    #[arg(long, default_value = "4", value_name = "N")]
    pub clients: Count,
    /// End after this many events at each client; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub news: u64,
    /// Short polling: ask at this interval
    #[arg(long, default_value = "50ms", value_name = "TIME", value_parser = parse_duration)]
    pub interval: Duration,
    /// Long polling: have the server wait this many seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub wait: u64,
    /// Events: wait this long before coming back when a stream has ended
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub retry: Duration,
    /// Events: come back without saying which event was the last
    #[arg(long)]
    pub forget: bool,
    /// Push: write a line before reading
    #[arg(long)]
    pub greet: bool,
    /// Push: do not read for this long
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub stall: Duration,
    /// Give up when nothing has come for this long
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// The news that a client has received.
#[derive(Default)]
struct Heard {
    last: Option<u64>,
    count: u64,
}

impl NewsOptions {
    /// Gets news. The latency is their age at their arrival. Facts: `news` (that arrived), `empty`
    /// (answers without any), `missed` (news between two that arrived); of a client that did not
    /// read for a while, `unread` (bytes in its receive queue) and `memory` (bytes that they take).
    pub(crate) fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        Tasks::run(stop, async |tasks| {
            ["news", "empty", "missed"].into_iter().for_each(|fact| tasks.add(fact, 0));
            let hear = async |_| {
                let mut heard = Heard::default();
                while tasks.go_on() && !self.has_enough(&heard) {
                    // A client that only listens would not notice by itself that it is to stop.
                    let outcome = match self.by {
                        By::ShortPolling => Some(self.poll(server, tasks, &mut heard).await),
                        By::LongPolling => {
                            tasks.unless_stopped(self.poll(server, tasks, &mut heard)).await
                        }
                        By::Events => {
                            tasks.unless_stopped(self.follow(server, tasks, &mut heard)).await
                        }
                        By::Push => {
                            tasks.unless_stopped(self.listen(server, tasks, &mut heard)).await
                        }
                    };
                    outcome.unwrap_or(Ok(()))?;
                }
                Ok(())
            };
            tasks.each(self.clients.get(), hear).await;
        })
    }

    fn has_enough(&self, heard: &Heard) -> bool {
        self.news > 0 && heard.count >= self.news
    }

    /// Reads a line of the server: a number, and the time at which it happened.
    fn hear(&self, line: &str, tasks: &Tasks<'_>, heard: &mut Heard) {
        let mut words = line.split_whitespace().map(str::parse);
        let (Some(Ok(number)), Some(Ok(happened_ns))) = (words.next(), words.next()) else {
            return;
        };
        let age = Duration::from_nanos(monotonic_ns().saturating_sub(happened_ns));
        let missed = heard.last.map_or(0, |last| number.saturating_sub(last + 1));
        heard.last = Some(number);
        heard.count += 1;
        tasks.add("news", 1);
        tasks.add("missed", missed);
        tasks.count(|report| report.latency(age));
    }

    async fn connect(&self, server: SocketAddr, tasks: &Tasks<'_>) -> Result<Sender, String> {
        let sender = in_time("connecting", self.timeout, Sender::connect(server, false)).await?;
        tasks.count(|report| report.connections += 1);
        Ok(sender)
    }

    async fn poll(
        &self,
        server: SocketAddr,
        tasks: &Tasks<'_>,
        heard: &mut Heard,
    ) -> Result<(), String> {
        let mut sender = self.connect(server, tasks).await?;
        while tasks.go_on() && !self.has_enough(heard) {
            let path = heard.last.map_or("/news".to_owned(), |last| format!("/news?after={last}"));
            let mut request = sender.request(Method::GET, server, &path);
            if self.by == By::LongPolling {
                request = request.header(PREFER, format!("wait={}", self.wait));
            }
            let request = request.body(whole("")).map_err(|error| error.to_string())?;
            tasks.count(|report| report.asked += 1);
            let (head, body) =
                in_time("waiting for an answer", self.timeout, sender.exchange(request)).await?;
            tasks.count(|report| report.answered += 1);
            tasks.add("empty", (head.status == StatusCode::NO_CONTENT).into());
            String::from_utf8_lossy(&body).lines().for_each(|line| self.hear(line, tasks, heard));
            if self.by == By::ShortPolling {
                tasks.sleep(self.interval).await;
            }
        }
        Ok(())
    }

    /// Follows a stream of events to its end.
    async fn follow(
        &self,
        server: SocketAddr,
        tasks: &Tasks<'_>,
        heard: &mut Heard,
    ) -> Result<(), String> {
        let mut sender = self.connect(server, tasks).await?;
        let mut request = sender.request(Method::GET, server, "/news").header(ACCEPT, EVENT_STREAM);
        if let Some(last) = heard.last
            && !self.forget
        {
            request = request.header(LAST_EVENT_ID, last);
        }
        let request = request.body(whole("")).map_err(|error| error.to_string())?;
        tasks.count(|report| report.asked += 1);
        let mut response =
            in_time("waiting for an answer", self.timeout, sender.send(request)).await?;
        tasks.count(|report| report.answered += 1);
        let mut text = String::new();
        while !self.has_enough(heard) {
            let next = tokio::time::timeout(self.timeout, response.frame()).await;
            let Some(frame) = next.map_err(|_| "waiting for events: timed out")? else { break };
            let frame = frame.map_err(|error| format!("waiting for events: {error}"))?;
            text.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| &data[..])));
            // An empty line ends an event. Chunks may end anywhere.
            while let Some((event, rest)) = text.split_once("\n\n") {
                event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data: "))
                    .for_each(|line| self.hear(line, tasks, heard));
                text = rest.to_owned();
            }
        }
        if !self.has_enough(heard) {
            tokio::time::sleep(self.retry).await;
        }
        Ok(())
    }

    async fn listen(
        &self,
        server: SocketAddr,
        tasks: &Tasks<'_>,
        heard: &mut Heard,
    ) -> Result<(), String> {
        let mut socket = in_time("connecting", self.timeout, TcpStream::connect(server)).await?;
        tasks.count(|report| report.connections += 1);
        if self.greet {
            in_time("sending", self.timeout, socket.write_all(b"hello\n")).await?;
        }
        if !self.stall.is_zero() {
            tokio::time::sleep(self.stall).await;
            let Queues { unread, memory_in, .. } =
                Queues::of(&socket).map_err(|error| explain("asking for its queues", &error))?;
            tasks.add("unread", unread);
            tasks.add("memory", memory_in);
        }
        let mut lines = BufReader::new(socket).lines();
        while !self.has_enough(heard) {
            match in_time("waiting for an event", self.timeout, lines.next_line()).await? {
                Some(line) => self.hear(&line, tasks, heard),
                None => return Err("waiting for an event: the server closed".to_owned()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_the_client_would_wait() {
        let headers = |value| HeaderMap::from_iter([(PREFER, HeaderValue::from_static(value))]);
        assert_eq!(wait(&headers("wait=7")), Some(Duration::from_secs(7)));
        assert_eq!(wait(&headers("respond-async")), None);
        assert_eq!(wait(&HeaderMap::new()), None);
    }
}
