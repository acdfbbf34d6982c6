//! The watched server: it accepts, forks, and has guests in network namespaces of their own.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context;
use socket2::{Domain, Socket, Type};

use crate::{CHURN, FULL, IDLE, PATIENCE, SERVER, expect, start};

/// Threads that serve those who come and go.
const ACCEPTORS: usize = 2;
const BACKLOG: i32 = 16_384;

/// What the server counted itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) idle: u64,
    pub(crate) churn: u64,
    pub(crate) forks: u64,
    pub(crate) guests: u64,
    pub(crate) guests_running: u64,
    /// Connections that guests accepted.
    pub(crate) guests_accepted: u64,
    /// Refusals that the kernel counted in their namespaces.
    pub(crate) guests_refused: u64,
}

impl Counts {
    /// Reads the numbers of a line of [`Totals::line`].
    pub(crate) fn parse(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split(' ').map(str::parse);
        let mut next = || words.next().context("a count is missing")?.context("no number");
        Ok(Self {
            idle: next()?,
            churn: next()?,
            forks: next()?,
            guests: next()?,
            guests_running: next()?,
            guests_accepted: next()?,
            guests_refused: next()?,
        })
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.idle + self.churn + self.guests_accepted
    }
}

#[derive(Default)]
struct Totals {
    idle: AtomicU64,
    churn: AtomicU64,
    forks: AtomicU64,
    guests: AtomicU64,
    guests_running: AtomicU64,
    guests_accepted: AtomicU64,
    guests_refused: AtomicU64,
}

impl Totals {
    fn line(&self) -> String {
        let all = [
            &self.idle,
            &self.churn,
            &self.forks,
            &self.guests,
            &self.guests_running,
            &self.guests_accepted,
            &self.guests_refused,
        ];
        all.map(|count| count.load(Ordering::Relaxed).to_string()).join(" ")
    }
}

/// Serves until its standard input ends, with so many processes that keep connections.
pub(crate) fn run(keepers: u16) -> anyhow::Result<()> {
    let totals = Arc::new(Totals::default());
    let churn = listen(CHURN, BACKLOG)?;
    let _never_accepts = listen(FULL, 1)?;
    let mut kept = Vec::new();
    for at in 0..keepers {
        let keeper = start(&["keep", &(IDLE + at).to_string()])?;
        expect(&keeper, "listening", PATIENCE)?;
        kept.push(keeper);
    }
    for _ in 0..ACCEPTORS {
        let (listener, counted) = (churn.try_clone()?, totals.clone());
        thread::spawn(move || serve(&listener, &counted.churn));
    }
    println!("listening");
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "fork" => {
                let status = Command::new("/bin/true").status().context("running true")?;
                totals.forks.fetch_add(u64::from(status.success()), Ordering::Relaxed);
            }
            "guest" => invite(&totals)?,
            _ => {
                let mut idle = 0;
                for keeper in &mut kept {
                    keeper.write_line("count")?;
                    idle += expect(keeper, "kept", PATIENCE)?.parse::<u64>()?;
                }
                totals.idle.store(idle, Ordering::Relaxed);
                println!("counts {}", totals.line());
            }
        }
    }
    Ok(())
}

/// Answers each client once and keeps its connection, until the standard input ends.
pub(crate) fn keep(port: u16) -> anyhow::Result<()> {
    let listener = listen(port, BACKLOG)?;
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        let mut kept: Vec<TcpStream> = Vec::new();
        while let Ok((mut client, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::Relaxed);
            answer(&mut client);
            kept.push(client);
        }
    });
    println!("listening");
    for line in std::io::stdin().lock().lines() {
        line?;
        println!("kept {}", count.load(Ordering::Relaxed));
    }
    Ok(())
}

/// Listens there. Whoever comes finds the queue as long as was asked for.
pub(crate) fn listen(port: u16, backlog: i32) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&std::net::SocketAddr::from((SERVER, port)).into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

fn serve(listener: &TcpListener, count: &AtomicU64) {
    while let Ok((mut client, _)) = listener.accept() {
        count.fetch_add(1, Ordering::Relaxed);
        answer(&mut client);
    }
}

/// Answers a request. A client that has left is none of this test's business.
pub(crate) fn answer(client: &mut TcpStream) {
    let mut request = [0; 64];
    if client.read(&mut request).is_ok_and(|length| length > 0) {
        let _ = client.write_all(b"ok\n");
    }
}

/// Starts a guest, whose counts are added when it ends.
fn invite(totals: &Arc<Totals>) -> anyhow::Result<()> {
    let guest = Command::new(std::env::current_exe()?)
        .arg("guest")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a guest")?;
    totals.guests_running.fetch_add(1, Ordering::Relaxed);
    let totals = totals.clone();
    thread::spawn(move || {
        let said = guest.wait_with_output().map(|output| output.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let mut numbers = said.split_whitespace().filter_map(|word| word.parse().ok());
        if let (Some(accepted), Some(refused)) = (numbers.next(), numbers.next()) {
            totals.guests.fetch_add(1, Ordering::Relaxed);
            totals.guests_accepted.fetch_add(accepted, Ordering::Relaxed);
            totals.guests_refused.fetch_add(refused, Ordering::Relaxed);
        }
        totals.guests_running.fetch_sub(1, Ordering::Relaxed);
    });
    Ok(())
}
