//! Events that a client hears of because it asks: again and again, once for each, or once for all.

use super::traffic::{asked_on, exchanges_on, latency_us, longest_us, of_clients, scenario};
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who, median, sum, time},
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
        Spec::count("news", "events that arrived"),
        Spec::count("missed", "events that the client never got"),
        Spec::count("requests", "requests that the client wrote"),
        Spec::count("empty", "answers with nothing new"),
        Spec::count("useful", "answers with something new"),
        Spec::count("connections", "connections that the client made"),
        Spec::bytes("sent", "bytes that the client wrote"),
        Spec::bytes("received", "bytes that the client read"),
        Spec::time("longest", "the longest time from a request to the end of its answer"),
        Spec::time("age", "age of the events when they arrived (median)"),
        Spec::time("oldest", "age of the oldest event when it arrived"),
        Spec::time("held", "how long the server held a request before it wrote (median)"),
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
    let requests = sum(ends.iter().map(|end| asked_on(end)));
    facts.whole("connections", ends.len() as u64);
    facts.whole("requests", requests);
    facts.whole("sent", sum(ends.iter().map(|end| end.bytes_out)));
    facts.whole("received", sum(ends.iter().map(|end| end.bytes_in)));
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
        Bar::of(facts, "requests", "requests", Owner::Peer),
        Bar::of(facts, "empty", "answers with nothing new", Owner::App),
        Bar::of(facts, "useful", "answers with something new", Owner::App),
        Bar::of(facts, "news", "events", Owner::App),
    ];
    Picture::Bars { title: "what the events cost".to_owned(), bars }
}
