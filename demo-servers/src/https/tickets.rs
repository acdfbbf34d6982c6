//! The tickets of a client that waits for their arrival.

use std::sync::Arc;

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use tokio::sync::Notify;

/// Sessions that are kept.
const SESSIONS: usize = 32;

/// A store of sessions in memory. A QUIC client ends the connection itself, so it needs to know
/// when a ticket has come. Over TCP the client reads on until the server's end.
#[derive(Debug)]
pub(super) struct Tickets {
    sessions: ClientSessionMemoryCache,
    arrived: Notify,
}

impl Tickets {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { sessions: ClientSessionMemoryCache::new(SESSIONS), arrived: Notify::new() })
    }

    /// Waits for the next ticket.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.sessions.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.sessions.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.sessions.insert_tls13_ticket(server, ticket);
        self.arrived.notify_one();
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.sessions.take_tls13_ticket(server)
    }
}
