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
        snapshot::{ExchangeView, Owner, SliceKind},
    },
    text::{count, duration_us},
};

/// Many requests at once, and what became of each.
pub(in crate::learn) static CROWD: Check = CHECK;
/// One connection, from hand to hand.
pub(in crate::learn) static HANDS: Check = Check { picture: connection, ..CHECK };

const CHECK: Check = Check {
    knobs: &["server", "clients", "requests", "draw"],
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
        Spec::count("hands", "threads that accepted, read from or wrote to one connection"),
        Spec::count("listener_calls", "accepts, reads and writes by the process that listens"),
        Spec::count("early", "connections that were made before anybody was there to accept"),
        Spec::time("waited", "the shortest wait of a connection in the accept queue"),
        Spec::count(
            "rounded",
            "context switches of the server's threads, for each request, rounded",
        ),
        Spec::count("switches", "context switches of the server's threads"),
        Spec::count("busiest", "requests that the busiest thread answered"),
        Spec::count("answered", "requests that were answered"),
        Spec::time(
            "inside",
            "the longest time from the read of a request to the work on it, in the app",
        ),
        Spec::count("per_request", "context switches of the server's threads, for each request"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let server = knobs.text("server", "thread-per-connection");
    let requests = knobs.number("requests", 1);
    // To print a line for each of many requests would change what is measured.
    let trace = if requests == 1 { " --trace" } else { "" };
    Scenario::server(&format!("{server}{trace}"))
        .clients_together(knobs.number("clients", 1), &format!("client --count {requests}"))
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let took = || evidence.named(Who::Client, "asked", "us");
    facts.whole("clients", evidence.lines(Who::Client, "finished").count() as u64);
    facts.whole("answered", took().count() as u64);
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
    facts.whole("listener_calls", listener_calls(evidence, &listening));
    facts.whole("early", early(evidence));
    let waits = evidence.accepts().filter_map(|accept| accept.queued_us());
    facts.whole("waited", waits.min());
    let told = |name| evidence.named(Who::Server, "exchange", name);
    let inside = told("read_ns").zip(told("begun_ns"));
    facts.whole("inside", inside.map(|(read, begun)| begun.saturating_sub(read) / 1_000).max());
    let switches = |name| sum(evidence.named(Who::Server, "switches", name));
    let switched = switches("voluntary").saturating_add(switches("involuntary"));
    let answered = took().count() as f64;
    facts.whole("switches", switched);
    if answered > 0.0 {
        let each = switched as f64 / answered;
        facts.number("per_request", (each * 10.0).round() / 10.0);
        facts.number("rounded", each.round());
    }
}

/// Accepts, reads and writes by the processes that listen. A process that listens by its first
/// thread may do more with it.
fn listener_calls(evidence: &Evidence, listening: &BTreeSet<u32>) -> u64 {
    let accepts = evidence.accepts().filter(|accept| listening.contains(&accept.pid)).count();
    let is_theirs = |tid: Option<u32>| tid.is_some_and(|tid| listening.contains(&tid));
    let exchanges = evidence
        .views(Role::Server)
        .filter(|exchange| is_theirs(exchange.read_tid) || is_theirs(exchange.write_tid));
    (accepts + exchanges.count()) as u64
}

/// Connections whose connect() had returned before the acceptor was forked; `None` where it was not
/// forked.
fn early(evidence: &Evidence) -> Option<u64> {
    let forked_ns = evidence.named(Who::Server, "forked", "at_ns").next()?;
    let made = evidence.lines(Who::Client, "connected").filter(|line| {
        let done = line.split_whitespace().nth(2).and_then(|at| at.parse::<u64>().ok());
        done.is_some_and(|done| done < forked_ns)
    });
    Some(made.count() as u64)
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

/// Threads that had to do with the first connection that was seen whole.
fn hands(evidence: &Evidence) -> Option<u64> {
    evidence.accepts().find_map(|accept| {
        let (_, exchange) =
            evidence.exchanges(Role::Server).find(|(sock, _)| *sock == accept.sock)?;
        let hands = BTreeSet::from([accept.tid, exchange.read_tid?, exchange.write_tid?]);
        Some(hands.len() as u64)
    })
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

/// Context switches of each thread of the server.
fn switches_of_threads(evidence: &Evidence) -> Picture {
    let of = |name| evidence.named(Who::Server, "switches", name);
    let mut bars = Vec::new();
    for ((tid, voluntary), involuntary) in of("tid").zip(of("voluntary")).zip(of("involuntary")) {
        let switches = voluntary.saturating_add(involuntary);
        bars.push(Bar {
            label: evidence.thread_name(tid as u32),
            length: switches as f64,
            figure: count(switches),
            owner: Owner::Kernel,
            fact: None,
        });
    }
    bars.sort_by(|a, b| a.label.cmp(&b.label));
    Picture::Bars { title: "context switches of each thread of the server".to_owned(), bars }
}

/// Every request by its time, the quickest first: who answered it, and what held it.
fn picture(knobs: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    if knobs.text("draw", "requests") == "switches" {
        return switches_of_threads(evidence);
    }
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
