//! Files of runtimes.

use std::fs;

use super::{ID, OTHER, UID, filled, find, in_pod, known};
use crate::sensor::workload::runtime::Files;

const MADE: &str = "[{\"id\":\"<id>\",\"names\":[\"web\"],\"image\":\"c901aafd\",\"layer\":\"98f9\",\"metadata\":\"{\\\"image-name\\\":\\\"localhost/web:1\\\",\\\"name\\\":\\\"web\\\",\\\"created-at\\\":1796119291}\",\"created\":\"2026-12-01T10:01:31.542990633Z\",\"flags\":{\"MountLabel\":\"\"}}]";

/// A root with these files.
struct Root(tempfile::TempDir);

impl Root {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            root.write(path, text);
        }
        root
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(filled(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, filled(text)).unwrap();
    }

    fn files(&self) -> Files {
        Files::below(self.0.path())
    }
}

#[test]
fn names_are_read_from_the_files_of_each_runtime() {
    let cases = [
        (
            "docker",
            vec![(
                "var/lib/docker/containers/<id>/config.v2.json",
                r#"{"StreamConfig":{},"State":{"Running":true,"Pid":4242,"ExitCode":0},"ID":"<id>","Created":"2026-12-01T10:01:31Z","Config":{"Hostname":"b11dedb53361","Labels":{}},"Name":"/web","Driver":"overlay2"}"#,
            )],
            known("web", Some("docker"), None, Some(4242)),
        ),
        (
            "docker elsewhere, for Kubernetes",
            vec![
                ("etc/docker/daemon.json", r#"{"data-root": "/srv/docker"}"#),
                (
                    "srv/docker/containers/<id>/config.v2.json",
                    r#"{"ID":"<id>","Name":"/k8s_app","State":{"Pid":0},"Config":{"Labels":{"io.kubernetes.pod.name":"cart-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"<uid>"}}}"#,
                ),
            ],
            known("k8s_app", Some("docker"), in_pod(true), None),
        ),
        (
            "podman",
            vec![
                ("var/lib/containers/storage/overlay-containers/containers.json", MADE),
                ("run/containers/storage/overlay-containers/<id>/userdata/pidfile", "316"),
            ],
            known("web", Some("podman"), None, Some(316)),
        ),
        (
            "podman, --rm",
            vec![("var/lib/containers/storage/vfs-containers/volatile-containers.json", MADE)],
            known("web", Some("podman"), None, None),
        ),
        (
            "podman, a user's",
            vec![
                (
                    "etc/passwd",
                    "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
                ),
                (
                    "home/ann/.local/share/containers/storage/overlay-containers/containers.json",
                    MADE,
                ),
            ],
            known("web", Some("podman"), None, None),
        ),
        (
            "podman, storage elsewhere",
            vec![
                (
                    "etc/containers/storage.conf",
                    "[storage]\n driver = \"overlay\"\n graphroot = \"/data/c\"\n",
                ),
                ("data/c/overlay-containers/containers.json", MADE),
            ],
            known("web", Some("podman"), None, None),
        ),
        (
            "k3s",
            vec![
                (
                    "run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/<id>/config.json",
                    r#"{"ociVersion":"1.1.0","process":{"args":["/app"]},"annotations":{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-name":"cart-0","io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"<uid>"},"linux":{"cgroupsPath":"/kubepods/besteffort/pod<uid>/<id>"}}"#,
                ),
                ("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/<id>/init.pid", "77"),
            ],
            known("app", Some("containerd"), in_pod(true), Some(77)),
        ),
        (
            "nerdctl",
            vec![(
                "run/containerd/io.containerd.runtime.v2.task/default/<id>/config.json",
                r#"{"annotations":{"nerdctl/name":"web","nerdctl/namespace":"default"}}"#,
            )],
            known("web", Some("containerd"), None, None),
        ),
        (
            "CRI-O, by its storage",
            vec![(
                "var/lib/containers/storage/overlay-containers/containers.json",
                r#"[{"id":"<id>","names":["k8s_app_cart-0_shop_<uid>_0"],"metadata":"{\"pod-name\":\"k8s_cart-0_shop_<uid>_0\",\"pod-id\":\"7f8e\",\"image-name\":\"app:1\",\"name\":\"k8s_app_cart-0_shop_<uid>_0\",\"metadata-name\":\"app\",\"created-at\":1}"}]"#,
            )],
            known("app", Some("cri-o"), in_pod(true), None),
        ),
        (
            "CRI-O, by its state",
            vec![
                (
                    "var/lib/containers/storage/overlay-containers/containers.json",
                    r#"[{"id":"<id>","names":["x"],"metadata":"{\"pod-name\":\"y\",\"metadata-name\":\"z\"}"}]"#,
                ),
                (
                    "run/containers/storage/overlay-containers/<id>/userdata/config.json",
                    r#"{"annotations":{"io.container.manager":"cri-o","io.kubernetes.container.name":"app","io.kubernetes.pod.name":"cart-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"<uid>"}}"#,
                ),
            ],
            known("app", Some("cri-o"), in_pod(true), None),
        ),
        (
            "the kubelet's logs alone",
            vec![("var/log/containers/cart-0_shop_app-<id>.log", "")],
            known("app", None, in_pod(false), None),
        ),
    ];
    for (what, files, expected) in cases {
        let root = Root::new(&files);
        assert_eq!(root.files().containers(), (vec![expected.clone()], vec![]), "{what}");
        assert_eq!(root.files().container(ID), Some(expected), "{what}");
        assert_eq!(root.files().container(OTHER), None, "{what}");
    }
}

#[test]
fn files_that_are_not_as_they_should_be_tell_nothing() {
    for text in ["", "{", "{\"ID\":7,\"annotations\":7}", "null", "[{\"id\":\"<id>\"", "\u{0}"] {
        let root = Root::new(&[
            ("var/lib/docker/containers/<id>/config.v2.json", text),
            ("var/lib/containers/storage/overlay-containers/containers.json", text),
            ("run/containerd/io.containerd.runtime.v2.task/k8s.io/<id>/config.json", text),
            ("var/log/pods/shop_cart-0", ""),
            ("var/log/pods/a_b_c_d/x", ""),
            ("var/log/pods/__/x", ""),
            ("var/log/containers/cart-0_shop_app-7.log", ""),
        ]);
        assert_eq!(root.files().containers(), (vec![], vec![]), "{text:?}");
        assert_eq!(root.files().pods(), (vec![], vec![]), "{text:?}");
    }
    let root = Root::new(&[]);
    assert_eq!(root.files().containers(), (vec![], vec![]), "nothing is there");
}

#[test]
fn a_process_gets_the_names_of_its_container_and_pod() {
    let root = Root::new(&[("var/log/pods/shop_cart-0_<uid>/app/0.log", "")]);
    let text = filled("0::/kubepods/burstable/pod<uid>/<id>\n");
    let found = || find(text.as_bytes(), &[root.files()]);
    let pod = found().pod.expect("the cgroup tells of one");
    assert_eq!((pod.namespace, pod.name), (Some("shop".into()), Some("cart-0".into())));
    assert_eq!(found().container.and_then(|container| container.name), None);
    // Before containerd 1.6 the bundle has no uid: the cgroup has.
    root.write(
        "run/containerd/io.containerd.runtime.v2.task/k8s.io/<id>/config.json",
        r#"{"annotations":{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.sandbox-name":"cart-0","io.kubernetes.cri.sandbox-namespace":"shop"}}"#,
    );
    assert_eq!(found().label(), Some("cart-0/app".into()));
    assert_eq!(found().pod.and_then(|pod| pod.uid), Some(UID.into()));
    let nobody = find(filled("0::/system.slice/cron.service\n").as_bytes(), &[root.files()]);
    assert_eq!((nobody.container, nobody.pod), (None, None));
}
