//! Threads that are kept from a processor.

use anyhow::Context;
use backscope_tests::harness::net::monotonic_ns;

use super::{Fault, PLAIN, pause};
use crate::client::Line;
use crate::limits::{Crowd, Quota};
use crate::processes::Stopped;
use crate::stage::Stage;
use crate::truth::{Label, Truth};
use crate::wire::Ask;

const STARVED: Label = ("kernel", "run_queue");
const THROTTLED: Label = ("kernel", "throttled");

pub(super) const ALL: &[Fault] = &[
    Fault {
        name: "frozen",
        about: "the server is stopped for 250 ms while clients ask on connections that stand",
        named: &["tail", "slow-reader"],
        fits: |subject| subject.name != "php-fpm",
        drive: frozen,
        ..PLAIN
    },
    Fault {
        name: "crowded",
        about: "the handler computes for 20 ms on a processor that four others want",
        named: &["cpu-starved"],
        beside: &["slow-reader", "slow-app", "accept-starved", "tail"],
        needs: &[Ask::Compute(20)],
        alone: true,
        drive: crowded,
        ..PLAIN
    },
    Fault {
        name: "quota",
        about: "the handler computes for 40 ms with 20 ms of each 100 ms allowed",
        named: &["throttled"],
        beside: &["slow-app", "accept-starved", "tail"],
        needs: &[Ask::Compute(40)],
        alone: true,
        quota: Some((20_000, 100_000)),
        drive: quota,
        ..PLAIN
    },
    Fault {
        name: "quota-later",
        about: "the same, but the server comes under it while it is watched",
        named: &["throttled"],
        beside: &["slow-app", "accept-starved", "tail"],
        needs: &[Ask::Compute(40)],
        alone: true,
        drive: |stage| {
            stage.asks(4, 20, Ask::Compute(40), Stage::computed)?;
            stage.quota = Some(Quota::on(stage.pid, 20_000, 100_000)?);
            quota(stage)
        },
        ..PLAIN
    },
];

fn frozen(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let quick = stage.request(Ask::Quick);
    let mut lines: Vec<Line> = (0..3).map(|_| stage.open()).collect::<anyhow::Result<_>>()?;
    for _ in 0..4 {
        for line in &mut lines {
            for _ in 0..3 {
                let seen = line.ask(&quick)?;
                stage.saw(Truth::healthy(&seen));
                pause(5);
            }
        }
        let stopped = Stopped::all(stage.pid);
        let sent =
            lines.iter_mut().map(|line| line.send(&quick)).collect::<anyhow::Result<Vec<_>>>()?;
        pause(250);
        drop(stopped);
        let went_on_ns = monotonic_ns();
        for (line, sent_ns) in lines.iter_mut().zip(sent) {
            let seen = line.answer(sent_ns)?;
            let stood_us = went_on_ns.saturating_sub(sent_ns) / 1_000;
            stage.saw(Truth::of(&seen, ("app", "receive_queue"), stood_us..=seen.first_us()));
        }
    }
    lines.into_iter().for_each(|line| stage.close(line));
    Ok(())
}

fn crowded(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    const COMPUTE: u64 = 20;
    let crowd = Crowd::beside(stage.pid, 4)?;
    let truth = |stage: &Stage<'_>, seen: &_| {
        let truth = Stage::computed(stage, seen);
        truth.mostly(STARVED)
    };
    for _ in 0..2 {
        stage.asks(6, 20, Ask::Compute(COMPUTE), truth)?;
    }
    drop(crowd);
    Ok(())
}

fn quota(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let quota = stage.quota.take().context("the server has no quota")?;
    for _ in 0..2 {
        let mut before_us = quota.throttled_us()?;
        let truth = |_: &_, seen: &_| {
            let now_us = quota.throttled_us().unwrap_or(before_us);
            let throttled_us = now_us - std::mem::replace(&mut before_us, now_us);
            Truth::throttled(seen, THROTTLED, throttled_us)
        };
        stage.asks(6, 20, Ask::Compute(40), truth)?;
    }
    stage.quota = Some(quota);
    Ok(())
}
