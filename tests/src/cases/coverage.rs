//! Checks the signals that each kernel is known to show. Without this, a change that loses a hook
//! would only lower the coverage, in silence.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, ensure};

use super::any_tier;
use crate::harness::json::{Value, is};
use crate::harness::schema::keeps_to;
use crate::harness::{Case, Processor, World, connect, skip};

pub(super) const CASES: &[Case] = &[
    any_tier("coverage::full_tier_sees_everything", full_tier_sees_everything)
        .by_processor()
        .on_each_kernel(),
    any_tier("coverage::tracepoint_tier_sees_what_it_can", tracepoint_tier_sees_what_it_can)
        .by_processor()
        .on_each_kernel(),
    any_tier("coverage::hooks_that_nothing_calls", hooks_that_nothing_calls)
        .on_each_kernel()
        .alone(),
    any_tier("coverage::every_single_event", every_single_event).by_processor().on_each_kernel(),
];

fn doctor(world: &World, args: &[&str]) -> anyhow::Result<Value> {
    let output = world.agent_command(&[&["doctor", "--json"], args].concat()).output()?;
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    keeps_to("doctor", &report)?;
    Ok(report)
}

/// Signals without a hook.
fn unseen(report: &Value) -> BTreeSet<&str> {
    let hooks = report["hooks"].as_object().into_iter().flatten();
    hooks.filter(|(_, hook)| hook.is_null()).map(|(signal, _)| signal.as_str()).collect()
}

fn full_tier_sees_everything(world: &World) -> anyhow::Result<()> {
    let report = doctor(world, &[])?;
    let release = release(&report).with_context(|| format!("no kernel release: {report}"))?;
    let attaches_hooks = release >= Processor::OWN.attaches_hooks_since();
    if report["tier"] != "full" {
        let reason = report["refused"][0]["reason"].as_str().unwrap_or_default();
        let expected = if attaches_hooks { "not permitted" } else { "attaches none" };
        ensure!(reason.contains(expected), "function hooks fail for a reason of ours: {report}");
        return Ok(());
    }
    ensure!(attaches_hooks, "this kernel attaches no function hooks: {report}");
    let mut expected = BTreeSet::new();
    if release < (5, 11) {
        // io_uring's accept has an additional argument here.
        expected.insert("accept_fails_io_uring");
    }
    ensure!(unseen(&report) == expected, "unseen should be {expected:?}: {report}");
    Ok(())
}

fn tracepoint_tier_sees_what_it_can(world: &World) -> anyhow::Result<()> {
    let report = doctor(world, &["--tier", "tracepoint"])?;
    let mut expected =
        BTreeSet::from(["syn", "syncookie", "datagram_size", "read_splice", "write_blocked"]);
    let release = release(&report).with_context(|| format!("no kernel release: {report}"))?;
    if release < (6, 18) {
        expected.insert("overflow_ack");
    }
    if release < (6, 3) {
        expected.extend(["data_in", "read", "write", "delayed_ack"]);
    }
    if release < (5, 12) {
        expected.insert("datagram_end");
    }
    if release < (5, 11) {
        expected.extend([
            "accept_at_rest",
            "ends_at_rest",
            "accept_io_uring",
            "accept_fails_io_uring",
        ]);
        expected.insert("connect_unsent");
    }
    ensure!(unseen(&report) == expected, "unseen should be {expected:?}: {report}");
    Ok(())
}

/// What is lost while nothing calls the function hooks.
const FTRACE_OFF: &str = "ftrace_off";

/// The machine's switch of ftrace, which is set back in the end.
struct Ftrace(String);

impl Ftrace {
    const SWITCH: &str = "/proc/sys/kernel/ftrace_enabled";

    fn off() -> anyhow::Result<Self> {
        let before = Self(fs::read_to_string(Self::SWITCH)?);
        fs::write(Self::SWITCH, "0")?;
        Ok(before)
    }
}

impl Drop for Ftrace {
    fn drop(&mut self) {
        let _ = fs::write(Self::SWITCH, &self.0);
    }
}

/// Where ftrace is switched off, function hooks attach and are never called: the agent does without
/// them from the start, and says so if it is switched off later.
fn hooks_that_nothing_calls(world: &World) -> anyhow::Result<()> {
    if !world.vm {
        return skip("it would switch off ftrace on this machine");
    }
    let usual = doctor(world, &[])?;
    let demo = world.demo(&["serve"])?;
    let port = demo.addr.port();
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let Ok(off) = Ftrace::off() else {
        // From 7 on, ftrace stays on as long as something depends on it.
        let ended = agent.stop()?;
        ensure!(ended.lost(FTRACE_OFF) == 0, "it was on");
        return skip("this kernel does not switch it off");
    };
    let report = doctor(world, &[])?;
    ensure!(report["tier"] == "tracepoint", "function hooks are of no use: {report}");
    let was_full = usual["tier"] == "full";
    if was_full {
        let reason = report["refused"][0]["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("ftrace_enabled is 0"), "the reason is said: {report}");
        agent.await_object("that nothing calls the hooks", |object| {
            is(object, "lost") && object["probe"] == FTRACE_OFF
        })?;
    }
    let mut without = world.watch_queues().pid(demo.pid()).start()?;
    let _client = connect(demo.addr)?;
    without.await_accepted(port, 1)?;
    ensure!(without.stop()?.lost(FTRACE_OFF) == 0, "nothing is lost without function hooks");
    // A kernel whose hooks go while ftrace is off may not attach any again, to the end of its days.
    drop(off);
    agent.stop()?;
    let report = doctor(world, &[])?;
    ensure!(report["tier"] == usual["tier"], "it is as it was before: {report}");
    Ok(())
}

/// Signals that only `--detail events` has.
fn every_single_event(world: &World) -> anyhow::Result<()> {
    for (tier, blind) in [("full", None), ("tracepoint", Some("read_blocked"))] {
        let report = doctor(world, &["--tier", tier, "--detail", "events"])?;
        if report["tier"] != tier {
            continue;
        }
        let signals = BTreeSet::from(["segment", "ack", "read_blocked", "reset", "time_wait"]);
        let unseen: BTreeSet<_> = unseen(&report).intersection(&signals).copied().collect();
        ensure!(unseen == blind.into_iter().collect(), "unseen: {unseen:?}: {report}");
        let refused = report["refused"].as_array().into_iter().flatten();
        let refused: Vec<_> = refused
            .filter(|refusal| signals.iter().any(|name| refusal["signal"] == *name))
            .collect();
        ensure!(tier != "full" || refused.is_empty(), "refused: {refused:?}");
    }
    Ok(())
}

fn release(report: &Value) -> Option<(u32, u32)> {
    let mut numbers =
        report["kernel"].as_str()?.split(['.', '-']).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
