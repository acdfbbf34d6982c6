//! The same messages over one protocol or another: what of them came back, and what they cost on the
//! way.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
        packets,
    },
    model::snapshot::Owner,
};

/// Bytes of a message.
const MESSAGE: u64 = 100;

const FACTS: &[Spec] = &[
    Spec::count("asked", "messages that the client sent"),
    Spec::count("arrived", "messages that the server read"),
    Spec::count("answers", "messages that came back"),
    Spec::count("missing", "messages that did not come back"),
    Spec::count("overtaken", "messages that came back before an earlier one"),
    Spec::count("sends", "calls of the client that sent messages"),
    Spec::count("reads", "calls of the server that read messages"),
    Spec::count("resent", "segments that a kernel sent again"),
    Spec::time("last", "until the last message was back"),
    Spec::time("link", "a round trip on the link; 0 if there is none"),
    Spec::count("trips", "round trips that the client waited for"),
    Spec::count("packets", "packets, both ways"),
    Spec::count("with_data", "packets with data"),
    Spec::bytes("bytes", "bytes of these packets, with all headers"),
    Spec::bytes("content", "bytes of the messages, both ways"),
    Spec::bytes("overhead", "bytes that are not content"),
];

/// What a protocol promises: many messages, over a link that loses packets.
pub(in crate::learn) static PROMISES: Check =
    Check { knobs: &["demo", "loss"], facts: FACTS, scenario: lossy, gather, picture: arrivals };

/// What a protocol costs: the same message over each.
pub(in crate::learn) static COSTS: Check =
    Check { knobs: &["demo"], facts: FACTS, scenario: far, gather, picture: costs };

fn lossy(knobs: &Knobs) -> Scenario {
    let percent = u8::try_from(knobs.number("loss", 0)).unwrap_or(u8::MAX).min(90);
    let scenario = demo(knobs).far(20).lossy(percent);
    // So that even of few segments one is lost.
    if percent > 0 { scenario.dropping(2) } else { scenario }
}

fn far(knobs: &Knobs) -> Scenario {
    demo(knobs).far(40).captured()
}

fn demo(knobs: &Knobs) -> Scenario {
    Scenario::demo(&knobs.text("demo", "same-message --over udp --messages 1")).captured()
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let said = |word| evidence.number_after(Who::Client, word);
    let (asked, answers) = (
        evidence.number_before(Who::Client, "asked"),
        evidence.number_before(Who::Client, "answered"),
    );
    facts.whole("asked", asked);
    facts.whole("answers", answers);
    if let (Some(asked), Some(answers)) = (asked, answers) {
        facts.whole("missing", asked.saturating_sub(answers));
    }
    facts.whole("overtaken", said("overtaken"));
    facts.whole("sends", said("sends"));
    facts.whole("last", said("last_us"));
    facts.whole("link", evidence.link_us());
    read_by_server(evidence, facts);
    let packets = packets::of(evidence);
    if packets.is_empty() {
        return;
    }
    let bytes = packets::bytes(packets.iter());
    facts.whole("packets", packets.len() as u64);
    facts.whole("with_data", packets.iter().filter(|packet| packet.data > 0).count() as u64);
    facts.whole("bytes", bytes);
    facts.whole("trips", packets::round_trips(&packets, LEAST_SAID));
    facts.whole("resent", packets::sent_again(&packets).len() as u64);
    if let Some(answers) = answers {
        let content = answers.saturating_mul(2 * MESSAGE);
        facts.whole("content", content);
        facts.whole("overhead", bytes.saturating_sub(content));
    }
}

/// What is shorter is an alert of TLS, or an acknowledgement of HTTP/2's: nobody waits for it.
const LEAST_SAID: u64 = 32;

fn read_by_server(evidence: &Evidence, facts: &mut LessonFacts) {
    let sockets = evidence.datagrams(Who::Server);
    if let Some(read) = sockets.first().and_then(|socket| socket.read.as_ref()) {
        facts.whole("arrived", read.datagrams);
        facts.whole("reads", read.datagrams);
        return;
    }
    let said = |name| evidence.named(Who::Server, "connection", name).next();
    facts.whole("arrived", said("bytes").map(|bytes| bytes / MESSAGE));
    facts.whole("reads", said("reads"));
}

fn arrivals(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    Picture::Bars {
        title: "messages".to_owned(),
        bars: vec![
            Bar::of(facts, "asked", "the client sent", Owner::App),
            Bar::of(facts, "arrived", "the server read", Owner::Peer),
            Bar::of(facts, "answers", "came back", Owner::App),
            Bar::of(facts, "reads", "calls that read them", Owner::Kernel),
        ],
    }
}

/// The bytes on the wire of this protocol, below those of the rounds before.
fn costs(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    const EARLIER: &[(&str, &str)] = &[
        ("1.bytes", "UDP"),
        ("2.bytes", "TCP"),
        ("3.bytes", "HTTP/1.1"),
        ("4.bytes", "HTTP/1.1 in TLS"),
    ];
    let known = EARLIER.iter().filter(|(fact, _)| facts.get(fact).is_some());
    let mut bars: Vec<_> =
        known.map(|(fact, label)| Bar::of(facts, fact, label, Owner::Network)).collect();
    bars.push(Bar::of(facts, "bytes", "this time", Owner::Kernel));
    bars.push(Bar::of(facts, "content", "the message, there and back", Owner::App));
    Picture::Bars { title: "bytes in packets, both ways".to_owned(), bars }
}
