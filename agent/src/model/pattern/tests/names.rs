//! Each pattern by its name: who accepts, who reads, who writes.

use super::site::{MAIN, Site, process, thread};
use crate::model::event::{Event, InAccept, Process, ProcessChange, ThreadSample, WaitKind};
use crate::model::snapshot::{Io, PatternName, Units};
use crate::model::tests::world::{LISTENER, MS, START, listener};

#[test]
fn one_thread_for_all() {
    let site = Site::new()
        .with_threads(&[MAIN], WaitKind::Events)
        .busy(|site, _| site.visit(0, MAIN, MAIN, MAIN));
    let view = site.is(PatternName::SingleThread, Units::Threads, Some(Io::EventLoop));
    assert_eq!(view.headline, "1 thread accepts, reads and writes");
    assert!(
        view.evidence
            .contains(&"60 of 60 connections: served by the thread that accepts".to_owned()),
        "{view:#?}"
    );
    let thread = &view.threads[0];
    assert_eq!((thread.accepts, thread.reads, thread.writes, thread.connections), (60, 60, 60, 60));
}

#[test]
fn one_accepts_and_others_read() {
    let pool = [thread(1), thread(2), thread(3), thread(4)];
    let site =
        Site::new().with_threads(&[MAIN], WaitKind::Events).with_threads(&pool, WaitKind::Lock);
    let site = site.busy(|site, n| {
        let reader = thread(1 + n % 4);
        site.visit(0, MAIN, reader, reader);
    });
    let view = site.is(PatternName::AcceptorPlusReaders, Units::Threads, Some(Io::Mixed));
    // The facts read 50 µs after the data were there.
    assert_eq!((view.handoff.count, view.handoff.p50), (60, 50));
    assert_eq!(view.headline, "1 thread accepts, 4 read and write, hand-off 50 µs");
    assert!(view.uneven.is_empty());
}

#[test]
fn connections_handed_to_processes() {
    let workers = [MAIN, process(1), process(2)];
    let site = Site::new().with_threads(&workers, WaitKind::Events).busy(|site, n| {
        let reader = process(1 + n % 2);
        site.visit(0, MAIN, reader, reader);
    });
    let view = site.is(PatternName::AcceptorPlusReaders, Units::Processes, Some(Io::EventLoop));
    assert_eq!(view.headline, "1 thread accepts, 2 processes read and write, hand-off 50 µs");
}

#[test]
fn messages_written_by_others() {
    let pool = [thread(1), thread(2)];
    let site =
        Site::new().with_threads(&[MAIN], WaitKind::Events).with_threads(&pool, WaitKind::Lock);
    let site = site.busy(|site, n| site.visit(0, MAIN, MAIN, thread(1 + n % 2)));
    site.is(PatternName::MessageLoadBalancing, Units::Threads, Some(Io::EventLoop));
}

#[test]
fn messages_worked_on_by_others() {
    let site = Site::new().with_threads(&[MAIN, thread(1), thread(2)], WaitKind::Events).busy(
        |site, _| {
            let sock = site.accept(0, MAIN);
            (1..=4).for_each(|seq| site.exchange(sock, seq, MAIN, MAIN));
            site.world.threads[1].runs += 2;
            site.world.threads[2].runs += 2;
            site.world.now += 10 * MS;
        },
    );
    let last = site.world.model.snapshot().patterns.remove(0);
    assert_eq!(
        (last.name, last.units),
        (PatternName::MessageLoadBalancing, Some(Units::Threads)),
        "{last:#?}"
    );
    let expected = "2 other threads of the process ran 1.0 times for each read";
    assert!(last.evidence.iter().any(|text| text.contains(expected)));
}

#[test]
fn several_accept_on_one_listener() {
    let threads = [thread(1), thread(2), thread(3)];
    let site = Site::new().with_threads(&threads, WaitKind::Accept).busy(|site, n| {
        let worker = thread(1 + n % 3);
        site.visit(0, worker, worker, worker);
    });
    site.is(PatternName::MultipleAcceptors, Units::Threads, Some(Io::Blocking));

    let mut site = Site::new().with_threads(&[MAIN, process(1), process(2)], WaitKind::Events);
    site.world.listeners[0].holders = vec![4242, 5_001, 5_002];
    let site = site.busy(|site, n| {
        let worker = process(1 + n % 2);
        site.visit(0, worker, worker, worker);
    });
    let view = site.is(PatternName::MultipleAcceptors, Units::Processes, Some(Io::EventLoop));
    assert_eq!(view.headline, "2 processes accept on one listener and serve what they took");
}

#[test]
fn who_waits_for_a_listener_counts_as_accepting() {
    let mut site = Site::new().with_threads(&[MAIN], WaitKind::Accept);
    let inside = InAccept { pid: MAIN.0, tid: 5_001, listener: LISTENER, since_ns: START };
    site.world.in_accept.push(inside);
    let site = site.busy(|site, _| site.visit(0, MAIN, MAIN, MAIN));
    site.is(PatternName::MultipleAcceptors, Units::Threads, Some(Io::Blocking));
}

#[test]
fn a_listener_for_each() {
    let mut site = Site::new().with_threads(&[MAIN, process(1), process(2)], WaitKind::Events);
    site.world.listeners = [7, 8].map(|sock| listener(sock, 128)).into();
    let site = site.busy(|site, n| {
        let worker = process(1 + n % 2);
        site.visit((n % 2) as usize, worker, worker, worker);
    });
    let view = site.is(PatternName::SocketSharding, Units::Processes, Some(Io::EventLoop));
    assert!(
        view.evidence[0].starts_with("2 processes accept on 2 listeners at 0.0.0.0:8080"),
        "{view:#?}"
    );
}

#[test]
fn a_thread_begins_for_each() {
    let site = Site::new().with_threads(&[MAIN], WaitKind::Accept).busy(|site, n| {
        // Half of them live long enough to be looked at.
        if n % 2 == 0 {
            let (tid, started_ns) = (thread(n).1, site.world.now);
            let thread = ThreadSample { pid: MAIN.0, tid, started_ns, ..ThreadSample::default() };
            site.world.threads.push(thread);
        }
        site.visit(0, MAIN, thread(n), thread(n));
    });
    site.is(PatternName::ThreadPerConnection, Units::Threads, Some(Io::Blocking));
}

#[test]
fn a_process_begins_for_each() {
    let site = Site::new().with_threads(&[MAIN], WaitKind::Several).busy(|site, n| {
        let sock = site.accept(0, MAIN);
        let (ts_ns, pid) = (site.world.now + MS, process(n).0);
        let change = ProcessChange::Forked { parent: MAIN.0 };
        site.world.apply(Event::Process(Process { ts_ns, pid, comm: "child".into(), change }));
        site.exchange(sock, 1, process(n), process(n));
        site.world.now += 10 * MS;
    });
    site.is(PatternName::ProcessPerConnection, Units::Processes, Some(Io::Blocking));
}
