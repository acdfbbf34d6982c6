//! HTTP on an event loop in the calling thread: code that its servers and clients share.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{HOST, SERVER, VIA};
use http::response;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use humantime::parse_duration;
use hyper::body::Incoming;
use hyper::client::conn as client;
use hyper::rt;
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::fault::burn;
use crate::naming::{name_thread, with_name};
use crate::slow_acceptor::is_transient;
use crate::sock::{ListenOptions, announce_listener, raise_open_files};

/// A body to send: whole, streamed, or passed on.
pub(crate) type Body = UnsyncBoxBody<Bytes, hyper::Error>;
/// The result of a handler. An error ends the connection.
pub(crate) type Answer = anyhow::Result<Response<Body>>;

/// Header with the number of the connection on which the server was asked.
pub(crate) const CONNECTION_NUMBER: &str = "x-connection";

/// Delays before an answer.
#[derive(Args, Clone, Copy, Debug)]
pub struct HoldOptions {
    /// Compute for this much processor time before each answer, which holds up the whole event loop
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub work: Duration,
    /// Wait this long before each answer, as if for another server; the event loop goes on
    /// meanwhile
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub sleep: Duration,
}

impl HoldOptions {
    /// Holds up an answer.
    pub(crate) async fn hold(self) {
        burn(self.work);
        if !self.sleep.is_zero() {
            tokio::time::sleep(self.sleep).await;
        }
    }
}

/// Runs a server to its end on an event loop that is the calling thread, under this name.
pub(crate) fn run(
    name: &str,
    server: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    raise_open_files();
    name_thread(name);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(server)
}

/// Listens, and prints the address. To be called on an event loop.
pub(crate) fn listen(options: &ListenOptions) -> anyhow::Result<TcpListener> {
    let socket = options.bind(false)?;
    socket.set_nonblocking(true)?;
    socket.listen(options.backlog)?;
    announce_listener(&socket)?;
    Ok(TcpListener::from_std(socket.into())?)
}

/// Accepts for ever; each connection is a task.
pub(crate) async fn accept_all<F>(
    listener: &TcpListener,
    serve: impl Fn(TcpStream) -> F,
) -> anyhow::Result<()>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Without it answers in pieces would wait for delayed ACKs. If it cannot be set the
                // client has left.
                let _ = socket.set_nodelay(true);
                tokio::spawn(serve(socket));
            }
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Serves HTTP/1.1 for ever. The handler gets the number of the connection with each request.
///
/// A client that closes its half is taken for one that has left: nothing is held for it any more.
pub(crate) async fn serve<H, F>(listener: &TcpListener, handler: H) -> anyhow::Result<()>
where
    H: Fn(Request<Incoming>, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let numbers = Numbers::default();
    accept_all(listener, |socket| {
        let (number, handler) = (numbers.next(), handler.clone());
        serve_connection(socket, move |request| handler(request, number))
    })
    .await
}

/// As [`serve`]; a client that has closed its half gets its answers all the same.
pub(crate) async fn serve_half_closed<H, F>(
    listener: &TcpListener,
    handler: H,
) -> anyhow::Result<()>
where
    H: Fn(Request<Incoming>, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let numbers = Numbers::default();
    accept_all(listener, |socket| {
        let (number, handler) = (numbers.next(), handler.clone());
        serve_over(TokioIo::new(socket), true, move |request| handler(request, number))
    })
    .await
}

/// Serves one connection of HTTP/1.1 to its end.
pub(crate) async fn serve_connection<F>(socket: TcpStream, handler: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Answer>,
{
    serve_over(TokioIo::new(socket), false, handler).await;
}

/// Serves HTTP/1.1 over an open connection, TLS or not. With `half_close`, a client that has closed
/// its half still gets its answers; otherwise the connection ends with that.
pub(crate) async fn serve_over<F>(
    io: impl rt::Read + rt::Write + Send + Unpin + 'static,
    half_close: bool,
    handler: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Answer>,
{
    let serve = server::http1::Builder::new()
        // No `pipeline_flush`: what is no request would be closed on without an answer.
        .half_close(half_close)
        .serve_connection(io, service_fn(handler));
    // A client that has left is no error.
    let _ = serve.with_upgrades().await;
}

/// Serves HTTP/2 without TLS for ever, to clients that know that it does ("prior knowledge").
pub(crate) async fn serve_http2<H, F>(listener: &TcpListener, handler: H) -> anyhow::Result<()>
where
    H: Fn(Request<Incoming>, u64) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let numbers = Numbers::default();
    accept_all(listener, |socket| {
        let (number, handler) = (numbers.next(), handler.clone());
        async move {
            let service = service_fn(move |request| handler(request, number));
            let serve = server::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service);
            let _ = serve.await;
        }
    })
    .await
}

/// Counts from 1.
#[derive(Default)]
pub(crate) struct Numbers(std::sync::atomic::AtomicU64);

impl Numbers {
    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }
}

/// Pads a text with dots to so many bytes at least.
pub(crate) fn padded(mut text: String, size: usize) -> String {
    let missing = size.saturating_sub(text.len());
    text.extend(std::iter::repeat_n('.', missing));
    text
}

/// A body that is there as a whole.
pub(crate) fn whole(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer with a status and a text, from the calling thread.
pub(crate) fn answer(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    sign(response.headers_mut());
    response
}

/// Names the calling thread in the headers.
pub(crate) fn sign(headers: &mut HeaderMap) {
    if let Ok(name) = with_name(HeaderValue::from_str) {
        headers.insert(SERVER, name);
    }
}

/// A header as text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Adds a proxy to those that a message has passed.
pub(crate) fn add_via(headers: &mut HeaderMap, name: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("1.1 {name}")) {
        headers.append(VIA, value);
    }
}

/// A connection of a client, for one request at a time (HTTP/1.1) or for many (HTTP/2: its clones).
pub(crate) enum Sender {
    Http1(client::http1::SendRequest<Body>),
    Http2(client::http2::SendRequest<Body>),
}

impl Sender {
    /// Connects.
    pub(crate) async fn connect(to: SocketAddr, http2: bool) -> io::Result<Self> {
        let socket = TcpStream::connect(to).await?;
        socket.set_nodelay(true)?;
        Self::over(TokioIo::new(socket), http2).await
    }

    /// Wraps an open connection.
    pub(crate) async fn over(
        io: impl rt::Read + rt::Write + Send + Unpin + 'static,
        http2: bool,
    ) -> io::Result<Self> {
        if http2 {
            let (sender, connection) = client::http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok(Self::Http2(sender))
        } else {
            let (sender, connection) =
                client::http1::handshake(io).await.map_err(io::Error::other)?;
            tokio::spawn(connection.with_upgrades());
            Ok(Self::Http1(sender))
        }
    }

    /// Returns a sender for a concurrent request, if the protocol allows one.
    pub(crate) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// Whether the connection has not ended.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.is_closed(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }

    /// Returns whether the connection carries streams.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Waits until the connection can take a request: with HTTP/1.1, until the last answer is
    /// complete.
    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    /// Sends a request as soon as the connection can take it; returns the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        self.ready().await?;
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }

    /// Sends a request and returns its whole answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<(response::Parts, Bytes)> {
        let (head, body) = self.send(request).await?.into_parts();
        Ok((head, body.collect().await?.to_bytes()))
    }

    /// A request to this server, as the protocol of the connection wants it.
    pub(crate) fn request(
        &self,
        method: Method,
        to: SocketAddr,
        path: &str,
    ) -> http::request::Builder {
        let request = Request::builder().method(method);
        match self {
            Self::Http1(_) => request.uri(path).header(HOST, to.to_string()),
            Self::Http2(_) => request.uri(format!("http://{to}{path}")),
        }
    }
}
