//! The one-shot commands, and the forms of output.

use anyhow::{Context, ensure};

use super::{any_tier, each_tier, native};
use crate::harness::json::{Value, listens_on, number};
use crate::harness::schema::keeps_to;
use crate::harness::{Case, World, connect, converse, skip};

pub(super) const CASES: &[Case] = &[
    any_tier("command::the_probes_log", probe_log).on_each_kernel(),
    any_tier("command::listeners_json", listeners_json),
    native("command::listeners_table", listeners_table),
    any_tier("command::doctor", doctor),
    any_tier("command::doctor_json", doctor_json),
    any_tier("command::full_tier_by_name", full_tier_by_name),
    native("command::plain", plain),
    each_tier("command::detail_events", detail_events),
];

fn succeed(world: &World, args: &[&str]) -> anyhow::Result<String> {
    let output =
        world.agent_command(args).output().with_context(|| format!("backscope {args:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "backscope {args:?} ended with {}: {stderr}", output.status);
    String::from_utf8(output.stdout).context("not UTF-8")
}

fn listeners_json(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "5"])?;
    let _waiting = [connect(demo.addr)?, connect(demo.addr)?];
    let text = succeed(world, &["listeners", "--json", "--pid", &demo.pid_arg()])?;
    let objects: Vec<Value> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context(text.clone())?;
    for object in &objects {
        keeps_to("listeners", object)?;
    }
    let listener = objects
        .iter()
        .find(|object| listens_on(object, demo.addr.port()))
        .with_context(|| format!("no listener on {}: {text}", demo.addr))?;
    ensure!(number(listener, "/limit") == Some(5), "listen(5): {listener}");
    ensure!(number(listener, "/accept_depth") == Some(2), "two wait: {listener}");
    ensure!(listener["pid"] == demo.pid(), "its owner: {listener}");
    Ok(())
}

fn listeners_table(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "5"])?;
    let text = succeed(world, &["listeners", "--pid", &demo.pid_arg()])?;
    let row = text.lines().find(|line| line.contains(&demo.addr.to_string()));
    ensure!(
        row.is_some_and(|row| row.contains("demo-servers")),
        "no row for {}: {text}",
        demo.addr
    );
    ensure!(!text.contains('\x1b'), "escape sequences in a pipe: {text:?}");
    Ok(())
}

fn doctor(world: &World) -> anyhow::Result<()> {
    let text = succeed(world, &["doctor"])?;
    for word in ["kernel", "BTF", "tier"] {
        ensure!(text.to_lowercase().contains(&word.to_lowercase()), "nothing about {word}: {text}");
    }
    Ok(())
}

fn doctor_json(world: &World) -> anyhow::Result<()> {
    let text = succeed(world, &["doctor", "--json"])?;
    let report: Value = serde_json::from_str(&text).context(text.clone())?;
    keeps_to("doctor", &report)?;
    ensure!(report["kernel"].is_string(), "no kernel: {text}");
    ensure!(["full", "tracepoint"].iter().any(|tier| report["tier"] == *tier), "no tier: {text}");
    Ok(())
}

/// Asked for by name, the full tier is used, or the agent ends with status 3 and the kernel's
/// reason. It never falls back silently.
fn full_tier_by_name(world: &World) -> anyhow::Result<()> {
    let report: Value = serde_json::from_str(&succeed(world, &["doctor", "--json"])?)?;
    let demo = world.demo(&["slow-acceptor"])?;
    let ended = world
        .watch()
        .pid(demo.pid())
        .args(["--tier", "full", "--duration", "1s"])
        .spawn()?
        .ended()?;
    if report["tier"] == "full" {
        ensure!(
            ended.objects.first().is_some_and(|o| o["tier"] == "full"),
            "{:?}: {}",
            ended.objects,
            ended.stderr
        );
        return ended.check_clean();
    }
    ensure!(
        ended.status.code() == Some(3),
        "exit status 3, got {}: {}",
        ended.status,
        ended.stderr
    );
    ensure!(
        !ended.stderr.trim().is_empty() && ended.objects.is_empty(),
        "the kernel's reason, and nothing else"
    );
    Ok(())
}

fn plain(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "5"])?;
    let text = succeed(world, &["watch", "--plain", "--pid", &demo.pid_arg(), "--duration", "1s"])?;
    ensure!(text.contains(&demo.addr.to_string()), "nothing about {}: {text}", demo.addr);
    ensure!(!text.contains('\x1b'), "escape sequences in a pipe: {text:?}");
    Ok(())
}

fn detail_events(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agent = world.watch().pid(demo.pid()).args(["--detail", "events"]).start()?;
    let clients = [converse(demo.addr)?, converse(demo.addr)?];
    agent.await_accepted(demo.addr.port(), 2)?;
    let ended = agent.stop()?;
    let shown = ended.of("syn").count();
    ensure!(
        shown == clients.len(),
        "{shown} SYNs are shown: {:?}",
        ended.of("syn").collect::<Vec<_>>()
    );
    Ok(())
}

/// A developer's object of the probes says what its hooks decide.
fn probe_log(world: &World) -> anyhow::Result<()> {
    let Some(object) = world.log_object() else {
        return skip("nobody has run `cargo xtask probes --log`");
    };
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let option = format!("--probe-log={}", object.display());
    let mut agent = world.watch().pid(demo.pid()).args([option]).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    let ended = agent.stop()?;
    for decision in ["queued", "tcp_destroy_sock sock", "a watched connection ends"] {
        let is_there =
            ended.stderr.lines().any(|line| line.starts_with("probe: ") && line.contains(decision));
        ensure!(is_there, "no probe says \"{decision}\": {}", ended.stderr);
    }
    Ok(())
}
