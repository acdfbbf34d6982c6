//! Connections that end in the queue.

use super::{assert_well_written, evidence};
use crate::model::event::LeftQueue;
use crate::model::snapshot::{Owner, Severity};
use crate::model::tests::world::{LISTENER, MS, SECOND, World, listener};

/// So many clients gave up after a second each, and five left at once.
pub(in crate::model::tests) fn left(late: u64) -> World {
    let mut world = World::with_limit(128);
    world.sample_after(SECOND);
    world.listeners[0].left =
        Some(LeftQueue { closed: late, reset: 5, late, late_us: late * 1_000_000, cut: 0 });
    world.sample_after(SECOND);
    world
}

#[test]
fn clients_that_give_up_waiting_are_the_applications() {
    let world = left(20);
    let finding = world.finding("abandoned").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Warning));
    assert_eq!(finding.headline, "20 clients gave up waiting to be accepted.");
    assert!(
        finding.text.contains("after a mean of 1.00 s in the accept queue"),
        "{:?}",
        finding.text
    );
    assert!(!finding.text.contains("reset by") && finding.fix.contains("between two accepts"));
    assert_eq!(
        (evidence(&finding, "gave_up"), evidence(&finding, "reset_by_close")),
        (Some(20.0), Some(0.0))
    );
    assert_well_written(&world);
}

#[test]
fn whoever_connects_and_closes_at_once_is_no_loss() {
    let mut world = World::with_limit(128);
    for round in 1..=20 {
        world.listeners[0].left =
            Some(LeftQueue { closed: round * 50, reset: round * 50, ..LeftQueue::default() });
        world.sample_after(SECOND);
    }
    assert_eq!(world.model.snapshot().findings, []);
}

/// One of a group of so many listeners closed with 17 connections in its queue.
pub(in crate::model::tests) fn member_closed(members: u64) -> World {
    let listeners: Vec<_> = (0..members).map(|n| listener(LISTENER + n, 128)).collect();
    let mut world = World::new("tracepoint", listeners);
    world.sample_after(SECOND);
    world.listeners[0].closed_ns = Some(world.now + 500 * MS);
    world.listeners[0].left = Some(LeftQueue { cut: 17, ..LeftQueue::default() });
    world.sample_after(SECOND);
    world
}

#[test]
fn a_listener_that_closes_with_a_queue_resets_it() {
    let told = |members: u64| {
        let world = member_closed(members);
        assert_well_written(&world);
        world.finding("abandoned").expect("a finding")
    };
    let alone = told(1);
    assert_eq!((alone.owner, alone.severity), (Owner::App, Severity::Warning));
    assert_eq!(alone.headline, "Closing the listener reset 17 connections in its queue.");
    assert!(
        !alone.text.contains("SO_REUSEPORT") && !alone.fix.contains("tcp_migrate_req"),
        "{alone:?}"
    );
    let member = told(2);
    assert!(
        member.text.contains("Another listener at this address (SO_REUSEPORT) is still open"),
        "{:?}",
        member.text
    );
    assert!(member.fix.contains("net.ipv4.tcp_migrate_req=1"));
    assert!(told(4).text.contains("3 other listeners"));
}
