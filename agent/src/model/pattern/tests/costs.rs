//! What findings say of families, and what patterns cost in memory.

use super::super::MAX_LISTENERS;
use super::{MAIN, Site, thread};
use crate::model::event::{ListenerSample, Role, WaitKind, Waiting};
use crate::model::snapshot::Severity;
use crate::model::tests::connections::opened;
use crate::model::tests::world::{LISTENER, SECOND, World, address, listener};

#[test]
fn one_reader_with_most_of_the_work_is_found() {
    let pool = [thread(1), thread(2), thread(3), thread(4)];
    let mut site =
        Site::new().with_threads(&[MAIN], WaitKind::Events).with_threads(&pool, WaitKind::Events);
    for second in 0..4 {
        for n in 0..100 {
            let reader = thread(1 + if n % 10 == 0 { n / 10 % 4 } else { 0 });
            site.visit(0, MAIN, reader, reader);
        }
        site.world.threads[1].cpu_ns = second * SECOND * 95 / 100;
        site.world.sample_after(0);
    }
    let finding = site.world.finding("uneven-workers").expect("a finding");
    assert_eq!(
        (finding.severity, finding.sock),
        (Severity::Warning, u64::from(MAIN.0)),
        "{finding:#?}"
    );
    let view = site.world.model.snapshot().patterns.remove(0);
    assert_eq!(view.uneven, [thread(1).1]);
}

fn waiting(n: u32, exclusive: bool) -> Waiting {
    Waiting {
        pid: MAIN.0,
        tid: thread(n).1,
        listener: LISTENER,
        epoll: 10 + n,
        exclusive,
        switches: 0,
    }
}

/// Eight threads wait, and all of them wake for each connection unless they wait exclusively.
fn herd(exclusive: bool) -> Site {
    let mut site = Site::new();
    site.world.waiting = (0..8).map(|n| waiting(n, exclusive)).collect();
    for _ in 0..4 {
        for n in 0..20 {
            site.visit(0, thread(n % 8), thread(n % 8), thread(n % 8));
            site.world.waiting.iter_mut().for_each(|thread| thread.switches += 1);
        }
        site.world.sample_after(SECOND);
    }
    site
}

#[test]
fn wakeups_for_nothing_are_found() {
    let finding = herd(false).world.finding("thundering-herd").expect("a finding");
    assert_eq!((finding.severity, finding.sock), (Severity::Info, LISTENER));
    let evidence =
        |name: &str| finding.evidence.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    // Of eight wakeups three are for the connection, its message and its end.
    assert_eq!(
        (evidence("wakeups"), evidence("wasted"), evidence("waiters")),
        (Some(160.0), Some(100.0), Some(8.0))
    );
    assert_eq!(herd(true).world.finding("thundering-herd"), None);
}

#[test]
fn empty_accepts_of_several_tell_a_herd_and_those_of_one_do_not() {
    let found = |workers: u32| {
        let mut site = Site::new().busy(|site, n| {
            site.visit(0, thread(n % workers), thread(n % workers), thread(n % workers));
            site.world.listeners[0].eagain += 3;
        });
        site.world.sample_after(SECOND);
        site.world.finding("thundering-herd").is_some()
    };
    assert_eq!([found(1), found(3)], [false, true]);
}

#[test]
fn memory_is_bounded() {
    let mut world = World::with_limit(128);
    world.listeners.clear();
    for sock in 0..MAX_LISTENERS as u64 + 50 {
        let local = address(&format!("10.0.0.1:{}", 1_000 + sock));
        world.listeners.push(ListenerSample { local, ..listener(sock, 1) });
    }
    for _ in 0..3 {
        for at in 0..world.listeners.len() {
            (0..3).for_each(|n| world.accept(at, n, 0, 0));
        }
        world.sample_after(SECOND);
    }
    (0..2_000).for_each(|n| world.accept(0, n, 0, 0));
    let patterns = &world.model.patterns;
    assert_eq!(
        (patterns.listeners.len(), patterns.listeners[&0].connections.len()),
        (MAX_LISTENERS, 256)
    );
    assert_eq!(patterns.listeners[&0].threads.len(), 256);
    assert_eq!(
        patterns.histories.len(),
        patterns.listeners.values().map(|listener| listener.connections.len()).sum::<usize>()
    );
    world.listeners.iter_mut().for_each(|listener| listener.closed_ns = Some(world.now));
    world.sample_after(SECOND);
    world.listeners = vec![listener(9_999, 1)];
    world.accept(0, 1, 0, 0);
    assert_eq!(world.model.patterns.listeners.len(), MAX_LISTENERS);
    assert!(world.model.patterns.listeners.contains_key(&9_999), "a closed one gave way");
    world.listeners.clear();
    (5_000..10_000).for_each(|sock| world.apply(opened(sock, Role::Server, true)));
    world.sample_after(SECOND);
    assert!(world.model.patterns.orphans.is_empty());
}
