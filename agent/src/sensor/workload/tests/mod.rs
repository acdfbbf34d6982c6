//! Tests on `/proc/PID/cgroup` and runtimes' files as they are on machines: docker, podman,
//! containerd (k3s), CRI-O, systemd's users, version 1.

mod resolve;
mod runtime;

use std::path::Path;

use super::{
    hierarchy::{Hierarchies, Members},
    path::{self, CgroupPath, is_instance, unit_name},
    places::{Places, find},
    runtime::{Known, KnownPod},
};
use crate::{model::workload::Workload, sensor::procfs};

const ID: &str = "b11dedb5336129a814377023a21043ce01f336abdac2692789c883f0eacc1ca2";
const OTHER: &str = "b11dedb533619ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375f";
const UID: &str = "db8524d6-dc30-4916-9e99-cf866ef5312d";

/// Puts the ids in: that of the container, the uid of the pod, and that as systemd writes it.
fn filled(text: &str) -> String {
    text.replace("<id>", ID).replace("<u_id>", &UID.replace('-', "_")).replace("<uid>", UID)
}

fn in_pod(uid: bool) -> Option<KnownPod> {
    let uid = if uid { Some(UID.to_owned()) } else { None };
    Some(KnownPod { namespace: "shop".to_owned(), name: "cart-0".to_owned(), uid })
}

fn known(
    name: &str,
    runtime: Option<&'static str>,
    pod: Option<KnownPod>,
    pid: Option<u32>,
) -> Known {
    Known { id: ID.to_owned(), name: Some(name.to_owned()), runtime, pod, pid }
}

fn place(text: &str) -> Workload {
    find(filled(text).as_bytes(), &[])
}

/// Container, runtime, pod and unit as text.
fn seen(text: &str) -> [Option<String>; 4] {
    let Workload { container, pod, unit, .. } = place(text);
    let text = |text: crate::text::Untrusted| text.as_came().to_owned();
    let (mut id, mut runtime) = (None, None);
    if let Some(container) = container {
        (id, runtime) = (Some(text(container.id)), container.runtime.map(text));
    }
    [id, runtime, pod.and_then(|pod| pod.uid).map(text), unit.map(text)]
}

fn is(container: bool, runtime: &str, pod: bool, unit: &str) -> [Option<String>; 4] {
    let some = |word: &str| if word.is_empty() { None } else { Some(filled(word)) };
    [
        some(if container { "<id>" } else { "" }),
        some(runtime),
        some(if pod { "<uid>" } else { "" }),
        some(unit),
    ]
}

#[test]
fn the_names_of_cgroups_tell_what_is_in_them() {
    let cases = [
        (
            "docker, systemd",
            "0::/system.slice/docker-<id>.scope\n",
            is(true, "docker", false, "docker-<id>.scope"),
        ),
        (
            "docker, version 1",
            "12:memory:/docker/<id>\n1:name=systemd:/docker/<id>\n0::/\n",
            is(true, "docker", false, ""),
        ),
        (
            "docker in docker: the inner one",
            "0::/docker/4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970/docker/<id>\n",
            is(true, "docker", false, ""),
        ),
        (
            "podman, root",
            "0::/machine.slice/libpod-<id>.scope/container\n",
            is(true, "podman", false, "libpod-<id>.scope"),
        ),
        (
            "podman, cgroupfs on version 1",
            "9:name=systemd:/libpod_parent/libpod-<id>\n4:memory:/libpod_parent/libpod-<id>\n0::/libpod_parent/libpod-<id>\n",
            is(true, "podman", false, ""),
        ),
        (
            "podman, a user's",
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<id>.scope/container\n",
            is(true, "podman", false, "libpod-<id>.scope"),
        ),
        (
            "podman as a unit",
            "0::/system.slice/web.service/libpod-payload-<id>\n",
            is(true, "podman", false, "web.service"),
        ),
        (
            "podman's monitor",
            "0::/machine.slice/libpod-conmon-<id>.scope\n",
            is(false, "", false, "libpod-conmon-<id>.scope"),
        ),
        ("k3s", "0::/kubepods/besteffort/pod<uid>/<id>\n", is(true, "", true, "")),
        (
            "containerd, systemd",
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u_id>.slice/cri-containerd-<id>.scope\n",
            is(true, "containerd", true, "cri-containerd-<id>.scope"),
        ),
        (
            "containerd, guaranteed",
            "0::/kubepods.slice/kubepods-pod<u_id>.slice/cri-containerd-<id>.scope\n",
            is(true, "containerd", true, "cri-containerd-<id>.scope"),
        ),
        (
            "containerd, drivers that differ",
            "11:cpuset:/system.slice/containerd.service/kubepods-burstable-pod<u_id>.slice:cri-containerd:<id>\n",
            is(true, "containerd", true, "containerd.service"),
        ),
        (
            "CRI-O",
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<u_id>.slice/crio-<id>.scope/container\n",
            is(true, "cri-o", true, "crio-<id>.scope"),
        ),
        (
            "CRI-O's monitor",
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<u_id>.slice/crio-conmon-<id>.scope\n",
            is(false, "", true, "crio-conmon-<id>.scope"),
        ),
        (
            "kind",
            "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod<u_id>.slice/cri-containerd-<id>.scope\n",
            is(true, "containerd", true, "cri-containerd-<id>.scope"),
        ),
        (
            "nerdctl",
            "0::/system.slice/nerdctl-<id>.scope\n",
            is(true, "containerd", false, "nerdctl-<id>.scope"),
        ),
        (
            "from a cgroup namespace",
            "0::/../../kubepods-pod<u_id>.slice/cri-containerd-<id>.scope\n",
            is(true, "containerd", true, "cri-containerd-<id>.scope"),
        ),
        ("a unit", "0::/system.slice/nginx.service\n", is(false, "", false, "nginx.service")),
        (
            "a unit's own cgroup below",
            "0::/system.slice/postgresql@15-main.service/workers\n",
            is(false, "", false, "postgresql@15-main.service"),
        ),
        (
            "a user's unit",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-web.slice/web@1.service\n",
            is(false, "", false, "web@1.service"),
        ),
        (
            "a user's manager",
            "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n",
            is(false, "", false, "init.scope"),
        ),
        (
            "a session",
            "0::/user.slice/user-0.slice/session-3.scope\n",
            is(false, "", false, "session-3.scope"),
        ),
        (
            "hybrid",
            "3:cpu,cpuacct:/\n1:name=systemd:/system.slice/cron.service\n0::/\n",
            is(false, "", false, "cron.service"),
        ),
        (
            "a name that systemd escapes",
            "0::/system.slice/_cpu.service\n",
            is(false, "", false, "cpu.service"),
        ),
        (
            "no container",
            "4:memory:/process_api/8a27b94a6738d9da1d9eeb0ab948e1af\n0::/\n",
            is(false, "", false, ""),
        ),
        ("no pod without the kubelet", "0::/tripod-<u_id>/pod<uid>\n", is(false, "", false, "")),
        ("a slice is no unit of a process", "0::/system.slice\n", is(false, "", false, "")),
    ];
    for (what, text, expected) in cases {
        assert_eq!(seen(text), expected, "{what}");
    }
}

#[test]
fn the_path_that_is_shown_is_where_the_process_is() {
    let cgroup = |text: &str| place(text).cgroup.map(|path| path.as_came().to_owned());
    assert_eq!(cgroup("0::/\n"), Some("/".to_owned()));
    assert_eq!(cgroup("3:cpu:/\n1:name=systemd:/a\n0::/\n"), Some("/a".to_owned()));
    assert_eq!(
        cgroup("4:memory:/docker/<id>\n1:name=systemd:/x\n0::/y\n"),
        Some(filled("/docker/<id>"))
    );
    assert_eq!(cgroup("0::/gone (deleted)\n"), Some("/gone".to_owned()));
    assert_eq!(cgroup(""), None);
    assert_eq!(cgroup("nonsense\n7:x\n:::\n"), None);
    let bytes = find(b"0::/a\xff/web.service\n", &[]);
    assert_eq!(bytes.unit, None, "below a name that is no text nothing is a slice");
    assert_eq!(bytes.cgroup, Some("/a\u{fffd}/web.service".into()));
}

#[test]
fn a_cgroup_holds_what_is_below_it() {
    let path = |path: &str| CgroupPath { hierarchy: None, path: path.into() };
    assert!(path("/a").holds(&path("/a")) && path("/a").holds(&path("/a/b")));
    assert!(path("/").holds(&path("/a")));
    assert!(!path("/a").holds(&path("/ab")) && !path("/a/b").holds(&path("/a")));
    let other = CgroupPath { hierarchy: Some("cpu".to_owned()), path: b"/a".to_vec() };
    assert!(!path("/a").holds(&other));
    assert!(path("/../x").is_outside() && !path("/x..").is_outside());
}

#[test]
fn units_are_named_as_systemctl_takes_them() {
    assert_eq!(unit_name("nginx"), "nginx.service");
    assert_eq!(unit_name("web@1"), "web@1.service");
    for whole in ["web@1.service", "user.slice", "session-3.scope", "web@.service"] {
        assert_eq!(unit_name(whole), whole);
    }
    assert_eq!(unit_name("my.app"), "my.app.service", "a dot is no suffix");
    assert!(is_instance("web@.service", "web@1.service"));
    assert!(!is_instance("web@.service", "web@.service"));
    assert!(!is_instance("web@.service", "webs@1.service"));
    assert!(!is_instance("web.service", "web@1.service"));
}

#[test]
fn a_process_is_told_when_it_is_met_and_when_it_has_changed() {
    const GONE: u32 = 4_194_305;
    let own = std::process::id();
    let mut places = Places::new();
    let met = places.met(own).expect("it is new");
    assert!(met.pid == own && met.workload.cgroup.is_some(), "{met:?}");
    assert_eq!(places.met(own), None);
    assert_eq!(places.refresh([own, GONE].into_iter()), [], "nothing has changed");
    // It ended before it could be looked at: it was where its parent is.
    let child = places.forked(GONE, own).expect("its parent is known");
    assert_eq!((child.pid, child.workload), (GONE, met.workload));
    assert_eq!(places.forked(GONE, GONE), None);
}

#[test]
fn the_own_processes_cgroups_are_found_by_their_files() {
    let hierarchies = Hierarchies::open();
    let own = path::parse(&procfs::cgroups(std::process::id()));
    for cgroup in own.iter().filter(|cgroup| hierarchies.has_files(cgroup.hierarchy.as_deref())) {
        let members = hierarchies.members(cgroup);
        assert!(members.is_there && members.pids.contains(&std::process::id()), "{cgroup:?}");
    }
    let nowhere = CgroupPath { hierarchy: None, path: b"/there/is/none".to_vec() };
    assert_eq!(hierarchies.members(&nowhere), Members::default());
    let meant = hierarchies.meant_by(Path::new("a/b/"));
    assert!(meant.iter().all(|cgroup| cgroup.path == b"/a/b"));
}
