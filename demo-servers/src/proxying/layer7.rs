//! A proxy that understands HTTP. It chooses a server for each request, whatever connection the
//! request came on.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use http::header::{CONNECTION, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::pool::Pool;
use super::{BackendOptions, Backends, start};
use crate::demo::Launcher;
use crate::http::{
    Answer, HoldOptions, add_via, answer, listen, run as run_server, serve, serve_http2,
};
use crate::sock::{ListenOptions, complain};

/// Knobs of the proxy.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// The servers behind it
    #[command(flatten)]
    pub backends: BackendOptions,
    /// Delays of the proxy itself, for each request
    #[command(flatten)]
    pub hold: HoldOptions,
    /// Protocol to speak with the servers: http1 with a pool of connections, or http2 with one
    /// connection for all requests
    #[arg(long, value_enum, default_value_t = Protocol::Http1, value_name = "PROTOCOL")]
    pub upstream_protocol: Protocol,
    /// Idle connections to keep to each server; 0: a new connection for each request
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub pool: usize,
    /// Speak HTTP/2 without TLS to the clients
    #[arg(long)]
    pub h2c: bool,
    /// Be a sidecar: pass on to the server's sidecar, which passes on to the server
    #[arg(long, conflicts_with = "upstream")]
    pub sidecar: bool,
    /// Its name, which its thread has as well
    #[arg(long, default_value = "proxy", value_name = "NAME")]
    pub name: String,
}

/// The protocol between a proxy and the servers behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2 without TLS
    Http2,
}

/// Serves until signalled.
pub fn run(options: &Options, launcher: &Launcher) -> anyhow::Result<()> {
    let mut options = options.clone();
    let other_side =
        options.sidecar.then(|| start_other_side(&mut options, launcher)).transpose()?;
    let knobs: &[&str] =
        if options.upstream_protocol == Protocol::Http2 { &["--h2c"] } else { &[] };
    let backends = Backends::start(&options.backends, launcher, knobs)?;
    let pool = |to: &SocketAddr| match options.upstream_protocol {
        Protocol::Http1 => Pool::lending(*to, options.pool),
        Protocol::Http2 => Pool::shared(*to),
    };
    let pools = backends.addresses().iter().map(pool).collect();
    let proxy = Arc::new(Proxy { pools, backends, name: options.name.clone(), hold: options.hold });
    let outcome = run_server(&options.name, async {
        let listener = listen(&options.listen)?;
        let handler = move |request, _| {
            let proxy = Arc::clone(&proxy);
            async move { proxy.pass_on(request).await }
        };
        if options.h2c {
            serve_http2(&listener, handler).await
        } else {
            serve(&listener, handler).await
        }
    });
    drop(other_side);
    outcome
}

/// Starts the sidecar of the server, which starts the server, and has requests passed on to it.
fn start_other_side(
    options: &mut Options,
    launcher: &Launcher,
) -> anyhow::Result<crate::demo::Server> {
    let sleep =
        format!("--backend-sleep={}", humantime::format_duration(options.backends.backend_sleep));
    let sidecar =
        start(launcher, &["layer7", "--name=sidecar-2", "--h2c", "--backends=1", &sleep])?;
    options.backends.upstream = vec![sidecar.address()];
    options.upstream_protocol = Protocol::Http2;
    Ok(sidecar)
}

struct Proxy {
    backends: Arc<Backends>,
    pools: Vec<Arc<Pool>>,
    name: String,
    hold: HoldOptions,
}

impl Proxy {
    async fn pass_on(&self, request: Request<Incoming>) -> Answer {
        self.hold.hold().await;
        let chosen = self.backends.choose();
        let pool = &self.pools[chosen.number];
        Ok(match pass_on(pool, request, &self.name).await {
            // The chosen server is busy until the end of its answer.
            Ok(response) => response.map(|body| {
                let kept = move |frame| {
                    let _busy = &chosen;
                    frame
                };
                body.map_frame(kept).boxed_unsync()
            }),
            Err(error) => {
                complain(format_args!("{}: {error:#}", pool.to()));
                answer(StatusCode::BAD_GATEWAY, "the server behind the proxy did not answer\n")
            }
        })
    }
}

/// Sends a request to a server and returns its answer. Both are marked as passed by this proxy.
pub(super) async fn pass_on(
    pool: &Arc<Pool>,
    mut request: Request<Incoming>,
    name: &str,
) -> Answer {
    let mut sender = pool.take().await.context("connecting")?;
    end_hop(request.headers_mut());
    add_via(request.headers_mut(), name);
    let to = pool.to().to_string();
    *request.uri_mut() = if sender.is_http2() {
        request.headers_mut().remove(HOST);
        with_authority(request.uri(), to.parse()?)?
    } else {
        request.uri().path_and_query().map_or(Uri::default(), |path| path.clone().into())
    };
    *request.version_mut() = if sender.is_http2() { Version::HTTP_2 } else { Version::HTTP_11 };
    let response: Response<Incoming> = sender.send(request.map(BodyExt::boxed_unsync)).await?;
    pool.give_back(sender);
    let mut response = response.map(BodyExt::boxed_unsync);
    *response.version_mut() = Version::HTTP_11;
    end_hop(response.headers_mut());
    add_via(response.headers_mut(), name);
    Ok(response)
}

/// Removes the headers of a single connection (hop-by-hop).
fn end_hop(headers: &mut HeaderMap) {
    let hop = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let more = [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection")];
    hop.iter().chain(&more).for_each(|name| drop(headers.remove(name)));
}

fn with_authority(uri: &Uri, authority: Authority) -> anyhow::Result<Uri> {
    let mut parts = uri.clone().into_parts();
    (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(authority));
    parts.path_and_query.get_or_insert(http::uri::PathAndQuery::from_static("/"));
    Ok(Uri::from_parts(parts)?)
}
