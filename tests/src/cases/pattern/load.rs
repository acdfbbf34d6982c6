//! Clients that come, ask a few times, and go, until they are told to stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::Protocol;

/// How clients behave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) protocol: Protocol,
    /// At once.
    pub(super) clients: usize,
    /// On each connection; the server closes after the last one where it does so of its own accord.
    pub(super) requests: usize,
    /// Between two requests.
    pub(super) pause: Duration,
}

/// Running clients; they stop with the guard.
pub(super) struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<anyhow::Result<u64>>>,
}

impl Load {
    pub(super) fn start(to: SocketAddr, manner: Manner) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let mut answers = 0;
                while !over.load(Ordering::Relaxed) {
                    answers += visit(to, &manner, &over)?;
                }
                Ok(answers)
            })
        };
        let clients = (0..manner.clients).map(client).collect();
        Self { over, clients }
    }

    /// Ends it and gives the answers got.
    pub(super) fn stop(mut self) -> anyhow::Result<u64> {
        self.over.store(true, Ordering::Relaxed);
        let clients = std::mem::take(&mut self.clients);
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .sum()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// One connection from its beginning to its end; gives the answers got.
fn visit(to: SocketAddr, manner: &Manner, over: &AtomicBool) -> anyhow::Result<u64> {
    let Protocol { greeting, request, end } = manner.protocol;
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let requests = (!greeting.is_empty())
        .then_some(greeting)
        .into_iter()
        .chain(std::iter::repeat_n(request, manner.requests));
    let mut answers = 0;
    for request in requests {
        stream.write_all(request)?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !answer.ends_with(end) {
            match stream.read(&mut buffer)? {
                0 => {
                    anyhow::bail!("closed in the middle of {:?}", String::from_utf8_lossy(&answer))
                }
                got => answer.extend_from_slice(&buffer[..got]),
            }
        }
        answers += 1;
        if over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(manner.pause);
    }
    Ok(answers)
}
