//! Names on the command line.

use std::path::PathBuf;

use super::{CgroupPath, ID, Known, OTHER, UID, filled, in_pod, known, path};
use crate::sensor::workload::resolve::{
    GroupError, Seen, container::container, pod::pod, unit::unit,
};

fn seen_of(texts: &[&str]) -> Seen {
    let mut seen = Seen::default();
    for text in texts {
        seen.cgroups.extend(path::parse(filled(text).as_bytes()));
    }
    seen
}

fn texts(cgroups: &[CgroupPath]) -> Vec<String> {
    cgroups.iter().map(CgroupPath::text).collect()
}

#[test]
fn a_container_is_found_by_its_id_or_name() {
    let seen = seen_of(&[
        "0::/system.slice/docker-<id>.scope/below\n",
        "0::/system.slice/docker-<id>.scope\n",
        "0::/system.slice/cron.service\n",
    ]);
    let web = known("web", Some("docker"), None, None);
    for word in [ID, &ID[..12], &ID[..40], "web"] {
        let found = container(&seen, std::slice::from_ref(&web), &vec![], word, |_| false).unwrap();
        assert_eq!(texts(&found.cgroups), [filled("/system.slice/docker-<id>.scope")], "{word}");
    }
    for word in [&ID[..11], "we", "/web", "", OTHER] {
        let error =
            container(&seen, std::slice::from_ref(&web), &vec![], word, |_| false).unwrap_err();
        assert!(
            matches!(&error, GroupError::None { found, .. } if found.contains("Running: web (b11dedb53361)")),
            "{word}: {error}"
        );
    }
    // Without files only the id is known.
    assert!(container(&seen, &[], &vec![], &ID[..12], |_| false).is_ok());
    let hidden = vec![PathBuf::from("/var/lib/docker/containers")];
    let error = container(&seen, &[], &hidden, "web", |_| false).unwrap_err().to_string();
    assert!(error.contains("Not readable: /var/lib/docker/containers"), "{error}");
}

#[test]
fn version_1_has_the_container_once() {
    let seen = seen_of(&[
        "4:memory:/docker/<id>\n2:cpu,cpuacct:/docker/<id>\n1:name=systemd:/docker/<id>\n0::/\n",
    ]);
    let found = container(&seen, &[], &vec![], ID, |_| false).unwrap();
    let systemd = CgroupPath {
        hierarchy: Some("name=systemd".to_owned()),
        path: filled("/docker/<id>").into_bytes(),
    };
    assert_eq!(found.cgroups, [systemd]);
}

#[test]
fn two_containers_of_one_beginning_or_name_are_ambiguous() {
    let both = format!("0::/docker/{ID}\n0::/docker/{OTHER}\n");
    let seen = seen_of(&[&both]);
    let named = |id: &str| Known {
        id: id.to_owned(),
        ..known("app", Some("containerd"), in_pod(true), None)
    };
    let all = [named(ID), named(OTHER)];
    for word in [&ID[..12], "app"] {
        let error = container(&seen, &all, &vec![], word, |_| false).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, GroupError::Ambiguous { count: 2, .. }), "{text}");
        assert!(
            text.contains("shop/cart-0/app (b11dedb53361)") && text.contains("--pod"),
            "{text}"
        );
    }
    // One that ran before does not count.
    let one = seen_of(&["0::/docker/<id>\n"]);
    let found = container(&one, &all, &vec![], "app", |_| false).unwrap();
    assert_eq!(found.known.id, ID);
}

#[test]
fn a_container_without_a_cgroup_is_known_by_its_first_process() {
    let seen = seen_of(&["0::/\n"]);
    let web = known("web", Some("podman"), None, Some(316));
    let found =
        container(&seen, std::slice::from_ref(&web), &vec![], "web", |pid| pid == 316).unwrap();
    assert_eq!((found.cgroups.len(), found.known.pid), (0, Some(316)));
    let error = container(&seen, &[web], &vec![], "web", |_| false).unwrap_err();
    assert!(matches!(error, GroupError::Idle { .. }), "{error}");
}

#[test]
fn a_pod_is_found_by_its_namespace_and_name() {
    let seen = seen_of(&[
        "0::/kubepods.slice/kubepods-pod<u_id>.slice/cri-containerd-<id>.scope\n",
        "0::/kubepods.slice/kubepods-pod<u_id>.slice/cri-containerd-<id>.scope/init\n",
    ]);
    let pods = [in_pod(true).unwrap()];
    let found = pod(&seen, &pods, &[], &vec![], "shop/cart-0").unwrap();
    assert_eq!(texts(&found), [filled("/kubepods.slice/kubepods-pod<u_id>.slice")]);
    // The files may have no uid, but a container of it.
    let of_it = known("app", None, in_pod(false), None);
    assert_eq!(pod(&seen, &[], &[of_it], &vec![], "shop/cart-0"), Ok(found));
    let error = pod(&seen, &pods, &[], &vec![], "default/cart-0").unwrap_err();
    assert!(
        matches!(&error, GroupError::None { found, .. } if found.contains("shop/cart-0")),
        "{error}"
    );
    let error = pod(&seen, &pods, &[], &vec![], "cart-0").unwrap_err();
    assert!(error.to_string().contains("NAMESPACE/NAME, such as default/cart-0"), "{error}");
    let gone = pod(&seen_of(&["0::/\n"]), &pods, &[], &vec![], "shop/cart-0").unwrap_err();
    assert!(matches!(gone, GroupError::Idle { .. }) && gone.to_string().contains(UID), "{gone}");
}

#[test]
fn a_unit_is_the_systems_before_a_users() {
    let system = "0::/system.slice/dbus.service\n";
    let ann = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/dbus.service\n";
    let bob = "0::/user.slice/user-1001.slice/user@1001.service/app.slice/dbus.service\n";
    let found = |texts: &[&str], word: &str| unit(&seen_of(texts), word);
    let (name, cgroups) = found(&[system, ann, bob], "dbus").unwrap();
    assert_eq!(
        (name.as_str(), &texts(&cgroups)[..]),
        ("dbus.service", &["/system.slice/dbus.service".to_owned()][..])
    );
    let (_, cgroups) = found(&[ann], "dbus.service").unwrap();
    assert!(texts(&cgroups)[0].contains("user@1000"));
    let error = found(&[ann, bob], "dbus").unwrap_err();
    assert!(matches!(error, GroupError::Ambiguous { count: 2, .. }), "{error}");
    assert!(error.to_string().contains("--cgroup"), "{error}");
    let error = found(&[system], "dbu").unwrap_err().to_string();
    assert!(error.contains("no unit dbu.service") && error.contains("dbus.service"), "{error}");
    let (_, cgroups) = found(&[ann, bob], "user.slice").unwrap();
    assert_eq!(texts(&cgroups), ["/user.slice"]);
    let instances = [
        "0::/system.slice/system-web.slice/web@1.service\n",
        "0::/system.slice/system-web.slice/web@2.service/w\n",
    ];
    let (_, cgroups) = found(&instances, "web@.service").unwrap();
    assert_eq!(cgroups.len(), 2);
    let (_, cgroups) = found(&instances, "web@2").unwrap();
    assert_eq!(texts(&cgroups), ["/system.slice/system-web.slice/web@2.service"]);
    let outside = ["0::/../../system.slice/nginx.service\n"];
    let (_, cgroups) = found(&outside, "nginx").unwrap();
    assert_eq!(texts(&cgroups), ["/../../system.slice/nginx.service"]);
}
