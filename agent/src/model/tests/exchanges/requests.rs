//! Up to the answer, and exchanges as a whole.

use super::{US, assert_tiles, judged, slices, verdict};
use crate::model::event::{Exchange, Hold, HoldReason, Progress, ThreadUse};
use crate::model::exchange::{First, view};
use crate::model::snapshot::{Owner, SliceKind};
use crate::model::tests::facts::{Build, at, client, server};
use crate::model::tests::world::{MS, START};

#[test]
fn a_plain_request_is_the_applications() {
    let view = judged(&server());
    assert_eq!(slices(&view), [("receive_queue", 50), ("app", 900), ("ack_wait", 30)]);
    assert_eq!((view.total_us, verdict(&view), view.done), (980, ("app", 900), true));
    assert_eq!(
        (view.request_bytes, view.response_bytes, view.reads, view.writes),
        (100, 200, 1, 1)
    );
    assert_eq!((view.read_tid, view.write_tid), (Some(11), Some(11)));
}

#[test]
fn a_reader_asleep_and_one_without_a_cpu_are_told_apart() {
    let asleep = server().reading(at(50 * MS)).by_reader(ThreadUse {
        since_ns: Some(START),
        cpu_ns: 200 * US,
        ..ThreadUse::default()
    });
    let view = judged(&asleep);
    assert_eq!(view.slices[0].kind, SliceKind::ReceiveQueue);
    assert_eq!((view.slices[0].us, view.slices[0].cpu_us), (50_000, Some(200)));
    assert_eq!(verdict(&view), ("receive_queue", 50_000));
    let starved = server().reading(at(50 * MS)).by_reader(ThreadUse {
        since_ns: Some(START),
        run_delay_ns: 40 * MS,
        ..ThreadUse::default()
    });
    let view = judged(&starved);
    assert_eq!(slices(&view)[..2], [("receive_queue", 10_000), ("run_queue", 40_000)]);
    assert_eq!(verdict(&view).0, "run_queue");
    assert_eq!(view.verdict.map(|verdict| verdict.kind.owner()), Some(Owner::Kernel));
    let unknown = server()
        .reading(at(50 * MS))
        .by_reader(ThreadUse { run_delay_ns: 40 * MS, ..ThreadUse::default() });
    assert_eq!(
        slices(&judged(&unknown))[0],
        ("receive_queue", 50_000),
        "nothing claimed without a beginning"
    );
}

#[test]
fn a_thread_robbed_of_its_cpu_at_work_is_the_kernels() {
    let mut exchange = server().writing(at(30 * MS));
    let read_ns = at(50 * US);
    let writer = |since_ns, run_delay_ns| {
        Some(ThreadUse { pid: 1, tid: 11, since_ns: Some(since_ns), run_delay_ns, cpu_ns: 5 * MS })
    };
    exchange.outbound().writer = writer(read_ns, 20 * MS);
    let view = judged(&exchange);
    assert_eq!(slices(&view)[1..3], [("app", 9_950), ("run_queue", 20_000)]);
    assert_eq!(view.slices[1].cpu_us, Some(5_000));
    exchange.outbound().writer = writer(read_ns - 200 * MS, 100 * MS);
    let view = judged(&exchange);
    assert_eq!(slices(&view)[1], ("app", 29_950), "a delay longer than the stretch was before it");
    assert_eq!(view.slices[1].cpu_us, None);
}

#[test]
fn a_request_in_parts_waits_for_the_peer() {
    let mut exchange = server().writing(at(80 * MS));
    let inbound = exchange.inbound();
    (inbound.read_last_ns, inbound.starved_ns, inbound.reads) = (Some(at(60 * MS)), 55 * MS, 2);
    let view = judged(&exchange);
    assert_eq!(
        slices(&view)[..3],
        [("receive_queue", 50), ("request", 55_000), ("receive_queue", 4_950)],
        "what is not starved was unread"
    );
    assert_eq!(verdict(&view), ("request", 55_000));
}

#[test]
fn the_first_exchange_begins_with_the_handshake() {
    let first = First {
        handshake_us: Some(400),
        deferred: false,
        queued_ns: START - 300 * MS,
        accepted_ns: START,
        ignored: None,
        acceptor: 0,
    };
    let view = |first: &First| view(&server(), Some(first));
    let queued = view(&first);
    assert_tiles(&server(), &queued);
    let expected = [
        ("handshake", 400),
        ("accept_queue", 300_000),
        ("receive_queue", 50),
        ("app", 900),
        ("ack_wait", 30),
    ];
    assert_eq!(slices(&queued), expected);
    assert_eq!(verdict(&queued), ("accept_queue", 300_000));
    let before = view(&First { accepted_ns: START + 20 * US, ..first });
    assert_eq!(
        slices(&before)[1..3],
        [("accept_queue", 300_020), ("receive_queue", 30)],
        "data came first"
    );
    let after = view(&First { accepted_ns: START - 100 * MS, ..first });
    assert_eq!(
        slices(&after)[1..4],
        [("accept_queue", 200_000), ("request", 100_000), ("receive_queue", 50)]
    );
    let later = Exchange { seq: 2, ..server() };
    assert_eq!(slices(&crate::model::exchange::view(&later, Some(&first)))[0].0, "receive_queue");
}

#[test]
fn a_server_that_speaks_first_begins_with_its_accept_or_write() {
    let greeting = Exchange { inbound: None, ..server() };
    assert_eq!(slices(&judged(&greeting)), [("ack_wait", 30)]);
    let first = First {
        handshake_us: None,
        deferred: false,
        queued_ns: START - MS,
        accepted_ns: START,
        ignored: None,
        acceptor: 0,
    };
    let view = view(&greeting, Some(&first));
    assert_tiles(&greeting, &view);
    assert_eq!(slices(&view), [("accept_queue", 1_000), ("app", 950), ("ack_wait", 30)]);
}

#[test]
fn what_was_not_observed_is_unknown() {
    let mut unsent = server();
    unsent.outbound().sent_ns = None;
    assert_eq!(slices(&judged(&unsent))[2..], [("unknown", 30)]);
    let mut unread = Exchange { preexisting: true, ..server() };
    let inbound = unread.inbound();
    (inbound.read_first_ns, inbound.read_last_ns) = (None, None);
    assert_eq!(slices(&judged(&unread))[..2], [("unknown", 950), ("ack_wait", 30)]);
    unread.inbound().unread_bytes = 5;
    assert_eq!(slices(&judged(&unread))[0], ("receive_queue", 950), "answered before it was read");
    let mut followed = server();
    followed.outbound().acked_ns = None;
    assert_eq!(judged(&followed).total_us, 950);
}

#[test]
fn exchanges_in_progress_last_until_now() {
    let open =
        |exchange: Exchange| Exchange { progress: Progress::Open, ts_ns: at(70 * MS), ..exchange };
    let mut unread = open(Exchange { outbound: None, ..server() });
    let inbound = unread.inbound();
    (inbound.read_first_ns, inbound.read_last_ns, inbound.unread_bytes) = (None, None, 100);
    assert_eq!(slices(&judged(&unread)), [("receive_queue", 70_000)]);
    let working = open(Exchange { outbound: None, ..server() });
    assert_eq!(slices(&judged(&working)), [("receive_queue", 50), ("app", 69_950)]);
    let over = Exchange { progress: Progress::Followed, ..working };
    assert_eq!(
        slices(&judged(&over)),
        [("receive_queue", 50)],
        "no response came: it ends with the last read"
    );
    let waiting = open(Exchange { inbound: None, ..client() });
    assert_eq!(slices(&judged(&waiting)), [("response", 70_000)]);
}

#[test]
fn a_call_to_another_server_is_mostly_the_response() {
    let view = judged(&client());
    assert_eq!(slices(&view), [("response", 5_000), ("receive_queue", 100)]);
    assert_eq!(
        (view.request_bytes, view.response_bytes, verdict(&view)),
        (200, 100, ("response", 5_000))
    );
    let mut lost = client();
    let outbound = lost.outbound();
    (outbound.retransmits, outbound.acked_ns) = (1, Some(at(4 * MS)));
    assert_eq!(
        slices(&judged(&lost)),
        [("response", 20), ("retransmit", 3_980), ("response", 1_000), ("receive_queue", 100)]
    );
    let mut held = client();
    let outbound = held.outbound();
    (outbound.sent_ns, outbound.last_ns) = (Some(at(4 * MS)), at(0));
    outbound.holds = vec![Hold { reason: HoldReason::Nagle, count: 1, held_ns: 4 * MS }];
    assert_eq!(slices(&judged(&held))[..2], [("nagle", 4_000), ("response", 1_000)]);
}
