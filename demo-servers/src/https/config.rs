//! Builds the configurations of rustls for a way, for TCP and for QUIC.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, Error, ServerConfig};

use super::certificate::{AnyCertificate, Identity};
use super::{Group, HttpsWay};

/// Builds the server's configuration, with so many tickets after a TLS 1.3 handshake, and so many
/// bytes of early data at most. With a group, key exchanges of others are refused.
pub(super) fn server(
    way: HttpsWay,
    identity: Identity,
    protocol: &[u8],
    tickets: usize,
    early_data: u32,
    group: Option<Group>,
) -> Result<ServerConfig, Error> {
    let mut provider = ring::default_provider();
    if let Some(group) = group {
        provider.kx_groups.retain(|known| known.name() == group.name());
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[way.tls.protocol()])?
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    // A ticket names a session in the server's memory, which is used once: early data cannot be
    // replayed.
    if way.resumes() {
        config.send_tls13_tickets = tickets;
    } else {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    if way.early_data {
        config.max_early_data_size = early_data;
    }
    Ok(config)
}

/// Builds the client's configuration, which keeps the sessions.
pub(super) fn client(
    way: HttpsWay,
    protocol: &[u8],
    sessions: Resumption,
) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[way.tls.protocol()])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate::default()))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = if way.resumes() { sessions } else { Resumption::disabled() };
    config.enable_early_data = way.early_data;
    Ok(config)
}
