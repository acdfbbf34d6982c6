//! Who is watched: by pid, port, name, or as a command.

use std::fs;
use std::os::unix::process::CommandExt;

use anyhow::{Context, ensure};

use super::{quick, sleeper_named};
use crate::harness::json::{is, listens_on, number};
use crate::harness::{Agent, Demo, Process, World, converse, copy_program, net};

pub(super) fn several_pids(world: &World) -> anyhow::Result<()> {
    let demos = [quick(world)?, quick(world)?];
    let mut agent = world.watch_queues().pid(demos[0].pid()).pid(demos[1].pid()).start()?;
    for demo in &demos {
        converse(demo.addr)?;
        agent.await_accepted(demo.addr.port(), 1)?;
    }
    agent.stop().map(drop)
}

pub(super) fn port(world: &World) -> anyhow::Result<()> {
    let [wanted, other] = [quick(world)?, quick(world)?];
    let mut agent =
        world.watch_queues().args(["--port", &wanted.addr.port().to_string()]).start()?;
    converse(other.addr)?;
    converse(wanted.addr)?;
    agent.await_accepted(wanted.addr.port(), 1)?;
    let ended = agent.stop()?;
    let stranger = ended.objects.iter().find(|object| listens_on(object, other.addr.port()));
    ensure!(stranger.is_none(), "only port {} is watched: {stranger:?}", wanted.addr.port());
    Ok(())
}

pub(super) fn comm(world: &World) -> anyhow::Result<()> {
    let demo = quick(world)?;
    let mut agent = world.watch_queues().args(["--comm", "demo-servers"]).start()?;
    converse(demo.addr)?;
    await_accept_by(&mut agent, &demo)?;
    agent.stop().map(drop)
}

pub(super) fn all(world: &World) -> anyhow::Result<()> {
    let before = quick(world)?;
    let mut agent = world.watch_queues().args(["--all"]).start()?;
    let after = quick(world)?;
    for demo in [&before, &after] {
        converse(demo.addr)?;
        await_accept_by(&mut agent, demo)?;
    }
    agent.stop().map(drop)
}

/// Other network namespaces may use this port, too, but not this process id.
fn await_accept_by(agent: &mut Agent, demo: &Demo) -> anyhow::Result<()> {
    let what = format!("accept by {}", demo.pid());
    agent
        .await_object(&what, |object| is(object, "accept") && object["pid"] == demo.pid())
        .map(drop)
}

pub(super) fn command(world: &World) -> anyhow::Result<()> {
    let demos = world.demo_servers().display().to_string();
    let server = [
        &demos,
        "slow-acceptor",
        "--accept-delay",
        "0ms",
        "--listen",
        "127.0.0.1:7000",
        "--backlog",
        "11",
    ];
    let mut agent = world.watch_queues().command(server).start()?;
    net::await_listening(7000, world.patience())?;
    converse(([127, 0, 0, 1], 7000).into())?;
    let listener = agent.await_accepted(7000, 1)?;
    ensure!(
        number(&listener, "/backlog") == Some(11),
        "watched from its first system call: {listener}"
    );
    // The case stops the command by a signal. Its status is not the agent's.
    agent.stop().map(drop)
}

pub(super) fn command_status(world: &World) -> anyhow::Result<()> {
    let demos = world.demo_servers().display().to_string();
    let command = [demos.as_str(), "fork-storm", "--children", "3", "--exit-with", "7"];
    let ended = world.watch_queues().command(command).spawn()?.ended()?;
    ensure!(
        ended.status.code() == Some(7),
        "the command's status is 7, got {}: {}",
        ended.status,
        ended.stderr
    );
    ended.summary().map(drop)
}

pub(super) fn followed(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "3", "--wait"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    demo.go()?;
    demo.await_listening()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    agent.stop().map(drop)
}

pub(super) fn no_follow(world: &World) -> anyhow::Result<()> {
    let own = quick(world)?;
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "3", "--wait"])?;
    let mut agent =
        world.watch_queues().pid(demo.pid()).pid(own.pid()).args(["--no-follow"]).start()?;
    demo.go()?;
    demo.await_listening()?;
    converse(demo.addr)?;
    // The accept of the other target comes after the child's, so the child's would have been shown
    // by then.
    converse(own.addr)?;
    agent.await_accepted(own.addr.port(), 1)?;
    let ended = agent.stop()?;
    let child = ended.objects.iter().find(|object| listens_on(object, demo.addr.port()));
    ensure!(child.is_none(), "a child is shown in spite of --no-follow: {child:?}");
    Ok(())
}

pub(super) fn thread_id(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&["acceptors", "--workers", "2", "--close-after", "1"])?;
    demo.await_lines("worker ", 2)?;
    let thread = fs::read_dir(format!("/proc/{}/task", demo.pid()))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|tid| *tid != demo.pid())
        .context("the server has one thread")?;
    let mut agent = world.watch_queues().pid(thread).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    let ended = agent.stop()?;
    let said = ended.stderr.contains("thread") && ended.stderr.contains(&demo.pid_arg());
    ensure!(said, "it is to say that {thread} is a thread of {}: {:?}", demo.pid(), ended.stderr);
    Ok(())
}

pub(super) fn in_another_pid_namespace(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_apart(&["inherit", "--via", "fork"])?;
    demo.await_listening()?;
    let holder = demo.holder()?;
    let mut agent = world.watch_queues().pid(holder).start()?;
    converse(demo.addr)?;
    agent.await_object("accept by the process", |object| {
        is(object, "accept") && object["pid"] == holder
    })?;
    let ended = agent.stop()?;
    let said = ended.stderr.contains(&format!("{holder} is process 1 inside"));
    ensure!(said, "it is to say by which id the process knows itself: {:?}", ended.stderr);
    Ok(())
}

/// Errors name what was meant: an option, an example of a value, the processes of that name.
pub(super) fn what_was_meant(world: &World) -> anyhow::Result<()> {
    let (_folder, server) = sleeper_named("meant-one")?;
    let pid = server.pid().to_string();
    for (args, wanted) in [
        (["watch", "--pid", "meant-one"], &["--comm meant-one", &pid][..]),
        (["watch", "--pid", "no-such-one"], &["such as 4242", "--comm NAME"]),
        (["watch", "--pdi", "4242"], &["'--pid'"]),
        (["watch", "--port", "http"], &["from 1 to 65535", "such as 8080"]),
        (["watch", "--comm", ""], &["it is empty"]),
        (["watch", "--duration", "soon"], &["500ms, 10s or 5min"]),
    ] {
        let output = world.agent_command(&args).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2), "{args:?}: {}: {said}", output.status);
        for word in wanted {
            ensure!(said.contains(word), "{args:?}: no {word:?} in {said}");
        }
        ensure!(!said.contains("digit found") && !said.contains("-- --"), "{args:?}: {said}");
    }
    Ok(())
}

pub(super) fn no_such_process(world: &World) -> anyhow::Result<()> {
    // Above the highest process id that Linux gives.
    let ended = world.watch().pid(4_194_305).spawn()?.ended()?;
    ensure!(ended.status.code() == Some(2), "exit status 2, got {}", ended.status);
    ensure!(ended.stderr.contains("4194305"), "which process: {:?}", ended.stderr);
    ensure!(ended.objects.is_empty(), "nothing was watched: {:?}", ended.objects);
    Ok(())
}

pub(super) fn unusable_arguments(world: &World) -> anyhow::Result<()> {
    for args in [
        ["--pid", "x"],
        ["--port", "70000"],
        ["--duration", "soon"],
        ["--nonsense", "1"],
        ["--pid", "0"],
    ] {
        let ended = world.watch().args(args).spawn()?.ended()?;
        ensure!(
            ended.status.code() == Some(2),
            "{args:?}: exit status 2, got {}: {}",
            ended.status,
            ended.stderr
        );
        ensure!(!ended.stderr.is_empty(), "{args:?}: no message");
    }
    Ok(())
}

pub(super) fn no_privilege(world: &World) -> anyhow::Result<()> {
    const NOBODY: u32 = 65_534;
    // Other users may have no access to the build directory.
    let folder = tempfile::Builder::new().prefix("backscope").tempdir_in("/tmp")?;
    let copy = folder.path().join("backscope");
    copy_program(&world.agent(), &copy)?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut command = std::process::Command::new(&copy);
    command.args(["watch", "--json", "--all"]).current_dir("/").uid(NOBODY).gid(NOBODY);
    let mut process = Process::start(command)?;
    let status = process.wait(world.patience())?;
    let stderr = process.finish();
    ensure!(status.code() == Some(3), "exit status 3, got {status}: {stderr}");
    ensure!(stderr.contains("CAP_"), "which capability is missing: {stderr:?}");
    ensure!(stderr.contains("sudo") || stderr.contains("setcap"), "what to do: {stderr:?}");
    Ok(())
}
