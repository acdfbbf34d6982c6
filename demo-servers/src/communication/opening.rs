//! Every pattern of communication in one server, and a client that uses one after another: who
//! speaks first, and who speaks unasked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, value_parser};
use futures_util::future::try_join3;
use http::StatusCode;
use humantime::parse_duration;
use socket2::Socket;
use tokio::net::TcpListener;

use super::broker::{Broker, PubSubOptions};
use super::news::{By, News, NewsOptions};
use crate::demo::client::timeout;
use crate::demo::{Report, Stop};
use crate::execution::Count;
use crate::http::{accept_all, answer, run as run_server, serve};
use crate::protocols::http::HttpOptions;
use crate::sock::{ListenOptions, address, announce_listener};

/// The port of pushed events follows that of HTTP, and that of the broker comes after it.
const PUSH: u16 = 1;
const BROKER: u16 = 2;
/// Messages that the broker keeps.
const QUEUE: u32 = 1000;
/// Time that a long poll may wait.
const HOLD: Duration = Duration::from_secs(20);

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen; the two ports that follow are taken, too
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Something happens at this interval
    #[arg(long, default_value = "100ms", value_name = "TIME", value_parser = timeout)]
    pub every: Duration,
}

/// Serves until signalled: HTTP with `/`, `/news` and its waits and streams; pushed events on the
/// next port; a broker on the one after it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    run_server("event-loop", async {
        let main = open(&options.listen, 0)?;
        let listen =
            ListenOptions { listen: address(&main.local_addr()?)?, ..options.listen.clone() };
        let (push, broker) = (open(&listen, PUSH)?, open(&listen, BROKER)?);
        announce_listener(&main)?;
        let [main, push, broker] =
            [main, push, broker].map(|socket| TcpListener::from_std(socket.into()));
        let (main, push, at_broker) = (main?, push?, broker?);
        let news = News::begin(options.every);
        let http = serve(&main, move |request, _| async move {
            match request.uri().path() {
                "/" => Ok(answer(StatusCode::OK, "here you are\n")),
                _ => news.respond(request, HOLD, None).await,
            }
        });
        let pushing = accept_all(&push, |socket| news.push(socket, 0, false));
        let broker = Arc::new(Broker::new(QUEUE));
        let passing_on = accept_all(&at_broker, |socket| {
            let broker = Arc::clone(&broker);
            // A client that has left is no error.
            async move { drop(broker.serve(socket).await) }
        });
        try_join3(http, pushing, passing_on).await?;
        Ok(())
    })
}

/// Opens a listener so many ports after the one that was asked for.
fn open(options: &ListenOptions, after: u16) -> anyhow::Result<Socket> {
    let listen = beside(options.listen, after).context("there is no port left")?;
    let socket = ListenOptions { listen, ..options.clone() }.bind(false)?;
    socket.set_nonblocking(true)?;
    socket.listen(options.backlog)?;
    Ok(socket)
}

/// The address so many ports later; `None` if there is none.
fn beside(mut address: SocketAddr, after: u16) -> Option<SocketAddr> {
    address.set_port(address.port().checked_add(after)?);
    Some(address)
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct PatternOptions {
    /// Events to hear of in each pattern, or requests to make
    #[arg(
        long,
        default_value_t = 5,
        value_name = "N",
        value_parser = value_parser!(u64).range(1..)
    )]
    pub events: u64,
    /// Pause after an answer of request and response, and of short polling
    #[arg(long, default_value = "20ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// With push, write a line before reading
    #[arg(long)]
    pub greet: bool,
    /// Pause after each message that is published
    #[arg(long, default_value = "50ms", value_name = "TIME", value_parser = parse_duration)]
    pub publish: Duration,
    /// Give up on a connection or an answer after this long
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

impl PatternOptions {
    /// Uses one pattern after another, each over a connection of its own: request and response,
    /// short polling, long polling, server-sent events, push, publish and subscribe (a subscriber,
    /// then a publisher). Facts: `patterns` (that were used to the end).
    pub(crate) fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        let mut all = Report::default();
        let (Some(push), Some(broker)) = (beside(server, PUSH), beside(server, BROKER)) else {
            all.error("there is no port left".to_owned());
            return all;
        };
        let steps: [&dyn Fn() -> Report; 6] = [
            &|| self.asking().run(server, stop),
            &|| self.hearing(By::ShortPolling).run(server, stop),
            &|| self.hearing(By::LongPolling).run(server, stop),
            &|| self.hearing(By::Events).run(server, stop),
            &|| self.hearing(By::Push).run(push, stop),
            &|| self.publishing().run(broker, stop),
        ];
        let mut patterns = 0;
        for step in steps {
            if stop.is_stopped() {
                break;
            }
            let report = step();
            patterns += u64::from(report.errors.is_empty() && !stop.is_stopped());
            add(&mut all, report);
        }
        all.facts.push(("patterns", patterns));
        all
    }

    fn asking(&self) -> HttpOptions {
        HttpOptions {
            clients: Count::Just(1),
            requests: self.events,
            connections: Some(1),
            pause: self.pause,
            http2: false,
            streams: 1,
            timeout: self.timeout,
            late: None,
        }
    }

    fn hearing(&self, by: By) -> NewsOptions {
        NewsOptions {
            by,
            clients: Count::Just(1),
            news: self.events,
            interval: self.pause,
            wait: HOLD.as_secs(),
            retry: Duration::ZERO,
            forget: false,
            greet: self.greet,
            stall: Duration::ZERO,
            timeout: self.timeout,
        }
    }

    fn publishing(&self) -> PubSubOptions {
        PubSubOptions {
            publishers: 1,
            subscribers: 1,
            topics: 1,
            messages: self.events,
            message_size: 100,
            pause: self.publish,
            slow_subscriber: Duration::ZERO,
            timeout: self.timeout,
        }
    }
}

/// Adds the counts of one pattern to those of all.
fn add(all: &mut Report, one: Report) {
    all.asked += one.asked;
    all.answered += one.answered;
    all.connections += one.connections;
    for (what, count) in one.errors {
        *all.errors.entry(what).or_default() += count;
    }
}
