//! The objects, field by field against the contract.

use serde_json::{Value, json};

use super::schema::parsed;
use super::{attached, clock, written};
use crate::model::RecordingStop;
use crate::model::event::{
    Cost, EndedProcess, Event, ListenerSample, Pause, Process, ProcessChange, ProcessWorkload,
    Sample, Stage, Syn, SynAckRetransmit, TargetEnd, WaitStatus,
};
use crate::model::output::{Lost, Output};
use crate::model::snapshot::WaitView;
use crate::model::tests::world::{LISTENER, MS, SECOND, START, World, address, listener};
use crate::model::workload::{Container, Pod, Workload};
use crate::report::Sink;
use crate::report::json::Json;

const TIME: &str = "2025-06-15T15:06:41.000000Z";

/// The objects that these outputs become, each of them on a line of its own.
fn objects(outputs: &[Output], world: &World) -> Vec<Value> {
    let text = written(&mut Json::new(clock()), outputs, world);
    assert!(text.is_empty() || text.ends_with('\n'));
    parsed(&text)
}

fn one(output: Output, world: &World) -> Value {
    objects(&[output], world).remove(0)
}

#[test]
fn attached_names_every_hook() {
    let mut text = Vec::new();
    Json::new(clock()).attached(&mut text, &attached()).expect("a vector takes everything");
    let object = parsed(str::from_utf8(&text).expect("UTF-8")).remove(0);
    let expected = json!({
        "type": "attached", "ts_ns": START, "time": "2025-06-15T15:06:40.000000Z",
        "kernel": "6.12.1", "tier": "tracepoint",
        "hooks": { "accept": "sys_exit_accept", "syn": null },
        "targets": ["pid 4242"], "attach_us": 120_000, "gaps": ["syn: fentry is refused"],
        "sandbox": {
            "capabilities": ["CAP_SYS_PTRACE"], "no_new_privs": true, "seccomp": true,
            "landlock": null, "gaps": ["no Landlock: not here"],
        },
    });
    assert_eq!(object, expected);
}

#[test]
fn listener_has_the_fields_of_the_contract() {
    let mut world = World::with_limit(128);
    world.now += SECOND;
    world.accept(0, 1, 300 * MS, 0);
    let sample = &mut world.listeners[0];
    (sample.depth, sample.peak, sample.syn_depth, sample.syn_peak, sample.abandoned) =
        (2, 9, 1, 4, 5);
    world.sample_after(0);
    let listener = world.out.iter().rfind(|output| matches!(output, Output::Listener(_)));
    let object = one(listener.cloned().expect("a listener"), &world);
    let expected = json!({
        "type": "listener", "ts_ns": START + SECOND, "time": TIME, "sock": "7",
        "local": "0.0.0.0:8080",
        "pid": 4242, "comm": "server", "holders": [4242], "closed": false, "backlog": 128,
        "limit": 128, "defer_accept_s": 0,
        "accept_depth": 2, "accept_peak": 9, "syn_depth": 1, "syn_peak": 4,
        "overflows": { "syn": 0, "ack": 0 },
        "syn_dropped": 0, "cookies_sent": 0, "synack_retransmits": 0, "queued": 1, "accepted": 1,
        "abandoned": 5, "family": "ipv4", "accept_fails": 0,
        "left_queue": { "peer_closed": 0, "peer_reset": 0, "late": 0, "late_us": 0,
            "reset_by_close": 0 },
        "accept_wait_us": { "p50": 300_000, "p90": 300_000, "p99": 300_000, "max": 300_000,
            "count": 1 },
        "cgroup": null, "container": null, "pod": null, "unit": null,
    });
    assert_eq!(object, expected);
}

#[test]
fn what_a_listener_can_not_know_is_null_and_said_to_be() {
    let mut sample = listener(LISTENER, 128);
    (sample.backlog, sample.overflow_ack, sample.syn_dropped, sample.cookies_sent) =
        (None, None, None, None);
    let mut world =
        World::new("tracepoint", vec![ListenerSample { local: address("[::1]:80"), ..sample }]);
    world.sample_after(SECOND);
    let object = objects(&world.out, &world).remove(0);
    assert_eq!(object["local"], "[::1]:80");
    for field in ["backlog", "syn_dropped", "cookies_sent"] {
        assert_eq!(object.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(object["overflows"], json!({ "syn": 0, "ack": null }));
    assert_eq!(
        object["accept_wait_us"],
        json!({ "p50": null, "p90": null, "p99": null, "max": null, "count": 0 })
    );
    assert_eq!(object["gaps"].as_array().map(Vec::len), Some(5));
}

#[test]
fn accept_has_the_fields_of_the_contract() {
    let mut world = World::with_limit(128);
    world.now += SECOND;
    world.accept(0, 4243, 300 * MS, 400 * MS);
    let Some(Output::Accept(accept)) = world.out.last().cloned() else { panic!("no accept") };
    let expected = json!({
        "type": "accept", "ts_ns": START + SECOND, "time": TIME, "sock": "1000001", "listener": "7",
        "local": "10.0.0.1:8080", "peer": "10.0.0.9:40122", "pid": 4242, "tid": 4243,
        "comm": "worker-4243", "fd": 9,
        "handshake_us": 120, "queued_us": 300_000, "blocked_us": 400_000, "depth": 0,
        "cgroup": null, "container": null, "pod": null, "unit": null,
    });
    assert_eq!(one(Output::Accept(accept.clone()), &world), expected);

    let mut there = accept.clone();
    (there.entered_ns, there.queued_estimated) = (Some(there.ts_ns - MS), true);
    let object = one(Output::Accept(there), &world);
    assert_eq!((&object["blocked_us"], &object["observed_by"]), (&json!(0), &json!("lsndtime")));

    let mut unknown = accept;
    (unknown.fd, unknown.handshake_us, unknown.queued_ns, unknown.entered_ns) =
        (None, None, None, None);
    let object = one(Output::Accept(unknown), &world);
    for field in ["fd", "handshake_us", "queued_us", "blocked_us"] {
        assert_eq!(object.get(field), Some(&Value::Null), "{field}");
        let gaps = object["gaps"].as_array().expect("gaps");
        let told = gaps
            .iter()
            .filter(|gap| gap.as_str().is_some_and(|gap| gap.starts_with(field)))
            .count();
        assert_eq!(told, 1, "{field}");
    }
}

#[test]
fn whatever_names_a_process_tells_its_container_pod_and_unit() {
    let mut world = World::with_limit(1);
    let container = Container {
        id: "b11d".into(),
        name: Some("w\u{1b}b".into()),
        runtime: Some("podman".into()),
    };
    let pod = Pod { namespace: Some("shop".into()), name: None, uid: Some("db85".into()) };
    let workload = Workload {
        cgroup: Some("/kubepods/poddb85/b11d".into()),
        container: Some(container),
        pod: Some(pod),
        unit: Some("crio-b11d.scope".into()),
    };
    let pid = world.listeners[0].pid;
    world.apply(Event::Workload(ProcessWorkload { ts_ns: world.now, pid, workload }));
    world.accept(0, 1, 2 * MS, 0);
    world.refuse(0, Stage::Ack);
    world.sample_after(SECOND);
    let expected = json!({
        "cgroup": "/kubepods/poddb85/b11d",
        "container": { "id": "b11d", "name": "w\u{1b}b", "runtime": "podman" },
        "pod": { "namespace": "shop", "name": null, "uid": "db85" },
        "unit": "crio-b11d.scope",
    });
    let mut told = Vec::new();
    for object in objects(&world.out, &world) {
        let Some(kind) = object["type"].as_str() else { panic!("{object}") };
        if object["pid"] != json!(pid) {
            assert!(object.get("cgroup").is_none_or(Value::is_null), "{object}");
            continue;
        }
        told.push(kind.to_owned());
        for (field, value) in expected.as_object().expect("an object") {
            assert_eq!(&object[field], value, "{field} of {kind}");
        }
    }
    for kind in ["accept", "listener", "finding"] {
        assert!(told.iter().any(|one| one == kind), "{kind}: {told:?}");
    }
}

#[test]
fn overflow_names_its_stage_and_its_victim_where_known() {
    let mut world = World::with_limit(4);
    world.now += SECOND;
    for stage in [Stage::Syn, Stage::Ack, Stage::SynQueue, Stage::Cookie] {
        world.refuse(0, stage);
    }
    let named = objects(&world.out, &world);
    let expected = json!({
        "type": "overflow", "ts_ns": START + SECOND, "time": TIME, "listener": "7",
        "peer": "10.0.0.7:53122",
        "stage": "syn", "accept_depth": 0, "limit": 4, "count": 1,
    });
    assert_eq!(named[0], expected);
    assert_eq!([1, 2, 3].map(|at| named[at]["stage"].clone()), ["ack", "syn", "cookie"]);
    assert_eq!((&named[2]["reason"], named[0].get("reason")), (&json!("syn-queue-full"), None));

    let mut world = World::new(
        "tracepoint",
        vec![ListenerSample { overflow_syn: 12, ..listener(LISTENER, 4) }],
    );
    world.sample_after(SECOND);
    let unnamed = &objects(&world.out, &world)[0];
    assert_eq!(
        (&unnamed["peer"], &unnamed["count"], &unnamed["stage"]),
        (&Value::Null, &json!(12), &json!("syn"))
    );
    assert_eq!(unnamed["observed_by"], "sk_drops");
    assert!(unnamed["gaps"][0].as_str().is_some_and(|gap| gap.starts_with("peer: ")));
}

#[test]
fn single_events_are_objects_too() {
    let (world, ts_ns) = (World::with_limit(4), START + SECOND);
    let peer = address("10.0.0.7:1");
    let syn = Syn { ts_ns, listener: 7, peer, depth: 1, syn_depth: 2, tfo_bytes: Some(3) };
    let expected = json!({
        "type": "syn", "ts_ns": ts_ns, "time": TIME, "listener": "7", "peer": "10.0.0.7:1",
        "accept_depth": 1,
        "syn_depth": 2, "tfo_bytes": 3,
    });
    assert_eq!(one(Output::Syn(syn.clone()), &world), expected);
    let by_answer = one(Output::Syn(Syn { tfo_bytes: None, ..syn }), &world);
    assert_eq!(
        (&by_answer["tfo_bytes"], &by_answer["observed_by"]),
        (&json!(null), &json!("synack"))
    );
    let again =
        SynAckRetransmit { ts_ns, listener: 7, peer, count: 2, first_ns: None, ignored: false };
    let expected = json!({
        "type": "event", "ts_ns": ts_ns, "time": TIME, "sock": "7", "name": "synack_retransmit",
        "tid": null,
        "peer": "10.0.0.7:1", "count": 2,
    });
    assert_eq!(one(Output::SynAckRetransmit(again), &world), expected);
    let process =
        Process { ts_ns, pid: 9, comm: "a\n".into(), change: ProcessChange::Forked { parent: 8 } };
    let expected = json!({
        "type": "process", "ts_ns": ts_ns, "time": TIME, "pid": 9, "comm": "a\n",
        "change": "forked", "parent": 8,
        "cgroup": null, "container": null, "pod": null, "unit": null,
    });
    assert_eq!(one(Output::Process(process), &world), expected);
    let lost = Lost { ts_ns, probe: "ring".into(), count: 3, total: 8 };
    let expected = json!({ "type": "lost", "ts_ns": ts_ns, "time": TIME, "probe": "ring",
        "count": 3, "total": 8 });
    assert_eq!(one(Output::Lost(lost), &world), expected);
    for (begins, state) in [(true, "begun"), (false, "ended")] {
        let expected = json!({ "type": "pause", "ts_ns": ts_ns, "time": TIME, "state": state });
        assert_eq!(one(Output::Pause(Pause { ts_ns, begins }), &world), expected);
    }
}

#[test]
fn finding_has_the_fields_of_the_contract() {
    let mut world = World::new(
        "full",
        vec![ListenerSample { backlog: Some(4_096), ..listener(LISTENER, 128) }],
    );
    world.sample_after(SECOND);
    let object = objects(&world.out, &world).remove(0);
    assert_eq!((&object["type"], &object["kind"]), (&json!("finding"), &json!("backlog-clamped")));
    assert_eq!((&object["severity"], &object["owner"]), (&json!("info"), &json!("kernel")));
    assert_eq!((&object["subject"], &object["sock"]), (&json!("0.0.0.0:8080"), &json!("7")));
    let evidence =
        json!({ "backlog": 4_096, "limit": 128, "peak": 0, "overflows": 0, "somaxconn": 4_096 });
    assert_eq!(object["evidence"], evidence);
    for field in ["headline", "text", "fix", "time"] {
        assert!(object[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
}

#[test]
fn the_summary_has_every_finding_in_full_whether_or_not_it_has_ended() {
    let clamped = ListenerSample { backlog: Some(4_096), ..listener(LISTENER, 128) };
    let mut world = World::new("full", vec![clamped]);
    for _ in 0..2 {
        world.refuse(0, Stage::Syn);
        (0..12).for_each(|_| world.sample_after(SECOND));
    }
    let summary = world.finish();
    let reported = objects(&world.out, &world);
    let listed = one(Output::Summary(Box::new(summary)), &world)["findings_list"].take();
    let [stands, ended] = &listed.as_array().expect("a list")[..] else { panic!("{listed}") };
    assert_eq!((&stands["kind"], &stands["state"]), (&json!("backlog-clamped"), &json!("begun")));
    assert_eq!((&stands["times"], &stands["until_ns"]), (&json!(1), &json!(world.now)));
    let kind = "accept-queue-overflow";
    assert_eq!((&ended["kind"], &ended["state"]), (&json!(kind), &json!("ended")));
    assert_eq!(ended["times"], 2);
    assert_eq!(
        (&ended["from_ns"], &ended["until_ns"]),
        (&json!(START + SECOND), &json!(START + 13 * SECOND))
    );
    for time in ["from", "until"] {
        assert!(ended[time].as_str().is_some_and(|time| time.ends_with('Z')), "{ended}");
    }
    // Word for word what was reported when it ended.
    let last = reported.iter().rfind(|object| object["kind"] == kind).expect("a finding");
    for (field, value) in last.as_object().expect("an object") {
        assert!(["type", "ts_ns", "time"].contains(&field.as_str()) || ended[field] == *value);
    }
}

#[test]
fn summary_has_the_fields_of_the_contract() {
    let mut world = World::with_limit(4);
    world.now += SECOND;
    world.accept(0, 1, 2 * MS, 0);
    world.refuse(0, Stage::Syn);
    let cost =
        Cost { probe_runs: Some(3), probe_ns: Some(1_000), agent_cpu_us: 70, agent_rss_bytes: 9 };
    let (listeners, lost) = (world.listeners.clone(), vec![("ring".into(), 2)]);
    world.apply(Event::Sample(Sample {
        ts_ns: world.now,
        listeners,
        lost,
        seen: 10,
        cost,
        ..Sample::default()
    }));
    let mut summary = world.finish();
    let listed = &objects(&world.out, &world).pop().expect("a summary")["findings_list"];
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    summary.standing_findings.clear();
    summary.wait = WaitView { p50: 1, p90: 2, p99: 3, max: 4, count: 5, buckets: [0; 5] };
    let expected = json!({
        "type": "summary", "ts_ns": START + SECOND, "time": TIME, "duration_us": 1_000_000,
        "listeners": 1,
        "queued": 1, "accepted": 1, "abandoned": 0, "accept_fails": 0,
        "left_queue": { "peer_closed": 0, "peer_reset": 0, "late": 0, "late_us": 0,
            "reset_by_close": 0 }, "overflows": { "syn": 1, "ack": 0 }, "syn_dropped": 0,
        "cookies_sent": 0, "synack_retransmits": 0, "findings": 1, "findings_left_out": 0,
        "ended": [], "recording_stopped": null,
        "datagrams": { "sockets": 0, "in": 0, "read": 0, "out": 0, "drops": 0 },
        "connects": {
            "made": 0, "failed": 0, "pending": 0, "refused": 0, "timed_out": 0, "unreachable": 0,
            "no_port": 0,
            "no_route": 0, "given_up": 0, "reset": 0, "failed_us": 0,
        },
        "resets": { "sent": 0, "received": 0, "timeouts": 0, "late_requests": 0,
            "truncated_responses": 0 },
        "findings_list": [], "connections": 1, "exchanges": 0,
        "times_us": { "kernel": 0, "app": 0, "network": 0, "peer": 0, "unknown": 0 },
        "paused_us": null, "phases_us": {},
        "exchange_us": { "p50": null, "p90": null, "p99": null, "max": null, "count": 0 },
        "accept_wait_us": { "p50": 1, "p90": 2, "p99": 3, "max": 4, "count": 5 },
        "events": { "seen": 10, "delivered": 8, "lost": 2, "not_kept": 0 },
        "overhead": { "probe_ns_avg": 333.3, "probe_runs": 3, "agent_cpu_us": 70,
            "agent_rss_bytes": 9 },
    });
    assert_eq!(one(Output::Summary(Box::new(summary)), &world), expected);

    let mut over = World::with_limit(4);
    over.now += 5 * SECOND;
    let ended = |pid, status| EndedProcess { ts_ns: over.now, pid, comm: "a\n".into(), status };
    let processes = vec![
        ended(7, Some(WaitStatus(11 | 0x80))),
        ended(8, Some(WaitStatus(3 << 8))),
        ended(9, None),
    ];
    let end = TargetEnd { ts_ns: over.now, processes, over: true };
    over.apply(Event::TargetEnd(end));
    let mut summary = over.finish();
    summary.recording_stopped = Some(Box::new(RecordingStop {
        ts_ns: START + 3 * SECOND,
        reaches_ns: Some(START + 2 * SECOND),
        reason: "No space left on device".into(),
    }));
    let object = one(Output::Summary(Box::new(summary)), &over);
    assert_eq!(
        object["ended"],
        json!([
            { "pid": 7, "comm": "a\n", "exit_status": null, "signal": "SIGSEGV", "core_dumped": true },
            { "pid": 8, "comm": "a\n", "exit_status": 3, "signal": null, "core_dumped": false },
            { "pid": 9, "comm": "a\n", "exit_status": null, "signal": null, "core_dumped": null },
        ])
    );
    assert_eq!(
        object["recording_stopped"],
        json!({ "before_end_us": 2_000_000, "reaches_us": 2_000_000,
            "reason": "No space left on device" })
    );

    let unknown = World::with_limit(4).finish();
    let object = one(Output::Summary(Box::new(unknown)), &world);
    assert_eq!(object["overflows"]["ack"], Value::Null);
    assert_eq!(object["overhead"]["probe_ns_avg"], Value::Null);
    assert_eq!(object["overhead"]["agent_cpu_us"], Value::Null);
}
