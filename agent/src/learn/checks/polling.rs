//! News that come to a client that asks: again and again, once for each of them, or once for all.

use super::traffic::{asked_on, bar, exchanges_on, latency_us, longest_us, of_clients, scenario};
use crate::{
    learn::{
        check::{Check, Picture},
        evidence::{Evidence, Who, median, time},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{Owner, SliceKind},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("news", "news that arrived"),
        Spec::count("missed", "news that the client never got"),
        Spec::count("requests", "requests that the client wrote"),
        Spec::count("empty", "answers without news"),
        Spec::count("useful", "answers with news"),
        Spec::count("connections", "connections that the client made"),
        Spec::bytes("sent", "what the client wrote"),
        Spec::bytes("received", "what the client read"),
        Spec::time("longest", "the longest from a request to the end of its answer"),
        Spec::time("age", "how old the news were when they arrived, the median"),
        Spec::time("oldest", "the same of the oldest"),
        Spec::time("held", "how long the server held a request before it wrote, the median"),
    ],
    scenario,
    gather,
    picture,
};

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    for name in ["news", "missed", "empty"] {
        facts.whole(name, evidence.number_after(Who::Client, name));
    }
    let ends: Vec<_> = of_clients(evidence).collect();
    let (mut requests, mut sent, mut received) = (0, 0, 0);
    for end in &ends {
        requests += asked_on(end);
        sent += end.bytes_out;
        received += end.bytes_in;
    }
    facts.whole("connections", ends.len() as u64);
    facts.whole("requests", requests);
    facts.whole("sent", sent);
    facts.whole("received", received);
    facts.whole("longest", longest_us(&exchanges_on(evidence, ends.into_iter())));
    if let Some(empty) = evidence.number_after(Who::Client, "empty") {
        facts.whole("useful", requests.saturating_sub(empty));
    }
    facts.whole("age", latency_us(evidence, "p50"));
    facts.whole("oldest", latency_us(evidence, "max"));
    let held = evidence.views(Role::Server).map(|exchange| time(exchange, SliceKind::App));
    facts.whole("held", median(held));
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        bar(facts, "requests", "requests", Owner::Peer),
        bar(facts, "empty", "answers without news", Owner::App),
        bar(facts, "useful", "answers with news", Owner::App),
        bar(facts, "news", "news", Owner::App),
    ];
    Picture::Bars { title: "what the news cost".to_owned(), bars }
}
