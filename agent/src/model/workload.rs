//! Cgroup, container, pod and unit of processes: read beside the watch, kept here by process.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{bounded::Bounded, text::Untrusted};

/// Most processes whose workload is kept. The one that was told first gives way, and its objects
/// have `null` from then on.
pub const MAX_WORKLOADS: usize = 16_384;

/// Characters of a container's id that stand for it where it has no name.
const SHORT_ID: usize = 12;

/// The place of a process among cgroups, containers, pods and units, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Path of its cgroup, as `/proc/PID/cgroup` has it; `None` if that could not be read.
    pub cgroup: Option<Untrusted>,
    /// Container that it runs in; `None` if its cgroup is no container's.
    pub container: Option<Container>,
    /// Pod of Kubernetes that it belongs to; likewise.
    pub pod: Option<Pod>,
    /// Unit of systemd that it belongs to; likewise.
    pub unit: Option<Untrusted>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id, in full.
    pub id: Untrusted,
    /// Its name; `None` if no file of the runtime that could be read tells it.
    pub name: Option<Untrusted>,
    /// Runtime, as far as the cgroup or the file tells: "docker", "podman", "containerd", "cri-o".
    pub runtime: Option<Untrusted>,
}

/// A pod of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its namespace; `None` if no file that could be read tells it.
    pub namespace: Option<Untrusted>,
    /// Its name; likewise.
    pub name: Option<Untrusted>,
    /// Its uid; `None` where only its name is known.
    pub uid: Option<Untrusted>,
}

impl Workload {
    /// Returns the name to show beside a process where there is room for one: that of its pod and
    /// container, of its container, or of its unit.
    pub fn label(&self) -> Option<Untrusted> {
        let container = self.container.as_ref().map(Container::label);
        if let Some(Pod { name: Some(pod), .. }) = &self.pod {
            return Some(match container {
                Some(container) => compose!("{}/{}", pod, container),
                None => pod.clone(),
            });
        }
        container.or_else(|| self.unit.clone())
    }
}

impl Container {
    /// Returns its name, or the beginning of its id.
    pub fn label(&self) -> Untrusted {
        match &self.name {
            Some(name) => name.clone(),
            None => self.id.as_came().chars().take(SHORT_ID).collect::<String>().into(),
        }
    }
}

/// Workloads by process. A copy costs next to nothing.
#[derive(Clone, Debug)]
pub struct Workloads {
    by_pid: Arc<Bounded<u32, Arc<Workload>>>,
}

impl Default for Workloads {
    fn default() -> Self {
        Self { by_pid: Arc::new(Bounded::new(MAX_WORKLOADS)) }
    }
}

impl FromIterator<(u32, Workload)> for Workloads {
    fn from_iter<T: IntoIterator<Item = (u32, Workload)>>(workloads: T) -> Self {
        let mut all = Self::default();
        for (pid, workload) in workloads {
            all.note(pid, &workload);
        }
        all
    }
}

impl PartialEq for Workloads {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.by_pid, &other.by_pid) || self.by_pid.same(&other.by_pid)
    }
}

impl Workloads {
    /// Returns the workload of a process, if it is known.
    pub fn of(&self, pid: u32) -> Option<&Workload> {
        self.by_pid.get(pid).map(Arc::as_ref)
    }

    /// Returns the name to show beside a process ([`Workload::label`]).
    pub fn label(&self, pid: u32) -> Option<Untrusted> {
        self.of(pid)?.label()
    }

    pub(super) fn note(&mut self, pid: u32, workload: &Workload) {
        Arc::make_mut(&mut self.by_pid).insert(pid, Arc::new(workload.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: Option<&str>) -> Container {
        Container { id: "0123456789abcdef".into(), name: name.map(Into::into), runtime: None }
    }

    #[test]
    fn a_process_is_called_by_the_nearest_name() {
        let unit = Workload { unit: Some("nginx.service".into()), ..Workload::default() };
        assert_eq!(unit.label(), Some("nginx.service".into()));
        let named = Workload { container: Some(container(Some("web"))), ..unit.clone() };
        assert_eq!(named.label(), Some("web".into()));
        let nameless = Workload { container: Some(container(None)), ..unit.clone() };
        assert_eq!(nameless.label(), Some("0123456789ab".into()));
        let pod = Pod { name: Some("shop-0".into()), ..Pod::default() };
        let in_pod = Workload { pod: Some(pod), ..named };
        assert_eq!(in_pod.label(), Some("shop-0/web".into()));
        let unknown = Workload { pod: Some(Pod::default()), ..nameless };
        assert_eq!(unknown.label(), Some("0123456789ab".into()), "a pod without a name has none");
        assert_eq!(Workload::default().label(), None);
    }

    #[test]
    fn a_copy_does_not_change_with_its_origin() {
        let mut workloads = Workloads::default();
        let first = Workload { cgroup: Some("/a".into()), ..Workload::default() };
        workloads.note(7, &first);
        let copy = workloads.clone();
        assert_eq!(copy, workloads);
        workloads.note(7, &Workload { cgroup: Some("/b".into()), ..Workload::default() });
        assert_eq!(copy.of(7), Some(&first));
        assert_ne!(copy, workloads);
        assert_eq!((workloads.of(8), workloads.label(7)), (None, None));
    }
}
