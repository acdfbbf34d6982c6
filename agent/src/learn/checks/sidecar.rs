//! A proxy beside each program: what it adds to a request.

use std::collections::BTreeSet;

use super::traffic::{behind, exchanges_on, latency_us, of_clients, scenario};
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{ConnectionView, Owner},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("clients", "connections of the client"),
        Spec::count("requests", "requests of the client that were answered"),
        Spec::count("accepts", "connections accepted, by any program"),
        Spec::count("programs", "programs that accepted a connection"),
        Spec::count("slow", "connections on which an answer took 15 ms or longer"),
        Spec::word("protocol", "protocol between the sidecars"),
        Spec::count("proxies", "proxies that left their mark on an answer"),
        Spec::time("median", "time to an answer, by the client's clock (median)"),
        Spec::time("first", "all waits of the client for its sidecar"),
        Spec::time("last", "all waits of the server's sidecar for the server"),
        Spec::time("added", "the rest: sidecars, and the way between them"),
        Spec::count("calls", "reads and writes that moved bytes, of all programs"),
        Spec::time("cpu", "processor time of all programs but the client, start and end included"),
    ],
    scenario,
    gather,
    picture,
};

/// A time that only a server exceeds that was told to wait for 20 ms, µs.
const SLOW_US: u64 = 15_000;

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let clients: Vec<_> = of_clients(evidence).collect();
    let hops = hops(evidence);
    facts.whole("clients", clients.len() as u64);
    facts.whole("requests", evidence.number_before(Who::Client, "answered"));
    facts.whole("accepts", evidence.accepts().count() as u64);
    let programs: BTreeSet<_> = evidence.accepts().map(|accept| accept.pid).collect();
    facts.whole("programs", programs.len() as u64);
    let is_slow =
        |end: &&&ConnectionView| matches!(&end.worst, Some(worst) if worst.total_us >= SLOW_US);
    facts.whole("slow", hops.iter().filter(is_slow).count() as u64);
    if let Some(protocol) = hops.get(1).and_then(|end| end.protocol) {
        facts.word("protocol", protocol.name());
    }
    facts.whole("proxies", evidence.number_after(Who::Client, "proxies"));
    facts.whole("median", latency_us(evidence, "p50"));
    let waited = |end: &&ConnectionView| {
        let waits = exchanges_on(evidence, std::iter::once(*end));
        sum(waits.iter().map(|wait| wait.total_us))
    };
    let first = hops.first().map(waited);
    // On the connection between the sidecars the exchanges are bursts of HTTP/2, not requests.
    let last = hops.get(2).map(waited);
    facts.whole("first", first);
    facts.whole("last", last);
    if let (Some(first), Some(last)) = (first, last) {
        facts.whole("added", first.checked_sub(last));
    }
    let sides = [Role::Client, Role::Server].into_iter();
    let exchanges = sides.flat_map(|role| evidence.views(role));
    facts.whole("calls", sum(exchanges.map(|one| u64::from(one.reads) + u64::from(one.writes))));
    let mut cpu = evidence.named(Who::Server, "switches", "cpu_us").peekable();
    if cpu.peek().is_some() {
        facts.whole("cpu", sum(cpu));
    }
}

/// The connections of the chain by their clients' ends, from the client on: each was made after the
/// one before.
fn hops(evidence: &Evidence) -> Vec<&ConnectionView> {
    let mut hops: Vec<_> = of_clients(evidence).chain(behind(evidence)).collect();
    hops.sort_by_key(|end| end.since_ns);
    hops
}

/// Each program's wait within that of the one before; without sidecars, what they cost.
fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    if facts.figure("last").is_some() {
        let shells = vec![
            Bar::of(facts, "first", "the client waits for its sidecar", Owner::Peer),
            Bar::of(facts, "last", "the server's sidecar waits for the server", Owner::App),
        ];
        return Picture::Nested {
            title: "all waits for the answers, one within the other".to_owned(),
            shells,
        };
    }
    let bars = vec![
        Bar::of(facts, "1.calls", "reads and writes with sidecars", Owner::App),
        Bar::of(facts, "calls", "reads and writes without", Owner::App),
    ];
    Picture::Bars { title: "the same requests and answers".to_owned(), bars }
}
