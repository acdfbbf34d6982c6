//! Which finding explains which: servers in miniature with clients that come at a rate.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::connections::{closed, opened};
use super::connects::failed;
use super::facts::{Build, client, server};
use super::processors::{accepted_late, accepted_late_by_quota};
use super::world::{LISTENER, MS, SECOND, START, World, address, listener, udp_socket};
use crate::model::event::{
    Accept, Event, Exchange, ListenerSample, Opened, Outcome, Role, SockId, Stage, ThreadSample,
    ThreadUse, WaitKind,
};
use crate::model::output::{FindingState, Output};
use crate::model::snapshot::{Finding, Severity, chain};

/// Workers that each serve one connection at a time, and close it when they have answered.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// Place of its listener in the world.
    at: usize,
    /// Its processes are numbered from here on.
    first: u32,
    /// When each of them is free.
    free_ns: Vec<u64>,
    /// The time that it takes for an answer, and that the connection stays open after it.
    answer_ns: u64,
    open_ns: u64,
    /// The call in which it is seen asleep.
    sleep: WaitKind,
    /// The server that it calls for each request, and waits for.
    calls: Option<SocketAddr>,
    /// Connections that wait, by their time.
    queue: VecDeque<u64>,
    /// Time between two connections that come.
    every_ns: u64,
    next_ns: u64,
    next_sock: SockId,
}

impl Pool {
    pub(super) fn new(at: usize, workers: usize, answer_ns: u64, a_second: u64) -> Self {
        Self {
            at,
            first: 5_000 + 100 * at as u32,
            free_ns: vec![0; workers],
            answer_ns,
            open_ns: 0,
            sleep: WaitKind::Other,
            calls: None,
            queue: VecDeque::new(),
            every_ns: SECOND / a_second,
            next_ns: START,
            next_sock: 10_000 * (at as u64 + 1),
        }
    }

    fn threads(&self) -> impl Iterator<Item = ThreadSample> {
        let sleep = Some(self.sleep);
        self.pids().map(move |pid| ThreadSample {
            pid,
            tid: pid,
            parent: 4242,
            comm: "worker".into(),
            started_ns: START - SECOND,
            sleep,
            ..ThreadSample::default()
        })
    }

    /// Clients that came until now, and workers that are free: they are served.
    fn step(&mut self, world: &mut World) {
        while self.next_ns <= world.now {
            self.come(world);
            self.next_ns += self.every_ns;
        }
        for worker in 0..self.free_ns.len() {
            if self.free_ns[worker] <= world.now
                && let Some(queued_ns) = self.queue.pop_front()
            {
                self.serve(world, worker, queued_ns);
            }
        }
    }

    fn come(&mut self, world: &mut World) {
        if self.queue.len() > world.listeners[self.at].limit as usize {
            world.refuse(self.at, Stage::Syn);
        } else {
            world.listeners[self.at].queued += 1;
            self.queue.push_back(world.now);
        }
        let depth = self.queue.len() as u32;
        let listener = &mut world.listeners[self.at];
        listener.peak = listener.peak.max(depth);
    }

    fn serve(&mut self, world: &mut World, worker: usize, queued_ns: u64) {
        self.next_sock += 1;
        let (now, sock, pid) = (world.now, self.next_sock, self.first + worker as u32);
        let answered_ns = now + self.answer_ns;
        self.free_ns[worker] = answered_ns + self.open_ns;
        let listener = &mut world.listeners[self.at];
        listener.accepted += 1;
        let (listener, local) = (listener.sock, listener.local);
        world.apply(Event::Accept(Accept {
            ts_ns: now,
            sock,
            listener,
            local,
            peer: address(&format!("10.0.{}.{}:40122", sock / 250 % 250, sock % 250)),
            pid,
            tid: pid,
            comm: "worker".into(),
            fd: Some(9),
            handshake_us: Some(50),
            queued_ns: Some(queued_ns),
            queued_estimated: false,
            late: false,
            entered_ns: Some(now),
            depth: self.queue.len() as u32,
        }));
        let user = Some(ThreadUse { pid, tid: pid, ..ThreadUse::default() });
        let mut exchange = Exchange { sock, ..server() };
        let inbound = exchange.inbound();
        (inbound.first_ns, inbound.last_ns) = (queued_ns, queued_ns);
        (inbound.read_first_ns, inbound.read_last_ns) = (Some(now), Some(now));
        inbound.reader = user;
        let outbound = exchange.outbound();
        (outbound.first_ns, outbound.last_ns) = (answered_ns, answered_ns);
        (outbound.sent_ns, outbound.acked_ns) = (Some(answered_ns), Some(answered_ns + 1_000));
        outbound.writer = user;
        exchange.ts_ns = answered_ns;
        if let Some(peer) = self.calls {
            self.call(world, pid, peer, answered_ns);
        }
        // The model gets these when they happen; the world's clock does not go back.
        world.later.push((answered_ns, Event::Exchange(exchange)));
        world.later.push((self.free_ns[worker], closed(sock, self.free_ns[worker])));
    }
}

impl Pool {
    /// The worker calls another server from now until just before its answer.
    fn call(&self, world: &mut World, pid: u32, peer: SocketAddr, answered_ns: u64) {
        let (now, sock) = (world.now, self.next_sock + 5_000_000);
        let Event::Opened(opened) = opened(sock, Role::Client, false) else { panic!("no") };
        world.apply(Event::Opened(Opened { ts_ns: now, peer, pid, ..opened }));
        let user = Some(ThreadUse { pid, tid: pid, ..ThreadUse::default() });
        let mut exchange = Exchange { sock, ..client() };
        let outbound = exchange.outbound();
        let written_ns = now + 10_000;
        (outbound.first_ns, outbound.last_ns) = (written_ns, written_ns);
        (outbound.sent_ns, outbound.acked_ns) = (Some(written_ns), Some(written_ns + 1_000));
        outbound.writer = user;
        let inbound = exchange.inbound();
        let read_ns = answered_ns - 10_000;
        (inbound.first_ns, inbound.last_ns) = (read_ns - 1_000, read_ns - 1_000);
        (inbound.read_first_ns, inbound.read_last_ns) = (Some(read_ns), Some(read_ns));
        inbound.reader = user;
        exchange.ts_ns = answered_ns;
        world.later.push((answered_ns, Event::Exchange(exchange)));
        world.later.push((answered_ns, closed(sock, answered_ns)));
    }
}

/// A world in which these pools serve for so long, with a sample a second.
pub(super) fn serve(limits: &[u32], pools: &mut [Pool], seconds: u64) -> World {
    let mut listeners = Vec::new();
    for (at, &limit) in limits.iter().enumerate() {
        let port = 8_080 + at as u16;
        let pids: Vec<u32> =
            pools.iter().filter(|pool| pool.at == at).flat_map(Pool::pids).collect();
        listeners.push(ListenerSample {
            local: address(&format!("127.0.0.1:{port}")),
            pid: pids.first().copied().unwrap_or(4242),
            holders: pids,
            ..listener(LISTENER + at as u64, limit)
        });
    }
    let mut world = World::new("full", listeners);
    world.threads = pools.iter().flat_map(Pool::threads).collect();
    go_on(&mut world, pools, seconds);
    world
}

impl Pool {
    fn pids(&self) -> std::ops::Range<u32> {
        self.first..self.first + self.free_ns.len() as u32
    }
}

fn go_on(world: &mut World, pools: &mut [Pool], seconds: u64) {
    for step in 1..=seconds * 200 {
        world.now += 5 * MS;
        world.catch_up();
        for pool in pools.iter_mut() {
            pool.step(world);
        }
        if step % 200 == 0 {
            for pool in pools.iter() {
                world.listeners[pool.at].depth = pool.queue.len() as u32;
            }
            world.sample_after(0);
            for listener in &mut world.listeners {
                listener.peak = 0;
            }
        }
    }
}

/// Two workers of 250 ms, to which 61 connections come a second.
pub(super) fn exhausted() -> World {
    serve(&[16], &mut [Pool::new(0, 2, 250 * MS, 61)], 6)
}

/// The same, with workers that wait for another server.
pub(super) fn exhausted_by_calls() -> World {
    let mut pool = Pool::new(0, 2, 250 * MS, 61);
    pool.calls = Some(address("10.0.1.1:9001"));
    serve(&[16], &mut [pool], 8)
}

fn kinds(world: &World) -> Vec<&'static str> {
    world.model.snapshot().findings.iter().map(|finding| finding.kind).collect()
}

fn cause_of(world: &World, kind: &str) -> Option<&'static str> {
    let finding = world.finding(kind).unwrap_or_else(|| panic!("no {kind} in {:?}", kinds(world)));
    finding.explained_by.map(|cause| cause.kind)
}

fn no_links(world: &World) {
    for finding in world.reported_findings() {
        assert_eq!((&finding.explained_by, finding.explains.len()), (&None, 0), "{finding:#?}");
    }
}

#[test]
fn used_up_workers_are_the_root_of_one_chain() {
    let world = exhausted();
    let findings = world.model.snapshot().findings;
    assert_eq!(kinds(&world), ["slow-app", "accept-starved", "accept-queue-overflow"]);
    let root = &findings[0];
    assert_eq!(
        root.headline,
        "2 workers serve one connection at a time, 250 ms each: 8 a second, more come."
    );
    assert!(root.fix.starts_with("run more workers") && root.fix.contains("answer sooner"));
    assert_eq!(root.severity, Severity::Warning, "the gravest of its chain comes behind it");
    assert_eq!(cause_of(&world, "accept-starved"), Some("slow-app"));
    assert_eq!(cause_of(&world, "accept-queue-overflow"), Some("accept-starved"));
    assert_eq!(root.explains.len(), 1);
    let depths: Vec<_> = findings.iter().map(|one| chain::depth(&findings, one)).collect();
    assert_eq!(depths, [0, 1, 2]);
    assert_eq!(chain::root(&findings, &findings[2]).kind, "slow-app");
    let so = chain::consequences(&findings, root).expect("consequences");
    assert!(so.starts_with("accept queue full → "), "{so:?}");
    assert!(so.ends_with(" SYNs refused a second → clients try again"), "{so:?}");
}

#[test]
fn blocking_workers_are_never_given_a_thread_for_accept() {
    let world = exhausted();
    for finding in world.reported_findings() {
        let fix = &finding.fix;
        assert!(!fix.contains("EAGAIN") || fix.contains("one connection at a time"), "{fix:?}");
        assert!(!fix.contains("own thread"), "{fix:?}");
        let is_open = fix.contains("Where each worker serves one connection at a time");
        assert!(is_open || !fix.contains("thread pool"), "{fix:?}");
    }
    for kind in ["slow-app", "accept-starved", "accept-queue-overflow"] {
        let fix = world.finding(kind).expect("a finding").fix;
        assert!(fix.starts_with("run more workers (gunicorn --workers"), "{fix:?}");
        assert!(!fix.contains("thread"), "{fix:?}");
    }
}

/// What comes is counted where nobody is refused, and so is what would do.
#[test]
fn without_refusals_the_arithmetic_is_whole() {
    let world = serve(&[4_096], &mut [Pool::new(0, 2, 250 * MS, 61)], 6);
    assert_eq!(kinds(&world), ["slow-app", "accept-starved"]);
    let root = world.finding("slow-app").expect("a finding");
    assert_eq!(
        root.headline,
        "2 workers serve one connection at a time, 250 ms each: 8 a second, 61 come."
    );
    assert!(root.fix.contains(" 16 would serve the 61 a second that come."), "{:?}", root.fix);
}

/// Fifteen milliseconds are no slow answer, but two workers serve no more than 133 a second.
#[test]
fn quick_answers_can_be_too_few_workers_as_well() {
    let world = serve(&[4_096], &mut [Pool::new(0, 2, 15 * MS, 300)], 6);
    assert_eq!(kinds(&world)[0], "slow-app", "{:#?}", world.model.snapshot().findings);
    let root = world.finding("slow-app").expect("a finding");
    assert!(root.headline.contains("2 workers serve one connection at a time, 15"), "{root:?}");
    assert!(root.fix.starts_with("run more workers") && !root.text.contains("Every byte"));
}

/// Their clients keep connections open: that holds the workers, and not what they answer.
#[test]
fn connections_that_stay_open_are_not_the_answers_fault() {
    let mut pool = Pool::new(0, 2, 5 * MS, 20);
    pool.open_ns = 400 * MS;
    let world = serve(&[4_096], &mut [pool], 6);
    let starved = world.finding("accept-starved").expect("a finding");
    assert_eq!(starved.explained_by, None);
    assert!(starved.text.contains("2 workers serve one connection at a time, 405"), "{starved:?}");
    assert!(starved.fix.contains("keep-alive"), "{:?}", starved.fix);
    assert_eq!(world.finding("slow-app"), None);
}

#[test]
fn a_healthy_server_has_no_chain() {
    let world = serve(&[16], &mut [Pool::new(0, 4, 10 * MS, 61)], 10);
    assert_eq!(kinds(&world), [""; 0]);
    no_links(&world);
}

/// Answers take long, and there are enough workers.
#[test]
fn slow_answers_with_an_empty_queue_explain_nothing() {
    let world = serve(&[16], &mut [Pool::new(0, 40, 250 * MS, 61)], 6);
    assert_eq!(kinds(&world), ["slow-app"]);
    let headline = world.finding("slow-app").expect("a finding").headline;
    assert!(headline.starts_with("The application takes 250 ms to answer"), "{headline:?}");
    no_links(&world);
}

/// Three hundred come at once, and the workers take a few milliseconds for each.
#[test]
fn a_burst_over_a_short_queue_is_not_explained_by_answers() {
    let mut pools = [Pool::new(0, 4, 5 * MS, 20)];
    let mut world = serve(&[16], &mut pools, 4);
    for _ in 0..40 {
        pools[0].come(&mut world);
    }
    go_on(&mut world, &mut pools, 2);
    assert_eq!(kinds(&world), ["accept-queue-overflow"]);
    assert_eq!(cause_of(&world, "accept-queue-overflow"), None);
    no_links(&world);
}

/// One is exhausted, and at the other one comes a burst.
#[test]
fn faults_of_two_listeners_are_not_linked() {
    let mut pools = [Pool::new(0, 2, 250 * MS, 61), Pool::new(1, 4, 5 * MS, 20)];
    let mut world = serve(&[16, 16], &mut pools, 5);
    for _ in 0..40 {
        pools[1].come(&mut world);
    }
    go_on(&mut world, &mut pools, 1);
    let findings = world.model.snapshot().findings;
    let other = LISTENER + 1;
    let burst: Vec<&Finding> = findings.iter().filter(|one| one.sock == other).collect();
    assert_eq!(burst.len(), 1, "{findings:#?}");
    assert_eq!((burst[0].kind, &burst[0].explained_by), ("accept-queue-overflow", &None));
    for finding in &findings {
        let refs = finding.explains.iter().chain(&finding.explained_by);
        assert!(refs.into_iter().all(|of| of.sock == finding.sock), "{finding:#?}");
    }
    assert_eq!(findings[0].kind, "slow-app", "both chains are critical; the first began earlier");
}

/// The causes come first in the stream, and a finding is reported once with its cause.
#[test]
fn reports_name_their_cause() {
    let world = exhausted();
    let begun = |output: &Output| match output {
        Output::Finding(report) if report.state == FindingState::Begun => {
            Some((report.finding.kind, report.finding.explained_by.clone().map(|by| by.kind)))
        }
        _ => None,
    };
    let begun: Vec<_> = world.out.iter().filter_map(begun).collect();
    assert!(begun.contains(&("accept-queue-overflow", Some("accept-starved"))), "{begun:?}");
    let place = |kind| begun.iter().position(|(other, _)| *other == kind);
    assert!(place("accept-starved") < place("accept-queue-overflow"), "{begun:?}");
}

/// When the load ends, what is left keeps its cause until it ends itself, and says nothing anew.
#[test]
fn a_chain_ends_without_a_flurry() {
    let mut pools = [Pool::new(0, 2, 250 * MS, 61)];
    let mut world = serve(&[16], &mut pools, 6);
    pools[0].every_ns = 3_600 * SECOND;
    pools[0].next_ns = world.now + 3_600 * SECOND;
    let before = world.out.len();
    go_on(&mut world, &mut pools, 16);
    assert_eq!(kinds(&world), [""; 0]);
    for output in &world.out[before..] {
        let Output::Finding(report) = output else { continue };
        if report.state == FindingState::Changed {
            assert!(
                report.finding.kind == "slow-app" || report.finding.explained_by.is_some(),
                "{report:#?}"
            );
        }
    }
    let ended = world.states_of("accept-queue-overflow");
    assert_eq!(ended.last(), Some(&FindingState::Ended));
}

/// A process whose own other listener is full finds no answer when it connects there.
#[test]
fn connects_to_a_full_queue_of_the_same_namespace_follow_from_it() {
    let linked = |netns: u32, to: &str| {
        let mut pools = [Pool::new(0, 2, 250 * MS, 61), Pool::new(1, 1, 5 * MS, 5)];
        let mut world = serve(&[16, 16], &mut pools, 5);
        world.listeners[1].netns = netns;
        for step in 0..5 {
            let from_ns = world.now - START - SECOND + step * 10 * MS;
            let mut connect = failed(address(to), Outcome::GivenUp, from_ns, 900 * MS);
            connect.pid = pools[1].first;
            world.apply(Event::Connect(connect));
        }
        go_on(&mut world, &mut pools, 1);
        let fails = world.finding("connect-fails").expect("a finding");
        fails.explained_by.map(|cause| (cause.kind, cause.sock))
    };
    assert_eq!(linked(1, "127.0.0.1:8080"), Some(("accept-queue-overflow", LISTENER)));
    assert_eq!(linked(2, "127.0.0.1:8080"), None, "it is another loopback interface");
    assert_eq!(linked(1, "127.0.0.1:8081"), None, "that queue has room");
    assert_eq!(linked(1, "10.9.9.9:8080"), None, "it is another host");
}

/// Workers wait for an upstream that is not watched: then its address is all that is known.
#[test]
fn an_upstream_that_nobody_watches_is_named_by_the_root() {
    let world = exhausted_by_calls();
    let root = world.model.snapshot().findings.remove(0);
    assert_eq!(root.kind, "slow-app");
    assert!(root.headline.contains("for calls, most to 10.0.1.1:9001"), "{root:?}");
    assert!(root.text.contains("2 workers serve one connection at a time"), "{root:?}");
    assert!(root.fix.contains("look at 10.0.1.1:9001"), "{root:?}");
    assert_eq!(cause_of(&world, "accept-starved"), Some("slow-app"));
}

/// The upstream is watched, and exhausted: its workers are the root of both chains.
#[test]
fn an_upstream_that_is_watched_is_the_root() {
    let behind = |upstream_netns: u32| {
        let mut front = Pool::new(0, 40, 900 * MS, 20);
        front.calls = Some(address("127.0.0.1:8081"));
        let back = Pool::new(1, 2, 250 * MS, 20);
        let mut pools = [front, back];
        let mut world = serve(&[4_096, 16], &mut pools, 3);
        world.listeners[1].netns = upstream_netns;
        go_on(&mut world, &mut pools, 6);
        world
    };
    let world = behind(1);
    let findings = world.model.snapshot().findings;
    let of_front = findings
        .iter()
        .find(|finding| finding.sock == LISTENER && finding.kind == "slow-app")
        .unwrap_or_else(|| panic!("{findings:#?}"));
    let cause = of_front.explained_by.as_ref().unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!(cause.sock, LISTENER + 1);
    let root = chain::root(&findings, of_front);
    assert_eq!((root.kind, root.sock), ("slow-app", LISTENER + 1));
    assert_eq!(findings[0].sock, LISTENER + 1, "the root comes first");
    let elsewhere = behind(2).model.snapshot().findings;
    let of_front = elsewhere.iter().find(|finding| finding.sock == LISTENER).expect("a finding");
    assert_eq!(of_front.explained_by, None, "it is another loopback interface");
}

/// An event loop (Node, nginx) whose handler takes long: it has no number of connections that it
/// serves at a time, and nobody advises more blocking workers.
#[test]
fn an_event_loop_has_no_capacity_by_connections() {
    let mut pool = Pool::new(0, 1, 250 * MS, 20);
    pool.sleep = WaitKind::Events;
    let world = serve(&[4_096], &mut [pool], 12);
    let starved = world.finding("accept-starved").expect("a finding");
    assert!(starved.evidence.iter().all(|(name, _)| *name != "workers"), "{starved:#?}");
    assert!(starved.fix.contains("keep slow work out of the thread that accepts"), "{starved:?}");
    for finding in world.reported_findings() {
        assert!(!finding.headline.contains("one connection at a time"), "{finding:?}");
    }
}

/// Datagrams have no part in a chain of a listener, though it is the same process.
#[test]
fn a_udp_socket_beside_used_up_workers_is_not_linked() {
    let mut pools = [Pool::new(0, 2, 250 * MS, 61)];
    let mut world = serve(&[16], &mut pools, 4);
    world.datagrams = vec![udp_socket()];
    go_on(&mut world, &mut pools, 1);
    world.datagrams[0].drops += 50;
    go_on(&mut world, &mut pools, 1);
    let udp = world.finding("udp-receive-overflow").expect("a finding");
    assert_eq!((&udp.explained_by, udp.explains.len()), (&None, 0));
    assert_eq!(kinds(&world).iter().filter(|kind| **kind == "slow-app").count(), 1);
}

/// Whoever accepts has no CPU, for want of one or by a quota: then that is the cause.
#[test]
fn waits_for_a_cpu_are_the_cause_of_waits_in_the_queue() {
    assert_eq!(cause_of(&accepted_late(85 * MS), "accept-starved"), Some("cpu-starved"));
    assert_eq!(cause_of(&accepted_late(5 * MS), "accept-starved"), None, "it had one");
    let world = accepted_late_by_quota(85 * MS);
    assert_eq!(cause_of(&world, "accept-starved"), Some("throttled"), "{:?}", kinds(&world));
    assert_eq!(kinds(&world)[0], "throttled");
}
