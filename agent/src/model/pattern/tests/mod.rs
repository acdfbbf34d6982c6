//! Servers in miniature, one for each pattern.

mod costs;

use crate::model::event::{
    Accept, Event, Exchange, InAccept, ListenerSample, Process, ProcessChange, Role, SockId,
    ThreadSample, ThreadUse, WaitKind, Waiting,
};
use crate::model::output::Output;
use crate::model::snapshot::{Io, PatternName, PatternView, Units};
use crate::model::tests::connections::{closed, opened};
use crate::model::tests::facts::{Build, server};
use crate::model::tests::world::{LISTENER, MS, SECOND, START, World, address, listener};

type Id = (u32, u32);

const MAIN: Id = (4242, 4242);

/// A world that knows its threads.
struct Site {
    world: World,
    sock: SockId,
}

impl Site {
    fn new() -> Self {
        Self { world: World::with_limit(128), sock: 5_000 }
    }

    /// Threads that have been there since before the watch.
    fn with_threads(mut self, threads: &[Id], sleep: WaitKind) -> Self {
        let thread = |&(pid, tid): &Id| ThreadSample {
            pid,
            tid,
            parent: if pid == MAIN.0 { 1 } else { MAIN.0 },
            comm: "server".into(),
            started_ns: START - SECOND,
            sleep: Some(sleep),
            ..ThreadSample::default()
        };
        self.world.threads.extend(threads.iter().map(thread));
        self
    }

    fn accept(&mut self, at: usize, by: Id) -> SockId {
        self.sock += 1;
        let now = self.world.now;
        self.world.listeners[at].accepted += 1;
        self.world.apply(Event::Accept(Accept {
            ts_ns: now,
            sock: self.sock,
            listener: self.world.listeners[at].sock,
            local: address("10.0.0.1:8080"),
            peer: address("10.0.0.9:40122"),
            pid: by.0,
            tid: by.1,
            comm: "server".into(),
            fd: Some(9),
            handshake_us: None,
            queued_ns: Some(now),
            queued_estimated: false,
            late: false,
            entered_ns: Some(now),
            depth: 0,
        }));
        self.sock
    }

    fn exchange(&mut self, sock: SockId, seq: u32, reader: Id, writer: Id) {
        let user = |(pid, tid): Id| Some(ThreadUse { pid, tid, ..ThreadUse::default() });
        let mut exchange = Exchange { sock, seq, ..server() }.later(self.world.now - START);
        exchange.inbound().reader = user(reader);
        exchange.outbound().writer = user(writer);
        self.world.apply(Event::Exchange(exchange));
    }

    /// A connection of one exchange.
    fn visit(&mut self, at: usize, acceptor: Id, reader: Id, writer: Id) {
        let sock = self.accept(at, acceptor);
        self.exchange(sock, 1, reader, writer);
        self.world.now += 10 * MS;
        self.world.apply(closed(sock, self.world.now));
    }

    /// Sixty connections, each as the function makes it from its number, over three seconds.
    fn busy(mut self, mut visit: impl FnMut(&mut Self, u32)) -> Self {
        for second in 0..3 {
            (0..20).for_each(|n| visit(&mut self, second * 20 + n));
            self.world.sample_after(SECOND);
        }
        self
    }

    fn told(&self) -> Vec<PatternView> {
        let pattern = |output: &Output| match output {
            Output::Pattern(pattern) => Some(pattern.view.clone()),
            _ => None,
        };
        self.world.out.iter().filter_map(pattern).collect()
    }

    #[track_caller]
    fn is(&self, name: PatternName, units: Units, io: Option<Io>) -> PatternView {
        let told = self.told();
        assert_eq!(told.len(), 1, "{told:#?}");
        let view = self.world.model.snapshot().patterns.remove(0);
        assert_eq!((view.name, view.units, view.io), (name, Some(units), io), "{view:#?}");
        assert_eq!((view.pid, told[0].name), (MAIN.0, name));
        assert!(view.confidence > 0.9 && view.confidence < 1.0, "{view:#?}");
        view
    }
}

fn thread(n: u32) -> Id {
    (MAIN.0, 5_000 + n)
}

fn process(n: u32) -> Id {
    (5_000 + n, 5_000 + n)
}

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

#[test]
fn the_same_events_give_the_same_pattern() {
    let pool = [thread(1), thread(2), thread(3)];
    let mut site = Site::new()
        .with_threads(&[MAIN], WaitKind::Events)
        .with_threads(&pool, WaitKind::Lock)
        .busy(|site, n| {
            let reader = thread(1 + n % 3);
            site.visit(0, MAIN, reader, reader);
        });
    let mut again = World::with_limit(128);
    site.world.given.iter().for_each(|event| again.model.apply(event, &mut again.out));
    again.now = site.world.now;
    site.world.finish();
    again.finish();
    assert!(!site.told().is_empty());
    assert_eq!(site.world.out, again.out);
}

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
fn connections_open_at_the_attach_have_no_acceptor() {
    let mut site = Site::new().with_threads(&[MAIN, thread(1), thread(2)], WaitKind::Events);
    let wait = |listener| Waiting {
        pid: MAIN.0,
        tid: MAIN.1,
        listener,
        epoll: 5,
        exclusive: false,
        switches: 0,
    };
    site.world.waiting.push(wait(LISTENER));
    (1..=8).for_each(|sock| site.world.apply(opened(sock, Role::Server, true)));
    site.world.apply(opened(9, Role::Client, true));
    for seq in 1..=4 {
        for sock in 1..=9 {
            let reader = thread(1 + sock as u32 % 2);
            site.exchange(sock, seq, reader, reader);
        }
        site.world.sample_after(SECOND);
    }
    let view = site.world.model.snapshot().patterns.remove(0);
    assert_eq!(
        (view.name, view.io),
        (PatternName::AcceptorPlusReaders, Some(Io::EventLoop)),
        "{view:#?}"
    );
    let told = "8 of these connections had been opened before the attach: who accepted them was \
                not observed";
    assert!(view.evidence.iter().any(|text| text == told), "{view:#?}");
}

#[test]
fn too_little_is_unknown_and_says_why() {
    let mut site = Site::new().with_threads(&[MAIN], WaitKind::Events);
    site.visit(0, MAIN, MAIN, MAIN);
    site.visit(0, MAIN, MAIN, MAIN);
    (0..5).for_each(|_| site.world.sample_after(SECOND));
    assert!(site.told().is_empty());
    site.world.finish();
    let told = site.told().remove(0);
    assert_eq!((told.name, told.units, told.confidence), (PatternName::Unknown, None, 0.0));
    assert_eq!(told.headline, "too few connections were seen being served");
}

#[test]
fn tasks_that_move_between_threads_have_no_name() {
    let threads = [thread(0), thread(1), thread(2)];
    let site = Site::new().with_threads(&threads, WaitKind::Events).busy(|site, n| {
        let sock = site.accept(0, thread(n % 3));
        (1..=3)
            .for_each(|seq| site.exchange(sock, seq, thread((n + seq) % 3), thread((n + seq) % 3)));
    });
    assert!(site.told().is_empty(), "{:#?}", site.told());
    let view = site.world.model.snapshot().patterns.remove(0);
    assert!(view.headline.contains("a runtime schedules them"), "{view:#?}");
}

#[test]
fn confidence_comes_with_connections_and_their_agreement() {
    let confidence = |own: u32, handed: u32| {
        let mut site = Site::new().with_threads(&[MAIN, thread(1)], WaitKind::Events);
        (0..own).for_each(|_| site.visit(0, MAIN, MAIN, MAIN));
        (0..handed).for_each(|_| site.visit(0, MAIN, thread(1), thread(1)));
        (0..3).for_each(|_| site.world.sample_after(SECOND));
        site.world.model.snapshot().patterns.remove(0).confidence
    };
    let near = |one: f64, other: f64| (one - other).abs() < 0.005;
    assert!(near(confidence(5, 0), 10.0 / 15.0), "{}", confidence(5, 0));
    assert!(near(confidence(50, 0), 100.0 / 105.0));
    assert!(near(confidence(40, 10), 0.8 * 100.0 / 105.0));
    assert_eq!(confidence(30, 30), 0.0);
    assert!(confidence(250, 0) <= 0.99);
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
