//! How news come to a client that asks: again and again, once for each of them, or once for all.

use super::traffic::{asked_on, bar, exchanges_on, latency_us, of_clients, scenario};
use crate::{
    learn::{
        check::{Check, Picture},
        evidence::{Evidence, Who, median, time},
        fact::{Facts, Spec},
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

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut Facts) {
    for name in ["news", "missed", "empty"] {
        facts.whole(name, evidence.number_after(Who::Client, name));
    }
    let ends = || of_clients(evidence);
    let requests = ends().map(asked_on).sum::<u64>();
    facts.whole("requests", requests);
    facts.whole(
        "longest",
        exchanges_on(evidence, ends()).iter().map(|(_, exchange)| exchange.total_us).max(),
    );
    let empty = evidence.number_after(Who::Client, "empty");
    facts.whole("useful", empty.map(|empty| requests.saturating_sub(empty)));
    facts.whole("connections", ends().count() as u64);
    facts.whole("sent", ends().map(|end| end.bytes_out).sum::<u64>());
    facts.whole("received", ends().map(|end| end.bytes_in).sum::<u64>());
    facts.whole("age", latency_us(evidence, "p50"));
    facts.whole("oldest", latency_us(evidence, "max"));
    facts.whole(
        "held",
        median(
            evidence.exchanges(Role::Server).map(|(_, exchange)| time(exchange, SliceKind::App)),
        ),
    );
}

fn picture(_: &Knobs, _: &Evidence, facts: &Facts) -> Picture {
    let bars = vec![
        bar(facts, "requests", "requests", Owner::Peer),
        bar(facts, "empty", "answers without news", Owner::App),
        bar(facts, "useful", "answers with news", Owner::App),
        bar(facts, "news", "news", Owner::App),
    ];
    Picture::Bars { title: "what the news cost".to_owned(), bars }
}
