//! Answers scrapes over HTTP/1.1, on the thread of the watch.
//!
//! Whatever a client does, the watch goes on: there are [`MAX_CONNECTIONS`] connections, of which
//! the oldest gives way to a new one; a connection lasts [`LIFETIME`] at most; and all clients
//! together get [`A_SECOND`] new connections and as many answers a second. Further ones wait. A page
//! is written once between two refreshes, however many ask for it.

mod address;
mod pace;
mod secrets;

use std::{collections::VecDeque, convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net,
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

pub use address::Address;
pub(crate) use address::Listener;
use pace::Pace;
pub(crate) use secrets::{SecretError, Token, certificates, server_config};

use super::{
    protobuf,
    shared::{Format, Shared},
    text,
};

/// Connections at a time.
pub(crate) const MAX_CONNECTIONS: usize = 32;
/// New connections, and answers, a second. As many may come at once.
pub(crate) const A_SECOND: u32 = 50;
/// Longest life of a connection. Then it is closed, whatever it does.
const LIFETIME: Duration = Duration::from_secs(120);
/// Longest time for the handshake of TLS, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest head of a request, bytes.
const MAX_HEAD: usize = 16 * 1_024;
/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// Bytes that all connections take: what is read, what is written, and the buffers of TLS. Pages
/// are shared.
pub(crate) const MAX_BYTES: usize = MAX_CONNECTIONS * (2 * MAX_HEAD + 96 * 1_024);

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) listener: Listener,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) token: Option<Token>,
}

/// What connections share.
struct Context {
    shared: Shared,
    token: Option<Token>,
    tls: Option<TlsAcceptor>,
    answers: Pace,
}

enum Accepting {
    Tcp(net::TcpListener),
    Unix(net::UnixListener),
}

/// The connections there are, oldest first.
#[derive(Default)]
struct Guests(VecDeque<AbortHandle>);

impl Guests {
    /// Adds one, in the place of the oldest if there is no room. Returns true if that was cut off.
    fn add(&mut self, guest: AbortHandle) -> bool {
        self.0.retain(|one| !one.is_finished());
        self.0.push_back(guest);
        if self.0.len() <= MAX_CONNECTIONS {
            return false;
        }
        if let Some(oldest) = self.0.pop_front() {
            oldest.abort();
        }
        true
    }
}

impl Server {
    /// Answers scrapes until it is dropped.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub(crate) async fn serve(self, shared: Shared) -> io::Result<()> {
        let accepting = match self.listener {
            Listener::Tcp(listener) => Accepting::Tcp(net::TcpListener::from_std(listener)?),
            Listener::Unix(listener) => Accepting::Unix(net::UnixListener::from_std(listener)?),
        };
        let context = Arc::new(Context {
            shared,
            token: self.token,
            tls: self.tls.map(TlsAcceptor::from),
            answers: Pace::new(A_SECOND, A_SECOND),
        });
        let arrivals = Pace::new(A_SECOND, A_SECOND);
        let mut guests = Guests::default();
        loop {
            arrivals.turn().await;
            let context_of_it = Arc::clone(&context);
            let accepted = match &accepting {
                Accepting::Tcp(listener) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| tokio::spawn(guest(stream, context_of_it)))
                }
                Accepting::Unix(listener) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| tokio::spawn(guest(stream, context_of_it)))
                }
            };
            match accepted {
                Ok(task) => {
                    if guests.add(task.abort_handle()) {
                        context.shared.count_scrape("cut_off");
                    }
                }
                // A client that has gone; or no descriptor is left, which may pass.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Serves one connection for as long as it may last.
async fn guest<S>(stream: S, context: Arc<Context>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let whole = async {
        match context.tls.clone() {
            None => talk(stream, &context).await,
            Some(tls) => match timeout(PATIENCE, tls.accept(stream)).await {
                Ok(Ok(stream)) => talk(stream, &context).await,
                Ok(Err(_)) | Err(_) => context.shared.count_scrape("tls_failed"),
            },
        }
    };
    if timeout(LIFETIME, whole).await.is_err() {
        context.shared.count_scrape("cut_off");
    }
}

async fn talk<S>(stream: S, context: &Arc<Context>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .half_close(false);
    let answer = |request: Request<Incoming>| {
        let context = Arc::clone(context);
        async move {
            context.answers.turn().await;
            Ok::<_, Infallible>(answer(&request, &context))
        }
    };
    let talk = http.serve_connection(TokioIo::new(stream), service_fn(answer));
    if let Err(error) = talk.await
        && error.is_parse()
    {
        context.shared.count_scrape("garbage");
    }
}

fn answer(request: &Request<Incoming>, context: &Context) -> Response<Full<Bytes>> {
    let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if let Some(token) = &context.token
        && !token.admits(authorization)
    {
        context.shared.count_scrape("unauthorized");
        let mut response = say(StatusCode::UNAUTHORIZED, "the token is missing or wrong\n");
        let bearer = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        return response;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        context.shared.count_scrape("refused");
        let mut response = say(StatusCode::METHOD_NOT_ALLOWED, "metrics are read with GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => metrics(request.headers(), &context.shared),
        "/" => say(StatusCode::OK, "backscope's metrics are at /metrics\n"),
        _ => {
            context.shared.count_scrape("refused");
            say(StatusCode::NOT_FOUND, "metrics are at /metrics\n")
        }
    }
}

fn metrics(headers: &HeaderMap, shared: &Shared) -> Response<Full<Bytes>> {
    let format = format_for(headers);
    shared.count_scrape("ok");
    let Some(page) = shared.write(format) else {
        return say(StatusCode::SERVICE_UNAVAILABLE, "backscope is not attached yet\n");
    };
    let media_type = match format {
        Format::Text => text::MEDIA_TYPE,
        Format::Protobuf => protobuf::MEDIA_TYPE,
    };
    let mut response = Response::new(Full::new(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The format that a scraper would rather have. Who takes protobuf wants native histograms.
fn format_for(headers: &HeaderMap) -> Format {
    for value in headers.get_all(ACCEPT) {
        let Ok(value) = value.to_str() else { continue };
        let is_protobuf = |part: &str| {
            part.trim_start().starts_with("application/vnd.google.protobuf")
                && part.contains("io.prometheus.client.MetricFamily")
                && part.contains("delimited")
        };
        if value.split(',').any(is_protobuf) {
            return Format::Protobuf;
        }
    }
    Format::Text
}

fn say(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        format_for(&headers)
    }

    #[test]
    fn who_asks_for_protobuf_gets_it() {
        // As Prometheus asks, with native histograms and without.
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                      encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let classic = "application/openmetrics-text;version=1.0.0;q=0.8,\
                       text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(asked(native), Format::Protobuf);
        assert_eq!(asked(classic), Format::Text);
        for other in ["*/*", "", "application/vnd.google.protobuf", "text/html"] {
            assert_eq!(asked(other), Format::Text, "{other}");
        }
    }
}
