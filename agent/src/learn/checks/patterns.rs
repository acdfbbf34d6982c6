//! Servers of any pattern, and clients that ask all at once: who accepts, who reads, who answers,
//! and who waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, median, sum, time},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::{Role, SockId},
        snapshot::{ExchangeView, SliceKind},
    },
    text::duration_us,
};

/// Many requests at once, and what became of each.
pub(in crate::learn) static CROWD: Check = CHECK;
/// One request, step by step.
pub(in crate::learn) static ONE: Check = Check { picture: request, ..CHECK };
/// One connection, from hand to hand.
pub(in crate::learn) static HANDS: Check = Check { picture: connection, ..CHECK };

const CHECK: Check = Check {
    knobs: &["server", "clients"],
    facts: &[
        Spec::count("clients", "clients that asked, all at once"),
        Spec::time("quickest", "the quickest answer, by the client's own clock"),
        Spec::time("median", "the median answer, by the client's own clock"),
        Spec::time("slowest", "the slowest answer, by the client's own clock"),
        Spec::time("queue", "the slowest request: time unread in the receive queue"),
        Spec::time("run_queue", "the slowest request: time that a thread was ready and had no CPU"),
        Spec::time("app", "the slowest request: time from the server's read to its answer"),
        Spec::word("holder", "who held most of the slowest request's time"),
        Spec::count("listening", "processes that listen"),
        Spec::count("accepting", "threads that accepted"),
        Spec::count("reading", "threads that read from connections"),
        Spec::count("writing", "threads that wrote to connections"),
        Spec::count(
            "hands",
            "threads that had a hand in one connection: listen, accept, read, write",
        ),
        Spec::count("busiest", "requests that the busiest thread answered"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let server = knobs.text("server", "thread-per-connection");
    Scenario::server(&server).clients_together(knobs.number("clients", 1), "client")
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let took = || evidence.named(Who::Client, "asked", "us");
    facts.whole("clients", took().count() as u64);
    facts.whole("quickest", took().min());
    facts.whole("median", median(took()));
    facts.whole("slowest", took().max());
    if let Some((_, slowest)) = slowest(evidence) {
        facts.whole("queue", time(slowest, SliceKind::ReceiveQueue));
        facts.whole("run_queue", time(slowest, SliceKind::RunQueue));
        facts.whole("app", time(slowest, SliceKind::App));
        facts.word("holder", held_most(slowest).owner().name());
    }
    let listening: BTreeSet<_> = evidence.listeners().iter().map(|listener| listener.pid).collect();
    let accepting: BTreeSet<_> = evidence.accepts().map(|accept| accept.tid).collect();
    facts.whole("listening", listening.len() as u64);
    facts.whole("accepting", accepting.len() as u64);
    let mut reading = BTreeSet::new();
    let mut answered = BTreeMap::<u32, u64>::new();
    for exchange in evidence.views(Role::Server) {
        reading.extend(exchange.read_tid);
        if let Some(tid) = exchange.write_tid {
            *answered.entry(tid).or_default() += 1;
        }
    }
    facts.whole("reading", reading.len() as u64);
    facts.whole("writing", answered.len() as u64);
    facts.whole("busiest", answered.into_values().max());
    facts.whole("hands", hands(evidence));
}

/// Slices that are the server's to answer for: not those in which the connection came about, nor
/// those in which the answer arrived.
const SERVED: [SliceKind; 3] = [SliceKind::ReceiveQueue, SliceKind::RunQueue, SliceKind::App];

fn served_us(exchange: &ExchangeView) -> u64 {
    sum(SERVED.into_iter().map(|kind| time(exchange, kind)))
}

fn held_most(exchange: &ExchangeView) -> SliceKind {
    SERVED.into_iter().max_by_key(|kind| time(exchange, *kind)).unwrap_or(SliceKind::Unknown)
}

/// Threads that had to do with the first connection that was seen whole. A process listens by its
/// first thread.
fn hands(evidence: &Evidence) -> Option<u64> {
    let listener = evidence.listeners().first()?;
    evidence.accepts().find_map(|accept| {
        let (_, exchange) =
            evidence.exchanges(Role::Server).find(|(sock, _)| *sock == accept.sock)?;
        let hands =
            BTreeSet::from([listener.pid, accept.tid, exchange.read_tid?, exchange.write_tid?]);
        Some(hands.len() as u64)
    })
}

/// The slowest request, once it is there.
fn request(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    match slowest(evidence) {
        Some((sock, exchange)) => evidence.request_steps(sock, exchange),
        None => Picture::nothing(),
    }
}

/// The slowest request from the handshake on. The client was told to wait before it asks, so that
/// time is nobody's doing.
fn connection(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    match slowest(evidence) {
        Some((sock, exchange)) => evidence.steps_but(&[SliceKind::Request], sock, exchange),
        None => Picture::nothing(),
    }
}

fn slowest(evidence: &Evidence) -> Option<(SockId, &ExchangeView)> {
    evidence.exchanges(Role::Server).max_by_key(|(_, exchange)| served_us(exchange))
}

/// Every request by its time, the quickest first: who answered it, and what held it.
fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    let mut exchanges: Vec<_> = evidence.views(Role::Server).collect();
    exchanges.sort_by_key(|exchange| served_us(exchange));
    let mut bars = Vec::new();
    for exchange in exchanges {
        let (us, kind) = (served_us(exchange), held_most(exchange));
        bars.push(Bar {
            label: match exchange.write_tid {
                Some(tid) => evidence.thread_name(tid),
                None => "nobody".into(),
            },
            length: us as f64,
            figure: format!("{}  {:13}", duration_us(us), kind.name().replace('_', " ")),
            owner: kind.owner(),
            fact: None,
        });
    }
    let title = "each request: who answered it, how long it took, and what held it most".to_owned();
    Picture::Bars { title, bars }
}
