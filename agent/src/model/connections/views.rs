//! Views and reports of connections.

use std::collections::HashMap;

use super::protocols::First;
use super::{Connection, Connections};
use crate::model::event::SockId;
use crate::model::output::{ConnectionOutput, Output};
use crate::model::snapshot::ConnectionView;

impl Connections {
    /// Reports a connection that is open at the end of the run.
    pub(in crate::model) fn report(&self, ts_ns: u64, sock: SockId, out: &mut Vec<Output>) {
        if let Some(connection) = self.table.get(sock) {
            let view = self.view(sock, connection);
            out.push(Output::Connection(connection_output(ts_ns, connection, view)));
        }
    }

    /// Returns the connections that are open.
    pub(in crate::model) fn open_socks(&self) -> Vec<SockId> {
        let mut open = Vec::new();
        for (sock, connection) in self.table.iter() {
            if connection.closed_ns().is_none() {
                open.push(sock);
            }
        }
        open
    }

    pub(super) fn view(&self, sock: SockId, connection: &Connection) -> ConnectionView {
        let First { count, line, streams } = self.requests.get(sock);
        let view = connection.view(sock, self.details.get(sock), self.hellos.view(sock));
        ConnectionView { pipelined: count, first_request: line, streams, ..view }
    }

    /// Open connections by the threads that read or wrote last.
    pub(in crate::model) fn by_thread(&self) -> HashMap<u32, u32> {
        let mut counts = HashMap::new();
        for (_, connection) in self.table.iter() {
            if !connection.is_open() {
                continue;
            }
            let (reader, writer) = connection.tids();
            if let Some(tid) = reader {
                *counts.entry(tid).or_default() += 1;
            }
            if let Some(tid) = writer
                && writer != reader
            {
                *counts.entry(tid).or_default() += 1;
            }
        }
        counts
    }
}

pub(super) fn connection_output(
    ts_ns: u64,
    connection: &Connection,
    view: ConnectionView,
) -> Box<ConnectionOutput> {
    Box::new(ConnectionOutput {
        ts_ns,
        view,
        phases_us: connection.phases_us(),
        delayed_acks_sent: connection.delayed_acks_sent(),
        tids: connection.tids(),
        stands_for: connection.stands_for(),
    })
}
