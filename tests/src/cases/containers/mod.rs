//! Cgroups, containers, pods and units as targets, and in the objects.

mod cgroup;
mod pod;
mod podman;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::json::listens_on;
use crate::harness::{Case, Demo, Ended, World, converse};
use cgroup::{Cgroup, begins_there, cgroup, cgroup_of_version_1, joins_later, leaves, vanishes};
use pod::{pod_and_container, pod_goes};
use podman::podman;

pub(super) const CASES: &[Case] = &[
    native("containers::cgroup", cgroup),
    native("containers::cgroup_of_version_1", cgroup_of_version_1),
    native("containers::a_process_that_joins_later", joins_later),
    native("containers::a_process_that_begins_there", begins_there),
    native("containers::a_process_that_leaves", leaves),
    native("containers::a_cgroup_that_vanishes", vanishes),
    native("containers::pod_and_container", pod_and_container),
    native("containers::a_pod_that_goes_while_it_is_asked_for", pod_goes),
    native("containers::unit", unit),
    native("containers::names_that_mean_nothing", nothing),
    native("containers::podman", podman),
];

fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("backscope-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn quick(world: &World) -> anyhow::Result<Demo> {
    world.demo(&["slow-acceptor", "--accept-delay", "0ms"])
}

/// No object may be about this server.
fn unseen(ended: &Ended, demo: &Demo) -> anyhow::Result<()> {
    let stranger = ended
        .objects
        .iter()
        .find(|object| listens_on(object, demo.addr.port()) || object["pid"] == demo.pid());
    ensure!(stranger.is_none(), "the twin is outside: {stranger:?}");
    Ok(())
}

/// Watches a server in a cgroup, and not its twin outside.
fn inside_and_outside(world: &World, group: &Cgroup, path: &Path) -> anyhow::Result<Ended> {
    let [inside, outside] = [quick(world)?, quick(world)?];
    group.take(inside.pid())?;
    let path = path.to_str().context("a path that is no text")?;
    let mut agent = world.watch_queues().args(["--cgroup", path]).start()?;
    converse(outside.addr)?;
    converse(inside.addr)?;
    agent.await_accepted(inside.addr.port(), 1)?;
    let ended = agent.stop()?;
    unseen(&ended, &outside)?;
    let listed = world.agent_command(&["listeners", "--json", "--cgroup", path]).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.lines().count() == 1, "one listens in it: {listed}");
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    ensure!(listed["pid"] == inside.pid(), "it is the server: {listed}");
    Ok(ended)
}

fn unit(world: &World) -> anyhow::Result<()> {
    let unit = name();
    let group = Cgroup::at(&format!("{unit}.slice/{unit}@1.service"))?;
    let twin = Cgroup::at(&format!("{unit}.slice/{unit}-twin.service"))?;
    let [inside, outside] = [quick(world)?, quick(world)?];
    group.take(inside.pid())?;
    twin.take(outside.pid())?;
    for word in [format!("{unit}@1"), format!("{unit}@1.service"), format!("{unit}@.service")] {
        let mut agent = world.watch_queues().args(["--unit", &word]).start()?;
        converse(outside.addr)?;
        converse(inside.addr)?;
        let listener = agent.await_accepted(inside.addr.port(), 1)?;
        ensure!(listener["unit"] == format!("{unit}@1.service"), "{word}: {listener}");
        unseen(&agent.stop()?, &outside)?;
    }
    let mut agent = world.watch_queues().args(["--unit", &format!("{unit}.slice")]).start()?;
    for demo in [&inside, &outside] {
        converse(demo.addr)?;
        agent.await_accepted(demo.addr.port(), 1)?;
    }
    agent.stop().map(drop)
}

fn nothing(world: &World) -> anyhow::Result<()> {
    let none = name();
    let path = format!("/{none}");
    let pod = format!("default/{none}");
    let cases = [
        (["--cgroup", &path], "there is no cgroup"),
        (["--cgroup", "/a/../b"], "without `..`"),
        (["--container", &none], "there is no container"),
        (["--container", "b11dedb5336"], "its first 12 characters or more"),
        (["--pod", &pod], "there is no pod"),
        (["--pod", &none], "NAMESPACE/NAME"),
        (["--unit", &none], "there is no unit"),
        (["--container", ""], "it is empty"),
        (["--unit", "\u{1b}[31m"], "\\u{1b}[31m.service"),
    ];
    for (target, told) in cases {
        let ended = world.watch_queues().args(target).spawn()?.ended()?;
        ensure!(ended.status.code() == Some(2), "{target:?}: status 2, got {}", ended.status);
        ensure!(ended.stderr.contains(told), "{target:?}: {}", ended.stderr);
        ensure!(!ended.stderr.contains('\u{1b}'), "{target:?}: {:?}", ended.stderr);
        ensure!(ended.objects.is_empty(), "{target:?}: nothing was watched");
    }
    Ok(())
}
