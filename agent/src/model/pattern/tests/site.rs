//! A server in miniature.

use crate::model::event::{Accept, Event, Exchange, SockId, ThreadSample, ThreadUse, WaitKind};
use crate::model::output::Output;
use crate::model::snapshot::{Io, PatternName, PatternView, Units};
use crate::model::tests::connections::closed;
use crate::model::tests::facts::{Build, server};
use crate::model::tests::world::{MS, SECOND, START, World, address};

pub(super) type Id = (u32, u32);

pub(super) const MAIN: Id = (4242, 4242);

/// A world that knows its threads.
pub(super) struct Site {
    pub(super) world: World,
    pub(super) sock: SockId,
}

impl Site {
    pub(super) fn new() -> Self {
        Self { world: World::with_limit(128), sock: 5_000 }
    }

    /// Threads that have been there since before the watch.
    pub(super) fn with_threads(mut self, threads: &[Id], sleep: WaitKind) -> Self {
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

    pub(super) fn accept(&mut self, at: usize, by: Id) -> SockId {
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
            stands_for: 1,
        }));
        self.sock
    }

    pub(super) fn exchange(&mut self, sock: SockId, seq: u32, reader: Id, writer: Id) {
        let user = |(pid, tid): Id| Some(ThreadUse { pid, tid, ..ThreadUse::default() });
        let mut exchange = Exchange { sock, seq, ..server() }.later(self.world.now - START);
        exchange.inbound().reader = user(reader);
        exchange.outbound().writer = user(writer);
        self.world.apply(Event::Exchange(exchange));
    }

    /// A connection of one exchange.
    pub(super) fn visit(&mut self, at: usize, acceptor: Id, reader: Id, writer: Id) {
        let sock = self.accept(at, acceptor);
        self.exchange(sock, 1, reader, writer);
        self.world.now += 10 * MS;
        self.world.apply(closed(sock, self.world.now));
    }

    /// Sixty connections, each as the function makes it from its number, over three seconds.
    pub(super) fn busy(mut self, mut visit: impl FnMut(&mut Self, u32)) -> Self {
        for second in 0..3 {
            (0..20).for_each(|n| visit(&mut self, second * 20 + n));
            self.world.sample_after(SECOND);
        }
        self
    }

    pub(super) fn told(&self) -> Vec<PatternView> {
        let pattern = |output: &Output| match output {
            Output::Pattern(pattern) => Some(pattern.view.clone()),
            _ => None,
        };
        self.world.out.iter().filter_map(pattern).collect()
    }

    #[track_caller]
    pub(super) fn is(&self, name: PatternName, units: Units, io: Option<Io>) -> PatternView {
        let told = self.told();
        assert_eq!(told.len(), 1, "{told:#?}");
        let view = self.world.model.snapshot().patterns.remove(0);
        assert_eq!((view.name, view.units, view.io), (name, Some(units), io), "{view:#?}");
        assert_eq!((view.pid, told[0].name), (MAIN.0, name));
        assert!(view.confidence > 0.9 && view.confidence < 1.0, "{view:#?}");
        view
    }
}

pub(super) fn thread(n: u32) -> Id {
    (MAIN.0, 5_000 + n)
}

pub(super) fn process(n: u32) -> Id {
    (5_000 + n, 5_000 + n)
}
