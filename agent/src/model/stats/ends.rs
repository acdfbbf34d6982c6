//! Sums over connections that ended.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{MAX_PEERS, Tally};
use crate::model::connections::{Arrival, Connection, is_truncated};
use crate::model::event::{Closed, Role, Side};
use crate::model::snapshot::{Cause, EndView};

/// Sums over connections that closed, and over data that came too late.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct EndStats {
    /// Accepted connections that closed, and those of them with at most one exchange.
    pub(in crate::model) closed: u64,
    pub(in crate::model) short: u64,
    /// Short ones that this host closed first.
    pub(in crate::model) short_closed_here: u64,
    /// Short ones by peer.
    pub(in crate::model) peers: BTreeMap<IpAddr, u64>,
    /// Requests that came when this host had closed their idle connections, and how long these had
    /// been idle.
    pub(in crate::model) late: Tally,
    /// Those of them that came before the close: they are exchanges without an answer.
    pub(in crate::model) late_read: u64,
    /// Those that no RST answered, since this host still read from the connection.
    pub(in crate::model) late_lingered: u64,
    /// Requests of this host that met connections which their server had closed.
    pub(in crate::model) late_calls: u64,
    /// Responses that a RST followed since the request was not read to its end; the unread bytes.
    pub(in crate::model) truncated: u64,
    pub(in crate::model) unread_bytes: u64,
    /// Those of them with bytes that were not acknowledged then, and these bytes.
    pub(in crate::model) cut: u64,
    pub(in crate::model) cut_bytes: u64,
    /// Connections to which more data came right after this host had closed.
    pub(in crate::model) after_close: u64,
}

impl EndStats {
    /// Counts an accepted connection that closed, as often as it stands for one.
    pub(super) fn add_close(&mut self, connection: &Connection) {
        // Exchanges on the other paths were not seen.
        if connection.origin.multipath {
            return;
        }
        let count = connection.stands_for();
        self.closed += count;
        if connection.exchanges() <= 1 {
            self.short += count;
            if connection.ended_by() == Some(Side::Local) {
                self.short_closed_here += count;
            }
            let peer = connection.peer().ip();
            if self.peers.len() < MAX_PEERS || self.peers.contains_key(&peer) {
                *self.peers.entry(peer).or_default() += count;
            }
        }
    }

    /// Counts an end that may have cost a request or a response.
    pub(super) fn add_end(&mut self, closed: &Closed, role: Role, end: &EndView) {
        match (end.cause, role) {
            // Unread data are a request that came when the server was about to close.
            (Some(Cause::LateRequest), Role::Server) if end.reset_by.is_none() => {}
            (Some(Cause::LateRequest), Role::Server) => {
                self.late.add(0);
                self.late_read += 1;
            }
            (Some(Cause::LateRequest), Role::Client) => self.late_calls += 1,
            _ if is_truncated(closed, end, role) => {
                self.truncated += 1;
                self.unread_bytes = self.unread_bytes.saturating_add(end.unread_bytes);
                self.cut += u64::from(end.unacked_bytes > 0);
                self.cut_bytes = self.cut_bytes.saturating_add(end.unacked_bytes);
            }
            _ => {}
        }
    }

    /// Counts a request that came to a connection which this host had closed.
    pub(super) fn add_late_request(&mut self, arrival: &Arrival) {
        self.late.add(arrival.idle_us);
        self.late_lingered += u64::from(arrival.lingers);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.closed += other.closed;
        self.short += other.short;
        self.short_closed_here += other.short_closed_here;
        for (&peer, &count) in &other.peers {
            *self.peers.entry(peer).or_default() += count;
        }
        self.late.merge(&other.late);
        self.late_read += other.late_read;
        self.late_lingered += other.late_lingered;
        self.late_calls += other.late_calls;
        self.truncated += other.truncated;
        self.unread_bytes = self.unread_bytes.saturating_add(other.unread_bytes);
        self.cut += other.cut;
        self.cut_bytes = self.cut_bytes.saturating_add(other.cut_bytes);
        self.after_close += other.after_close;
    }
}
