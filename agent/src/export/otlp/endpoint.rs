//! The collector: where it is, and how a request reaches it.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER},
    http::uri::Scheme,
};
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::proto::ExportResponse;
use crate::export::server::{SecretError, Token, certificates};

/// Longest time for one request with its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer that is read, bytes.
const MAX_ANSWER: usize = 64 * 1_024;
/// Certificates that a Debian or Fedora trusts.
const SYSTEM_CERTIFICATES: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// The URL of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    is_tls: bool,
    host: String,
    port: u16,
    /// Without a slash at its end.
    path: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = "write the collector's URL, such as http://127.0.0.1:4318";
        let uri: Uri = text.parse().map_err(|error| format!("{error}; {usage}"))?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(usage.to_owned()),
        };
        let authority = uri.authority().ok_or(usage)?;
        if authority.as_str().contains('@') {
            return Err("a URL with a password shows it to everybody who sees the command line: \
                        use --otlp-token-file"
                .to_owned());
        }
        if uri.query().is_some() {
            return Err("the URL has a query, of which nothing would be made".to_owned());
        }
        Ok(Self {
            is_tls,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 4318 }),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// The reason why a collector cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("cannot find the collector's host {0}: {1}")]
    Host(String, io::Error),
    #[error("cannot find the collector's host {0}: it has no address")]
    NoAddress(String),
    #[error("no certificates to check the collector's with: {0}; name some with --otlp-ca")]
    Certificates(SecretError),
    #[error("the collector's host {0} is no name that a certificate can have")]
    Name(String),
    #[error("cannot use TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A collector whose host was looked up: what comes later needs no name server, and no file.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: Url,
    addresses: Vec<SocketAddr>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    token: Option<Token>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was taken, but for so many of its items.
    Taken { rejected: u64 },
    /// It will never be taken.
    Refused,
    /// It may be taken later, after this time if that is known.
    Later { reason: &'static str, after: Option<Duration> },
}

impl Outcome {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Taken { .. } => "ok",
            Self::Refused => "refused",
            Self::Later { reason, .. } => reason,
        }
    }
}

impl Endpoint {
    /// Looks the host up, and reads what certificates to trust.
    ///
    /// # Errors
    /// There is no such host, or no certificates.
    pub(crate) fn find(
        url: &Url,
        ca: Option<&Path>,
        token: Option<Token>,
    ) -> Result<Self, EndpointError> {
        let found = (url.host.as_str(), url.port).to_socket_addrs();
        let addresses: Vec<SocketAddr> =
            found.map_err(|error| EndpointError::Host(url.host.clone(), error))?.collect();
        if addresses.is_empty() {
            return Err(EndpointError::NoAddress(url.host.clone()));
        }
        let tls = if url.is_tls { Some((connector(ca)?, server_name(url)?)) } else { None };
        Ok(Self { url: url.clone(), addresses, tls, token })
    }

    /// Sends a request, on a connection of its own, and waits for the answer.
    pub(crate) async fn post(&self, path: &str, body: Bytes) -> Outcome {
        match timeout(PATIENCE, self.try_post(path, body)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(reason)) => Outcome::Later { reason, after: None },
            Err(_) => Outcome::Later { reason: "timeout", after: None },
        }
    }

    async fn try_post(&self, path: &str, body: Bytes) -> Result<Outcome, &'static str> {
        let mut stream = None;
        for address in &self.addresses {
            if let Ok(connected) = TcpStream::connect(address).await {
                stream = Some(connected);
                break;
            }
        }
        let stream = stream.ok_or("unreachable")?;
        match &self.tls {
            None => self.ask(stream, path, body).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await.map_err(|_| "tls_failed")?;
                self.ask(stream, path, body).await
            }
        }
    }

    async fn ask<S>(&self, stream: S, path: &str, body: Bytes) -> Result<Outcome, &'static str>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |_| "broken_off";
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut request = Request::post(format!("{}{path}", self.url.path))
            .header(HOST, format!("{}:{}", self.url.host, self.url.port))
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header());
        }
        let request = request.body(Full::new(body)).map_err(|_| "refused")?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            let (head, body) = answer.into_parts();
            let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = after.and_then(|value| value.parse().ok()).map(Duration::from_secs);
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| "broken_off")?;
            Ok(outcome(head.status, after, &body.to_bytes()))
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // It ends when all of the answer has been read, or before.
            _ = connection => timeout(Duration::from_millis(100), answer)
                .await
                .unwrap_or(Err("broken_off")),
        }
    }
}

fn outcome(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Outcome {
    match status.as_u16() {
        200..=299 => {
            let partial = ExportResponse::decode(body).ok().and_then(|it| it.partial_success);
            let rejected = partial.map_or(0, |it| u64::try_from(it.rejected).unwrap_or(0));
            Outcome::Taken { rejected }
        }
        // The statuses that OTLP calls retryable.
        429 | 502 | 503 | 504 => Outcome::Later { reason: "busy", after },
        _ => Outcome::Refused,
    }
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector, EndpointError> {
    let mut roots = RootCertStore::empty();
    let system = SYSTEM_CERTIFICATES.iter().map(Path::new).find(|path| path.exists());
    let path = ca.or(system).unwrap_or(Path::new(SYSTEM_CERTIFICATES[0]));
    // Of the system's some may be of a kind that is not known.
    roots.add_parsable_certificates(certificates(path).map_err(EndpointError::Certificates)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn server_name(url: &Url) -> Result<ServerName<'static>, EndpointError> {
    ServerName::try_from(url.host.clone()).map_err(|_| EndpointError::Name(url.host.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_what_is_none_is_told() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let expected =
            Url { is_tls: false, host: "127.0.0.1".to_owned(), port: 4318, path: String::new() };
        assert_eq!(
            (url("http://127.0.0.1"), url("http://127.0.0.1:4318/")),
            (expected.clone(), expected)
        );
        let other = url("https://[::1]/a/b/");
        assert_eq!((other.is_tls, other.host.as_str(), other.port), (true, "::1", 443));
        assert_eq!(other.path, "/a/b");
        for text in ["", "127.0.0.1:4318", "ftp://a", "http://", "http://a:b@c", "http://a?b=c"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_may_be_taken_later_is_sent_again() {
        let of = |status: u16| outcome(StatusCode::from_u16(status).unwrap(), None, &[]).name();
        for status in [429, 502, 503, 504] {
            assert_eq!(of(status), "busy");
        }
        for status in [301, 400, 401, 404, 413, 500] {
            assert_eq!(of(status), "refused", "{status}");
        }
        assert_eq!(of(200), "ok");
        // partial_success { rejected: 3 }
        let partial = outcome(StatusCode::OK, None, &[0x0a, 0x02, 0x08, 0x03]);
        assert_eq!(partial, Outcome::Taken { rejected: 3 });
    }
}
