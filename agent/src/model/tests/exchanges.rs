//! The ledger: what the facts of one exchange come to.

use super::facts::{Build, at, client, server};
use super::world::{MS, START};
use crate::model::event::{
    Exchange, Hold, HoldReason, Inbound, Outbound, Pauses, Progress, Role, ThreadUse,
};
use crate::model::exchange::{First, counted, trailing_us, view};
use crate::model::snapshot::{ExchangeView, Owner, SliceKind};

const US: u64 = 1_000;

/// Kinds and times in order.
fn slices(view: &ExchangeView) -> Vec<(&'static str, u64)> {
    view.slices.iter().map(|slice| (slice.kind.name(), slice.us)).collect()
}

fn verdict(view: &ExchangeView) -> (&'static str, u64) {
    view.verdict.as_ref().map_or(("none", 0), |verdict| (verdict.kind.name(), verdict.us))
}

fn by_kind_of(view: &ExchangeView, kind: SliceKind) -> u64 {
    counted(&view.slices).filter(|(other, _)| *other == kind).map(|(_, us)| us).sum()
}

fn assert_tiles(exchange: &Exchange, view: &ExchangeView) {
    let mut end_ns = view.start_ns;
    for slice in &view.slices {
        assert_eq!(slice.start_ns, end_ns, "a gap or an overlap in {exchange:?}: {view:?}");
        assert!(slice.us > 0 && slice.cpu_us.is_none_or(|cpu_us| cpu_us <= slice.us), "{view:?}");
        end_ns += slice.us * US;
    }
    assert_eq!(
        view.slices.iter().map(|slice| slice.us).sum::<u64>(),
        view.total_us,
        "{exchange:?}: {view:?}"
    );
    assert!(view.slices.windows(2).all(|pair| pair[0].kind != pair[1].kind), "{view:?}");
    assert!(
        view.verdict.as_ref().is_none_or(|verdict| verdict.share > 0.0 && verdict.share <= 1.0)
    );
}

fn judged(exchange: &Exchange) -> ExchangeView {
    let view = view(exchange, None);
    assert_tiles(exchange, &view);
    view
}

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

/// A small generator, so that a failure can be repeated: xorshift.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn time(&mut self) -> u64 {
        match self.next() % 12 {
            0 => 0,
            1 => u64::MAX - self.next() % 3,
            2 => self.next(),
            _ => START + self.next() % (100 * MS),
        }
    }

    fn span(&mut self) -> u64 {
        match self.next() % 8 {
            0 => u64::MAX,
            1..4 => 0,
            _ => self.next() % (60 * MS),
        }
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.next().is_multiple_of(3) { None } else { Some(value(self)) }
    }

    fn thread(&mut self) -> ThreadUse {
        let since_ns = self.maybe(Self::time);
        ThreadUse { pid: 1, tid: 2, since_ns, run_delay_ns: self.span(), cpu_ns: self.span() }
    }

    fn inbound(&mut self) -> Inbound {
        Inbound {
            first_ns: self.time(),
            last_ns: self.time(),
            read_first_ns: self.maybe(Self::time),
            read_last_ns: self.maybe(Self::time),
            starved_ns: self.span(),
            unread_bytes: self.next() % 2,
            reads: 1,
            reader: self.maybe(Self::thread),
            ..Inbound::default()
        }
    }

    fn outbound(&mut self) -> Outbound {
        use HoldReason::{Congestion, Cork, Nagle, Pacing, ReceiveWindow};
        let reasons = [Nagle, Cork, Congestion, ReceiveWindow, Pacing];
        let holds = (0..self.next() % 6).map(|at| reasons[at as usize % 5]).collect::<Vec<_>>();
        Outbound {
            first_ns: self.time(),
            last_ns: self.time(),
            sent_ns: self.maybe(Self::time),
            acked_ns: self.maybe(Self::time),
            unsent_bytes: self.next() % 2,
            unacked_bytes: self.next() % 2,
            holds: holds
                .into_iter()
                .map(|reason| Hold { reason, count: 1, held_ns: self.span() })
                .collect(),
            blocked_ns: self.span(),
            window_limited_ns: self.span(),
            retransmits: (self.next() % 2) as u32,
            writer: self.maybe(Self::thread),
            pauses: self.maybe(|garbage| Pauses {
                run_delay_ns: garbage.span(),
                cpu_ns: garbage.span(),
                complete: garbage.next().is_multiple_of(2),
            }),
            held_last: self.maybe(|garbage| reasons[garbage.next() as usize % 5]),
            spurious: (self.next() % 2) as u32,
            ..Outbound::default()
        }
    }

    fn exchange(&mut self) -> Exchange {
        let progress =
            [Progress::Open, Progress::Followed, Progress::Closed][self.next() as usize % 3];
        Exchange {
            ts_ns: self.time(),
            sock: 1,
            seq: 1,
            role: if self.next().is_multiple_of(2) { Role::Server } else { Role::Client },
            preexisting: self.next().is_multiple_of(4),
            progress,
            inbound: self.maybe(Self::inbound),
            outbound: self.maybe(Self::outbound),
            min_rtt_us: self.maybe(|garbage| garbage.next() as u32 >> (garbage.next() % 32)),
            delayed_acks: None,
            end: None,
        }
    }
}

#[test]
fn whatever_the_facts_are_the_slices_tile() {
    let mut garbage = Garbage(0x9e37_79b9_7f4a_7c15);
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..50_000 {
        let exchange = garbage.exchange();
        let first = First {
            handshake_us: garbage.maybe(Garbage::span),
            deferred: false,
            queued_ns: garbage.time(),
            accepted_ns: garbage.time(),
            ignored: None,
            acceptor: garbage.next() as u32 % 3,
        };
        let view = view(&exchange, garbage.next().is_multiple_of(2).then_some(&first));
        assert_tiles(&exchange, &view);
        kinds.extend(view.slices.iter().map(|slice| slice.kind));
    }
    // These follow from more than the facts of one exchange.
    let beyond = [
        SliceKind::Connect,
        SliceKind::ConnectRefused,
        SliceKind::Ignored,
        SliceKind::Throttled,
        SliceKind::Streaming,
    ];
    let missing: Vec<_> = SliceKind::ALL
        .into_iter()
        .filter(|kind| !kinds.contains(kind) && !beyond.contains(kind))
        .collect();
    assert_eq!(missing, [], "every kind came up");
}
