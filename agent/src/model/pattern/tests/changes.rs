//! Patterns that change, and families that end.

use super::site::{MAIN, Site, process, thread};
use crate::model::event::{ListenerSample, ThreadSample, WaitKind};
use crate::model::snapshot::{PatternName, Units};
use crate::model::tests::world::{LISTENER, MS, SECOND, listener};

#[test]
fn a_pool_that_grows_is_a_pool() {
    let site = Site::new().with_threads(&[MAIN], WaitKind::Events).busy(|site, n| {
        let reader = thread(n % 8);
        if n < 8 {
            let (tid, started_ns) = (reader.1, site.world.now);
            let thread = ThreadSample { pid: MAIN.0, tid, started_ns, ..ThreadSample::default() };
            site.world.threads.push(thread);
        }
        site.visit(0, MAIN, reader, reader);
    });
    assert_eq!(site.told()[0].name, PatternName::AcceptorPlusReaders);
}

#[test]
fn a_change_is_told_once_it_lasts() {
    let threads = [MAIN, thread(1), thread(2)];
    let mut site = Site::new()
        .with_threads(&threads, WaitKind::Events)
        .busy(|site, _| site.visit(0, MAIN, MAIN, MAIN));
    for _ in 0..300 {
        let reader = thread(1 + site.sock as u32 % 2);
        site.visit(0, MAIN, reader, reader);
    }
    site.world.sample_after(SECOND);
    assert_eq!(site.told().len(), 1, "it does not last yet");
    (0..3).for_each(|_| site.world.sample_after(SECOND));
    let names: Vec<PatternName> = site.told().iter().map(|view| view.name).collect();
    assert_eq!(names, [PatternName::SingleThread, PatternName::AcceptorPlusReaders]);
}

#[test]
fn a_reuseport_member_that_ended_accepts_no_more() {
    let mut site = Site::new().with_threads(&[process(1), process(2)], WaitKind::Events);
    site.world.listeners = [7, 8].map(|sock| listener(sock, 128)).into();
    (site.world.listeners[0].holders, site.world.listeners[1].holders) = (vec![5_001], vec![5_002]);
    let mut site = site.busy(|site, n| {
        let worker = process(1 + n % 2);
        site.visit((n % 2) as usize, worker, worker, worker);
    });
    assert_eq!(site.told()[0].name, PatternName::SocketSharding);
    // The second one ends; its listener is closed in the next sample, and not in the one after
    // that.
    site.world.threads.retain(|thread| thread.pid != 5_002);
    site.world.listeners[1].closed_ns = Some(site.world.now);
    site.world.sample_after(SECOND);
    site.world.listeners.truncate(1);
    let site = site.busy(|site, _| site.visit(0, process(1), process(1), process(1)));
    for view in site.told().iter().chain(&site.world.model.snapshot().patterns) {
        assert!(!view.headline.contains("accept on one listener"), "{view:#?}");
    }
    let last = site.world.model.snapshot().patterns.remove(0);
    assert_eq!(last.name, PatternName::SingleThread, "{last:#?}");
}

#[test]
fn a_worker_that_ended_is_not_counted_any_more() {
    let workers = [process(1), process(2), process(3)];
    let mut site = Site::new().with_threads(&workers, WaitKind::Accept);
    site.world.listeners[0].holders = vec![5_001, 5_002, 5_003];
    let mut site = site.busy(|site, n| {
        let worker = process(1 + n % 3);
        site.visit(0, worker, worker, worker);
    });
    assert!(site.told()[0].headline.starts_with("3 processes accept"), "{:#?}", site.told());
    site.world.threads.retain(|thread| thread.pid != 5_003);
    site.world.listeners[0].holders.pop();
    (0..3).for_each(|_| site.world.sample_after(SECOND));
    let view = site.world.model.snapshot().patterns.remove(0);
    assert!(view.headline.starts_with("2 processes accept on one listener"), "{view:#?}");
}

#[test]
fn a_family_that_ends_stays_what_it_was() {
    // The eldest goes first, then the workers, then the listener: as a service is stopped.
    let mut site = Site::new().with_threads(&[MAIN, process(1), process(2)], WaitKind::Accept);
    site.world.listeners[0].holders = vec![4242, 5_001, 5_002];
    let mut site = site.busy(|site, n| {
        let worker = process(1 + n % 2);
        site.visit(0, worker, worker, worker);
    });
    assert_eq!(site.told()[0].name, PatternName::MultipleAcceptors);
    for gone in [4_242, 5_001, 5_002] {
        site.world.threads.retain(|thread| thread.pid != gone);
        site.world.listeners[0].holders.retain(|pid| *pid != gone);
        site.world.sample_after(500 * MS);
    }
    site.world.listeners[0].closed_ns = Some(site.world.now);
    site.world.sample_after(500 * MS);
    site.world.listeners.clear();
    (0..6).for_each(|_| site.world.sample_after(SECOND));
    site.world.finish();
    let told = site.told();
    assert!(told.iter().all(|view| view.name != PatternName::Unknown), "{told:#?}");
    let last = told.last().expect("told at the end");
    assert_eq!(
        (last.name, last.units),
        (PatternName::MultipleAcceptors, Some(Units::Processes)),
        "{last:#?}"
    );
}

#[test]
fn a_family_that_begins_anew_is_what_it_was_until_enough_is_seen() {
    let pool = [thread(1), thread(2)];
    let site =
        Site::new().with_threads(&[MAIN], WaitKind::Events).with_threads(&pool, WaitKind::Lock);
    let mut site = site.busy(|site, n| site.visit(0, MAIN, thread(1 + n % 2), thread(1 + n % 2)));
    // The listener is closed and opened again at the same place.
    site.world.listeners[0].closed_ns = Some(site.world.now);
    site.world.sample_after(SECOND);
    site.world.listeners = vec![listener(LISTENER + 1, 128)];
    site.visit(0, MAIN, thread(1), thread(1));
    (0..4).for_each(|_| site.world.sample_after(SECOND));
    let names: Vec<PatternName> = site.told().iter().map(|view| view.name).collect();
    assert_eq!(names, [PatternName::AcceptorPlusReaders]);
}

#[test]
fn a_network_namespace_made_anew_is_another_place_whatever_its_number() {
    let anew = |cookie| {
        let site = Site::new().with_threads(&[MAIN], WaitKind::Events);
        let mut site = site.busy(|site, _| site.visit(0, MAIN, MAIN, MAIN));
        site.world.listeners[0].closed_ns = Some(site.world.now);
        site.world.sample_after(SECOND);
        let netns_cookie = Some(cookie);
        site.world.listeners = vec![ListenerSample { netns_cookie, ..listener(LISTENER + 1, 128) }];
        site.visit(0, MAIN, MAIN, MAIN);
        site.world.sample_after(SECOND);
        site.world
            .model
            .patterns
            .groups
            .values()
            .filter_map(|group| Some(group.view.as_ref()?.name))
            .collect::<Vec<_>>()
    };
    assert_eq!(anew(70), [PatternName::SingleThread], "the same namespace");
    assert_eq!(anew(71), [PatternName::SingleThread, PatternName::Unknown]);
}
