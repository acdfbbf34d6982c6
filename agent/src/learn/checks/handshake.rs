//! The handshake of TLS: who says how much, in which order, and how often.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
        packets,
    },
    model::{event::Role, snapshot::Owner},
};

/// A round trip between client and server, ms.
const LINK_MS: u64 = 40;
/// An alert of TLS is no longer: it ends a connection, and nobody waits for it.
const LEAST_SAID: u64 = 32;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("answers", "requests that were answered"),
        Spec::count("connections", "connections, as the kernel saw them"),
        Spec::count("in_all", "round trips of all connections and requests"),
        Spec::bytes("hello", "bytes that the client said first: its hello"),
        Spec::bytes("flight", "bytes that the server said: hello, certificate, signature"),
        Spec::bytes("second", "bytes that the client said then: its end of it, and a request"),
        Spec::bytes("reply", "bytes that the server said then: the answer"),
        Spec::bytes("handshake", "bytes that were said before the client could ask"),
        Spec::time("first_byte", "from connect to the first byte of an answer"),
        Spec::time("link", "a round trip on the link; 0 if there is none"),
        Spec::time("least", "time that the round trips of a connection's first answer take"),
        Spec::word("version", "version of TLS, as backscope read it in the hellos"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    Scenario::demo(&knobs.text("demo", "tls --connections 1")).far(LINK_MS).captured()
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let link_us = evidence.link_us();
    facts.whole("link", link_us);
    facts.whole("answers", evidence.number_before(Who::Client, "answered"));
    facts.whole("first_byte", evidence.number_after(Who::Client, "first_byte_us"));
    let connections = evidence.connections(Role::Client);
    facts.whole("connections", connections.len() as u64);
    if let Some(tls) = connections.first().and_then(|connection| connection.tls.as_ref())
        && let Some(version) = tls.version
    {
        facts.word("version", version);
    }
    let packets = packets::of(evidence);
    if packets.is_empty() {
        return;
    }
    facts.whole("in_all", packets::round_trips(&packets, LEAST_SAID));
    if let [hello, flight, second, reply, ..] = packets::turns(&packets)[..] {
        facts.whole("hello", hello);
        facts.whole("flight", flight);
        facts.whole("second", second);
        facts.whole("reply", reply);
        facts.whole("handshake", hello.saturating_add(flight));
    }
    facts.whole("least", link_us.saturating_mul(3));
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    Picture::Bars {
        title: "bytes on the first connection, in the order that they were said".to_owned(),
        bars: vec![
            Bar::of(facts, "hello", "client: hello", Owner::App),
            Bar::of(facts, "flight", "server: hello, certificate, signature", Owner::Peer),
            Bar::of(facts, "second", "client: finished, and the request", Owner::App),
            Bar::of(facts, "reply", "server: the answer", Owner::Peer),
        ],
    }
}
