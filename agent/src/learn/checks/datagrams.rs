//! Protocols over UDP: sockets and datagrams, for there are no connections in the kernel.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{DatagramView, Owner},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo", "link_ms", "loss", "lose_in_burst"],
    facts: &[
        Spec::count("asked", "requests that the client made, by its own count"),
        Spec::count("answers", "requests that were answered"),
        Spec::count("lost", "requests that were not answered"),
        Spec::count("sockets", "UDP sockets of the server"),
        Spec::count("client_sockets", "UDP sockets of the client"),
        Spec::count("tcp", "TCP connections that the kernel knows"),
        Spec::count("quic", "QUIC connections to the server, by first packets"),
        Spec::word("protocol", "protocol, by the first datagrams"),
        Spec::count("sent", "datagrams that the client wrote"),
        Spec::count("read", "datagrams that the server read"),
        Spec::count("written", "datagrams that the server wrote"),
        Spec::count("dropped", "datagrams that the server's kernel had no room for"),
        Spec::count("failed", "failures that the client was told of"),
        Spec::bytes("got", "bytes of the answered requests that the server's reads returned"),
        Spec::bytes("cut", "bytes of the answered requests that its reads had no room for"),
        Spec::time("sending", "longest time in which the client sent all at once"),
        Spec::count("links", "links between the two: 0 where the kernel has no TUN device"),
        Spec::time("link", "a round trip on the link; 0 if there is none"),
        Spec::count("burst_lost", "packets with answers that the link lost"),
        Spec::count("late", "answers that came a round trip later than the link takes"),
        Spec::count("on_time", "answers that came when the link allowed"),
        Spec::time("open", "from the offer to the open channel (median)"),
        Spec::bytes("signalled", "bytes over TCP: offers and answers"),
        Spec::count("checks", "STUN requests, both ways: does this path work?"),
        Spec::count("check_answers", "STUN responses, both ways"),
        Spec::count("handshake", "datagrams of the DTLS handshakes, both ways"),
        Spec::count("data", "datagrams with encrypted data, both ways"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let scenario = Scenario::demo(&knobs.text("demo", "udp --datagrams 10"));
    let scenario = match knobs.number("link_ms", 0) {
        0 => scenario,
        link_ms => scenario.far(link_ms),
    };
    let scenario = match knobs.number("loss", 0) {
        0 => scenario,
        percent => scenario.lossy(u8::try_from(percent).unwrap_or(u8::MAX)),
    };
    match knobs.number("lose_in_burst", 0) {
        0 => scenario,
        place => scenario.losing(place),
    }
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let (asked, answers) = (
        evidence.number_before(Who::Client, "asked"),
        evidence.number_before(Who::Client, "answered"),
    );
    facts.whole("asked", asked);
    facts.whole("answers", answers);
    if let (Some(asked), Some(answers)) = (asked, answers) {
        facts.whole("lost", asked.saturating_sub(answers));
    }
    let tcp = evidence.connections(Role::Client);
    facts.whole("tcp", tcp.len() as u64);
    let signalled = tcp.iter().map(|tcp| tcp.bytes_in.saturating_add(tcp.bytes_out));
    facts.whole("signalled", sum(signalled));
    let (server, client) = (evidence.datagrams(Who::Server), evidence.datagrams(Who::Client));
    facts.whole("sockets", server.len() as u64);
    facts.whole("client_sockets", client.len() as u64);
    facts.whole("quic", sum(server.iter().map(|socket| socket.quic_connections)));
    if let Some(socket) = server.first()
        && let Some(protocol) = socket.protocol
    {
        facts.word("protocol", protocol.name());
    }
    let all = |sockets: &[&DatagramView], of: fn(&DatagramView) -> Option<u64>| {
        let figures: Option<Vec<u64>> = sockets.iter().map(|socket| of(socket)).collect();
        Some(sum(figures?.into_iter()))
    };
    facts.whole("sent", all(&client, |socket| Some(socket.written?.datagrams)));
    facts.whole("read", all(&server, |socket| Some(socket.read?.datagrams)));
    facts.whole("written", all(&server, |socket| Some(socket.written?.datagrams)));
    facts.whole("dropped", all(&server, |socket| Some(socket.drops)));
    facts.whole("failed", failures(evidence));
    let link_us = evidence.link_us();
    facts.whole("link", link_us);
    facts.whole("links", u64::from(link_us > 0));
    facts.whole("burst_lost", evidence.lines(Who::Link, "burst-lost").count() as u64);
    let said = |word| evidence.number_after(Who::Client, word);
    facts.whole("sending", said("sending_us"));
    facts.whole("open", said("open_us"));
    for name in ["got", "cut", "checks", "check_answers", "handshake", "data"] {
        facts.whole(name, said(name));
    }
    if let (Some(answers), Some(late)) = (answers, said("late")) {
        facts.whole("late", late);
        facts.whole("on_time", answers.saturating_sub(late));
    }
}

/// Failures that the client was told of: "none", or "3 × timed out, 1 × refused".
fn failures(evidence: &Evidence) -> Option<u64> {
    let said = evidence.lines(Who::Client, "  errors").last()?.trim();
    if said == "none" {
        return Some(0);
    }
    let counts = said.split(" × ").filter_map(|part| part.rsplit([' ', ',']).next()?.parse().ok());
    Some(sum(counts))
}

/// What was lost if the link lost something, the steps of WebRTC, or what passed the kernel.
fn picture(knobs: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    if knobs.number("lose_in_burst", 0) > 0 {
        let bars = vec![
            Bar::of(facts, "burst_lost", "packets lost on the way", Owner::Network),
            Bar::of(facts, "on_time", "answers on time", Owner::Peer),
            Bar::of(facts, "late", "answers a round trip late", Owner::Network),
        ];
        return Picture::Bars { title: "packets and answers".to_owned(), bars };
    }
    if facts.get("checks").is_some() {
        let bars = vec![
            Bar::of(facts, "checks", "STUN requests", Owner::App),
            Bar::of(facts, "check_answers", "STUN responses", Owner::App),
            Bar::of(facts, "handshake", "DTLS handshakes", Owner::App),
            Bar::of(facts, "data", "encrypted data", Owner::App),
        ];
        return Picture::Bars { title: "datagrams, both ways".to_owned(), bars };
    }
    let bars = vec![
        Bar::of(facts, "sent", "the client sent", Owner::Peer),
        Bar::of(facts, "dropped", "the kernel dropped", Owner::Kernel),
        Bar::of(facts, "read", "the server read", Owner::App),
        Bar::of(facts, "written", "the server wrote", Owner::App),
    ];
    Picture::Bars { title: "datagrams".to_owned(), bars }
}
