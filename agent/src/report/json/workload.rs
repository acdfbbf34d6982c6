//! The place of a process among cgroups, containers, pods and units, in each object that names one.

use serde::Serialize;

use crate::model::workload::{self, Workload, Workloads};
use crate::text::Untrusted;

/// A body that names a process, with that process's place.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Placed<'a, B> {
    #[serde(flatten)]
    body: B,
    #[serde(flatten)]
    workload: WorkloadBody<'a>,
}

impl<'a, B> Placed<'a, B> {
    /// Adds the place of a process, if it is known.
    pub(crate) fn new(body: B, workload: Option<&'a Workload>) -> Self {
        Self { body, workload: workload.map(WorkloadBody::from).unwrap_or_default() }
    }

    pub(super) fn of(body: B, workloads: &'a Workloads, pid: impl Into<Option<u32>>) -> Self {
        Self::new(body, pid.into().and_then(|pid| workloads.of(pid)))
    }
}

#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct WorkloadBody<'a> {
    /// Path of the process's cgroup, as `/proc/PID/cgroup` has it; `null` if it could not be read.
    cgroup: Option<&'a Untrusted>,
    /// Container that the process runs in; `null` if its cgroup is no container's, or unknown.
    container: Option<ContainerBody<'a>>,
    /// Pod of Kubernetes that the process belongs to; `null` if its cgroup is no pod's, or unknown.
    pod: Option<PodBody<'a>>,
    /// Unit of systemd that the process belongs to; `null` if its cgroup is no unit's, or unknown.
    unit: Option<&'a Untrusted>,
}

impl<'a> From<&'a Workload> for WorkloadBody<'a> {
    fn from(workload: &'a Workload) -> Self {
        Self {
            cgroup: workload.cgroup.as_ref(),
            container: workload.container.as_ref().map(ContainerBody::from),
            pod: workload.pod.as_ref().map(PodBody::from),
            unit: workload.unit.as_ref(),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Container"))]
struct ContainerBody<'a> {
    /// Its id.
    id: &'a Untrusted,
    /// Its name; `null` if no file of the runtime that could be read tells it.
    name: Option<&'a Untrusted>,
    /// Its runtime, `"docker"`, `"podman"`, `"containerd"` or `"cri-o"`; `null` if neither the
    /// cgroup's name nor a file tells it.
    runtime: Option<&'a Untrusted>,
}

impl<'a> From<&'a workload::Container> for ContainerBody<'a> {
    fn from(container: &'a workload::Container) -> Self {
        let workload::Container { id, name, runtime } = container;
        Self { id, name: name.as_ref(), runtime: runtime.as_ref() }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Pod"))]
struct PodBody<'a> {
    /// Its namespace; `null` if no file that could be read tells it.
    namespace: Option<&'a Untrusted>,
    /// Its name; `null` if no file that could be read tells it.
    name: Option<&'a Untrusted>,
    /// Its uid; `null` if the cgroup's path does not have it.
    uid: Option<&'a Untrusted>,
}

impl<'a> From<&'a workload::Pod> for PodBody<'a> {
    fn from(pod: &'a workload::Pod) -> Self {
        let workload::Pod { namespace, name, uid } = pod;
        Self { namespace: namespace.as_ref(), name: name.as_ref(), uid: uid.as_ref() }
    }
}
