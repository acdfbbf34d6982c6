//! Connections that end at the wrong time.

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use backscope_tests::harness::Skip;

use super::{Fault, PLAIN, pause, speaks_http};
use crate::client::Outcome;
use crate::stage::Stage;
use crate::wire::{Ask, UPLOAD};

pub(super) const ALL: &[Fault] = &[
    Fault {
        name: "keepalive-race",
        about: "the server closes idle connections after a second, while the client's next request \
                is on its way",
        named: &["keepalive-race"],
        beside: &["connection-churn"],
        fits: |subject| speaks_http(subject) && subject.closes_idle,
        link: &["--rtt", "100ms"],
        idle: 1,
        drive: keepalive_race,
        ..PLAIN
    },
    Fault {
        name: "truncated",
        about: "the server answers and closes with a part of the request unread, and its RST takes \
                the answer away",
        named: &["truncated-responses"],
        beside: &["connection-churn", "zero-window", "send-blocked"],
        needs: &[Ask::Unread],
        drive: truncated,
        ..PLAIN
    },
];

/// Asks on connections that the server is just closing. A first connection shows after how long it
/// closes.
fn keepalive_race(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let quick = stage.request(Ask::Quick);
    let mut line = stage.open()?;
    let answered = line.ask(&quick)?;
    let closed =
        line.answer_within(answered.last_ns, 8_000).context("waiting for the server's close")?;
    ensure!(closed.outcome == Outcome::Closed, "the server does not close: {closed:?}");
    let idle = Duration::from_nanos(closed.last_ns - answered.last_ns);
    let mut lines = Vec::new();
    for _ in 0..8 {
        let mut line = stage.open()?;
        line.ask(&quick)?;
        lines.push((line, std::time::Instant::now()));
        pause(30);
    }
    let mut lost = 0;
    for (mut line, asked) in lines {
        // The FIN takes less than these 25 ms to arrive.
        let due = asked + idle.saturating_sub(Duration::from_millis(25));
        thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
        let Ok(sent_ns) = line.send(&quick) else { continue };
        let seen = line.answer_within(sent_ns, 2_000)?;
        lost += usize::from(matches!(seen.outcome, Outcome::Closed | Outcome::Reset));
    }
    came_about(lost, 3, "of 8 requests met the server's close")
}

fn truncated(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let request = stage.request(Ask::Unread);
    let mut lost = 0;
    for _ in 0..10 {
        let mut line = stage.open_with(16_384)?;
        let sent_ns = line.send(&request)?;
        let mut body = line.stream.try_clone()?;
        let upload = thread::spawn(move || {
            // Sends until nothing is left, or the server has ended.
            for _ in 0..UPLOAD / PIECE {
                if body.write_all(&[b'u'; PIECE]).is_err() {
                    return;
                }
                pause(10);
            }
        });
        pause(60);
        let seen = line.answer_within(sent_ns, 1_000)?;
        lost += usize::from(matches!(seen.outcome, Outcome::Closed | Outcome::Reset));
        drop(line);
        upload.join().map_err(|_| anyhow!("the upload panicked"))?;
    }
    came_about(lost, 5, "of 10 answers were cut off")
}

/// Bytes of the body in one send.
const PIECE: usize = 50_000;

/// Leaves the cell out if the fault did not happen often enough.
fn came_about(times: usize, least: usize, what: &str) -> anyhow::Result<()> {
    if times >= least {
        Ok(())
    } else {
        Err(Skip(format!("it did not come about: {times} {what}")).into())
    }
}
