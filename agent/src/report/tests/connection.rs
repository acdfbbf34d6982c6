//! Exchanges and connections, as objects and as lines.

use serde_json::{Value, json};

use super::schema::parsed;
use super::{clock, written};
use crate::model::UNTOLD_NS;
use crate::model::event::{Accept, Census, Event, Exchange, Role};
use crate::model::output::Output;
use crate::model::tests::connections::{closed, opened};
use crate::model::tests::facts::{Build, at, client, server};
use crate::model::tests::world::{MS, SECOND, START, World};
use crate::report::json::Json;
use crate::report::plain::{Colour, Plain};

const SOCK: u64 = 1_000_001;

/// A connection accepted after 2 ms with two exchanges, and its end.
fn served() -> World {
    let mut world = World::with_limit(128);
    world.accept(0, 7, 2 * MS, MS);
    world.apply(Event::Exchange(Exchange { sock: SOCK, ..server() }));
    let slow = server().writing(at(30 * MS)).later(100 * MS);
    world.apply(Event::Exchange(Exchange { sock: SOCK, seq: 2, ..slow }));
    world
}

fn objects(world: &World, kind: &str) -> Vec<Value> {
    let text = written(&mut Json::new(clock()), &world.out, world);
    let mut objects = parsed(&text);
    objects.retain(|object| object["type"] == kind);
    objects
}

#[test]
fn exchange_has_the_fields_of_the_contract() {
    let world = served();
    let object = &objects(&world, "exchange")[0];
    let expected = json!({
        "type": "exchange", "ts_ns": START + 980_000, "time": "2025-06-15T15:06:40.000980Z",
        "sock": "1000001",
        "seq": 1, "role": "server", "start_ns": START - 2_120_000, "request_bytes": 100,
        "response_bytes": 200,
        "total_us": 3_100, "done": true, "midway": false, "reads": 1, "writes": 1, "protocol": null,
        "unanswered": false,
        "slices": [
            { "owner": "network", "kind": "handshake", "us": 120 },
            { "owner": "app", "kind": "accept_queue", "us": 2_000 },
            { "owner": "app", "kind": "receive_queue", "us": 50 },
            { "owner": "app", "kind": "app", "us": 900 },
            { "owner": "network", "kind": "ack_wait", "us": 30 },
        ],
        "tids": { "read": 11, "write": 11 },
        "verdict": { "owner": "app", "kind": "accept_queue", "share": 0.6452 },
        "gaps": ["protocol: nothing was recognised in its first bytes, or they were not looked at"],
    });
    assert_eq!(*object, expected);
}

#[test]
fn what_is_special_about_an_exchange_is_told() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, true));
    world.apply(opened(2, Role::Client, false));
    world.apply(Event::Exchange(Exchange { sock: 2, ..client().later(MS) }));
    let mut preexisting = Exchange { preexisting: true, ..server().writing(at(20 * MS)) };
    preexisting.outbound().writer.as_mut().expect("a writer").tid = 11;
    preexisting.inbound().reader = None;
    world.apply(Event::Exchange(preexisting));
    world.sample_after(3_000 * MS);
    let proxies = objects(&world, "proxy");
    let objects = objects(&world, "exchange");
    assert_eq!((&objects[0]["role"], &objects[0]["tids"]["read"]), (&json!("client"), &json!(11)));
    assert_eq!(objects[1]["inside"], json!([{ "sock": "2", "seq": 1 }]));
    let call = json!([{ "sock": "2", "seq": 1, "peer": "10.0.0.9:40122", "confidence": 0.95 }]);
    assert_eq!(objects[1]["upstream"], call);
    let waited = |slice: &Value| slice["upstream_us"].as_u64();
    assert_eq!(
        objects[1]["slices"].as_array().and_then(|slices| slices.iter().find_map(waited)),
        Some(6_050)
    );
    assert_eq!((&proxies[0]["joined"], &proxies[0]["reuse"]), (&json!(1), &Value::Null));
    assert_eq!(proxies[0]["upstreams"][0]["peer"], json!("10.0.0.9:40122"));
    assert_eq!((&objects[1]["midway"], &objects[1]["tids"]["read"]), (&json!(true), &Value::Null));
    assert_eq!(objects[1]["gaps"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_delayed_ack_comes_with_its_evidence() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    world.apply(Event::Exchange(server().acked(at(41 * MS))));
    let inferred = objects(&world, "exchange").remove(0);
    let slices = inferred["slices"].as_array().expect("slices");
    assert_eq!(slices.last().map(|last| &last["evidence"]), Some(&json!("inferred")), "{inferred}");
    assert!(
        slices[..slices.len() - 1].iter().all(|slice| slice.get("evidence").is_none()),
        "{inferred}"
    );
    let Some(Output::Exchange(exchange)) = world.out.last_mut() else { panic!("no exchange") };
    exchange.view.slices.last_mut().expect("a slice").proved = true;
    let proved = objects(&world, "exchange").remove(0);
    assert_eq!(
        proved["slices"].as_array().and_then(|slices| slices.last()).map(|last| &last["evidence"]),
        Some(&json!("proved"))
    );
}

#[test]
fn connection_has_the_fields_of_the_contract() {
    let mut world = served();
    world.apply(closed(SOCK, at(SECOND)));
    let object = objects(&world, "connection").remove(0);
    let expected = json!({
        "type": "connection", "ts_ns": START + SECOND, "time": "2025-06-15T15:06:41.000000Z",
        "sock": "1000001",
        "listener": "7", "local": "10.0.0.1:8080", "peer": "10.0.0.9:40122", "role": "server",
        "pid": 4242,
        "cgroup": null, "container": null, "pod": null, "unit": null,
        "comm": "worker-7", "protocol": null, "tls": null,
        "tids": { "accept": 7, "read": 11, "write": 11 },
        "since_ns": START, "handshake_us": 120, "queued_us": 2_000,
        "phases_us": {
            "handshake": 120, "accept_queue": 2_000, "receive_queue": 100, "app": 30_850,
            "ack_wait": 60,
        },
        "times_us": { "kernel": 0, "app": 32_950, "network": 180, "peer": 0, "unknown": 0 },
        "bytes": { "in": 200, "out": 400 }, "exchanges": 2, "fast_open": null, "first_answer": null,
        "nagle": { "holds": 0, "held_us": 0 },
        "delayed_acks": { "sent": 2, "waited_us": 80_000 },
        "trailing_acks": { "count": 0, "us": 0 },
        "retransmits": 0, "state": "closed", "tcp_state": "closed",
        "close": { "by": "peer", "how": "fin", "why": null, "reset_by": null, "idle_us": null },
        "attached_midway": false,
        "gaps": ["protocol: nothing was recognised in its first bytes, or they were not looked at"],
    });
    assert_eq!(object, expected);
}

#[test]
fn an_open_connection_says_what_is_not_known_yet() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, true));
    world.finish();
    let object = objects(&world, "connection").remove(0);
    for field in ["listener", "handshake_us", "queued_us", "close"] {
        assert_eq!(object.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(object["delayed_acks"], json!({ "sent": null, "waited_us": null }));
    assert_eq!(object["attached_midway"], true);
    let gaps = object["gaps"]
        .as_array()
        .expect("gaps")
        .iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>();
    assert!(
        gaps.contains(&"close: it is open") && gaps.iter().any(|gap| gap.starts_with("phases_us")),
        "{gaps:?}"
    );
}

#[test]
fn the_summary_has_totals_by_owner_and_by_kind() {
    let mut world = served();
    world.finish();
    let object = objects(&world, "summary").remove(0);
    assert_eq!((&object["connections"], &object["exchanges"]), (&json!(1), &json!(2)));
    assert_eq!(
        object["times_us"],
        json!({ "kernel": 0, "app": 32_950, "network": 180, "peer": 0, "unknown": 0 })
    );
    assert_eq!(object["phases_us"]["app"], 30_850);
    assert_eq!(
        (&object["exchange_us"]["count"], &object["exchange_us"]["max"]),
        (&json!(2), &json!(30_030))
    );
}

#[test]
fn lines_tell_where_the_time_went_and_name_the_slowest() {
    let mut world = served();
    for seq in 3..20 {
        let slow = server().writing(at(u64::from(seq) * 10 * MS)).later(SECOND);
        world.apply(Event::Exchange(Exchange { sock: SOCK, seq, ..slow }));
    }
    world.sample_after(SECOND);
    let mut plain = Plain::new(Colour::Never);
    let text = written(&mut plain, &world.out, &world);
    assert!(
        text.contains("    2.000 time      19 exchanges: A app 100 %, K kernel 0 %, N network "),
        "{text}"
    );
    let slow: Vec<_> = text.lines().filter(|line| line.contains(" slow ")).collect();
    assert_eq!(slow.len(), 5, "{text}");
    assert_eq!(
        slow[0],
        "    2.000 slow      10.0.0.9:40122 at 10.0.0.1:8080: exchange 19 took 190 ms, \
         190 ms of it app (A)"
    );
    world.out.clear();
    world.sample_after(SECOND);
    let text = written(&mut plain, &world.out, &world);
    assert!(!text.contains(" time ") && !text.contains(" slow "), "nothing new: {text}");
    world.out.clear();
    world.finish();
    let text = written(&mut plain, &world.out, &world);
    assert!(
        text.contains("\n  exchanges    19 on 1 connection, p50 ")
            && text.contains("\n  their time   A app 1"),
        "{text}"
    );
}

#[test]
fn a_name_from_outside_is_data_in_an_object() {
    let mut world = World::with_limit(128);
    world.accept(0, 7, 0, 0);
    let Some(Output::Accept(accept)) = world.out.pop() else { panic!("no accept") };
    world.apply(Event::Accept(Accept {
        sock: 5,
        comm: "a\x1b[31m\u{9b}2J\u{202e}".into(),
        ..accept
    }));
    world.finish();
    let text = written(&mut Json::new(clock()), &world.out, &world);
    assert!(!text.contains(['\x1b', '\u{9b}', '\u{202e}']), "{text}");
    assert!(text.contains(r#""a\u001b[31m\u009b2J\u202e""#), "{text}");
}

#[test]
fn an_end_that_no_record_told_is_null_and_says_why() {
    let mut world = served();
    for after_ns in [SECOND, UNTOLD_NS] {
        world.now += after_ns;
        let (ts_ns, since_ns) = (world.now, world.now);
        let census = Census { ts_ns, since_ns, socks: Vec::new(), complete: true };
        world.apply(Event::Census(census));
    }
    let object = &objects(&world, "connection")[0];
    assert_eq!((&object["close"], &object["exchanges"]), (&Value::Null, &json!(2)));
    let gaps = object["gaps"].as_array().expect("gaps");
    let starting = |words: &str| {
        gaps.iter().filter(|gap| gap.as_str().is_some_and(|gap| gap.starts_with(words))).count()
    };
    assert_eq!(starting("close: "), 1, "{gaps:?}");
    assert_eq!(starting("close: no record told its end"), 1, "{gaps:?}");
}
