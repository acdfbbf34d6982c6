//! UDP sockets: totals, rates, waits, and the finding on drops.

use super::world::{MS, SECOND, START, World, address, udp_socket};
use crate::model::event::{DatagramFlow, DatagramSample, Event, QuicDatagram, QuicPackets};
use crate::model::output::Output;
use crate::model::snapshot::{DatagramHistory, DatagramView, Finding, Owner, Severity};

fn flow(datagrams: u64, bytes: Option<u64>) -> Option<DatagramFlow> {
    Some(DatagramFlow { datagrams, bytes })
}

fn sampled(world: &mut World, socket: DatagramSample) {
    world.datagrams = vec![socket];
    world.sample_after(SECOND);
}

fn reported(world: &World) -> Vec<&DatagramView> {
    let views = world.out.iter().filter_map(|output| match output {
        Output::Datagrams(datagrams) => Some(&datagrams.view),
        _ => None,
    });
    views.collect()
}

fn found(world: &World) -> Finding {
    world.finding("udp-receive-overflow").unwrap_or_else(|| panic!("no finding"))
}

fn evidence(finding: &Finding, name: &str) -> Option<f64> {
    finding.evidence.iter().find(|(other, _)| *other == name).map(|&(_, value)| value)
}

/// A client's first packet to a server, its reply, its request, and the answer.
fn quic_connection() -> [Event; 4] {
    let datagram = |ms, outbound: bool, kinds: &str| {
        Event::Quic(QuicDatagram {
            ts_ns: START + ms * MS,
            sock: 9,
            peer: Some(address("10.0.0.9:4000")),
            outbound,
            packets: QuicPackets {
                version: (kinds != "S").then_some(1),
                initial: kinds.contains('I'),
                handshake: kinds.contains('H'),
                short: kinds.contains('S'),
                destination: if outbound { vec![1] } else { vec![2] },
                source: if outbound { vec![2] } else { vec![1] },
                ..QuicPackets::default()
            },
        })
    };
    [
        datagram(1, false, "I"),
        datagram(2, true, "IH"),
        datagram(42, false, "S"),
        datagram(43, true, "S"),
    ]
}

#[test]
fn a_quic_connection_is_told_at_the_next_sample_or_at_the_end() {
    for samples in [0, 1] {
        let mut world = World::new("full", Vec::new());
        quic_connection().into_iter().for_each(|event| world.apply(event));
        let told = |world: &World| {
            world.out.iter().filter(|output| matches!(output, Output::Quic(_))).count()
        };
        assert_eq!(told(&world), 0);
        for _ in 0..samples {
            world.sample_after(SECOND);
            assert_eq!(told(&world), 1);
        }
        world.finish();
        assert_eq!(told(&world), 1, "once, after {samples} samples");
    }
}

#[test]
fn totals_rates_and_waits_add_up() {
    let mut world = World::with_limit(128);
    for second in 0..4 {
        sampled(
            &mut world,
            DatagramSample {
                arrived: flow(100 * second, None),
                read: flow(100 * second, Some(5_000 * second)),
                written: flow(50 * second, Some(50 * second)),
                waits: if second > 0 { vec![(10, 99), (40_000, 1)] } else { Vec::new() },
                longest_us: 41_234,
                at_least: 1,
                ..udp_socket()
            },
        );
    }
    let view = &world.model.snapshot().datagrams[0];
    assert_eq!((view.arrived, view.read), (flow(300, None), flow(300, Some(15_000))));
    assert_eq!((view.rates.arrived, view.rates.read, view.rates.written), (100.0, 100.0, 50.0));
    assert_eq!((view.wait.count, view.wait.max, view.wait.p50), (300, 41_234, 10));
    let view = DatagramView { history: DatagramHistory::default(), ..view.clone() };
    assert_eq!(reported(&world).last(), Some(&&view), "each refresh reports it");
    assert_eq!(world.model.snapshot().findings, [], "all is well");
}

#[test]
fn the_history_has_a_period_for_each_refresh_but_the_first() {
    let mut world = World::new("full", vec![]);
    for second in 0..200 {
        let peak_bytes = 100 + second;
        let arrived = flow(10 * second, None);
        sampled(
            &mut world,
            DatagramSample { peak_bytes, arrived, drops: second / 100, ..udp_socket() },
        );
    }
    let snapshot = world.model.snapshot();
    let history = &snapshot.datagrams[0].history;
    assert_eq!((history.from_ns.len(), history.arrived.len()), (128, 128), "it is bounded");
    assert_eq!(history.from_ns.last(), Some(&(snapshot.now_ns - SECOND)));
    assert_eq!((history.peak_bytes[127], history.arrived[127]), (299, 10));
    assert_eq!(history.drops.iter().sum::<u32>(), 1);
    assert!(reported(&world).iter().all(|view| view.history.from_ns.is_empty()), "not in outputs");
}

#[test]
fn a_closed_socket_is_reported_once_more_and_stays_in_the_totals() {
    let mut world = World::with_limit(128);
    let socket = |datagrams, drops, closed| DatagramSample {
        arrived: flow(datagrams, None),
        read: None,
        written: flow(1, Some(1)),
        drops,
        drops_before: 5,
        closed,
        ..udp_socket()
    };
    sampled(&mut world, socket(1, 5, false));
    sampled(&mut world, socket(7, 6, true));
    world.datagrams.clear();
    world.sample_after(SECOND);
    assert_eq!(reported(&world).len(), 2);
    assert_eq!(world.model.snapshot().datagrams, []);
    // The same socket again: it had been away.
    sampled(&mut world, socket(3, 6, false));
    let summary = world.finish();
    let totals = summary.datagrams.unwrap();
    assert_eq!((totals.sockets, totals.arrived, totals.read, totals.drops), (2, Some(10), None, 2));
    assert_eq!(reported(&world).len(), 4, "the end has a last word on what is open");
}

#[test]
fn dropped_datagrams_are_lost() {
    let mut world = World::with_limit(128);
    let socket =
        |drops| DatagramSample { queued_bytes: 212_000, waiting: 270, drops, ..udp_socket() };
    for drops in [500, 500, 512] {
        sampled(&mut world, socket(drops));
    }
    let finding = found(&world);
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Warning));
    assert_eq!((finding.sock, finding.subject.as_came()), (99, "udp 0.0.0.0:53"));
    assert_eq!(
        (evidence(&finding, "dropped"), evidence(&finding, "dropped_total")),
        (Some(12.0), Some(512.0))
    );
    assert!(finding.text.contains("Process 4242 has not read from it"), "{:?}", finding.text);
    sampled(&mut world, socket(900));
    assert_eq!(found(&world).severity, Severity::Critical);
    (0..10).for_each(|_| world.sample_after(SECOND));
    assert_eq!(world.finding("udp-receive-overflow"), None, "old drops are history");
}

#[test]
fn the_finding_names_who_did_not_read_and_for_how_long() {
    let mut world = World::with_limit(128);
    sampled(&mut world, udp_socket());
    let (now, reader) = (world.now + SECOND, Some((4242, 4243)));
    let stalled = DatagramSample {
        drops: 3,
        waiting: 9,
        read_ns: Some(now - 3 * SECOND),
        oldest_ns: Some(now - 2 * SECOND),
        reader,
        ..udp_socket()
    };
    sampled(&mut world, stalled.clone());
    let finding = found(&world);
    assert!(
        finding.text.contains("Thread 4243 of process 4242 was the last to read, 3.00 s ago"),
        "{:?}",
        finding.text
    );
    assert_eq!(evidence(&finding, "unread_us"), Some(2e6));
    assert_eq!(
        (evidence(&finding, "since_read_us"), evidence(&finding, "reader_tid")),
        (Some(3e6), Some(4243.0))
    );
    let mut world = World::with_limit(128);
    sampled(&mut world, udp_socket());
    let read_ns = Some(world.now + SECOND);
    sampled(
        &mut world,
        DatagramSample { read_ns, longest_recent_us: 52_000, longest_us: 90_000, ..stalled },
    );
    let finding = found(&world);
    assert!(
        finding.text.contains("Thread 4243 of process 4242 reads, but too slowly"),
        "{:?}",
        finding.text
    );
    assert_eq!(evidence(&finding, "longest_wait_us"), Some(52_000.0));
}
