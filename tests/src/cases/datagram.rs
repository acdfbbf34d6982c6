//! UDP: a receiver that does not keep up.

use anyhow::{Context, ensure};

use super::any_tier;
use super::finding::check_useful;
use crate::harness::{Case, Demo, World};

pub(super) const CASES: &[Case] = &[
    any_tier("datagram::overflow_is_found", overflow),
    any_tier("datagram::none_is_found_where_the_receiver_keeps_up", keeps_up),
];

/// Starts a receiver, and the address it receives on.
fn receiver(world: &World, knobs: &[&str]) -> anyhow::Result<(Demo, String)> {
    let mut demo = world.demo_waiting(&[&["datagrams", "--trace"], knobs].concat())?;
    let line = demo.await_line("bound to ")?;
    Ok((demo, line["bound to ".len()..].to_owned()))
}

fn overflow(world: &World) -> anyhow::Result<()> {
    let (mut demo, target) = receiver(world, &["--receive-buffer", "2048", "--pause", "50ms"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let mut sender = world.demo_waiting(&["datagrams", "--target", &target, "--count", "500", "--pause", "2ms"])?;
    let finding = agent.await_finding("udp-receive-overflow")?;
    check_useful(&finding)?;
    sender.await_line("sent 500 ")?;
    // The server's own count, from the kernel.
    let dropped = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
    let line = demo.await_lines("received ", 2)?.pop().context("nothing was received")?;
    ensure!(dropped(&line) > Some(0), "nothing was dropped: {line}");
    agent.stop().map(drop)
}

fn keeps_up(world: &World) -> anyhow::Result<()> {
    const DATAGRAMS: usize = 500;
    let (mut demo, target) = receiver(world, &[])?;
    let agent = world.watch().pid(demo.pid()).start()?;
    let count = DATAGRAMS.to_string();
    let mut sender = world.demo_waiting(&["datagrams", "--target", &target, "--count", &count, "--pause", "1ms"])?;
    sender.await_line("sent ")?;
    demo.await_lines("received ", DATAGRAMS)?;
    agent.stop()?.check_no_finding("udp-receive-overflow")
}
