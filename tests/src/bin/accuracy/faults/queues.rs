//! Faults of connections before the application has them.

use anyhow::ensure;
use backscope_tests::harness::net::monotonic_ns;

use super::{Fault, PLAIN, pause};
use crate::client::{Line, Outcome};
use crate::limits::FewDescriptors;
use crate::processes::Stopped;
use crate::stage::Stage;
use crate::truth::{Label, NONE, Truth};
use crate::wire::Ask;

const QUEUED: Label = ("app", "accept_queue");
const IGNORED: Label = ("app", "ignored");

pub(super) const ALL: &[Fault] = &[
    Fault {
        name: "late-accept",
        about: "the server is stopped for 250 ms while clients connect",
        named: &["accept-starved", "accept-queue-overflow", "tail"],
        beside: &["connection-churn", "slow-reader"],
        drive: |stage| (0..4).try_for_each(|_| late_accept(stage, 3, 250)),
        ..PLAIN
    },
    Fault {
        name: "queue-full",
        about: "the server is stopped for 700 ms while more clients connect than its queue has \
                room for",
        named: &["accept-queue-overflow"],
        beside: &[
            "accept-starved",
            "connection-churn",
            "slow-reader",
            "backlog-clamped",
            "tail",
            "retransmits",
        ],
        sysctls: &[("core/somaxconn", "4")],
        drive: |stage| (0..2).try_for_each(|_| queue_full(stage)),
        ..PLAIN
    },
    Fault {
        name: "left-queue",
        about: "clients connect to a stopped server and close before they are accepted",
        named: &["abandoned"],
        beside: &["accept-starved", "connection-churn", "unanswered", "tail", "slow-reader"],
        drive: left_queue,
        ..PLAIN
    },
    Fault {
        name: "no-descriptors",
        about: "accept fails with EMFILE for a second",
        named: &["accept-fails", "closed-unserved"],
        beside: &[
            "accept-starved",
            "connection-churn",
            "abandoned",
            "unanswered",
            "truncated-responses",
            "tail",
        ],
        drive: no_descriptors,
        ..PLAIN
    },
    Fault {
        name: "spare",
        about: "quick requests beside 20 connections on which nobody asks anything",
        beside: &["uneven-workers"],
        // These tie a thread or a process to each connection, which would use all of them up.
        fits: |subject| !["php-fpm", "gunicorn"].contains(&subject.name),
        drive: spare,
        ..PLAIN
    },
];

/// Connects to a stopped server and sends the first bytes of a connection.
fn begin(stage: &Stage<'_>, count: usize) -> anyhow::Result<Vec<(Line, u64)>> {
    let request = stage.first_request();
    (0..count)
        .map(|_| {
            let mut line = stage.open_silent()?;
            let sent_ns = line.send(&request)?;
            Ok((line, sent_ns))
        })
        .collect()
}

fn late_accept(stage: &mut Stage<'_>, clients: usize, ms: u64) -> anyhow::Result<()> {
    let stopped = Stopped::all(stage.pid);
    let begun = begin(stage, clients)?;
    pause(ms);
    drop(stopped);
    let went_on_ns = monotonic_ns();
    for (mut line, sent_ns) in begun {
        let seen = line.answer(sent_ns)?;
        let stood_us = went_on_ns.saturating_sub(sent_ns) / 1_000;
        stage.saw(Truth::of(&seen, QUEUED, stood_us..=seen.first_us()));
        stage.close(line);
    }
    pause(50);
    Ok(())
}

fn queue_full(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let request = stage.first_request();
    let stopped = Stopped::all(stage.pid);
    let begun = stage.begin(14)?;
    pause(50);
    let mut lines = Vec::new();
    let mut refused = Vec::new();
    for mut line in begun {
        // Only those that believe that they are connected send. The others' SYNs were dropped, so
        // they have no exchange yet.
        match line.is_connected() {
            true => {
                let sent_ns = line.send(&request)?;
                lines.push((line, sent_ns));
            }
            false => refused.push(line),
        }
    }
    pause(650);
    drop(stopped);
    let went_on_ns = monotonic_ns();
    ensure!(!refused.is_empty(), "the queue was not full");
    for (mut line, sent_ns) in lines {
        let seen = line.answer(sent_ns)?;
        let stood_us = went_on_ns.saturating_sub(sent_ns) / 1_000;
        // Data that the kernel ignored come again only with the client's retransmission timer.
        stage.saw(Truth::of(&seen, QUEUED, stood_us..=seen.first_us()).or(IGNORED));
        stage.close(line);
    }
    refused.into_iter().for_each(drop);
    pause(100);
    Ok(())
}

fn left_queue(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    for _ in 0..4 {
        let stopped = Stopped::all(stage.pid);
        let begun = begin(stage, 4)?;
        pause(100);
        for (line, _) in begun {
            line.reset()?;
        }
        pause(30);
        drop(stopped);
        pause(200);
    }
    Ok(())
}

fn no_descriptors(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let few = FewDescriptors::for_all(stage.pid, 3)?;
    let request = stage.first_request();
    // The connections stay open: each takes a descriptor once it is accepted.
    let mut lines = Vec::new();
    for _ in 0..16 {
        let mut line = stage.open_silent()?;
        let sent_ns = line.send(&request);
        lines.push((line, sent_ns));
        pause(10);
    }
    pause(900);
    // Connections that came when no descriptor was left are still waiting.
    let waiting = lines
        .iter()
        .map(|(line, _)| Ok(!line.has_answer()?))
        .collect::<anyhow::Result<Vec<bool>>>()?;
    let more_ns = monotonic_ns();
    drop(few);
    for ((mut line, sent_ns), waited) in lines.into_iter().zip(waiting) {
        let Ok(sent_ns) = sent_ns else { continue };
        let Ok(seen) = line.answer_within(sent_ns, 3_000) else { continue };
        if seen.outcome != Outcome::Answered {
            continue;
        }
        if waited {
            let at_least = more_ns.saturating_sub(sent_ns) / 1_000;
            stage.saw(Truth::of(&seen, QUEUED, at_least..=seen.first_us()));
        } else {
            // The answer had come long before it was read here.
            stage.saw(Truth::of(&seen, NONE, 0..=0));
        }
        stage.close(line);
    }
    Ok(())
}

fn spare(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    // A spare connection of a pool has greeted the server, if the protocol has a greeting.
    let spare = (0..20).map(|_| stage.open()).collect::<anyhow::Result<Vec<_>>>()?;
    for _ in 0..4 {
        stage.asks(8, 40, Ask::Quick, |_, seen| Truth::healthy(seen))?;
    }
    spare.into_iter().for_each(|line| stage.close_silent(line));
    Ok(())
}
