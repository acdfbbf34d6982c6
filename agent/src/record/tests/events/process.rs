//! What happens to processes.

use crate::model::event::{
    CpuLimit, CpuRefresh, CpuState, EndedProcess, Event, ProcessWorkload, TargetEnd, WaitStatus,
};
use crate::model::tests::world::START;
use crate::model::workload::{Container, Pod, Workload};

pub(super) fn cpu() -> Event {
    let limit = CpuLimit {
        path: "/pods/wörld".into(),
        quota_us: 13_000,
        period_us: 100_000,
        periods: 42,
        throttled: 20,
        throttled_ns: u64::MAX,
        pids: vec![4242],
    };
    let refresh = CpuRefresh { cpus: Some(2), runnable: None, stopped: vec![7] };
    Event::Cpu(CpuState { ts_ns: START, limits: vec![limit], refresh: Some(refresh) })
}

pub(super) fn workload() -> Event {
    let container =
        Container { id: "b11d".into(), name: Some("wörb".into()), runtime: Some("podman".into()) };
    let pod = Pod { namespace: Some("shop".into()), name: None, uid: Some("db85".into()) };
    let workload = Workload {
        cgroup: Some("/kubepods/poddb85/b11d".into()),
        container: Some(container),
        pod: Some(pod),
        unit: None,
    };
    Event::Workload(ProcessWorkload { ts_ns: START, pid: 4242, workload })
}

pub(super) fn target_end() -> Event {
    let ended = |status| EndedProcess { ts_ns: START, pid: 4242, comm: "server".into(), status };
    let processes = vec![ended(Some(WaitStatus(9))), ended(None)];
    Event::TargetEnd(TargetEnd { ts_ns: START + 1, processes, over: true })
}
