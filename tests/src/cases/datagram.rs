//! UDP: a receiver that does not keep up.

use super::finding::check_useful;
use super::native;
use crate::harness::{Case, Demo, World};

pub(super) const CASES: &[Case] = &[
    native("datagram::overflow_is_found", overflow),
    native("datagram::none_is_found_where_the_receiver_keeps_up", keeps_up),
];

/// Starts a receiver, and the address it receives on.
pub(super) fn receiver(world: &World, knobs: &[&str]) -> anyhow::Result<(Demo, String)> {
    let mut demo = world.demo_waiting(&[&["datagrams", "--trace"], knobs].concat())?;
    let line = demo.await_line("bound to ")?;
    Ok((demo, line["bound to ".len()..].to_owned()))
}

/// Waits until the receiver's own count of drops, which is the kernel's, has come so far.
pub(super) fn await_dropped(receiver: &mut Demo, least: u64) -> anyhow::Result<()> {
    let dropped = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
    for count in 1.. {
        let lines = receiver.await_lines("received ", count)?;
        if lines.last().and_then(|line| dropped(line)) >= Some(least) {
            break;
        }
    }
    Ok(())
}

fn overflow(world: &World) -> anyhow::Result<()> {
    let (mut demo, target) = receiver(world, &["--receive-buffer", "2048", "--pause", "50ms"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let mut sender = world.demo_waiting(&["datagrams", "--target", &target, "--count", "500", "--pause", "2ms"])?;
    let finding = agent.await_finding("udp-receive-overflow")?;
    check_useful(&finding)?;
    sender.await_line("sent 500 ")?;
    await_dropped(&mut demo, 1)?;
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
