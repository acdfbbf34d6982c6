//! A proxy that the client names the target to. With CONNECT the proxy copies bytes to the target
//! and back (a tunnel). With a whole URL in the request it asks the target itself.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use http::header::{HOST, VIA};
use http::{Method, Request, StatusCode, Uri};
use humantime::parse_duration;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use super::layer7::pass_on;
use super::pool::Pool;
use super::start;
use crate::demo::client::timeout;
use crate::demo::tasks::{Tasks, in_time};
use crate::demo::{Launcher, Report, Stop};
use crate::execution::Count;
use crate::http::{
    Answer, HoldOptions, Sender, answer, header, listen, run as run_server, serve, whole,
};
use crate::sock::{ListenOptions, complain};

/// Name of the server that the proxy starts. Only the proxy can resolve it.
const ORIGIN: &str = "origin.example";
/// Most idle connections to keep to each server.
const MOST_IDLE: usize = 64;

/// Knobs of the proxy.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Delays of the proxy itself, for each request and tunnel
    #[command(flatten)]
    pub hold: HoldOptions,
    /// The origin waits this long before each answer
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub origin_sleep: Duration,
}

/// Serves until signalled.
pub fn run(options: &Options, launcher: &Launcher) -> anyhow::Result<()> {
    let sleep = format!("--sleep={}", humantime::format_duration(options.origin_sleep));
    let origin = start(launcher, &["http", "--name=origin", &sleep])?;
    let proxy =
        Arc::new(Proxy { origin: origin.address(), hold: options.hold, pools: Mutex::default() });
    run_server("proxy", async {
        let listener = listen(&options.listen)?;
        serve(&listener, move |request, _| {
            let proxy = Arc::clone(&proxy);
            async move { proxy.serve(request).await }
        })
        .await
    })
}

struct Proxy {
    origin: SocketAddr,
    hold: HoldOptions,
    pools: Mutex<HashMap<SocketAddr, Arc<Pool>>>,
}

impl Proxy {
    async fn serve(&self, request: Request<Incoming>) -> Answer {
        self.hold.hold().await;
        if request.uri().authority().is_none() {
            return Ok(answer(
                StatusCode::BAD_REQUEST,
                "say where to connect: CONNECT, or a whole URL\n",
            ));
        }
        let Some(to) = self.find(request.uri()) else {
            return Ok(answer(
                StatusCode::FORBIDDEN,
                format!("this proxy connects only to {ORIGIN} and to this machine\n"),
            ));
        };
        let outcome = if request.method() == Method::CONNECT {
            tunnel(request, to).await
        } else {
            let pool =
                Arc::clone(self.pools().entry(to).or_insert_with(|| Pool::lending(to, MOST_IDLE)));
            pass_on(&pool, request, "proxy").await
        };
        Ok(outcome.unwrap_or_else(|error| {
            complain(format_args!("{to}: {error:#}"));
            answer(StatusCode::BAD_GATEWAY, "the server did not answer\n")
        }))
    }

    /// Returns the target's address. Only loopback is allowed: clients of a demo must not reach
    /// everything else through it.
    fn find(&self, uri: &Uri) -> Option<SocketAddr> {
        if uri.host() == Some(ORIGIN) {
            return Some(self.origin);
        }
        let ip = uri.host()?.trim_matches(['[', ']']).parse().ok()?;
        Some(SocketAddr::new(ip, uri.port_u16().unwrap_or(80))).filter(|to| to.ip().is_loopback())
    }

    fn pools(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects, and copies once the client knows that it may send.
async fn tunnel(request: Request<Incoming>, to: SocketAddr) -> Answer {
    let mut server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    tokio::spawn(async move {
        if let Ok(client) = hyper::upgrade::on(request).await {
            // When one side ends, the other is closed, too.
            let _ = copy_bidirectional(&mut TokioIo::new(client), &mut server).await;
        }
    });
    Ok(answer(StatusCode::OK, ""))
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct ThroughOptions {
    /// Concurrent connections to the proxy; 2x is two for each processor
    #[arg(long, default_value = "4", value_name = "N")]
    pub clients: Count,
    /// Requests on each connection; 0: it stays open until the end
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub requests: u64,
    /// Total connections [default: no limit]
    #[arg(long, value_name = "N")]
    pub connections: Option<u64>,
    /// Pause after each answer
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Have the proxy make the requests, instead of sending them through a tunnel
    #[arg(long)]
    pub absolute_form: bool,
    /// The server to reach
    #[arg(long, default_value = ORIGIN, value_name = "HOST")]
    pub origin: String,
    /// Give up on an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

impl ThroughOptions {
    /// Asks until it is done or stopped. Facts: `tunnels` (made by the proxy) and `seen` (answers
    /// that the proxy has marked, since it could read them).
    pub(crate) fn run(&self, proxy: SocketAddr, stop: &Stop) -> Report {
        Tasks::run(stop, async |tasks| {
            ["tunnels", "seen"].into_iter().for_each(|fact| tasks.add(fact, 0));
            let converse = async || self.converse(proxy, tasks).await;
            tasks.each_connection(self.clients.get(), self.connections, converse).await;
        })
    }

    async fn converse(&self, proxy: SocketAddr, tasks: &Tasks<'_>) -> Result<(), String> {
        let mut sender = in_time("connecting", self.timeout, Sender::connect(proxy, false)).await?;
        tasks.count(|report| report.connections += 1);
        if !self.absolute_form {
            sender = self.tunnel(sender).await?;
            tasks.add("tunnels", 1);
        }
        for number in 1.. {
            self.ask(&mut sender, tasks).await?;
            if !tasks.sleep(self.pause).await || number == self.requests {
                break;
            }
        }
        Ok(())
    }

    /// Has the proxy connect, and returns a connection that goes through it.
    async fn tunnel(&self, mut sender: Sender) -> Result<Sender, String> {
        let authority = format!("{}:80", self.origin);
        let connect =
            Request::builder().method(Method::CONNECT).uri(&authority).header(HOST, &authority);
        let connect = connect.body(whole("")).map_err(|error| error.to_string())?;
        let response = in_time("waiting for a tunnel", self.timeout, sender.send(connect)).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("waiting for a tunnel: {}", response.status()));
        }
        let through =
            in_time("waiting for a tunnel", self.timeout, hyper::upgrade::on(response)).await?;
        in_time("connecting", self.timeout, Sender::over(through, false)).await
    }

    async fn ask(&self, sender: &mut Sender, tasks: &Tasks<'_>) -> Result<(), String> {
        let uri =
            if self.absolute_form { format!("http://{}/", self.origin) } else { "/".to_owned() };
        let request = Request::builder().uri(uri).header(HOST, &self.origin).body(whole(""));
        let request = request.map_err(|error| error.to_string())?;
        let start = Instant::now();
        tasks.count(|report| report.asked += 1);
        let exchange = sender.exchange(request);
        let (head, _) = in_time("waiting for an answer", self.timeout, exchange).await?;
        if head.status != StatusCode::OK {
            return Err(format!("answered with {}", head.status));
        }
        tasks.answer(header(&head.headers, "server"), start);
        tasks.add("seen", head.headers.contains_key(VIA).into());
        Ok(())
    }
}
