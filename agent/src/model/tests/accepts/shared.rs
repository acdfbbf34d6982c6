//! Who waits for a listener, and how they share what comes.

use super::assert_well_written;
use crate::model::event::Waiting;
use crate::model::snapshot::Owner;
use crate::model::tests::world::{LISTENER, MS, SECOND, World, address, listener};

/// A thread that waits for the listener by epoll.
pub(in crate::model::tests) fn waits(tid: u32, exclusive: bool) -> Waiting {
    Waiting { pid: 4242, tid, listener: LISTENER, epoll: tid, exclusive, switches: 0 }
}

/// One of four threads takes nearly all, while these wait; calls last so long, and connections wait
/// so long.
pub(in crate::model::tests) fn uneven(
    waiting: Vec<Waiting>,
    call_ns: u64,
    waited_ns: u64,
) -> World {
    let mut world = World::with_limit(128);
    world.waiting = waiting;
    for step in 0..1_000_u32 {
        world.now += 3 * MS;
        world.accept(0, if step % 50 < 47 { 1 } else { 2 + step % 3 }, waited_ns, call_ns);
        if step % 100 == 99 {
            world.sample_after(0);
        }
    }
    world
}

/// One of two listeners of a group takes nearly all.
pub(in crate::model::tests) fn uneven_group() -> World {
    let mut world = World::new("full", vec![listener(1, 128), listener(2, 128)]);
    for step in 0..1_000_u32 {
        world.now += 3 * MS;
        world.accept(usize::from(step % 10 != 0), 1, 60_000, 10_000);
        if step % 100 == 99 {
            world.sample_after(0);
        }
    }
    world
}

#[test]
fn epoll_exclusive_is_blamed_only_where_it_was_seen() {
    let uneven = |waiting: Vec<Waiting>, call_ns: u64| {
        let world = uneven(waiting, call_ns, 60_000);
        assert_well_written(&world);
        world.finding("uneven-workers").expect("a finding")
    };
    let (found_there, waited) = (10_000, 900_000);
    let exclusive = uneven(vec![waits(1, true), waits(2, true)], found_there);
    assert!(
        exclusive.text.contains("wait in epoll with EPOLLEXCLUSIVE")
            && exclusive.owner == Owner::Kernel
    );
    let alike = uneven(vec![waits(1, false), waits(2, false)], found_there);
    assert!(
        alike.text.contains("without EPOLLEXCLUSIVE") && alike.owner == Owner::Unknown,
        "{:?}",
        alike.text
    );
    for unseen in
        [uneven(vec![], found_there), uneven(vec![waits(1, true), waits(2, false)], found_there)]
    {
        assert!(
            !unseen.text.contains("EPOLLEXCLUSIVE") && unseen.owner == Owner::Unknown,
            "{:?}",
            unseen.text
        );
    }
    let blocking = uneven(vec![], waited);
    assert!(
        !blocking.text.contains("epoll") && !blocking.text.contains("event loops"),
        "{:?}",
        blocking.text
    );
}

#[test]
fn others_at_the_same_place_are_in_the_view() {
    let other = crate::model::event::OtherListener {
        pid: 77,
        comm: "old".into(),
        local: address("0.0.0.0:8080"),
        depth: 5,
        limit: 8,
    };
    let mut world = World::with_limit(8);
    world.listeners[0].others = vec![other.clone()];
    world.sample_after(SECOND);
    assert_eq!(world.view().others, [other]);
}
