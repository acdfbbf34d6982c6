//! Connections of a proxy to one server: many that are lent to one request each, or one that all
//! share.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::Sender;

/// Connections to a server.
pub(crate) struct Pool {
    to: SocketAddr,
    keeping: Keeping,
}

enum Keeping {
    /// HTTP/1.1: the idle connections, and how many are kept at most.
    Idle(Mutex<Vec<Sender>>, usize),
    /// HTTP/2: one connection for all.
    Shared(tokio::sync::Mutex<Option<Sender>>),
}

impl Pool {
    /// Makes a pool of HTTP/1.1: a connection for each concurrent request. Keeps so many idle ones.
    pub(crate) fn lending(to: SocketAddr, most_idle: usize) -> Arc<Self> {
        Arc::new(Self { to, keeping: Keeping::Idle(Mutex::default(), most_idle) })
    }

    /// Makes a pool of HTTP/2: one connection for all requests.
    pub(crate) fn shared(to: SocketAddr) -> Arc<Self> {
        Arc::new(Self { to, keeping: Keeping::Shared(tokio::sync::Mutex::default()) })
    }

    /// Returns the server's address.
    pub(crate) fn to(&self) -> SocketAddr {
        self.to
    }

    /// Returns a connection to send a request on, a new one if none is idle.
    pub(crate) async fn take(&self) -> io::Result<Sender> {
        match &self.keeping {
            Keeping::Idle(idle, _) => {
                let kept = {
                    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                    idle.retain(Sender::is_open);
                    idle.pop()
                };
                match kept {
                    Some(sender) => Ok(sender),
                    None => Sender::connect(self.to, false).await,
                }
            }
            Keeping::Shared(shared) => {
                // Held while connecting, so that the others wait rather than connect, too.
                let mut shared = shared.lock().await;
                if let Some(sender) =
                    shared.as_ref().filter(|sender| sender.is_open()).and_then(Sender::share)
                {
                    return Ok(sender);
                }
                let sender = shared.insert(Sender::connect(self.to, true).await?);
                sender.share().ok_or_else(|| io::Error::other("not HTTP/2"))
            }
        }
    }

    /// Takes back a connection, once its answer is complete.
    pub(crate) fn give_back(self: &Arc<Self>, mut sender: Sender) {
        if let Keeping::Idle(_, 1..) = self.keeping {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                if sender.ready().await.is_ok() {
                    pool.keep(sender);
                }
            });
        }
    }

    fn keep(&self, sender: Sender) {
        if let Keeping::Idle(idle, most) = &self.keeping {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < *most {
                idle.push(sender);
            }
        }
    }
}
