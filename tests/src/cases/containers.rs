//! Cgroups, containers, pods and units as targets, and in the objects.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use serde_json::json;

use super::native;
use crate::harness::json::{is, listens_on, number};
use crate::harness::{Case, Demo, Ended, Process, World, converse, net, skip};

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

/// A cgroup of a test, with those above it that the test made. They are removed when the guard is
/// dropped, and processes go to the root.
struct Cgroup {
    root: PathBuf,
    /// As `/proc/PID/cgroup` has it.
    path: String,
    made: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes one with a name of its own in a hierarchy of version 2.
    fn new() -> anyhow::Result<Self> {
        Self::at(&name())
    }

    /// Makes one of version 2 at this path below the root.
    fn at(path: &str) -> anyhow::Result<Self> {
        let Some(root) = root("cgroup2") else {
            skip("no hierarchy of cgroups of version 2 is mounted")?;
            unreachable!();
        };
        Self::below(root, path)
    }

    fn below(root: PathBuf, path: &str) -> anyhow::Result<Self> {
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

    fn folder(&self) -> PathBuf {
        self.root.join(&self.path[1..])
    }

    fn take(&self, pid: u32) -> anyhow::Result<()> {
        fs::write(self.folder().join("cgroup.procs"), pid.to_string()).context("joining a cgroup")
    }

    fn let_go(&self, pid: u32) -> anyhow::Result<()> {
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

fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("backscope-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns where a whole hierarchy of this version is mounted: the first that there is.
fn root(version: &str) -> Option<PathBuf> {
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

fn cgroup(world: &World) -> anyhow::Result<()> {
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

fn cgroup_of_version_1(world: &World) -> anyhow::Result<()> {
    let Some(root) = root("cgroup") else { return skip("no cgroups of version 1 are mounted") };
    let group = Cgroup::below(root, &name())?;
    for path in [group.folder(), PathBuf::from(&group.path)] {
        inside_and_outside(world, &group, &path)?;
    }
    Ok(())
}

fn joins_later(world: &World) -> anyhow::Result<()> {
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
fn begins_there(world: &World) -> anyhow::Result<()> {
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
fn leaves(world: &World) -> anyhow::Result<()> {
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

fn vanishes(world: &World) -> anyhow::Result<()> {
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

const UID: &str = "db8524d6-dc30-4916-9e99-cf866ef5312d";

/// A file of the kubelet, and the folders that were made for it.
struct PodLog {
    made: Vec<PathBuf>,
}

impl PodLog {
    fn new(namespace: &str, pod: &str, uid: &str) -> anyhow::Result<Self> {
        let mut log = Self { made: Vec::new() };
        let folder = PathBuf::from(format!("/var/log/pods/{namespace}_{pod}_{uid}"));
        for one in [Path::new("/var/log/pods"), &folder] {
            if !one.exists() {
                fs::create_dir(one)?;
                log.made.push(one.to_owned());
            }
        }
        Ok(log)
    }
}

impl Drop for PodLog {
    fn drop(&mut self) {
        for folder in self.made.iter().rev() {
            // Another case's may be in it still.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// An id of a container that no other case has.
fn container_id() -> String {
    let id = name().bytes().fold(String::new(), |id, byte| id + &format!("{byte:02x}"));
    format!("{id:0>64}").chars().rev().take(64).collect()
}

/// The cgroup of a container of a pod, as containerd makes it on the kubelet's behalf.
fn in_pod(uid: &str, id: &str) -> anyhow::Result<Cgroup> {
    let uid = uid.replace('-', "_");
    let parent = name();
    Cgroup::at(&format!(
        "{parent}-kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{id}.scope"
    ))
}

fn pod_and_container(world: &World) -> anyhow::Result<()> {
    let id = container_id();
    let pod = name();
    let group = in_pod(UID, &id)?;
    let _log = PodLog::new("shop", &pod, UID)?;
    let [inside, outside] = [quick(world)?, quick(world)?];
    group.take(inside.pid())?;
    let full = format!("shop/{pod}");
    let files = tempfile::tempdir()?;
    for target in [["--pod", &full], ["--container", &id], ["--container", &id[..40]]] {
        let file = files.path().join(format!("{}.bsrec", target[1].len()));
        let recording = [OsStr::new("-o"), file.as_os_str()];
        let mut agent = world.watch_queues().args(target).args(recording).start()?;
        converse(outside.addr)?;
        converse(inside.addr)?;
        let listener = agent.await_accepted(inside.addr.port(), 1)?;
        let ended = agent.stop()?;
        unseen(&ended, &outside)?;
        let (replayed, _) = super::record::replay(world, &file)?;
        super::record::equal(&ended.objects, &replayed)?;
        let expected = json!({ "namespace": "shop", "name": pod, "uid": UID });
        ensure!(listener["pod"] == expected, "{target:?}: {listener}");
        let container = &listener["container"];
        ensure!(container["id"] == id.as_str() && container["name"].is_null(), "{listener}");
        ensure!(container["runtime"] == "containerd", "by its cgroup: {listener}");
        ensure!(listener["unit"] == format!("cri-containerd-{id}.scope"), "{listener}");
    }
    Ok(())
}

/// The files still tell of a pod that has no process any more. Then it goes while it is watched.
fn pod_goes(world: &World) -> anyhow::Result<()> {
    let pod = name();
    let uid = UID.replace("db85", "0000");
    let _log = PodLog::new("shop", &pod, &uid)?;
    let full = format!("shop/{pod}");
    let ended = world.watch_queues().args(["--pod", &full]).spawn()?.ended()?;
    ensure!(ended.status.code() == Some(2), "status 2, got {}", ended.status);
    let told = ["no process of pod", &full, &uid, "it has gone"];
    ensure!(told.iter().all(|words| ended.stderr.contains(words)), "{}", ended.stderr);

    let group = in_pod(&uid, &container_id())?;
    let mut demo = quick(world)?;
    group.take(demo.pid())?;
    let mut agent = world.watch_queues().args(["--pod", &full]).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    demo.signal(libc::SIGKILL);
    demo.await_end()?;
    drop(group);
    let ended = agent.ended()?;
    ended.check_clean()?;
    ensure!(ended.stderr.contains(&format!("pod {full}: its cgroup is gone")), "{}", ended.stderr);
    Ok(())
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

/// A container that podman runs; it is removed when the guard is dropped.
struct Container {
    name: String,
    storage: &'static [&'static str],
}

impl Container {
    fn podman(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(self.storage).args(args);
        command
    }

    /// Starts a web server of busybox in a container: without an image, in the network of the test.
    /// Returns why that cannot be done here otherwise.
    fn start(root: &Path, port: u16) -> anyhow::Result<Result<Self, String>> {
        let busybox = Path::new("/bin/busybox");
        let dynamic = Command::new("ldd").arg(busybox).output()?;
        if !busybox.exists() || dynamic.status.success() {
            return Ok(Err("there is no static busybox".to_owned()));
        }
        fs::create_dir_all(root.join("bin"))?;
        fs::copy(busybox, root.join("bin/httpd"))?;
        let mut last = "there is no podman".to_owned();
        for storage in [&[][..], &["--storage-driver", "vfs"]] {
            for runtime in ["crun", "runc"] {
                let container = Self { name: name(), storage };
                let run = ["--runtime", runtime, "run", "-d", "--network", "host", "--name"];
                let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
                let server = ["/bin/httpd", "-f", "-p", &format!("127.0.0.1:{port}")];
                let mut command = container.podman(&run);
                command.arg(&container.name).args(limits).arg("--rootfs").arg(root).args(server);
                let output = match command.output() {
                    Ok(output) => output,
                    Err(_) => return Ok(Err(last)),
                };
                if output.status.success() {
                    return Ok(Ok(container));
                }
                last = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            }
        }
        Ok(Err(last))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.podman(&["rm", "--force", "--time", "0", &self.name]).output();
    }
}

/// A container as it is in reality.
fn podman(world: &World) -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    let port = net::free_port()?;
    let container = match Container::start(root.path(), port)? {
        Ok(container) => container,
        Err(reason) => return skip(format!("podman starts no container here: {reason}")),
    };
    net::await_listening(port, world.patience())?;
    let id = container.podman(&["inspect", "--format", "{{.Id}}", &container.name]).output()?;
    let id = String::from_utf8(id.stdout)?.trim().to_owned();
    let outside = quick(world)?;
    for word in [container.name.as_str(), &id, &id[..12]] {
        let mut agent = world.watch_queues().args(["--container", word]).start()?;
        converse(outside.addr)?;
        get(port)?;
        let listener = agent.await_accepted(port, 1)?;
        let told = &listener["container"];
        ensure!(told["name"] == container.name.as_str(), "{word}: {listener}");
        ensure!(told["id"] == id.as_str() && told["runtime"] == "podman", "{word}: {listener}");
        unseen(&agent.stop()?, &outside)?;
    }
    let name = container.name.clone();
    container.podman(&["stop", "--time", "0", &name]).output()?;
    let ended = world.watch_queues().args(["--container", &name]).spawn()?.ended()?;
    ensure!(ended.status.code() == Some(2), "status 2, got {}", ended.status);
    ensure!(ended.stderr.contains("no process of container"), "{}", ended.stderr);
    Ok(())
}

/// Asks a web server for its page.
fn get(port: u16) -> anyhow::Result<()> {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", &format!("http://127.0.0.1:{port}/")]);
    Process::start(curl)?.wait(std::time::Duration::from_secs(10)).map(drop)
}
