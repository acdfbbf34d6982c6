//! Findings: present on the fault, absent on a healthy server.

use anyhow::ensure;

use super::each_tier;
use crate::harness::json::Value;
use crate::harness::{Case, World, connect_nonblocking, converse};

pub(super) const CASES: &[Case] = &[
    each_tier("finding::accept_queue_overflow", accept_queue_overflow),
    each_tier("finding::accept_starved", accept_starved),
    each_tier("finding::syn_queue_pressure", syn_queue_pressure),
    each_tier("finding::uneven_workers", uneven_workers),
    each_tier("finding::none_on_a_healthy_server", healthy).alone(),
];

/// Checks that a finding has evidence and advice.
pub(super) fn check_useful(finding: &Value) -> anyhow::Result<()> {
    let said = |field: &str| finding[field].as_str().is_some_and(|text| !text.trim().is_empty());
    ensure!(said("text") && said("fix") && said("subject"), "an empty sentence: {finding}");
    ensure!(
        finding["evidence"].as_object().is_some_and(|evidence| !evidence.is_empty()),
        "no evidence: {finding}"
    );
    let severity = finding["severity"].as_str().unwrap_or("");
    ensure!(["info", "warning", "critical"].contains(&severity), "severity: {finding}");
    Ok(())
}

fn accept_queue_overflow(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "2"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let _clients = connect_nonblocking(demo.addr, 20)?;
    let finding = agent.await_finding("accept-queue-overflow")?;
    check_useful(&finding)?;
    ensure!(finding["severity"] == "critical", "connections are being lost: {finding}");
    agent.stop().map(drop)
}

fn accept_starved(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "300ms", "--backlog", "1000"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let target = demo.addr.to_string();
    let _load = world.demo_waiting(&["load", "--target", &target, "--rate", "10/s", "--silent"])?;
    check_useful(&agent.await_finding("accept-starved")?)?;
    agent.stop().map(drop)
}

fn syn_queue_pressure(world: &World) -> anyhow::Result<()> {
    // With TCP_DEFER_ACCEPT a client that sends nothing stays in the SYN queue.
    let demo = world.demo(&["never-accept", "--backlog", "8", "--defer-accept", "60s"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let _clients = connect_nonblocking(demo.addr, 60)?;
    check_useful(&agent.await_finding("syn-queue-pressure")?)?;
    agent.stop().map(drop)
}

fn uneven_workers(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&[
        "acceptors",
        "--mode",
        "exclusive",
        "--workers",
        "4",
        "--uneven",
        "--close-after",
        "1",
    ])?;
    demo.await_lines("worker ", 4)?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let target = demo.addr.to_string();
    let _load = world.demo_waiting(&["load", "--target", &target, "--rate", "100/s"])?;
    check_useful(&agent.await_finding("uneven-workers")?)?;
    agent.stop().map(drop)
}

fn healthy(world: &World) -> anyhow::Result<()> {
    let server = [
        "acceptors",
        "--mode",
        "blocking",
        "--workers",
        "2",
        "--backlog",
        "64",
        "--close-after",
        "1",
    ];
    let mut demo = world.demo(&server)?;
    demo.await_lines("worker ", 2)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    for _ in 0..100 {
        converse(demo.addr)?;
    }
    agent.await_accepted(demo.addr.port(), 100)?;
    agent.await_refresh(demo.addr.port())?;
    let ended = agent.stop()?;
    for kind in [
        "accept-queue-overflow",
        "accept-starved",
        "syn-queue-pressure",
        "uneven-workers",
        "backlog-clamped",
    ] {
        ended.check_no_finding(kind)?;
    }
    Ok(())
}
