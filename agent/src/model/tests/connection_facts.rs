//! Findings on connections, each with its owner and evidence, and silence where all is well.

use super::connections::{closed, opened, sampled};
use super::facts::{Build, at, server};
use super::world::{LISTENER, MS, SECOND, World};
use crate::model::event::{
    ConnectionSample, DelayedAcks, Event, Exchange, Hold, HoldReason, Holding, Opened, Outbound,
    Progress, Role, SockId, TcpState, ThreadUse,
};
use crate::model::snapshot::{Finding, Owner, Severity};

const US: u64 = 1_000;

fn evidence(finding: &Finding, name: &str) -> f64 {
    let value = finding.evidence.iter().find(|(other, _)| *other == name).map(|&(_, value)| value);
    value.unwrap_or_else(|| panic!("no {name} in {finding:?}"))
}

fn assert_well_written(world: &World) {
    for finding in world.reported_findings() {
        assert!(finding.headline.as_came().chars().count() <= 78, "{:?}", finding.headline);
        assert!(
            finding.headline.ends_with(".")
                && finding.text.ends_with(".")
                && finding.fix.ends_with(".")
        );
        assert!(!finding.evidence.is_empty() && !finding.text.contains("  "), "{:?}", finding.text);
    }
}

/// A listener's connections, one for each exchange, and what is found once these are over. The
/// exchanges repeat for a while, as a server's do.
pub(super) fn after(exchanges: &[Exchange]) -> World {
    let mut world = World::with_limit(128);
    for (sock, exchange) in (1..).zip(exchanges) {
        world.apply(on_listener(sock));
        world.apply(Event::Exchange(Exchange { sock, ..exchange.clone() }));
    }
    world.sample_after(SECOND);
    assert_well_written(&world);
    world
}

pub(super) fn on_listener(sock: SockId) -> Event {
    let Event::Opened(opened) = opened(sock, Role::Server, false) else { panic!("not opened") };
    Event::Opened(Opened { listener: Some(LISTENER), ..opened })
}

fn found(world: &World, kind: &str) -> Finding {
    let finding = world.finding(kind);
    finding.unwrap_or_else(|| panic!("no {kind} in {:?}", world.model.snapshot().findings))
}

pub(super) fn times(count: usize, exchange: &Exchange) -> Vec<Exchange> {
    vec![exchange.clone(); count]
}

pub(super) fn sending(change: impl FnOnce(&mut Outbound)) -> Exchange {
    let mut exchange = server();
    change(exchange.outbound());
    exchange
}

fn nagle() -> Exchange {
    sending(|outbound| {
        (outbound.sent_ns, outbound.acked_ns) = (Some(at(41 * MS)), Some(at(41 * MS + 30 * US)));
        outbound.holds = vec![Hold {
            reason: HoldReason::Nagle,
            count: 1,
            held_ns: at(41 * MS) - outbound.last_ns,
        }];
        outbound.held_sizes = [4, 200];
    })
}

#[test]
fn a_healthy_server_is_left_in_peace() {
    let mut world = World::with_limit(128);
    for sock in 1..=100 {
        world.apply(on_listener(sock));
    }
    for step in 0..200_u32 {
        for sock in 1..=100 {
            // Some millisecond for the work, a delayed ACK at the end of every tenth, rarely a slow
            // one.
            let work_ns = if sock == 1 && step % 50 == 0 { 60 * MS } else { 3 * MS };
            let ack_ns = work_ns + if sock % 10 == 0 { 40 * MS } else { 30 * US };
            let exchange =
                server().writing(at(work_ns)).acked(at(ack_ns)).later(u64::from(step) * 100 * MS);
            world.apply(Event::Exchange(Exchange { sock, seq: step + 1, ..exchange }));
        }
        world.connections = (1..=100).map(|sock| sampled(sock, None)).collect();
        world.sample_after(100 * MS);
    }
    assert_eq!(world.model.snapshot().findings, []);
    assert!(world.reported_findings().is_empty());
}

#[test]
fn writes_held_for_a_delayed_ack_are_the_kernels() {
    let world = after(&times(5, &nagle()));
    let finding = found(&world, "nagle-delayed-ack");
    assert_eq!((finding.owner, finding.severity), (Owner::Kernel, Severity::Warning));
    assert_eq!((finding.sock, finding.subject.as_came()), (LISTENER, "0.0.0.0:8080"));
    assert_eq!(finding.headline, "Nagle's algorithm held 5 exchanges for 40 ms on average.");
    assert!(
        finding.text.starts_with("A write of 200 B had to wait for one of 4 B before it:"),
        "{:?}",
        finding.text
    );
    assert_eq!(
        (evidence(&finding, "held_mean_us"), evidence(&finding, "in_flight_bytes")),
        (40_050.0, 4.0)
    );
    assert!(finding.fix.contains("TCP_NODELAY") && finding.fix.contains("writev()"));
    assert_eq!(
        found(&after(&[nagle()]), "nagle-delayed-ack").severity,
        Severity::Info,
        "once may be chance"
    );
}

#[test]
fn ten_thousand_connections_make_one_finding() {
    let world = after(&times(10_000, &nagle()));
    assert_eq!(world.reported_findings().len(), 1);
    assert_eq!(evidence(&found(&world, "nagle-delayed-ack"), "exchanges"), 10_000.0);
}

#[test]
fn many_small_writes_are_information_until_they_are_held() {
    let pieces = |exchange: Exchange| {
        let mut exchange = exchange;
        let outbound = exchange.outbound();
        (outbound.writes, outbound.small_writes, outbound.bytes) = (8, 8, 80);
        exchange
    };
    let finding = found(&after(&times(5, &pieces(server()))), "small-writes");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Info));
    assert_eq!(finding.headline, "Responses are written in 8 pieces of 10 B on average.");
    assert_eq!(
        found(&after(&times(5, &pieces(nagle()))), "small-writes").severity,
        Severity::Warning
    );
    let mut event_log = pieces(server());
    event_log.outbound().last_ns = at(SECOND);
    assert_eq!(
        after(&times(5, &event_log)).finding("small-writes"),
        None,
        "events pushed one by one are no response"
    );
}

#[test]
fn a_slow_reader_was_asleep_or_busy_or_without_a_cpu() {
    let read = |cpu_ns, run_delay_ns, since_ns| {
        let reader = ThreadUse { since_ns, cpu_ns, run_delay_ns, ..ThreadUse::default() };
        let world = after(&times(4, &server().reading(at(50 * MS)).by_reader(reader)));
        found(&world, "slow-reader")
    };
    let asleep = read(MS, 0, Some(at(0)));
    assert_eq!((asleep.owner, asleep.severity), (Owner::App, Severity::Warning));
    assert_eq!(asleep.headline, "Requests wait 50 ms unread, 50 ms at worst.");
    assert!(asleep.text.contains("slept for 98 % of that time"), "{:?}", asleep.text);
    let busy = read(48 * MS, 0, Some(at(0)));
    assert!(
        busy.owner == Owner::App && busy.text.contains("on a CPU for 96 % of that time"),
        "{:?}",
        busy.text
    );
    let starved = read(0, 45 * MS, Some(at(0)));
    assert_eq!((starved.owner, evidence(&starved, "run_queue_us")), (Owner::Kernel, 180_000.0));
    assert!(starved.text.contains("had no CPU for 90 % of that time"), "{:?}", starved.text);
    assert!(read(MS, 0, None).text.ends_with("was not observed."));
}

#[test]
fn data_that_nobody_reads_are_found_before_the_exchange_ends() {
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    let mut exchange =
        Exchange { progress: Progress::Open, outbound: None, ts_ns: at(3 * SECOND), ..server() };
    let inbound = exchange.inbound();
    (inbound.read_first_ns, inbound.read_last_ns, inbound.unread_bytes) = (None, None, 100);
    world.connections = vec![sampled(1, Some(exchange))];
    world.sample_after(3 * SECOND);
    let finding = found(&world, "slow-reader");
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.headline, "Data lies unread on 1 connection, for up to 3.00 s so far.");
    assert_well_written(&world);
}

#[test]
fn a_slow_application_is_information_until_it_is_very_slow() {
    let worked = |ns: u64, cpu_ns| {
        let mut exchange = server().writing(at(ns));
        let writer = exchange.outbound().writer.as_mut().expect("a writer");
        (writer.since_ns, writer.cpu_ns) = (Some(at(50 * US)), cpu_ns);
        found(&after(&times(4, &exchange)), "slow-app")
    };
    let computes = worked(30 * MS, 29 * MS);
    assert_eq!((computes.owner, computes.severity), (Owner::App, Severity::Info));
    assert_eq!(computes.headline, "The application takes 30 ms to answer, 30 ms at worst.");
    assert!(
        computes.text.contains("computed for 97 % of that time") && computes.fix.contains("perf"),
        "{:?}",
        computes.text
    );
    let waits = worked(400 * MS, MS);
    assert_eq!(waits.severity, Severity::Warning);
    assert!(
        waits.text.contains("slept for most") && waits.fix.contains("a lock"),
        "{:?}",
        waits.text
    );
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    let open =
        Exchange { progress: Progress::Open, outbound: None, ts_ns: at(3 * SECOND), ..server() };
    world.connections = vec![sampled(1, Some(open))];
    world.sample_after(3 * SECOND);
    let hung = found(&world, "slow-app");
    assert_eq!((hung.severity, evidence(&hung, "unanswered_now")), (Severity::Info, 1.0));
    assert_well_written(&world);
}

#[test]
fn a_blocked_writer_is_the_networks_and_a_shut_window_the_peers() {
    let blocked = sending(|outbound| {
        (outbound.last_ns, outbound.sent_ns) = (at(300 * MS), Some(at(300 * MS)));
        (outbound.acked_ns, outbound.blocked_ns) = (Some(at(300 * MS + 20 * US)), 250 * MS);
    });
    let finding = found(&after(&times(3, &blocked)), "send-blocked");
    assert_eq!((finding.owner, finding.severity), (Owner::Network, Severity::Warning));
    assert_eq!(evidence(&finding, "blocked_mean_us"), 250_000.0);
    let mut shut = blocked;
    shut.outbound().window_limited_ns = 250 * MS;
    let world = after(&times(3, &shut));
    assert_eq!(world.finding("send-blocked"), None);
    let finding = found(&world, "zero-window");
    assert_eq!((finding.owner, finding.severity), (Owner::Peer, Severity::Warning));
    assert_eq!(
        finding.headline,
        "Peers hold responses for 250 ms with a closed window, 250 ms at worst."
    );
}

#[test]
fn a_window_that_shuts_while_the_application_writes_on_is_found() {
    let mut held = sending(|outbound| {
        (outbound.sent_ns, outbound.acked_ns, outbound.unsent_bytes) = (None, None, 200_000);
        outbound.holds =
            vec![Hold { reason: HoldReason::ReceiveWindow, count: 1, held_ns: 2 * SECOND }];
    });
    (held.progress, held.ts_ns) = (Progress::Open, at(3 * SECOND));
    for (reason, is_found) in [(HoldReason::ReceiveWindow, true), (HoldReason::Nagle, false)] {
        held.outbound().holding = Some(Holding { reason, since_ns: at(500 * MS) });
        held.outbound().last_ns = at(3 * SECOND - MS);
        let mut world = World::with_limit(128);
        world.apply(on_listener(1));
        let active_ns = at(3 * SECOND - MS);
        world.connections = vec![ConnectionSample {
            peer_window_zero: true,
            active_ns,
            ..sampled(1, Some(held.clone()))
        }];
        world.sample_after(3 * SECOND);
        assert_eq!(world.finding("zero-window").is_some(), is_found, "{reason:?}");
    }
}

#[test]
fn a_cork_that_nobody_lifts_is_the_applications() {
    let corked = |held_ns: u64| {
        sending(|outbound| {
            (outbound.sent_ns, outbound.acked_ns) =
                (Some(outbound.last_ns + held_ns), Some(outbound.last_ns + held_ns + 30 * US));
            outbound.holds = vec![Hold { reason: HoldReason::Cork, count: 1, held_ns }];
            outbound.held_last = Some(HoldReason::Cork);
        })
    };
    let finding = found(&after(&times(3, &corked(207 * MS))), "cork-held");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Warning));
    assert_eq!(evidence(&finding, "held_mean_us"), 207_000.0);
    assert_eq!(after(&times(30, &corked(5 * MS))).finding("cork-held"), None, "lifted in time");
    let few = [times(2, &corked(207 * MS)), times(40, &server())].concat();
    assert_eq!(after(&few).finding("cork-held"), None);
}

#[test]
fn a_window_that_begins_anew_is_found_where_it_held_something() {
    let after_idle = |held_ns: u64, window_restarted| {
        sending(|outbound| {
            (outbound.sent_ns, outbound.acked_ns) =
                (Some(outbound.last_ns + held_ns), Some(outbound.last_ns + held_ns + 30 * US));
            outbound.holds = vec![Hold { reason: HoldReason::Congestion, count: 1, held_ns }];
            outbound.window_restarted = window_restarted;
        })
    };
    let finding = found(&after(&times(3, &after_idle(120 * MS, true))), "slow-start-after-idle");
    assert_eq!((finding.owner, finding.severity), (Owner::Kernel, Severity::Warning));
    for healthy in [after_idle(120 * MS, false), after_idle(10 * MS, true)] {
        assert_eq!(after(&times(3, &healthy)).finding("slow-start-after-idle"), None);
    }
}

#[test]
fn requests_whose_rest_waited_for_this_hosts_ack_are_found() {
    let in_parts = |newest_ns: Option<u64>| {
        let mut exchange = server().writing(at(41 * MS));
        let inbound = exchange.inbound();
        (inbound.last_ns, inbound.read_last_ns) =
            (at(40 * MS + 100 * US), Some(at(40 * MS + 200 * US)));
        (inbound.starved_ns, inbound.reads) = (40 * MS, 2);
        exchange.delayed_acks = Some(DelayedAcks { sent: 1, waited_us: 40_000, newest_ns });
        exchange
    };
    let held = in_parts(Some(at(40 * MS)));
    let finding = found(&after(&times(3, &held)), "delayed-ack");
    assert_eq!((finding.owner, finding.severity), (Owner::Kernel, Severity::Warning));
    for newest_ns in [None, Some(at(0) - MS), Some(at(20 * MS)), Some(at(60 * MS))] {
        let world = after(&times(3, &in_parts(newest_ns)));
        assert_eq!(
            world.finding("delayed-ack"),
            None,
            "the rest did not follow the ACK: {newest_ns:?}"
        );
    }
}

#[test]
fn a_peer_that_never_reads_is_found_while_it_does_not() {
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    world.connections = vec![ConnectionSample { peer_window_zero: true, ..sampled(1, None) }];
    world.sample_after(500 * MS);
    assert_eq!(world.finding("zero-window"), None, "it may open any moment");
    world.sample_after(3 * SECOND);
    assert_eq!(
        found(&world, "zero-window").headline,
        "The peer is not reading on 1 connection, for up to 3.50 s so far."
    );
    world.connections[0].peer_window_zero = false;
    (0..4).for_each(|_| world.sample_after(SECOND));
    assert_eq!(world.finding("zero-window"), None);
    assert_well_written(&world);
}

#[test]
fn segments_sent_again_hurt_when_they_cost_time() {
    let again = |ack_ns| {
        sending(|outbound| {
            (outbound.retransmits, outbound.acked_ns) = (2, Some(outbound.last_ns + ack_ns))
        })
    };
    let finding = found(&after(&times(4, &again(210 * MS))), "retransmits");
    assert_eq!((finding.owner, finding.severity), (Owner::Network, Severity::Warning));
    assert_eq!((evidence(&finding, "segments"), evidence(&finding, "exchanges")), (8.0, 4.0));
    assert_eq!(found(&after(&times(4, &again(2 * MS))), "retransmits").severity, Severity::Info);
    let probes = after(&times(400, &again(8 * MS)));
    assert_eq!(
        found(&probes, "retransmits").severity,
        Severity::Info,
        "tail loss probes cost nothing"
    );
    assert_eq!(after(&times(2, &again(210 * MS))).finding("retransmits"), None);
    let mut few = times(400, &server());
    few.extend(times(3, &again(210 * MS)));
    assert_eq!(after(&few).finding("retransmits"), None, "less than one in a hundred");
}

#[test]
fn sockets_left_in_close_wait_are_the_applications() {
    let mut world = World::with_limit(128);
    (1..=3).for_each(|sock| world.apply(opened(sock, Role::Client, false)));
    world.connections = (1..=3)
        .map(|sock| ConnectionSample {
            state: TcpState::CloseWait,
            fin_ns: Some(at(0)),
            ..sampled(sock, None)
        })
        .collect();
    world.sample_after(29 * SECOND);
    assert_eq!(world.finding("close-wait-leak"), None);
    world.sample_after(2 * SECOND);
    let finding = found(&world, "close-wait-leak");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Warning));
    assert_eq!((finding.sock, finding.subject.as_came()), (4242, "server 4242"));
    assert_eq!(finding.headline, "Left in CLOSE_WAIT: 3 connections, the longest for 31.0 s.");
    assert_eq!((evidence(&finding, "connections"), evidence(&finding, "longest_us")), (3.0, 31e6));
    assert_well_written(&world);
}

#[test]
fn short_connections_of_one_peer_are_churn() {
    let mut world = World::with_limit(128);
    for sock in 1..=1_000 {
        world.apply(on_listener(sock));
        world.apply(Event::Exchange(Exchange { sock, ..server() }));
        world.apply(closed(sock, at(500 * MS)));
    }
    world.sample_after(SECOND);
    let finding = found(&world, "connection-churn");
    assert_eq!((finding.owner, finding.severity), (Owner::Peer, Severity::Info));
    assert_eq!(finding.headline, "200 connections a second serve at most one exchange each.");
    assert_eq!(
        (evidence(&finding, "most_of_one_peer"), evidence(&finding, "peers")),
        (1_000.0, 1.0)
    );
    assert_well_written(&world);
    let mut world = World::with_limit(128);
    for sock in 1..=1_000 {
        world.apply(on_listener(sock));
        (1..=3).for_each(|seq| world.apply(Event::Exchange(Exchange { sock, seq, ..server() })));
        world.apply(closed(sock, at(500 * MS)));
    }
    world.sample_after(SECOND);
    assert_eq!(world.finding("connection-churn"), None, "they are used again");
}
