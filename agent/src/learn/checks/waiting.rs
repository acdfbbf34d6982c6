//! One thread that waits for many clients: how long they wait for it, and the system calls that it
//! takes.

use std::collections::BTreeSet;

use super::traffic::{latency_us, of_clients, scenario};
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{event::Role, snapshot::Owner},
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("clients", "connections that the clients made"),
        Spec::count("requests", "requests that were answered"),
        Spec::count("threads", "threads that accepted"),
        Spec::time("typical", "time to an answer, by the clients' clocks (median)"),
        Spec::time("slowest", "the longest time to an answer, by the clients' clocks"),
        Spec::time("queued", "the longest that a connection lay in the accept queue"),
        Spec::count("calls", "system calls of the server, by its own count"),
        Spec::count("waits", "calls that wait for all connections at once"),
        Spec::count("reads", "calls that read"),
        Spec::count("writes", "calls that write"),
        Spec::count("accepts", "calls that accept"),
    ],
    scenario,
    gather,
    picture,
};

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("clients", of_clients(evidence).count() as u64);
    facts.whole("requests", evidence.number_before(Who::Client, "answered"));
    let threads: BTreeSet<_> = evidence.accepts().map(|accept| accept.tid).collect();
    facts.whole("threads", threads.len() as u64);
    facts.whole("typical", latency_us(evidence, "p50"));
    facts.whole("slowest", latency_us(evidence, "max"));
    let ends = evidence.connections(Role::Server);
    facts.whole("queued", ends.iter().filter_map(|end| end.queued_us).max());
    // The last line is the sum of all.
    let told = |name| evidence.named(Who::Server, "calls", name).max();
    let names = [
        ("calls", "all"),
        ("waits", "wait"),
        ("reads", "read"),
        ("writes", "write"),
        ("accepts", "accept"),
    ];
    for (fact, name) in names {
        facts.whole(fact, told(name));
    }
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        Bar::of(facts, "requests", "requests", Owner::Peer),
        Bar::of(facts, "waits", "calls that wait for all", Owner::App),
        Bar::of(facts, "reads", "calls that read", Owner::App),
        Bar::of(facts, "writes", "calls that write", Owner::App),
        Bar::of(facts, "calls", "all calls of the server", Owner::App),
    ];
    Picture::Bars { title: "system calls of one thread".to_owned(), bars }
}
