//! HTTP/3 over QUIC: one thread, one UDP socket, all connections in an event loop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use h3::server::RequestResolver;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, Incoming};
use tokio::runtime;

use super::certificate::Identity;
use super::{HttpsWay, Version, config, message};
use crate::naming::{name_thread, with_name};
use crate::sock::announce;

/// ALPN name of the protocol inside QUIC.
pub(super) const HTTP3: &[u8] = b"h3";
/// Tickets after a handshake.
const TICKETS: usize = 2;
/// Early data limit. QUIC allows only this value or none, and limits early data by itself.
const EARLY_DATA: u32 = u32::MAX;

/// Knobs of the server of HTTP/3.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Use early data: requests in the first flight (0-RTT), when a session is resumed
    #[arg(long)]
    pub early_data: bool,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Bytes of an answer's body
    #[arg(long, default_value_t = 200, value_name = "BYTES")]
    pub response: usize,
    /// Write the server's certificate to this file (PEM), for clients that verify it
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
}

/// The way that QUIC takes.
pub(super) fn way(early_data: bool) -> HttpsWay {
    HttpsWay { tls: Version::Tls13, resume: false, early_data, fast_open: false }
}

/// Serves until signalled.
///
/// # Errors
/// The address cannot be had.
pub fn run(options: &Options) -> anyhow::Result<()> {
    name_thread("event-loop");
    let identity = Identity::make(options.certificate.as_deref())?;
    let tls = config::server(way(options.early_data), identity, HTTP3, TICKETS, EARLY_DATA, None)?;
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let endpoint = Endpoint::server(config, options.listen)?;
        announce(format_args!("listening on {}", endpoint.local_addr()?));
        while let Some(incoming) = endpoint.accept().await {
            let (early_data, bytes) = (options.early_data, options.response);
            // A client that has left is no error.
            tokio::spawn(async move { serve(incoming, early_data, bytes).await.ok() });
        }
        Ok(())
    })
}

/// A connection, to its end.
async fn serve(incoming: Incoming, early_data: bool, bytes: usize) -> anyhow::Result<()> {
    let connecting = incoming.accept()?;
    // Early data is answered before the client's Finished has come.
    let connection = match if early_data { connecting.into_0rtt() } else { Err(connecting) } {
        Ok((connection, _)) => connection,
        Err(connecting) => connecting.await?,
    };
    let mut http = h3::server::builder().build(h3_quinn::Connection::new(connection)).await?;
    while let Some(request) = http.accept().await? {
        tokio::spawn(async move { answer(request, bytes).await.ok() });
    }
    Ok(())
}

async fn answer(
    request: RequestResolver<h3_quinn::Connection, Bytes>,
    bytes: usize,
) -> anyhow::Result<()> {
    let (_, mut stream) = request.resolve_request().await?;
    // If a stream is dropped with an unread body, the client sees a failure.
    while stream.recv_data().await?.is_some() {}
    let body = with_name(|name| message::body(name, bytes));
    let head = http::Response::builder()
        .header("content-type", "text/plain")
        .header("content-length", body.len());
    stream.send_response(head.body(())?).await?;
    stream.send_data(body.into()).await?;
    Ok(stream.finish().await?)
}
