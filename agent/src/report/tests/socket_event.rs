//! Single events of connections, as objects and as lines.

use serde_json::{Value, json};

use super::schema::parsed;
use super::{clock, written};
use crate::model::event::{Event, HoldReason, Side, SocketCall, SocketEvent, SocketEventKind};
use crate::model::output::{Output, SocketEventOutput};
use crate::model::tests::world::{MS, START, World};
use crate::model::{Model, Setup, tests::world::setup};
use crate::report::json::Json;
use crate::report::plain::{Colour, Plain};

const CALL: SocketCall = SocketCall { tid: 11, result: Ok(40), left_bytes: 2, blocked_us: Some(0) };

fn told(kind: SocketEventKind) -> Output {
    Output::SocketEvent(SocketEventOutput {
        event: SocketEvent { ts_ns: START + MS, sock: 9, kind },
        peer: None,
    })
}

/// What the object carries beyond type, time and socket.
fn carried(kind: SocketEventKind) -> Value {
    let text = written(&mut Json::new(clock()), &[told(kind)], &World::with_limit(8));
    let mut object = parsed(&text).remove(0);
    let fields = object.as_object_mut().expect("an object");
    for (name, value) in [
        ("type", json!("event")),
        ("sock", json!("9")),
        ("ts_ns", json!(START + MS)),
        ("time", json!("2025-06-15T15:06:40.001000Z")),
    ] {
        assert_eq!(fields.remove(name), Some(value), "{name}");
    }
    object
}

#[test]
fn calls_have_a_thread_and_a_result() {
    let read = json!({"name": "read", "tid": 11, "bytes": 40, "error": null, "would_block": false,
        "blocked_us": 0,
        "unread_bytes": 2});
    assert_eq!(carried(SocketEventKind::Read(CALL)), read);
    let blind = SocketCall { result: Err(11), blocked_us: None, ..CALL };
    let peek = json!({"name": "peek", "tid": 11, "bytes": null, "error": 11, "would_block": true,
        "blocked_us": null,
        "unread_bytes": 2, "gaps": ["blocked_us: no hook on this kernel sees a call wait"]});
    assert_eq!(carried(SocketEventKind::Peek(blind)), peek);
    let write = json!({"name": "write", "tid": 11, "bytes": null, "error": 104,
        "would_block": false, "blocked_us": 0,
        "unsent_bytes": 2, "reason": "nagle"});
    assert_eq!(
        carried(SocketEventKind::Write {
            call: SocketCall { result: Err(104), ..CALL },
            why: Some(HoldReason::Nagle)
        }),
        write
    );
}

#[test]
fn what_no_call_did_has_no_thread() {
    let segment =
        SocketEventKind::Segment { bytes: 5, seq: 6, ack_seq: 7, flags: 0x19, again: true };
    let expected = json!({"name": "segment", "tid": null, "bytes": 5, "seq": 6, "ack_seq": 7,
        "flags": ["FIN", "PSH", "ACK"], "again": true});
    assert_eq!(carried(segment), expected);
    let retransmit =
        SocketEventKind::Retransmit { bytes: 5, seq: 6, flags: 0x10, ca_state: 4, rto_us: 204_000 };
    let expected = json!({"name": "retransmit", "tid": null, "bytes": 5, "seq": 6, "flags": ["ACK"],
        "cause": "timeout", "ca_state": "Loss", "rto_us": 204_000});
    assert_eq!(carried(retransmit), expected);
    let window = json!({"name": "window", "tid": null, "side": "peer", "zero": true, "bytes": 0});
    assert_eq!(carried(SocketEventKind::Window { side: Side::Peer, zero: true, bytes: 0 }), window);
    assert_eq!(carried(SocketEventKind::Destroyed), json!({"name": "destroyed", "tid": null}));
}

#[test]
fn what_is_inferred_says_so() {
    let state = |substate, inferred| SocketEventKind::State {
        from: 5,
        to: 6,
        shutdown: 3,
        substate,
        inferred,
    };
    let expected = json!({"name": "state", "tid": null, "from": "FIN_WAIT2", "to": "TIME_WAIT",
        "shutdown": "both",
        "substate": "FIN_WAIT2"});
    assert_eq!(carried(state(5, false)), expected);
    let inferred = carried(state(0, true));
    assert_eq!((&inferred["substate"], &inferred["observed_by"]), (&Value::Null, &json!("sk_err")));
    assert_eq!(inferred["gaps"].as_array().map(Vec::len), Some(1));
    let delayed = carried(SocketEventKind::DelayedAck { waited_us: 40_000, inferred: true });
    assert_eq!(delayed["observed_by"], "tcp_wstamp_ns");
}

#[test]
fn numbers_that_the_kernel_does_not_have_are_unknown() {
    let state = carried(SocketEventKind::State {
        from: 255,
        to: 14,
        shutdown: 255,
        substate: 0,
        inferred: false,
    });
    assert_eq!(
        (&state["from"], &state["to"], &state["shutdown"]),
        (&json!("unknown"), &json!("unknown"), &json!("both"))
    );
}

#[test]
fn lines() {
    let world = World::with_limit(8);
    let line = |kind| written(&mut Plain::new(Colour::Never), &[told(kind)], &world);
    let read = line(SocketEventKind::Read(SocketCall { blocked_us: Some(1_500), ..CALL }));
    assert_eq!(
        read,
        "    0.001 read      socket 9: 40 bytes by thread 11, blocked 1.5 ms, 2 unread\n"
    );
    let held = line(SocketEventKind::Hold { why: HoldReason::Nagle, bytes: 1 });
    assert_eq!(held, "    0.001 hold      socket 9: 1 byte held: nagle\n");
    let state =
        line(SocketEventKind::State { from: 1, to: 8, shutdown: 1, substate: 0, inferred: false });
    assert_eq!(
        state,
        "    0.001 state     socket 9: ESTABLISHED → CLOSE_WAIT, shut down: receive\n"
    );
}

#[test]
fn told_where_asked_for_and_never_judged() {
    for detail_events in [true, false] {
        let mut model = Model::new(Setup { detail_events, ..setup("full") });
        let (before, mut out) = (model.snapshot(), Vec::new());
        model.apply(
            &Event::SocketEvent(SocketEvent {
                ts_ns: START,
                sock: 9,
                kind: SocketEventKind::Destroyed,
            }),
            &mut out,
        );
        assert_eq!(out.len(), usize::from(detail_events));
        assert_eq!(model.snapshot(), before);
    }
}
