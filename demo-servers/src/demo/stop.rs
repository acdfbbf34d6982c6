//! The end of a client, known to all of its threads.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Tells threads to stop, also those that sleep.
#[derive(Debug, Default)]
pub struct Stop {
    /// A server on this machine whose end stops the client, too.
    server: Option<SocketAddr>,
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    /// Makes one for the client of a server on this machine, which somebody else will end. That end
    /// is no error.
    pub fn with_server(address: SocketAddr) -> Self {
        Self { server: Some(address), ..Self::default() }
    }

    /// Returns whether to count a failure: not if the server has ended. To be called some time
    /// after the failure, as the processes of a server do not all end at once.
    pub(crate) fn is_failure(&self) -> bool {
        let gone = self.server.is_some_and(|address| matches!(someone_listens(address), Ok(false)));
        if gone {
            self.stop();
        }
        !gone
    }

    /// Tells the threads to stop.
    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Returns whether they were told to stop.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until the time is over or the threads are told to stop. Returns whether to go on.
    pub fn sleep(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.told.wait_timeout_while(stopped, time, |stopped| !*stopped);
        !*woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Returns whether somebody listens on the port: a TCP listener, or a UDP socket without a peer.
/// Makes no connection to find out.
pub(super) fn someone_listens(address: SocketAddr) -> io::Result<bool> {
    const TCP_LISTEN: &str = "0A";
    const UDP_UNCONNECTED: &str = "07";
    let version = if address.is_ipv4() { "" } else { "6" };
    for (transport, state) in [("tcp", TCP_LISTEN), ("udp", UDP_UNCONNECTED)] {
        // Of this thread's network namespace.
        let table = fs::read_to_string(format!("/proc/thread-self/net/{transport}{version}"))?;
        if table.lines().any(|line| is_at(line, address.port(), state)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the line of `/proc/net` is about a socket of the port in this state.
fn is_at(line: &str, port: u16, state: &str) -> bool {
    let mut columns = line.split_whitespace().skip(1);
    let local = columns.next().unwrap_or_default();
    local.ends_with(&format!(":{port:04X}")) && columns.nth(1) == Some(state)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::time::Instant;

    use super::*;

    #[test]
    fn sleepers_wake() {
        let stop = Stop::default();
        assert!(stop.sleep(Duration::from_millis(1)));
        let start = Instant::now();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| stop.sleep(Duration::from_secs(60)));
            stop.stop();
            assert!(!sleeper.join().unwrap());
        });
        assert!(stop.is_stopped() && start.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn a_udp_socket_without_a_peer_listens() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert!(someone_listens(address).unwrap());
        socket.connect(address).unwrap();
        assert!(!someone_listens(address).unwrap());
    }

    #[test]
    fn the_end_of_the_server_is_no_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stop = Stop::with_server(listener.local_addr().unwrap());
        assert!(stop.is_failure() && !stop.is_stopped());
        drop(listener);
        assert!(!stop.is_failure() && stop.is_stopped());
        assert!(Stop::default().is_failure());
        assert!(!is_at("  sl  local_address rem_address   st tx_queue", 0, "07"));
    }
}
