//! Many requests on few connections: a proxy with a pool, streams on one connection, and one slow
//! answer among quick ones.

use super::traffic::{behind, latency_us, of_clients, scenario};
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::snapshot::Owner,
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("clients", "connections of the clients"),
        Spec::count("requests", "requests of the clients that were answered"),
        Spec::count("upstream", "connections to the server behind the proxy"),
        Spec::count("accepts", "connections accepted, by any program"),
        Spec::word("protocol", "protocol that the server was asked in"),
        Spec::time("median", "time to an answer, by the clients' clock (median)"),
        Spec::time("longest", "the longest time to an answer, by the clients' clock"),
    ],
    scenario,
    gather,
    picture,
};

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("clients", of_clients(evidence).count() as u64);
    facts.whole("upstream", behind(evidence).count() as u64);
    facts.whole("accepts", evidence.accepts().count() as u64);
    let asked = || behind(evidence).chain(of_clients(evidence));
    if let Some(protocol) = asked().find_map(|end| end.protocol) {
        facts.word("protocol", protocol.name());
    }
    facts.whole("requests", evidence.number_before(Who::Client, "answered"));
    facts.whole("median", latency_us(evidence, "p50"));
    facts.whole("longest", latency_us(evidence, "max"));
}

/// Connections on both sides of the proxy; without one, the times of answers.
fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    if facts.figure("upstream") == Some(0.0) {
        let bars = vec![
            Bar::of(facts, "longest", "the longest time to an answer", Owner::App),
            Bar::of(facts, "median", "the median time to an answer", Owner::App),
        ];
        return Picture::Bars { title: "four requests, one of them slow".to_owned(), bars };
    }
    let bars = vec![
        Bar::of(facts, "requests", "requests", Owner::Peer),
        Bar::of(facts, "clients", "connections, clients to proxy", Owner::Peer),
        Bar::of(facts, "upstream", "connections, proxy to server", Owner::App),
    ];
    Picture::Bars { title: "what the requests took".to_owned(), bars }
}
