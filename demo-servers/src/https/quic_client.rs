//! The client of HTTP/3: connects, asks on several streams at once, and measures.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Buf, Bytes};
use clap::{Args, value_parser};
use futures_util::future::{join_all, poll_fn};
use humantime::parse_duration;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::client::Resumption;
use tokio::{runtime, time};

use super::quic_server::{HTTP3, way};
use super::tally::{Tally, Visit, VisitOptions};
use super::tickets::Tickets;
use super::{config, message};
use crate::demo::{RETRY, Report, Stop};

/// Interval at which a waiting client checks whether to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for the last packets of a connection.
const LINGER: Duration = Duration::from_millis(500);
/// Nothing went wrong (RFC 9114, `H3_NO_ERROR`).
const NO_ERROR: u32 = 0x100;

/// Knobs of the client of HTTP/3.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct Options {
    /// Use early data: requests in the first flight (0-RTT), when a session is resumed
    #[arg(long)]
    pub early_data: bool,
    /// Concurrent requests on each connection, each on its own stream
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = value_parser!(u64).range(1..=100)
    )]
    pub streams: u64,
    /// Bytes of a request's body
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub request_size: usize,
    /// Count the answers that take this much longer than the quickest one
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub late: Option<Duration>,
    /// Number and timing of the connections
    #[command(flatten)]
    pub visits: VisitOptions,
}

/// Makes one connection after another. The facts are those of [`Tally::report`], `streams` (the
/// concurrent requests of a connection), and with `--late` that of [`Report::late`]. The latency of a connection's first requests counts from
/// before connect.
pub(crate) fn run(options: &Options, server: SocketAddr, stop: &Stop) -> Report {
    let mut report = Report::default();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.context("no runtime").and_then(|runtime| {
        runtime.block_on(async { Client::new(options, server)?.visits(stop, &mut report).await })
    });
    if let Err(error) = outcome {
        report.error(format!("{error:#}"));
    }
    report
}

struct Client<'a> {
    options: &'a Options,
    server: SocketAddr,
    endpoint: Endpoint,
    tickets: Arc<Tickets>,
}

impl<'a> Client<'a> {
    fn new(options: &'a Options, server: SocketAddr) -> anyhow::Result<Self> {
        let tickets = Tickets::new();
        let sessions = Resumption::store(Arc::clone(&tickets) as _);
        let tls = config::client(way(options.early_data), HTTP3, sessions)?;
        let local = if server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let mut endpoint = Endpoint::client(SocketAddr::new(local, 0))?;
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(
            QuicClientConfig::try_from(tls)?,
        )));
        Ok(Self { options, server, endpoint, tickets })
    }

    async fn visits(&self, stop: &Stop, report: &mut Report) -> anyhow::Result<()> {
        let mut tally = Tally::new(self.options.early_data);
        let VisitOptions { connections, pause, timeout, .. } = self.options.visits;
        let mut begun = 0;
        while !stop.is_stopped() && connections.is_none_or(|most| begun < most) {
            begun += 1;
            let outcome = self.visit(stop, report, &mut tally).await;
            sleep(stop, if outcome.is_ok() { pause } else { RETRY }).await;
            if let Err(error) = outcome
                && stop.is_failure()
            {
                report.error(format!("{error:#}"));
            }
        }
        // The peer learns of the end only while this endpoint still runs.
        let _ = time::timeout(LINGER.min(timeout), self.endpoint.wait_idle()).await;
        tally.report(report);
        report.facts.push(("streams", self.options.streams));
        report.late(self.options.late);
        Ok(())
    }

    /// One connection, to its end.
    async fn visit(
        &self,
        stop: &Stop,
        report: &mut Report,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let VisitOptions { requests, pause, timeout, .. } = self.options.visits;
        let start = Instant::now();
        let connecting = self.endpoint.connect(self.server, "localhost")?;
        let (connection, early) =
            match if self.options.early_data { connecting.into_0rtt() } else { Err(connecting) } {
                Ok((connection, accepted)) => (connection, Some(accepted)),
                Err(connecting) => {
                    (in_time(stop, timeout, connecting).await.context("connecting")??, None)
                }
            };
        report.connections += 1;
        let (mut driver, sender) =
            h3::client::new(h3_quinn::Connection::new(connection.clone())).await?;
        let driver =
            tokio::spawn(async move { poll_fn(|context| driver.poll_close(context)).await });
        let (mut early, mut began) = (early, start);
        for number in 1.. {
            report.asked += self.options.streams;
            let streams = (0..self.options.streams).map(|_| self.ask(sender.clone(), began));
            let mut first_byte = Duration::MAX;
            for answer in
                in_time(stop, timeout, join_all(streams)).await.context("waiting for an answer")?
            {
                let Answer { name, head, end } = answer.context("waiting for an answer")?;
                report.answer(name.as_deref(), end);
                first_byte = first_byte.min(head);
            }
            if number == 1 {
                let accepted = match early.take() {
                    Some(accepted) => accepted.await,
                    None => false,
                };
                tally.add(&visit(accepted, first_byte, connection.rtt()));
            }
            if number == requests || stop.is_stopped() {
                break;
            }
            sleep(stop, pause).await;
            began = Instant::now();
        }
        if self.options.early_data {
            in_time(stop, timeout, self.tickets.arrival()).await.context("waiting for a ticket")?;
        }
        connection.close(NO_ERROR.into(), b"");
        driver.abort();
        Ok(())
    }

    /// One request, on a stream of its own.
    async fn ask(&self, mut sender: Sender, began: Instant) -> anyhow::Result<Answer> {
        let body = vec![b'x'; self.options.request_size];
        let request =
            if body.is_empty() { http::Request::get(URI) } else { http::Request::post(URI) };
        let mut stream = sender.send_request(request.body(())?).await?;
        if !body.is_empty() {
            stream.send_data(body.into()).await?;
        }
        stream.finish().await?;
        let response = stream.recv_response().await?;
        let head = began.elapsed();
        if !response.status().is_success() {
            bail!("the server answered {}", response.status());
        }
        let mut received = Vec::new();
        while let Some(mut data) = stream.recv_data().await? {
            received.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        Ok(Answer { name: message::name_in(&received), head, end: began.elapsed() })
    }
}

type Sender = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

/// Target of each request.
const URI: &str = "https://localhost/";

struct Answer {
    name: Option<String>,
    /// Time until its head came.
    head: Duration,
    /// Time until all of it had come.
    end: Duration,
}

/// Returns the figures of a connection until its first answers.
fn visit(early_data: bool, first_byte: Duration, rtt: Duration) -> Visit {
    Visit {
        tls: 13,
        resumed: early_data,
        early_data,
        syn_data: false,
        round_trips: None,
        first_byte,
        rtt,
    }
}

/// Waits no longer than this, and not much longer than until the client is told to stop: the server
/// may have ended.
async fn in_time<F: Future>(
    stop: &Stop,
    timeout: Duration,
    future: F,
) -> anyhow::Result<F::Output> {
    let stopped = async {
        sleep(stop, timeout).await;
        time::sleep(LINGER.min(timeout)).await;
    };
    tokio::select! {
        output = time::timeout(timeout, future) => output.context("timed out"),
        () = stopped => bail!("stopped"),
    }
}

/// Sleeps, unless the client is told to stop. Meanwhile QUIC sends what it has to send.
async fn sleep(stop: &Stop, pause: Duration) {
    let end = Instant::now() + pause;
    while !stop.is_stopped() && Instant::now() < end {
        time::sleep(LOOK.min(end - Instant::now())).await;
    }
}
