//! Faults of the client.

use std::net::Shutdown;

use backscope_tests::harness::net::monotonic_ns;

use super::{APP, BIG, Fault, PLAIN, pause};
use crate::client::Seen;
use crate::stage::Stage;
use crate::truth::Truth;
use crate::wire::Ask;

pub(super) const ALL: &[Fault] = &[
    Fault {
        name: "slow-client",
        about: "the client reads nothing of a big answer for 300 ms",
        named: &["zero-window", "send-blocked"],
        needs: &[Ask::Big(BIG)],
        drive: slow_client,
        ..PLAIN
    },
    Fault {
        name: "in-pieces",
        about: "the client sends the second half of its request 80 ms later",
        beside: &["connection-churn"],
        drive: in_pieces,
        ..PLAIN
    },
    Fault {
        name: "left-fin",
        about: "the handler takes 500 ms, and the client closes after 250",
        named: &["unanswered"],
        beside: &["slow-app", "connection-churn", "close-wait-leak", "tail"],
        needs: &[Ask::Sleep(500)],
        drive: |stage| left(stage, Ask::Sleep(500), false),
        ..PLAIN
    },
    Fault {
        name: "left-rst",
        about: "the handler takes 500 ms, and the client resets after 250",
        named: &["unanswered"],
        beside: &["slow-app", "connection-churn", "tail"],
        needs: &[Ask::Sleep(500)],
        drive: |stage| left(stage, Ask::Sleep(500), true),
        ..PLAIN
    },
    Fault {
        name: "left-proxy",
        about: "the upstream takes 500 ms, and the client resets after 250",
        named: &["unanswered"],
        beside: &["slow-app", "slow-upstream", "connection-churn", "tail"],
        needs: &[Ask::Call(500)],
        drive: |stage| left(stage, Ask::Call(500), true),
        ..PLAIN
    },
    Fault {
        name: "half-closed",
        about: "the client shuts its side down at once and still gets its quick answers",
        beside: &["connection-churn"],
        // Other servers take the client's FIN for its departure.
        fits: |subject| ["asyncio", "nginx", "redis", "memcached"].contains(&subject.name),
        drive: half_closed,
        ..PLAIN
    },
];

fn slow_client(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let request = stage.request(Ask::Big(BIG));
    for _ in 0..4 {
        let mut line = stage.open_with(16_384)?;
        let sent_ns = line.send(&request)?;
        pause(300);
        let read_ns = monotonic_ns();
        let seen = line.answer(sent_ns)?;
        let stood_us = (read_ns - sent_ns) / 1_000;
        let truth = Truth::of(&seen, ("peer", "receive_window"), stood_us..=seen.total_us());
        stage.saw(truth.or(("peer", "send_buffer")));
        stage.close(line);
    }
    Ok(())
}

fn in_pieces(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let request = stage.request(Ask::Quick);
    let half = request.len() / 2;
    for _ in 0..8 {
        let mut line = stage.open()?;
        let sent_ns = line.send(&request[..half])?;
        pause(80);
        let rest_ns = line.send(&request[half..])?;
        let seen = line.answer(sent_ns)?;
        let us = (rest_ns - sent_ns) / 1_000;
        stage.saw(Truth::of(&seen, ("peer", "request"), us..=seen.first_us()));
        stage.close(line);
    }
    Ok(())
}

fn left(stage: &mut Stage<'_>, ask: Ask, resets: bool) -> anyhow::Result<()> {
    let request = stage.request(ask);
    for _ in 0..6 {
        let mut line = stage.open()?;
        let sent_ns = line.send(&request)?;
        pause(250);
        let (port, left_ns) = (line.port, monotonic_ns());
        let mut seen = Seen::left(port, sent_ns, left_ns);
        let us = seen.total_us();
        if resets {
            line.reset()?;
        } else {
            drop(line);
            // The server may notice the close only at its write.
            seen.last_ns = sent_ns + 500_000_000;
        }
        stage.saw(Truth::of(&seen, APP, us..=seen.total_us()));
        // A server with one thread takes them one after the other.
        pause(320);
    }
    Ok(())
}

fn half_closed(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let request = stage.request(Ask::Quick);
    for _ in 0..8 {
        let mut line = stage.open()?;
        let sent_ns = line.send(&request)?;
        line.stream.shutdown(Shutdown::Write)?;
        let seen = line.answer(sent_ns)?;
        stage.saw(Truth::healthy(&seen));
        stage.close(line);
        pause(10);
    }
    Ok(())
}
