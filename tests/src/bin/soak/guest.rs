//! A short-lived process in a network namespace of its own, with connections and refusals.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use backscope_tests::harness::connect_nonblocking;
use backscope_tests::harness::net::{self, Counters};

use crate::SERVER;
use crate::server::{answer, listen};

const PORT: u16 = 80;
const FULL: u16 = 81;
const CLIENTS: u64 = 20;
/// Connects to a queue that has room for one.
const TOO_MANY: usize = 6;
/// What is refused is counted at the next refresh, one second apart; two of them pass.
const REFRESHES: Duration = Duration::from_millis(2_500);

/// Accepts [`CLIENTS`], refuses some, and prints how many of each there were.
pub(crate) fn run() -> anyhow::Result<()> {
    net::isolate()?;
    let (listener, full) = (listen(PORT, 64)?, listen(FULL, 0)?);
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect((SERVER, PORT))?;
        client.write_all(b"ask\n")?;
        let (mut served, _) = listener.accept()?;
        answer(&mut served);
        drop(served);
        let mut answered = Vec::new();
        client.read_to_end(&mut answered)?;
        ensure!(answered == b"ok\n", "answered {answered:?}");
    }
    // Dropped at once, they do not ask again.
    drop(connect_nonblocking(SocketAddr::from((SERVER, FULL)), TOO_MANY)?);
    thread::sleep(REFRESHES);
    println!("{CLIENTS} {}", Counters::read()?.get("ListenOverflows"));
    drop(full);
    Ok(())
}
