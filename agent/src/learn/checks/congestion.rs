//! How TCP sends a long answer: in flights that grow, and what a lost segment costs.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
        packets::{self, Packet},
    },
    model::{event::Role, snapshot::Owner},
};

/// A round trip between client and server, ms.
const LINK_MS: u64 = 40;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo", "drop"],
    facts: &[
        Spec::count("answers", "requests that were answered"),
        Spec::bytes("answer", "bytes of the first answer, as the client read it"),
        Spec::count("segments", "segments of the answer that were sent"),
        Spec::count("flights", "flights that the answer came in: one per round trip"),
        Spec::count("flight1", "segments of the first flight"),
        Spec::count("flight2", "segments of the second"),
        Spec::count("flight3", "segments of the third"),
        Spec::count("flight4", "segments of the fourth"),
        Spec::count("resent", "segments that the server's kernel sent again"),
        Spec::time("waited", "until the lost segment was sent again"),
        Spec::count("later_flights", "flights that the second answer came in"),
        Spec::count("later_flight1", "segments of the first of those"),
        Spec::time("took", "from the first request to the end of its answer"),
        Spec::time("link", "a round trip on the link"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let scenario = Scenario::demo(&knobs.text("demo", "http1 --clients 1 --connections 1"))
        .far(LINK_MS)
        .captured()
        // Every kernel has it, and it does nothing but what is taught.
        .sysctl("net.ipv4.tcp_congestion_control", "reno");
    match knobs.number("drop", 0) {
        0 => scenario,
        nth => scenario.dropping(nth),
    }
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let link_us = evidence.link_us();
    facts.whole("link", link_us);
    facts.whole("answers", evidence.number_before(Who::Client, "answered"));
    let mut exchanges: Vec<_> = evidence.views(Role::Client).collect();
    exchanges.sort_by_key(|exchange| exchange.start_ns);
    if let Some(first) = exchanges.first() {
        facts.whole("answer", first.response_bytes);
        facts.whole("took", first.total_us);
    }
    let packets = packets::of(evidence);
    let asked = |packet: &Packet| !packet.answers && packet.data > 0;
    let Some(begin) = packets.iter().position(asked) else { return };
    let after = packets.iter().skip(begin + 1).position(asked);
    let second = after.map_or(packets.len(), |after| begin + 1 + after);
    let (first, second) = packets.split_at(second);
    facts.whole("segments", sent(first));
    let again: Vec<_> =
        packets::sent_again(first).into_iter().filter(|again| again.answers).collect();
    facts.whole("resent", again.len() as u64);
    facts.whole("waited", again.iter().map(|again| again.after_us).min());
    let flights = packets::flights(first, link_us);
    facts.whole("flights", flights.len() as u64);
    for (at, name) in ["flight1", "flight2", "flight3", "flight4"].into_iter().enumerate() {
        facts.whole(name, flights.get(at).copied().unwrap_or(0));
    }
    if !second.is_empty() {
        let flights = packets::flights(second, link_us);
        facts.whole("later_flights", flights.len() as u64);
        facts.whole("later_flight1", flights.first().copied());
    }
}

/// Segments of the server with data.
fn sent(packets: &[Packet]) -> u64 {
    packets.iter().filter(|packet| packet.answers && packet.data > 0).count() as u64
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    const FLIGHTS: [(&str, &str); 4] = [
        ("flight1", "first round trip"),
        ("flight2", "second"),
        ("flight3", "third"),
        ("flight4", "fourth"),
    ];
    let there = FLIGHTS.into_iter().filter(|(fact, _)| facts.figure(fact) > Some(0.0));
    let mut bars: Vec<_> =
        there.map(|(fact, label)| Bar::of(facts, fact, label, Owner::Kernel)).collect();
    bars.push(Bar::of(facts, "resent", "of these sent again", Owner::Network));
    if facts.get("later_flight1").is_some() {
        bars.push(Bar::of(facts, "later_flight1", "later answer, first", Owner::Kernel));
    }
    Picture::Bars { title: "segments that the server sent".to_owned(), bars }
}
