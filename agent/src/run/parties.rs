//! Both ends of each connection, by its socket, while a recording is read: exchanges are reported
//! by their socket alone.

use std::net::SocketAddr;

use crate::{
    bounded::Bounded,
    model::{
        MAX_CONNECTIONS,
        event::{Event, Role, SockId},
        output::ConnectionOutput,
    },
    text::Untrusted,
};

/// Closed connections that are still known: the exchanges of a proxy are reported some time after
/// they are over. The oldest gives way.
const MAX_CLOSED: usize = 16_384;

/// Both ends of a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Party {
    /// The side on which the watched process is.
    pub(crate) role: Role,
    /// Its listener, where known.
    pub(crate) listener: Option<SockId>,
    /// Local address.
    pub(crate) local: SocketAddr,
    /// Remote address.
    pub(crate) peer: SocketAddr,
    /// Process.
    pub(crate) pid: u32,
    /// Its command name.
    pub(crate) comm: Untrusted,
}

/// The connections that are known. As many as the model knows; the oldest gives way.
#[derive(Clone, Debug)]
pub(crate) struct Parties {
    open: Bounded<SockId, Party>,
    closed: Bounded<SockId, Party>,
}

impl Default for Parties {
    fn default() -> Self {
        Self { open: Bounded::new(MAX_CONNECTIONS), closed: Bounded::new(MAX_CLOSED) }
    }
}

impl Parties {
    /// Takes note of a connection that becomes known.
    pub(crate) fn event(&mut self, event: &Event) {
        let (sock, party) = match event {
            Event::Accept(accept) => {
                let party = Party {
                    role: Role::Server,
                    listener: Some(accept.listener),
                    local: accept.local,
                    peer: accept.peer,
                    pid: accept.pid,
                    comm: accept.comm.clone(),
                };
                (accept.sock, party)
            }
            Event::Opened(opened) => {
                let party = Party {
                    role: opened.role,
                    listener: opened.listener,
                    local: opened.local,
                    peer: opened.peer,
                    pid: opened.pid,
                    comm: opened.comm.clone(),
                };
                (opened.sock, party)
            }
            _ => return,
        };
        self.open.insert(sock, party);
    }

    /// Takes note that a connection was reported, and so has ended.
    pub(crate) fn ended(&mut self, output: &ConnectionOutput) {
        let view = &output.view;
        self.open.remove(view.sock);
        let party = Party {
            role: view.role,
            listener: view.listener,
            local: view.local,
            peer: view.peer,
            pid: view.pid,
            comm: view.comm.clone(),
        };
        self.closed.insert(view.sock, party);
    }

    /// Returns the ends of a connection; `None` if it is not known, or not any more.
    pub(crate) fn get(&self, sock: SockId) -> Option<&Party> {
        self.open.get(sock).or_else(|| self.closed.get(sock))
    }
}
