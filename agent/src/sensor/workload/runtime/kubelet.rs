//! The kubelet's logs: their names have those of pods and containers.

use super::{Known, KnownPod, named};

/// `NAMESPACE_NAME_UID`: no name in Kubernetes has a `_`.
pub(super) fn logged_pod(folder: &str) -> Option<KnownPod> {
    let mut parts = folder.split('_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || [namespace, name, uid].contains(&"") {
        return None;
    }
    let owned = str::to_owned;
    Some(KnownPod { namespace: owned(namespace), name: owned(name), uid: Some(owned(uid)) })
}

/// `POD_NAMESPACE_CONTAINER-ID.log`.
pub(super) fn logged_container(file: &str) -> Option<Known> {
    let (rest, id) = file.strip_suffix(".log")?.rsplit_once('-')?;
    let mut parts = rest.split('_');
    let (pod, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || id.len() != 64 {
        return None;
    }
    let pod = KnownPod { namespace: namespace.to_owned(), name: pod.to_owned(), uid: None };
    Some(Known { id: id.to_owned(), name: named(name), pod: Some(pod), ..Known::default() })
}
