//! Each finding with its owner, and silence where all is well.

use super::world::{MS, SECOND, World, address, listener};
use crate::model::event::{ListenerSample, Stage};
use crate::model::output::FindingState;
use crate::model::snapshot::{Finding, Owner, Severity};

fn evidence(finding: &Finding, name: &str) -> Option<f64> {
    finding.evidence.iter().find(|(other, _)| *other == name).map(|&(_, value)| value)
}

/// Every text is complete and fits, whatever is found.
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

#[test]
fn a_healthy_loaded_server_is_left_in_peace() {
    for period in [250 * MS, SECOND] {
        let mut world = World::with_limit(128);
        for step in 0..20_000 {
            world.now += MS;
            world.accept(0, step % 4, 80_000, 500_000);
            if u64::from(step) % (period / MS) == 0 {
                // A burst stands in the queue at every sample, and is gone after it.
                (world.listeners[0].depth, world.listeners[0].peak) = (5, 20);
                world.sample_after(0);
            }
        }
        assert_eq!(world.model.snapshot().findings, []);
        assert!(world.reported_findings().is_empty());
    }
}

#[test]
fn a_finding_begins_changes_and_ends() {
    let mut world = World::with_limit(511);
    world.listeners[0].depth = 512;
    let refusing = |world: &mut World| {
        for _ in 0..3 {
            world.now += 50 * MS;
            world.accept(0, 1, 900 * MS, MS);
            world.refuse(0, Stage::Syn);
        }
        world.sample_after(100 * MS);
    };
    (0..20).for_each(|_| refusing(&mut world));
    // Nobody accepts any more: the owner stays, but what is said changes.
    world.listeners[0].queued += 1;
    for _ in 0..20 {
        world.now += 100 * MS;
        world.refuse(0, Stage::Syn);
        world.sample_after(100 * MS);
    }
    world.listeners[0].depth = 0;
    for _ in 0..12 {
        world.sample_after(SECOND);
    }
    let states: Vec<_> = world.states_of("accept-queue-overflow");
    assert_eq!(states.first(), Some(&FindingState::Begun), "{states:?}");
    assert_eq!(states.last(), Some(&FindingState::Ended), "{states:?}");
    let begun = states.iter().filter(|state| **state == FindingState::Begun).count();
    assert_eq!(begun, 1, "{states:?}");
    assert_eq!(world.model.snapshot().findings, []);
}

#[test]
fn overflow_under_long_waits_is_the_applications() {
    let mut world = World::with_limit(511);
    world.listeners[0].depth = 512;
    for _ in 0..20 {
        for _ in 0..3 {
            world.now += 50 * MS;
            world.accept(0, 1, 900 * MS, MS);
            world.refuse(0, Stage::Syn);
        }
        world.sample_after(100 * MS);
    }
    let finding = world.finding("accept-queue-overflow").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Critical));
    assert!(
        finding.headline.starts_with("Clients are being refused: 60 SYNs so far, 12 a second."),
        "{:?}",
        finding.headline
    );
    assert!(finding.fix.contains("somaxconn allows 4,096"), "{:?}", finding.fix);
    assert_eq!(
        (evidence(&finding, "depth"), evidence(&finding, "limit")),
        (Some(512.0), Some(511.0))
    );
    assert_eq!(
        (evidence(&finding, "overflows"), evidence(&finding, "overflows_per_second")),
        (Some(60.0), Some(12.0))
    );
    assert!(evidence(&finding, "wait_p99_us").is_some_and(|us| (us - 900_000.0).abs() < 1_000.0));
    assert!(evidence(&finding, "accept_share").is_some_and(|share| share < 0.05));
    let starved = world.finding("accept-starved").expect("a finding");
    assert_eq!((starved.owner, evidence(&starved, "wait_mean_us")), (Owner::App, Some(900_000.0)));
    assert_eq!(starved.headline, "Connections wait 900 ms to be accepted, 900 ms at worst.");
    let reported = world.reported_findings();
    assert_eq!(
        reported.iter().filter(|finding| finding.kind == "accept-queue-overflow").count(),
        1,
        "once, not each time"
    );
    assert_well_written(&world);
}

#[test]
fn bursts_over_a_short_queue_are_of_whoever_set_the_limit() {
    let burst = |sample: ListenerSample| {
        let mut world = World::new("full", vec![sample]);
        for _ in 0..100 {
            world.now += 10 * MS;
            world.accept(0, 1, 100_000, MS);
        }
        world.refuse(0, Stage::Syn);
        world.sample_after(MS);
        assert_well_written(&world);
        world.finding("accept-queue-overflow").expect("a finding")
    };
    let cases = [
        (Some(8), 8, Owner::App, "raise the listen() backlog"),
        (Some(9_000), 4_096, Owner::Kernel, "raise net.core.somaxconn"),
        (None, 8, Owner::App, "raise the listen() backlog"),
        (None, 4_096, Owner::Unknown, "raise the listen() backlog"),
    ];
    for (backlog, limit, owner, fix) in cases {
        let finding = burst(ListenerSample { backlog, ..listener(1, limit) });
        assert_eq!(finding.owner, owner, "{backlog:?} {limit}");
        assert!(finding.fix.starts_with(fix), "{:?}", finding.fix);
    }
}

#[test]
fn a_server_that_never_accepts_is_found_within_two_seconds_at_any_refresh() {
    for period in [100 * MS, 250 * MS, SECOND] {
        let mut world = World::with_limit(2);
        (world.listeners[0].depth, world.listeners[0].queued) = (3, 3);
        while world.now < super::world::START + 2 * SECOND {
            world.sample_after(period);
        }
        let finding = world.finding("accept-starved").expect("a finding");
        assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Warning));
        assert_eq!(finding.headline, "Nobody accepts: 3 established connections are waiting.");
        assert!(finding.fix.contains("call accept()"));
        assert_well_written(&world);
    }
}

#[test]
fn a_finding_goes_when_its_condition_has_been_gone_for_a_while() {
    let mut world = World::with_limit(2);
    world.listeners[0].depth = 3;
    (0..3).for_each(|_| world.sample_after(SECOND));
    assert!(world.finding("accept-starved").is_some());
    world.listeners[0].depth = 0;
    world.sample_after(SECOND);
    assert!(world.finding("accept-starved").is_some(), "it can still be read");
    (0..3).for_each(|_| world.sample_after(SECOND));
    assert_eq!(world.finding("accept-starved"), None);
    assert_eq!(world.finish().findings, 1);
}

#[test]
fn waits_with_a_thread_inside_accept_are_nobodys() {
    let mut world = World::with_limit(128);
    for _ in 0..20 {
        world.now += 100 * MS;
        world.accept(0, 1, 90 * MS, 95 * MS);
        world.sample_after(0);
    }
    let finding = world.finding("accept-starved").expect("a finding");
    assert_eq!(finding.owner, Owner::Unknown);
    assert_well_written(&world);
}

#[test]
fn syn_pressure_is_the_peers_unless_the_accept_queue_overflows_too() {
    let pressed = |change: fn(&mut World)| {
        let mut world = World::with_limit(16);
        world.sample_after(SECOND);
        world.listeners[0].syn_depth = 13;
        world.listeners[0].syn_peak = 13;
        change(&mut world);
        world.sample_after(SECOND);
        assert_well_written(&world);
        world.finding("syn-queue-pressure").expect("a finding")
    };
    let finding = pressed(|_| {});
    assert_eq!((finding.owner, finding.severity), (Owner::Peer, Severity::Warning));
    assert_eq!(finding.headline, "The SYN queue fills: 13 of 16.");
    let finding = pressed(|world| world.refuse(0, Stage::SynQueue));
    assert_eq!((finding.owner, finding.severity), (Owner::Peer, Severity::Critical));
    assert!(
        finding.fix.contains("net.ipv4.tcp_max_syn_backlog")
            && evidence(&finding, "syn_dropped") == Some(1.0)
    );
    let finding = pressed(|world| world.refuse(0, Stage::Cookie));
    assert_eq!(
        (finding.severity, evidence(&finding, "cookies_sent")),
        (Severity::Warning, Some(1.0))
    );
    assert_eq!(pressed(|world| world.refuse(0, Stage::Ack)).owner, Owner::App);
}

#[test]
fn unanswered_syn_acks_count_only_while_the_accept_queue_has_room() {
    let mut world = World::with_limit(128);
    world.listeners[0].synack_retransmits = 40;
    world.sample_after(SECOND);
    let finding = world.finding("syn-queue-pressure").expect("a finding");
    assert_eq!(finding.headline, "Handshakes stall: 40 SYN-ACKs had to be retransmitted.");
    let mut world = World::with_limit(128);
    (world.listeners[0].synack_retransmits, world.listeners[0].synack_acked) = (40, Some(40));
    world.refuse(0, Stage::Ack);
    world.sample_after(SECOND);
    assert_eq!(world.finding("syn-queue-pressure"), None);
}

#[test]
fn a_tiny_listener_under_handshakes_is_no_pressure() {
    let mut world = World::with_limit(1);
    (world.listeners[0].syn_depth, world.listeners[0].syn_peak) = (1, 1);
    (0..5).for_each(|_| world.sample_after(SECOND));
    assert_eq!(world.finding("syn-queue-pressure"), None);
}

#[test]
fn a_clamped_backlog_is_information_until_the_queue_is_used() {
    let mut world =
        World::new("full", vec![ListenerSample { backlog: Some(4_096), ..listener(1, 128) }]);
    world.sample_after(SECOND);
    let finding = world.finding("backlog-clamped").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::Kernel, Severity::Info));
    assert_eq!(
        finding.headline,
        "listen() asked for a backlog of 4,096; net.core.somaxconn cut it to 128."
    );
    assert_eq!(
        (evidence(&finding, "backlog"), evidence(&finding, "limit")),
        (Some(4_096.0), Some(128.0))
    );
    world.listeners[0].peak = 64;
    world.sample_after(SECOND);
    let severities: Vec<_> =
        world.reported_findings().iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Info, Severity::Warning], "told again when it became worse");
    assert!(
        world
            .finding("backlog-clamped")
            .is_some_and(|finding| finding.since_ns == super::world::START + SECOND)
    );
    assert_well_written(&world);
}

#[test]
fn one_worker_that_takes_nearly_all_is_uneven() {
    let mut world = World::with_limit(128);
    world.waiting = vec![super::accepts::waits(1, true), super::accepts::waits(2, true)];
    for step in 0..1_000_u32 {
        world.now += 3 * MS;
        // An event loop: the call begins when the connection is there already.
        world.accept(0, if step % 50 < 47 { 1 } else { 2 + step % 3 }, 60_000, 10_000);
        if step % 100 == 99 {
            world.sample_after(0);
        }
    }
    let finding = world.finding("uneven-workers").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::Kernel, Severity::Info));
    assert!(finding.text.contains("EPOLLEXCLUSIVE") && finding.fix.contains("SO_REUSEPORT"));
    assert_eq!(
        (evidence(&finding, "fair_share"), evidence(&finding, "parties")),
        (Some(0.25), Some(4.0))
    );
    assert!(evidence(&finding, "max_share").is_some_and(|share| share > 0.9));
    assert_well_written(&world);
}

#[test]
fn even_workers_and_few_accepts_are_not_judged() {
    let mut world = World::with_limit(128);
    for step in 0..1_000_u32 {
        world.now += 3 * MS;
        world.accept(0, step % 4, 60_000, 10_000);
        if step % 100 == 99 {
            world.sample_after(0);
        }
    }
    assert_eq!(world.finding("uneven-workers"), None);
    let mut world = World::with_limit(128);
    for step in 0..150 {
        world.now += 20 * MS;
        world.accept(0, u32::from(step % 30 == 0), 60_000, 10_000);
        world.sample_after(0);
    }
    assert_eq!(world.finding("uneven-workers"), None);
}

#[test]
fn an_uneven_reuseport_group_is_found_once_at_its_busiest_listener() {
    let other = ListenerSample { local: address("127.0.0.1:9"), ..listener(3, 128) };
    let mut world = World::new("full", vec![listener(1, 128), listener(2, 128), other]);
    for step in 0..1_000_u32 {
        world.now += 3 * MS;
        world.accept(usize::from(step % 10 != 0), 1, 60_000, 10_000);
        if step % 100 == 99 {
            world.sample_after(0);
        }
    }
    let findings = world.model.snapshot().findings;
    assert_eq!(
        findings.iter().map(|finding| (finding.kind, finding.sock)).collect::<Vec<_>>(),
        [("uneven-workers", 2)]
    );
    assert_eq!(findings[0].headline, "One of 2 listeners takes 90 % of the accepts.");
    assert_well_written(&world);
}

#[test]
fn listeners_of_two_namespaces_that_had_one_number_are_no_group() {
    let later = ListenerSample { netns_cookie: Some(71), ..listener(2, 128) };
    let mut world = World::new("full", vec![listener(1, 128), later]);
    for step in 0..1_000_u32 {
        world.now += 3 * MS;
        world.accept(usize::from(step % 10 != 0), 1, 60_000, 10_000);
        if step % 100 == 99 {
            world.sample_after(0);
        }
    }
    assert_eq!(world.finding("uneven-workers"), None);
}
