//! Where a process is at home: its container, pod or unit, as labels.

use crate::{
    export::labels::{Labels, Value},
    model::workload::{Pod, Workload},
    text::Untrusted,
};

/// Bytes that the names of one take at most, as they are usually long: those of Kubernetes have at
/// most 253.
pub(super) const HOME_BYTES: usize = 1_024;

/// Container, pod and unit of a process, as far as they are known. Two of one name at one address are
/// told apart by them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Home {
    container: Option<Untrusted>,
    pod: Option<Untrusted>,
    namespace: Option<Untrusted>,
    unit: Option<Untrusted>,
}

impl Home {
    pub(super) fn of(workload: &Workload) -> Self {
        let Pod { namespace, name, .. } = workload.pod.clone().unwrap_or_default();
        let container = workload.container.as_ref();
        Self {
            container: container.map(|container| container.label()),
            pod: name,
            namespace,
            // That of a container is the runtime's, and says no more.
            unit: workload.unit.clone().filter(|_| container.is_none()),
        }
    }

    pub(super) fn add_to(&self, labels: &mut Labels) {
        for (name, value) in [
            ("container.name", &self.container),
            ("k8s.namespace.name", &self.namespace),
            ("k8s.pod.name", &self.pod),
            ("systemd.unit", &self.unit),
        ] {
            if let Some(value) = value {
                labels.push((name, Value::Text(value.clone())));
            }
        }
    }
}
