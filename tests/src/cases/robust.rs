//! Faults and loads: the agent stays bounded and alive, and leaves nothing behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{any_tier, each_tier, native};
use crate::harness::json::{is, number, overflows};
use crate::harness::net::Counters;
use crate::harness::{Agent, Case, World, bpf, converse};

pub(super) const CASES: &[Case] = &[
    each_tier("robust::killed_leaves_nothing", killed).on_each_kernel().alone(),
    each_tier("robust::two_at_once_agree", two_at_once),
    any_tier("robust::ring_overflow_is_counted", ring_overflow),
    native("robust::records_that_outrun_it", outrun).alone(),
    any_tier("robust::a_thousand_forks", thousand_forks).alone(),
    each_tier("robust::syn_flood", syn_flood).alone(),
];

fn killed(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    let held = bpf::held_by(agent.pid())?;
    let programs = held.iter().filter(|object| !matches!(object, bpf::Object::Map(_))).count();
    ensure!(programs > 0, "the agent holds no program: {held:?}");
    ensure!(
        held.iter().all(|object| bpf::exists(*object)),
        "some of them do not exist while it runs: {held:?}"
    );
    agent.signal(libc::SIGKILL);
    agent.ended()?;
    // The kernel frees programs and maps after a grace period.
    let deadline = Instant::now() + world.patience();
    loop {
        let left: Vec<_> = held.iter().filter(|object| bpf::exists(**object)).collect();
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "left in the kernel after SIGKILL: {left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn two_at_once(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agents =
        [world.watch().pid(demo.pid()).start()?, world.watch().pid(demo.pid()).start()?];
    for _ in 0..5 {
        converse(demo.addr)?;
    }
    for agent in &mut agents {
        agent.await_accepted(demo.addr.port(), 5)?;
    }
    let mut seen = Vec::new();
    for agent in agents {
        let ended = agent.stop()?;
        let listener = ended.listener(demo.addr.port())?;
        seen.push((number(listener, "/accepted"), ended.of("accept").count()));
    }
    ensure!(seen == [(Some(5), 5); 2], "five accepts, both agents are to show five: {seen:?}");
    Ok(())
}

fn ring_overflow(world: &World) -> anyhow::Result<()> {
    const CONNECTIONS: u64 = 500;
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agent = world.watch().pid(demo.pid()).env("BACKSCOPE_RING_BYTES", "4096").start()?;
    // A stopped agent reads nothing, so that the ring surely fills up.
    agent.signal(libc::SIGSTOP);
    for _ in 0..CONNECTIONS {
        converse(demo.addr)?;
    }
    agent.signal(libc::SIGCONT);
    let lost = agent.await_object("lost", |object| object["type"] == "lost")?;
    ensure!(number(&lost, "/count").is_some_and(|count| count > 0), "{lost}");
    agent.await_accepted(demo.addr.port(), CONNECTIONS)?;
    let ended = agent.stop()?;
    let listener = ended.listener(demo.addr.port())?;
    ensure!(
        number(listener, "/accepted") == Some(CONNECTIONS),
        "the totals are the kernel's: {listener}"
    );
    let summary = ended.summary()?;
    ensure!(
        number(summary, "/events/lost").is_some_and(|lost| lost > 0),
        "the loss is in the summary: {summary}"
    );
    Ok(())
}

/// Records that come faster than the agent reads them. It still refreshes, and ends when it is told
/// to.
fn outrun(world: &World) -> anyhow::Result<()> {
    for detail in ["exchanges", "events"] {
        outrun_with(world, detail).context(detail)?;
    }
    Ok(())
}

fn outrun_with(world: &World, detail: &str) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    // Reading a full buffer of the usual size would take seconds.
    let watch = world
        .watch()
        .pid(demo.pid())
        .env("BACKSCOPE_RING_BYTES", "262144")
        .args(["--detail", detail]);
    let mut agent = watch.start()?;
    agent.be_nice()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = converse(demo.addr);
                }
            });
        }
        let result = refreshes_and_ends(&mut agent, demo.addr.port());
        over.store(true, Ordering::Relaxed);
        result
    })?;
    agent.ended()?.check_clean()
}

fn refreshes_and_ends(agent: &mut Agent, port: u16) -> anyhow::Result<()> {
    agent.await_accepted(port, 2_000)?;
    agent.await_refresh(port)?;
    agent.signal(libc::SIGINT);
    agent.await_object("summary", |object| is(object, "summary"))?;
    Ok(())
}

fn thousand_forks(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "1000", "--wait"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    demo.go()?;
    demo.await_listening()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    agent.stop().map(drop)
}

fn syn_flood(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "16"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let before = Counters::read()?;
    let target = demo.addr.to_string();
    let mut flood =
        world.demo_waiting(&["load", "--target", &target, "--flood", "--connections", "10000"])?;
    flood.await_line("flooded 10000")?;
    flood.await_end()?;
    let expected = Counters::read()?.get("ListenOverflows") - before.get("ListenOverflows");
    ensure!(expected > 5_000, "the flood provoked only {expected} overflows");
    agent.await_listener(demo.addr.port(), &format!("{expected} overflows"), |listener| {
        overflows(listener) == expected
    })?;
    let ended = agent.stop()?;
    let rss = number(ended.summary()?, "/overhead/agent_rss_bytes").unwrap_or(u64::MAX);
    ensure!(rss < 40 << 20, "the agent grew to {rss} bytes");
    Ok(())
}
