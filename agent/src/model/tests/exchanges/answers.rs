//! From the first byte written: holds, waits for room, acknowledgements.

use super::{US, by_kind_of, judged, slices, verdict};
use crate::model::event::{Hold, HoldReason, Pauses, Progress};
use crate::model::exchange::{counted, trailing_us};
use crate::model::snapshot::{Owner, SliceKind};
use crate::model::tests::facts::{Build, at, client, server};
use crate::model::tests::world::MS;

#[test]
fn nagle_holds_are_the_kernels_and_the_ack_behind_them_is_the_peers() {
    let mut exchange = server().acked(at(44 * MS));
    let outbound = exchange.outbound();
    outbound.last_ns += 20 * US;
    outbound.sent_ns = Some(at(43 * MS));
    outbound.holds = vec![Hold {
        reason: HoldReason::Nagle,
        count: 1,
        held_ns: at(43 * MS) - outbound.last_ns + 3 * US,
    }];
    let view = judged(&exchange);
    let expected = [("receive_queue", 50), ("app", 920), ("nagle", 42_030), ("ack_wait", 1_000)];
    assert_eq!(
        slices(&view),
        expected,
        "what was held while the application wrote on held nobody up"
    );
    assert_eq!(verdict(&view), ("nagle", 42_030));
}

#[test]
fn a_hold_over_the_applications_own_work_is_the_applications() {
    let mut exchange = server();
    let outbound = exchange.outbound();
    (outbound.last_ns, outbound.sent_ns, outbound.writes) = (at(51 * MS), Some(at(51 * MS)), 3);
    outbound.acked_ns = Some(at(51 * MS + 30 * US));
    for reason in [HoldReason::Nagle, HoldReason::Cork] {
        exchange.outbound().holds = vec![Hold { reason, count: 1, held_ns: 40 * MS }];
        exchange.outbound().held_last = Some(reason);
        let view = judged(&exchange);
        assert_eq!(
            slices(&view),
            [("receive_queue", 50), ("app", 50_950), ("ack_wait", 30)],
            "{reason:?}"
        );
    }
    let outbound = exchange.outbound();
    (outbound.last_ns, outbound.sent_ns) = (at(11 * MS), Some(at(41 * MS)));
    outbound.acked_ns = Some(at(41 * MS + 30 * US));
    let view = judged(&exchange);
    let expected = [("receive_queue", 50), ("app", 10_950), ("cork", 30_000), ("ack_wait", 30)];
    assert_eq!(slices(&view), expected, "what it held beyond that is the hold's");
}

#[test]
fn what_held_last_comes_at_the_end() {
    let mut exchange = server();
    let outbound = exchange.outbound();
    (outbound.last_ns, outbound.sent_ns, outbound.writes) =
        (at(3_001 * MS), Some(at(3_041 * MS)), 9);
    outbound.acked_ns = Some(at(3_041 * MS + 30 * US));
    let hold = |reason, held_ns| Hold { reason, count: 1, held_ns };
    outbound.holds =
        vec![hold(HoldReason::Nagle, 40 * MS), hold(HoldReason::ReceiveWindow, 2_900 * MS)];
    outbound.held_last = Some(HoldReason::Nagle);
    exchange.ts_ns = at(4_000 * MS);
    let expected = [
        ("receive_queue", 50),
        ("app", 900),
        ("receive_window", 2_900_000),
        ("app", 100_050),
        ("nagle", 40_000),
        ("ack_wait", 30),
    ];
    assert_eq!(slices(&judged(&exchange)), expected);
}

#[test]
fn waits_for_a_cpu_between_writes_are_the_kernels() {
    let mut exchange = server();
    let outbound = exchange.outbound();
    (outbound.last_ns, outbound.sent_ns, outbound.writes) = (at(101 * MS), Some(at(101 * MS)), 5);
    outbound.acked_ns = Some(at(101 * MS + 30 * US));
    let pauses = Pauses { run_delay_ns: 70 * MS, cpu_ns: 28 * MS, complete: true };
    outbound.pauses = Some(pauses);
    let view = judged(&exchange);
    let expected = [
        ("receive_queue", 50),
        ("app", 900),
        ("run_queue", 70_000),
        ("app", 30_050),
        ("ack_wait", 30),
    ];
    assert_eq!(slices(&view), expected);
    assert_eq!((view.slices[3].cpu_us, verdict(&view)), (Some(28_000), ("run_queue", 70_000)));
    exchange.outbound().pauses = Some(Pauses { complete: false, ..pauses });
    assert_eq!(judged(&exchange).slices[3].cpu_us, None, "of some pauses it is not known");
    exchange.outbound().blocked_ns = 90 * MS;
    let view = judged(&exchange);
    let expected = [("congestion", 90_000), ("run_queue", 10_050)];
    assert_eq!(slices(&view)[2..4], expected, "without room it had no use for a processor");
}

#[test]
fn a_writer_without_room_waited_for_the_peer_or_for_the_network() {
    let mut exchange = server();
    let outbound = exchange.outbound();
    (outbound.last_ns, outbound.sent_ns, outbound.writes) = (at(501 * MS), Some(at(501 * MS)), 2);
    (outbound.acked_ns, outbound.blocked_ns) = (Some(at(501 * MS + 30 * US)), 500 * MS);
    let with_window = |window_ns: u64| {
        let mut exchange = exchange.clone();
        exchange.outbound().window_limited_ns = window_ns;
        judged(&exchange)
    };
    let network = with_window(0);
    assert_eq!(slices(&network)[2], ("congestion", 500_000));
    assert_eq!(network.verdict.map(|verdict| verdict.kind), Some(SliceKind::Congestion));
    assert_eq!(
        slices(&with_window(100 * MS))[2..4],
        [("receive_window", 100_000), ("congestion", 400_000)]
    );
    assert_eq!(
        slices(&with_window(400 * MS))[2..4],
        [("receive_window", 400_000), ("send_buffer", 100_000)]
    );
}

#[test]
fn what_the_peer_had_already_was_not_waited_for() {
    let mut exchange = server().acked(at(401 * MS));
    let outbound = exchange.outbound();
    (outbound.retransmits, outbound.retransmit_ns) = (1, Some(at(201 * MS)));
    let view = judged(&exchange);
    assert_eq!(slices(&view)[2..], [("ack_wait", 20), ("retransmit", 400_030)]);
    let told = {
        exchange.outbound().spurious = 1;
        judged(&exchange)
    };
    assert_eq!(
        slices(&told)[2..],
        [("ack_wait", 20)],
        "its next request was lost, and the ACK with it"
    );
    (exchange.outbound().spurious, exchange.outbound().retransmit_ns) =
        (0, Some(at(401 * MS - 5 * US)));
    assert_eq!(
        slices(&judged(&exchange))[2..],
        [("ack_wait", 20)],
        "the ACK came before it can have arrived"
    );
    let outbound = exchange.outbound();
    (outbound.retransmits, outbound.retransmit_ns) = (0, None);
    assert_eq!(
        slices(&judged(&exchange))[2..],
        [("ack_wait", 20)],
        "no ACK is delayed for so long"
    );
    exchange.outbound().bytes = 300_000;
    assert_eq!(
        slices(&judged(&exchange))[2..],
        [("ack_wait", 400_050)],
        "so many wait in the network's queues"
    );
    let mut call = client();
    let outbound = call.outbound();
    (outbound.retransmits, outbound.spurious, outbound.acked_ns) = (1, 1, Some(at(4 * MS)));
    assert_eq!(
        slices(&judged(&call)),
        [("response", 5_000), ("receive_queue", 100)],
        "the peer had the request"
    );
}

#[test]
fn what_goes_beyond_a_round_trip_was_delayed_or_sent_again() {
    let delayed = server().acked(at(41 * MS));
    let view = judged(&delayed);
    assert_eq!(slices(&view)[2..], [("ack_wait", 20), ("delayed_ack", 40_030)]);
    assert_eq!(trailing_us(&view.slices), Some(40_030));
    assert_eq!(verdict(&view), ("app", 900), "it held nobody");
    assert_eq!(counted(&view.slices).map(|(_, us)| us).sum::<u64>(), 970);
    let mut again = delayed.clone();
    again.outbound().retransmits = 1;
    let view = judged(&again);
    assert_eq!(slices(&view)[2..], [("ack_wait", 20), ("retransmit", 40_030)]);
    assert_eq!(verdict(&view).0, "retransmit");
    let mut far = server().acked(at(951 * US + 45 * MS));
    far.min_rtt_us = Some(40_000);
    assert_eq!(slices(&judged(&far))[2..], [("ack_wait", 45_001)], "within the tolerance");
    far.min_rtt_us = None;
    assert_eq!(slices(&judged(&far))[2..], [("ack_wait", 45_001)], "nothing to compare with");
}

#[test]
fn a_shut_window_is_the_peers() {
    let mut exchange = server().acked(at(901 * MS));
    let outbound = exchange.outbound();
    (outbound.last_ns, outbound.sent_ns) = (at(500 * MS), Some(at(900 * MS)));
    (outbound.blocked_ns, outbound.window_limited_ns) = (490 * MS, 880 * MS);
    let view = judged(&exchange);
    let by_kind = |kind| by_kind_of(&view, kind);
    assert_eq!(
        (by_kind(SliceKind::ReceiveWindow), by_kind(SliceKind::SendBuffer)),
        (880_000, 10_000)
    );
    assert_eq!(verdict(&view).0, "receive_window");
    let mut network = exchange.clone();
    network.outbound().window_limited_ns = 0;
    network.outbound().holds =
        vec![Hold { reason: HoldReason::Congestion, count: 3, held_ns: 890 * MS }];
    let view = judged(&network);
    assert_eq!(
        by_kind_of(&view, SliceKind::Congestion),
        890_000,
        "whether its writer was blocked or not"
    );
}

#[test]
fn bytes_held_still_are_held_up_to_now() {
    let mut exchange = server();
    (exchange.progress, exchange.ts_ns) = (Progress::Open, at(30 * MS));
    let outbound = exchange.outbound();
    (outbound.sent_ns, outbound.acked_ns, outbound.unsent_bytes) = (None, None, 200);
    outbound.holds = vec![Hold { reason: HoldReason::Cork, count: 1, held_ns: 30 * MS }];
    let view = judged(&exchange);
    assert_eq!(slices(&view)[2..], [("cork", 29_050)]);
    assert!(!view.done && view.verdict.is_some_and(|verdict| verdict.kind.owner() == Owner::App));
    exchange.outbound().holds.clear();
    assert_eq!(slices(&judged(&exchange))[2..], [("unknown", 29_050)]);
}
