//! Patterns: demo servers and real servers, each recognised while it is under load.

mod demos;
pub(super) mod load;
mod registry;
mod servers;

use std::time::Duration;

use anyhow::ensure;

use crate::harness::json::{Value, is, number};
use crate::harness::{Agent, Ended, World, cpu_pressure, net};
pub(super) use demos::CASES as DEMOS;
use load::Load;
pub(super) use registry::CASES as REGISTRY;
pub(super) use servers::CASES as SERVERS;

/// Checks the time from the first connection of the load to the right name: five seconds, and the
/// waits of server, client and agent for a processor. Emulated, everything takes longer. `pressure`
/// is that of the beginning.
fn check_soon(
    world: &World,
    begun_ns: u64,
    pressure: Duration,
    told: &Value,
) -> anyhow::Result<()> {
    let limit = Duration::from_secs(if world.vm { 60 } else { 5 }) + (cpu_pressure() - pressure);
    let told_ns = number(told, "/ts_ns").unwrap_or(u64::MAX);
    let after = Duration::from_nanos(told_ns.saturating_sub(begun_ns));
    ensure!(after < limit, "told after {after:?}, not {limit:?}: {told}");
    Ok(())
}

/// Time for which the load goes on.
const STEADY_NS: u64 = 4_000_000_000;

/// Name, units and, where one is expected, io.
type Kind<'a> = (&'a str, &'a str, Option<&'a str>);

fn is_kind(object: &Value, (name, units, io): Kind) -> bool {
    is(object, "pattern")
        && object["name"] == name
        && object["units"] == units
        && io.is_none_or(|io| object["io"] == io)
}

/// Watches a server under load until its pattern is recognised, and checks that the name is the
/// same at the end.
fn check(
    world: &World,
    pid: u32,
    expected: Kind,
    load: impl FnOnce() -> Load,
) -> anyhow::Result<Ended> {
    let mut agent = world.watch().pid(pid).start()?;
    let (begun_ns, pressure) = (net::monotonic_ns(), cpu_pressure());
    let load = load();
    let told = await_kind(&mut agent, expected)?;
    check_soon(world, begun_ns, pressure, &told)?;
    // The name must not change while the load goes on.
    agent.await_time(begun_ns + STEADY_NS)?;
    let served = load.stop()?;
    ensure!(served > 0, "the load got no answer");
    let ended = agent.stop()?;
    let last = ended.of("pattern").filter(|object| object["pid"] == told["pid"]).last();
    ensure!(last.is_some_and(|last| is_kind(last, expected)), "at the end: {last:?}");
    let count = ended.of("pattern").count();
    ensure!(count <= 4, "told {count} times in a few seconds");
    ended.of("pattern").try_for_each(check_useful)?;
    Ok(ended)
}

fn await_kind(agent: &mut Agent, expected: Kind) -> anyhow::Result<Value> {
    let what = format!("pattern {expected:?}");
    agent.await_object(&what, |object| is_kind(object, expected)).map_err(|error| {
        let told: Vec<String> = agent
            .objects()
            .iter()
            .filter(|object| is(object, "pattern"))
            .map(Value::to_string)
            .collect();
        error.context(format!("told instead: {}", told.join(" ")))
    })
}

/// Checks that a pattern has evidence, and a confidence below certainty.
fn check_useful(pattern: &Value) -> anyhow::Result<()> {
    let sentences = pattern["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(!sentences.is_empty(), "no evidence: {pattern}");
    let confidence = pattern["confidence"].as_f64().unwrap_or(-1.0);
    let is_unknown = pattern["name"] == "unknown";
    ensure!(
        if is_unknown { confidence == 0.0 } else { (0.5..1.0).contains(&confidence) },
        "confidence: {pattern}"
    );
    Ok(())
}
