//! A publisher, subscribers, and a broker between them.

use super::traffic::{exchanges_on, longest_us, median_us, of_clients};
use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::snapshot::{ConnectionView, Owner},
    text::count,
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo", "buffers"],
    facts: &[
        Spec::count("subscribers", "connections of subscribers"),
        Spec::count("published", "messages that were published"),
        Spec::count("delivered", "messages that reached a subscriber"),
        Spec::count("lost", "messages that the broker dropped"),
        Spec::bytes("in", "bytes that the publisher wrote to the broker"),
        Spec::bytes("out", "bytes that the subscribers read"),
        Spec::bytes("least", "fewest bytes that one subscriber read"),
        Spec::bytes("most", "most bytes that one subscriber read"),
        Spec::time("answer", "time from a message to the broker's OK (median)"),
        Spec::count("held_up", "messages whose OK took as long as the slow subscriber sleeps"),
        Spec::time("slowest", "the longest time from a message to the broker's OK"),
    ],
    scenario,
    gather,
    picture,
};

/// The demo; with small buffers, the kernel keeps little for a subscriber that does not read.
fn scenario(knobs: &Knobs) -> Scenario {
    let scenario = super::traffic::scenario(knobs);
    match knobs.text("buffers", "").as_str() {
        "small" => scenario
            .sysctl("net.ipv4.tcp_wmem", "4096 16384 131072")
            .sysctl("net.ipv4.tcp_rmem", "4096 131072 131072"),
        _ => scenario,
    }
}

/// What the slow subscriber sleeps after each message, µs.
const SLEEP_US: u64 = 80_000;

/// The publisher's connection, and those of the subscribers. Who publishes writes more than who
/// subscribes.
fn ends(evidence: &Evidence) -> (Option<&ConnectionView>, Vec<&ConnectionView>) {
    let publisher = of_clients(evidence).max_by_key(|end| end.bytes_out);
    let mut subscribers = Vec::new();
    if let Some(publisher) = publisher {
        for end in of_clients(evidence) {
            if end.sock != publisher.sock {
                subscribers.push(end);
            }
        }
    }
    (publisher, subscribers)
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    for name in ["published", "delivered", "lost"] {
        facts.whole(name, evidence.number_after(Who::Client, name));
    }
    let (publisher, subscribers) = ends(evidence);
    let read = || subscribers.iter().map(|end| end.bytes_in);
    facts.whole("subscribers", subscribers.len() as u64);
    if let Some(publisher) = publisher {
        facts.whole("in", publisher.bytes_out);
    }
    facts.whole("out", sum(read()));
    facts.whole("least", read().min());
    facts.whole("most", read().max());
    let exchanges = exchanges_on(evidence, publisher.into_iter());
    facts.whole("answer", median_us(&exchanges));
    facts.whole("slowest", longest_us(&exchanges));
    let held_up = exchanges.iter().filter(|exchange| exchange.total_us >= SLEEP_US).count();
    facts.whole("held_up", held_up as u64);
}

fn picture(_: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    let (_, subscribers) = ends(evidence);
    let mut bars = vec![Bar::of(facts, "in", "the publisher wrote", Owner::Peer)];
    for (at, end) in subscribers.iter().enumerate() {
        bars.push(Bar {
            label: format!("subscriber {} read", at + 1).into(),
            length: end.bytes_in as f64,
            figure: format!("{} B", count(end.bytes_in)),
            owner: Owner::Peer,
            fact: None,
        });
    }
    Picture::Bars { title: "bytes, as the kernel counted them".to_owned(), bars }
}
