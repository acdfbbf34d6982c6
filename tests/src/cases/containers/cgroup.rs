//! Cgroups: processes that join, begin there, leave.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::{inside_and_outside, name, quick, unseen};
use crate::harness::json::{is, number};
use crate::harness::{World, converse, skip};

/// A cgroup of a test, with those above it that the test made. They are removed when the guard is
/// dropped, and processes go to the root.
pub(super) struct Cgroup {
    root: PathBuf,
    /// As `/proc/PID/cgroup` has it.
    path: String,
    made: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes one with a name of its own in a hierarchy of version 2.
    pub(super) fn new() -> anyhow::Result<Self> {
        Self::at(&name())
    }

    /// Makes one of version 2 at this path below the root.
    pub(super) fn at(path: &str) -> anyhow::Result<Self> {
        let Some(root) = root("cgroup2") else {
            skip("no hierarchy of cgroups of version 2 is mounted")?;
            unreachable!();
        };
        Self::below(root, path)
    }

    pub(super) fn below(root: PathBuf, path: &str) -> anyhow::Result<Self> {
        let mut cgroup = Self { path: format!("/{path}"), made: Vec::new(), root };
        let mut folder = cgroup.root.clone();
        for part in path.split('/') {
            folder.push(part);
            if !folder.exists() {
                fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
                cgroup.made.push(folder.clone());
            }
        }
        Ok(cgroup)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(&self.path[1..])
    }

    pub(super) fn take(&self, pid: u32) -> anyhow::Result<()> {
        fs::write(self.folder().join("cgroup.procs"), pid.to_string()).context("joining a cgroup")
    }

    pub(super) fn let_go(&self, pid: u32) -> anyhow::Result<()> {
        fs::write(self.root.join("cgroup.procs"), pid.to_string()).context("leaving a cgroup")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in self.made.iter().rev() {
            let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            for pid in pids.lines() {
                let _ = fs::write(self.root.join("cgroup.procs"), pid);
            }
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Returns where a whole hierarchy of this version is mounted: the first that there is.
pub(super) fn root(version: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    for line in mounts.lines() {
        let (place, kind) = line.split_once(" - ")?;
        let place: Vec<&str> = place.split(' ').collect();
        let writable = kind.split(' ').nth(2).is_some_and(|options| options.starts_with("rw"));
        if kind.split(' ').next() == Some(version) && place.get(3) == Some(&"/") && writable {
            return Some(PathBuf::from(place.get(4)?));
        }
    }
    None
}

pub(super) fn cgroup(world: &World) -> anyhow::Result<()> {
    let outer = Cgroup::new()?;
    // Those below belong to it, too.
    let inner = Cgroup::at(&format!("{}/inner", &outer.path[1..]))?;
    for path in [outer.folder(), PathBuf::from(&outer.path)] {
        let ended = inside_and_outside(world, &inner, &path)?;
        let listener = ended.objects.iter().rfind(|object| is(object, "listener"));
        let listener = listener.context("no listener")?;
        ensure!(listener["cgroup"] == inner.path.as_str(), "where it is: {listener}");
        ensure!(listener["container"].is_null() && listener["pod"].is_null(), "{listener}");
    }
    Ok(())
}

pub(super) fn cgroup_of_version_1(world: &World) -> anyhow::Result<()> {
    let Some(root) = root("cgroup") else { return skip("no cgroups of version 1 are mounted") };
    let group = Cgroup::below(root, &name())?;
    for path in [group.folder(), PathBuf::from(&group.path)] {
        inside_and_outside(world, &group, &path)?;
    }
    Ok(())
}

pub(super) fn joins_later(world: &World) -> anyhow::Result<()> {
    let group = Cgroup::new()?;
    let [first, later] = [quick(world)?, quick(world)?];
    group.take(first.pid())?;
    let mut agent = world.watch_queues().args(["--cgroup", &group.path]).start()?;
    converse(later.addr)?;
    converse(first.addr)?;
    agent.await_accepted(first.addr.port(), 1)?;
    group.take(later.pid())?;
    agent.await_listener(later.addr.port(), "any figures", |_| true)?;
    converse(later.addr)?;
    let listener = agent.await_accepted(later.addr.port(), 1)?;
    ensure!(number(&listener, "/accepted") == Some(1), "from then on, not before: {listener}");
    ensure!(listener["cgroup"] == group.path.as_str(), "where it is now: {listener}");
    agent.stop().map(drop)
}

/// The cgroup is empty at first. A process that is put into it has a child, which serves.
pub(super) fn begins_there(world: &World) -> anyhow::Result<()> {
    let group = Cgroup::new()?;
    let mut agent = world.watch_queues().args(["--cgroup", &group.path]).start()?;
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "3", "--wait"])?;
    group.take(demo.pid())?;
    demo.go()?;
    demo.await_listening()?;
    agent.await_listener(demo.addr.port(), "any figures", |_| true)?;
    converse(demo.addr)?;
    let listener = agent.await_accepted(demo.addr.port(), 1)?;
    ensure!(listener["cgroup"] == group.path.as_str(), "where its child is: {listener}");
    agent.stop().map(drop)
}

/// What a process opens after it has left is not watched. (What was watched before stays so.)
pub(super) fn leaves(world: &World) -> anyhow::Result<()> {
    let group = Cgroup::new()?;
    let stays = quick(world)?;
    let mut goes = world.demo_waiting(&["fork-storm", "--children", "3", "--wait"])?;
    for pid in [stays.pid(), goes.pid()] {
        group.take(pid)?;
    }
    let mut agent = world.watch_queues().args(["--cgroup", &group.path]).start()?;
    agent.await_refresh(stays.addr.port())?;
    group.let_go(goes.pid())?;
    // The next refresh lets it go; the one after it is told.
    for _ in 0..2 {
        agent.await_refresh(stays.addr.port())?;
    }
    goes.go()?;
    goes.await_listening()?;
    converse(goes.addr)?;
    converse(stays.addr)?;
    agent.await_accepted(stays.addr.port(), 1)?;
    unseen(&agent.stop()?, &goes)
}

pub(super) fn vanishes(world: &World) -> anyhow::Result<()> {
    let group = Cgroup::new()?;
    let mut demo = quick(world)?;
    group.take(demo.pid())?;
    let mut agent = world.watch_queues().args(["--cgroup", &group.path]).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    demo.signal(libc::SIGKILL);
    demo.await_end()?;
    let path = group.path.clone();
    drop(group);
    let ended = agent.ended()?;
    ended.check_clean()?;
    ensure!(
        ended.stderr.contains(&format!("cgroup {path}: its cgroup is gone")),
        "{}",
        ended.stderr
    );
    ensure!(number(ended.listener(demo.addr.port())?, "/accepted") == Some(1), "the last figures");
    Ok(())
}
