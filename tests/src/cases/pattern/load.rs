//! Clients that connect, ask a few times, and leave, until they are told to stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::Protocol;

/// Behaviour of the clients.
#[derive(Clone, Copy, Debug)]
pub(in crate::cases) struct Manner {
    pub(in crate::cases) protocol: Protocol,
    /// Clients at a time.
    pub(in crate::cases) clients: usize,
    /// Requests on each connection. After the last the server closes, if it does so on its own.
    pub(in crate::cases) requests: usize,
    /// Pause between two requests.
    pub(in crate::cases) pause: Duration,
}

/// Running clients, stopped when the guard is dropped.
pub(in crate::cases) struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<anyhow::Result<u64>>>,
}

impl Load {
    pub(in crate::cases) fn start(to: SocketAddr, manner: Manner) -> Self {
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

    /// Stops them and returns the number of answers.
    pub(in crate::cases) fn stop(mut self) -> anyhow::Result<u64> {
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

/// Runs one connection from its beginning to its end. Returns the number of answers.
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
