//! Servers in miniature: workers to which connections come at a rate.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::model::event::{
    Accept, Event, Exchange, ListenerSample, Opened, Role, SockId, Stage, ThreadSample, ThreadUse,
    WaitKind,
};
use crate::model::tests::connections::{closed, opened};
use crate::model::tests::facts::{Build, client, server};
use crate::model::tests::world::{LISTENER, MS, SECOND, START, World, address, listener};

/// Workers that each serve one connection at a time, and close it when they have answered.
#[derive(Clone, Debug)]
pub(in crate::model::tests) struct Pool {
    /// Place of its listener in the world.
    pub(super) at: usize,
    /// Its processes are numbered from here on.
    pub(super) first: u32,
    /// When each of them is free.
    free_ns: Vec<u64>,
    /// The time that it takes for an answer, and that the connection stays open after it.
    answer_ns: u64,
    pub(super) open_ns: u64,
    /// The call in which it is seen asleep.
    pub(super) sleep: WaitKind,
    /// The server that it calls for each request, and waits for.
    pub(super) calls: Option<SocketAddr>,
    /// Connections that wait, by their time.
    pub(super) queue: VecDeque<u64>,
    /// Time between two connections that come.
    pub(super) every_ns: u64,
    pub(super) next_ns: u64,
    next_sock: SockId,
}

impl Pool {
    pub(in crate::model::tests) fn new(
        at: usize,
        workers: usize,
        answer_ns: u64,
        a_second: u64,
    ) -> Self {
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

    pub(super) fn come(&mut self, world: &mut World) {
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
            stands_for: 1,
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
pub(in crate::model::tests) fn serve(limits: &[u32], pools: &mut [Pool], seconds: u64) -> World {
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

pub(super) fn go_on(world: &mut World, pools: &mut [Pool], seconds: u64) {
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
pub(in crate::model::tests) fn exhausted() -> World {
    serve(&[16], &mut [Pool::new(0, 2, 250 * MS, 61)], 6)
}

/// The same, with workers that wait for another server.
pub(in crate::model::tests) fn exhausted_by_calls() -> World {
    let mut pool = Pool::new(0, 2, 250 * MS, 61);
    pool.calls = Some(address("10.0.1.1:9001"));
    serve(&[16], &mut [pool], 8)
}
