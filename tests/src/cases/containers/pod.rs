//! Pods of Kubernetes, by their cgroups and logs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde_json::json;

use super::cgroup::Cgroup;
use super::name;
use super::{quick, unseen};
use crate::harness::{World, converse};

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

pub(super) fn pod_and_container(world: &World) -> anyhow::Result<()> {
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
        let (replayed, _) = crate::cases::record::replay(world, &file)?;
        crate::cases::record::equal(&ended.objects, &replayed)?;
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
pub(super) fn pod_goes(world: &World) -> anyhow::Result<()> {
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
