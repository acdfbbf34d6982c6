//! States of connections that no file leads to any more, or that this host has half closed, and
//! what is sent again on them: by the kernel's own list.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::{fs, thread};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::native;
use crate::harness::json::number;
use crate::harness::ledger::is_connection;
use crate::harness::net::{monotonic_ns, tcp_bytes};
use crate::harness::{Agent, Case, World};

pub(super) const CASES: &[Case] = &[
    native("states::open", |world| of(world, |_| Ok(()), 1, ("established", "established"))),
    native("states::half_closed", |world| of(world, half_close, 5, ("closing", "fin-wait-2"))),
    native("states::closed_with_data_unsent", |world| {
        of(world, close_unsent, 4, ("closing", "fin-wait-1"))
    }),
    native("states::resent_is_current", |world| resent(world, true)),
    native("states::nothing_is_resent", |world| resent(world, false)),
];

/// The server's end, until it is closed.
type Served = Option<TcpStream>;

fn half_close(served: &mut Served) -> anyhow::Result<()> {
    let served = served.as_ref().context("it is open")?;
    Ok(served.shutdown(Shutdown::Write)?)
}

/// Writes until nothing more fits, and closes: what is unsent keeps the socket.
fn close_unsent(served: &mut Served) -> anyhow::Result<()> {
    let mut served = served.take().context("it is open")?;
    served.set_nonblocking(true)?;
    loop {
        match served.write(&[b'-'; 65_536]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Accepts a connection on a watched port, and reads a request from it.
fn serve(world: &World, near: &str, far: Option<&str>) -> anyhow::Result<Setting> {
    let listener = TcpListener::bind(near)?;
    let address = listener.local_addr()?;
    let port = address.port().to_string();
    let agent = world.watch().args(["--port", &port]).start()?;
    let target: SocketAddr = match far {
        Some(far) => SocketAddr::new(far.parse()?, address.port()),
        None => address,
    };
    let mut client = TcpStream::connect(target)?;
    let (mut served, _) = listener.accept()?;
    client.write_all(b"ask")?;
    served.read_exact(&mut [0; 3])?;
    Ok(Setting { agent, client, served: Some(served), _listener: listener, address })
}

struct Setting {
    agent: Agent,
    client: TcpStream,
    served: Served,
    _listener: TcpListener,
    address: SocketAddr,
}

impl Setting {
    fn client_port(&self) -> anyhow::Result<u16> {
        Ok(self.client.local_addr()?.port())
    }

    /// Ends the watch, and returns what it says of the connection.
    fn end(self) -> anyhow::Result<Value> {
        let port = self
            .served
            .as_ref()
            .map_or_else(|| self.client_port(), |served| Ok(served.peer_addr()?.port()))?;
        let ended = self.agent.stop()?;
        let found = ended.objects.iter().rfind(|object| is_connection(object, "server", port));
        found.cloned().context("its object")
    }
}

/// Compares a state with the kernel's number for it.
fn of(
    world: &World,
    change: impl Fn(&mut Served) -> anyhow::Result<()>,
    kernel: u8,
    (state, tcp_state): (&str, &str),
) -> anyhow::Result<()> {
    let mut setting = serve(world, "127.0.0.1:0", None)?;
    change(&mut setting.served)?;
    let client = setting.client_port()?;
    let (local, begin) = (setting.address.port(), monotonic_ns());
    while state_of(local, client)? != Some(kernel) {
        let waited = monotonic_ns() - begin;
        ensure!(u128::from(waited) < world.patience().as_nanos(), "the kernel has another state");
        thread::yield_now();
    }
    setting.agent.await_refresh(local)?;
    let connection = setting.end()?;
    ensure!(
        connection["state"] == state && connection["tcp_state"] == tcp_state,
        "{state}, {tcp_state}: {connection}"
    );
    Ok(())
}

/// Returns the state of the socket between two ports.
fn state_of(local: u16, peer: u16) -> anyhow::Result<Option<u8>> {
    let text = fs::read_to_string("/proc/thread-self/net/tcp")?;
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, near, far, state, ..] = fields[..] else { continue };
        if near.ends_with(&format!(":{local:04X}")) && far.ends_with(&format!(":{peer:04X}")) {
            return Ok(Some(u8::from_str_radix(state, 16)?));
        }
    }
    Ok(None)
}

/// Segments that the network namespace has sent again (`RetransSegs`).
fn resent_segments() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = rows.next().zip(rows.next()).context("no figures of TCP")?;
    let at = names.split(' ').position(|name| name == "RetransSegs").context("no such figure")?;
    Ok(values.split(' ').nth(at).context("no value")?.parse()?)
}

/// Answers over a link, which stands still or not, and closes. The count of what was sent again is
/// the kernel's, though the connection has not ended and no file leads to it.
fn resent(world: &World, stands: bool) -> anyhow::Result<()> {
    let mut link = world.demo_waiting(&["delay-link", "--rtt", "10ms"])?;
    link.await_line("link ")?;
    let mut setting = serve(world, "10.77.0.1:0", Some("10.77.0.2"))?;
    // Both ends are in this namespace: the client must have nothing to send again.
    let begin = monotonic_ns();
    // The SYN counts, too.
    while tcp_bytes(&setting.client)?.1 < 4 {
        let waited = monotonic_ns() - begin;
        ensure!(
            u128::from(waited) < world.patience().as_nanos(),
            "the request is not acknowledged"
        );
        thread::yield_now();
    }
    let before = resent_segments()?;
    if stands {
        link.signal(libc::SIGSTOP);
    }
    let mut served = setting.served.take().context("it is open")?;
    served.write_all(b"answer")?;
    let peer = served.peer_addr()?.port();
    drop(served);
    let local = setting.address.port();
    let begin = monotonic_ns();
    while stands && resent_segments()? < before + 3 {
        let waited = monotonic_ns() - begin;
        ensure!(u128::from(waited) < world.patience().as_nanos(), "nothing is sent again");
        thread::yield_now();
    }
    let least = resent_segments()? - before;
    setting.agent.await_refresh(local)?;
    let ended = setting.agent.stop()?;
    let most = resent_segments()? - before;
    link.signal(libc::SIGCONT);
    let found = ended.objects.iter().rfind(|object| is_connection(object, "server", peer));
    let connection = found.context("its object")?;
    let resent = number(connection, "/retransmits").context("a number")?;
    ensure!((least..=most).contains(&resent), "{resent} of {least}..={most}: {connection}");
    ensure!(stands || resent == 0, "{connection}");
    if stands {
        ensure!(connection["tcp_state"] == "fin-wait-1", "{connection}");
    }
    Ok(())
}
