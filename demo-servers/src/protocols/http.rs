//! HTTP/1.1 and HTTP/2 without anything special: a server that answers, and a client with
//! connections, requests and streams.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use futures_util::future::join_all;
use http::header::VIA;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use humantime::parse_duration;
use hyper::body::Incoming;

use crate::demo::client::timeout;
use crate::demo::tasks::{Tasks, in_time};
use crate::demo::{Report, Stop};
use crate::execution::Count;
use crate::http::{
    Answer, CONNECTION_NUMBER, HoldOptions, Numbers, Sender, answer, header, listen, padded,
    run as run_server, serve_half_closed, serve_http2, whole,
};
use crate::sock::ListenOptions;

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Delays before an answer
    #[command(flatten)]
    pub hold: HoldOptions,
    /// Wait this long before the first of every --slow-every answers
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub slow: Duration,
    /// Answers of which --slow holds up the first
    #[arg(long, default_value = "1", value_name = "N")]
    pub slow_every: NonZeroU64,
    /// Bytes of an answer's body
    #[arg(long, default_value_t = 200, value_name = "BYTES")]
    pub response: usize,
    /// Speak HTTP/2 without TLS (h2c, prior knowledge) rather than HTTP/1.1
    #[arg(long)]
    pub h2c: bool,
    /// Name of the server in its answers, and of its thread
    #[arg(long, default_value = "event-loop", value_name = "NAME")]
    pub name: String,
}

/// Serves until signalled.
pub fn run(options: &Options) -> anyhow::Result<()> {
    run_server(&options.name, async {
        let listener = listen(&options.listen)?;
        let answering =
            Arc::new(Answering { options: options.clone(), requests: Numbers::default() });
        let handler = move |request, connection| {
            let answering = Arc::clone(&answering);
            async move { answering.respond(request, connection).await }
        };
        if options.h2c {
            serve_http2(&listener, handler).await
        } else {
            serve_half_closed(&listener, handler).await
        }
    })
}

/// What answers need.
struct Answering {
    options: Options,
    requests: Numbers,
}

impl Answering {
    /// Answers with a text of so many bytes that begins with the numbers of the connection and of
    /// the request.
    async fn respond(&self, request: Request<Incoming>, connection: u64) -> Answer {
        request.into_body().collect().await?;
        let number = self.requests.next();
        let Options { hold, slow, slow_every, response: size, .. } = &self.options;
        hold.hold().await;
        if !slow.is_zero() && (number - 1).is_multiple_of(slow_every.get()) {
            tokio::time::sleep(*slow).await;
        }
        let mut response = answer(StatusCode::OK, "");
        let text = format!("connection {connection}, request {number}\n");
        *response.body_mut() = whole(padded(text, *size));
        response.headers_mut().insert(CONNECTION_NUMBER, connection.into());
        Ok(response)
    }
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct HttpOptions {
    /// Concurrent connections; 2x is two for each processor
    #[arg(long, default_value = "4", value_name = "N")]
    pub clients: Count,
    /// Requests on each connection; 0: it stays open until the end
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub requests: u64,
    /// Total connections [default: no limit]
    #[arg(long, value_name = "N")]
    pub connections: Option<u64>,
    /// Pause after each answer
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Speak HTTP/2 without TLS
    #[arg(long)]
    pub http2: bool,
    /// Concurrent requests on each connection, with --http2
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = value_parser!(u16).range(1..)
    )]
    pub streams: u16,
    /// Give up on an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
    /// Count the answers that take this much longer than the quickest one
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub late: Option<Duration>,
}

/// The servers that were seen behind an address.
#[derive(Default)]
struct Seen {
    /// Their connections: the server's name, and its number for the connection.
    connections: BTreeSet<(String, String)>,
    /// The most proxies that an answer passed.
    proxies: u64,
    most_at_once: u64,
}

impl HttpOptions {
    /// Asks until it is done or stopped. Facts: `at_once` (the most concurrent requests on a
    /// connection), `behind` (connections that the answering servers have seen; a proxy between
    /// makes them more or fewer than the client's), `proxies` (that answers have passed), and with
    /// `--late` that of [`Report::late`].
    pub(crate) fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        let seen = Mutex::new(Seen::default());
        let mut report = Tasks::run(stop, async |tasks| {
            let converse = async || self.converse(server, tasks, &seen).await;
            tasks.each_connection(self.clients.get(), self.connections, converse).await;
        });
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.facts.extend([
            ("at_once", seen.most_at_once),
            ("behind", seen.connections.len() as u64),
            ("proxies", seen.proxies),
        ]);
        report.late(self.late);
        report
    }

    /// One connection.
    async fn converse(
        &self,
        server: SocketAddr,
        tasks: &Tasks<'_>,
        seen: &Mutex<Seen>,
    ) -> Result<(), String> {
        let sender =
            in_time("connecting", self.timeout, Sender::connect(server, self.http2)).await?;
        tasks.count(|report| report.connections += 1);
        let shares = (1..self.streams).filter_map(|_| sender.share()).collect::<Vec<_>>();
        let left = AtomicU64::new(if self.requests == 0 { u64::MAX } else { self.requests });
        let left = &left;
        let at_once = &AtomicU64::new(0);
        let streams = shares.into_iter().chain([sender]).map(async |mut sender: Sender| {
            while tasks.go_on()
                && left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
            {
                let now = at_once.fetch_add(1, Ordering::Relaxed) + 1;
                look(seen, |seen| seen.most_at_once = seen.most_at_once.max(now));
                let outcome = self.ask(&mut sender, server, tasks, seen).await;
                at_once.fetch_sub(1, Ordering::Relaxed);
                outcome?;
                tasks.sleep(self.pause).await;
            }
            Ok(())
        });
        join_all(streams).await.into_iter().collect()
    }

    async fn ask(
        &self,
        sender: &mut Sender,
        server: SocketAddr,
        tasks: &Tasks<'_>,
        seen: &Mutex<Seen>,
    ) -> Result<(), String> {
        let request = sender
            .request(Method::GET, server, "/")
            .body(whole(""))
            .map_err(|error| error.to_string())?;
        let start = Instant::now();
        tasks.count(|report| report.asked += 1);
        let exchange = sender.exchange(request);
        let (head, _) = in_time("waiting for an answer", self.timeout, exchange).await?;
        if head.status != StatusCode::OK {
            return Err(format!("answered with {}", head.status));
        }
        let by = header(&head.headers, "server");
        tasks.answer(by, start);
        look(seen, |seen| {
            let connection = header(&head.headers, CONNECTION_NUMBER).unwrap_or_default();
            seen.connections.insert((by.unwrap_or_default().to_owned(), connection.to_owned()));
            seen.proxies = seen.proxies.max(head.headers.get_all(VIA).iter().count() as u64);
        });
        Ok(())
    }
}

fn look(seen: &Mutex<Seen>, look: impl FnOnce(&mut Seen)) {
    look(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
}
