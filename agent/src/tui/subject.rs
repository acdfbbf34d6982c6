//! The subject of a finding: a listener, a connection or a process.

use crate::model::snapshot::{ConnectionView, Finding, ListenerView, Snapshot, ThreadView};

/// The subject of a finding, where the snapshot has it.
pub(super) enum Subject<'a> {
    /// A listener.
    Listener(&'a ListenerView),
    /// A connection.
    Connection(&'a ConnectionView),
    /// A process: the first of its threads.
    Process(&'a ThreadView),
    /// Something that the snapshot does not hold, or no longer.
    Gone,
}

/// Looks up the subject of a finding.
pub(super) fn subject<'a>(snapshot: &'a Snapshot, finding: &Finding) -> Subject<'a> {
    let sock = finding.sock;
    if let Some(listener) = snapshot.listeners.iter().find(|listener| listener.sock == sock) {
        Subject::Listener(listener)
    } else if let Some(connection) = snapshot.connection(sock) {
        Subject::Connection(connection)
    } else if let Some(thread) =
        snapshot.threads.iter().find(|thread| u64::from(thread.pid) == sock)
    {
        Subject::Process(thread)
    } else {
        Subject::Gone
    }
}
