//! UDP and the protocols over it: sockets and datagrams, for there are no connections in the kernel.

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

/// UDP itself.
pub(in crate::learn) static UDP: Check = check(&UDP_FACTS, gather_udp, picture);

/// HTTP/3, and HTTP/2 over TCP for comparison.
pub(in crate::learn) static HTTP3: Check = check(&HTTP3_FACTS, gather_http3, picture_of_http3);

/// WebRTC.
pub(in crate::learn) static WEBRTC: Check = check(&WEBRTC_FACTS, gather_webrtc, picture_of_webrtc);

type Gather = fn(&Knobs, &Evidence, &mut LessonFacts);
type Draw = fn(&Knobs, &Evidence, &LessonFacts) -> Picture;

const fn check(facts: &'static [Spec], gather: Gather, picture: Draw) -> Check {
    Check { knobs: &["demo", "link_ms", "loss", "lose_in_burst"], facts, scenario, gather, picture }
}

/// Facts of each of them.
const SHARED: [Spec; 13] = [
    Spec::count("asked", "requests that the client made, by its own count"),
    Spec::count("answers", "requests that were answered"),
    Spec::count("lost", "requests that were not answered"),
    Spec::count("sockets", "UDP sockets of the server"),
    Spec::count("tcp", "TCP connections that the kernel knows"),
    Spec::word("protocol", "protocol, by the first datagrams"),
    Spec::count("sent", "datagrams that the client wrote"),
    Spec::count("read", "datagrams that the server read"),
    Spec::count("written", "datagrams that the server wrote"),
    Spec::count("dropped", "datagrams that the server's kernel had no room for"),
    Spec::count("failed", "failures that the client was told of"),
    Spec::count("links", "links between the two: 0 where the kernel has no TUN device"),
    Spec::time("link", "a round trip on the link; 0 if there is none"),
];

static UDP_FACTS: [Spec; 16] = joined([
    Spec::bytes("got", "bytes of the answered requests that the server's reads returned"),
    Spec::bytes("cut", "bytes of the answered requests that its reads had no room for"),
    Spec::time("sending", "longest time in which the client sent all at once"),
]);

static HTTP3_FACTS: [Spec; 17] = joined([
    Spec::count("quic", "QUIC connections to the server, by first packets"),
    Spec::count("burst_lost", "packets with answers that the link lost"),
    Spec::count("late", "answers that came half a round trip or more after the quickest"),
    Spec::count("on_time", "answers that came with the quickest"),
]);

static WEBRTC_FACTS: [Spec; 19] = joined([
    Spec::time("open", "from the offer to the open channel (median)"),
    Spec::bytes("signalled", "bytes over TCP: offers and answers"),
    Spec::count("checks", "STUN requests, both ways: does this path work?"),
    Spec::count("check_answers", "STUN responses, both ways"),
    Spec::count("handshake", "datagrams of the DTLS handshakes, both ways"),
    Spec::count("data", "datagrams with encrypted data, both ways"),
]);

/// The shared facts, and these.
const fn joined<const OWN: usize, const ALL: usize>(own: [Spec; OWN]) -> [Spec; ALL] {
    let mut all = [SHARED[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < SHARED.len() { SHARED[at] } else { own[at - SHARED.len()] };
        at += 1;
    }
    all
}

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

fn gather(evidence: &Evidence, facts: &mut LessonFacts) {
    let (asked, answers) = (
        evidence.number_before(Who::Client, "asked"),
        evidence.number_before(Who::Client, "answered"),
    );
    facts.whole("asked", asked);
    facts.whole("answers", answers);
    if let (Some(asked), Some(answers)) = (asked, answers) {
        facts.whole("lost", asked.saturating_sub(answers));
    }
    facts.whole("tcp", evidence.connections(Role::Client).len() as u64);
    let (server, client) = (evidence.datagrams(Who::Server), evidence.datagrams(Who::Client));
    facts.whole("sockets", server.len() as u64);
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
}

fn gather_udp(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    gather(evidence, facts);
    facts.whole("got", evidence.number_after(Who::Client, "got"));
    facts.whole("cut", evidence.number_after(Who::Client, "cut"));
    facts.whole("sending", evidence.number_after(Who::Client, "sending_us"));
}

fn gather_http3(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    gather(evidence, facts);
    let connections = evidence.datagrams(Who::Server).into_iter();
    facts.whole("quic", sum(connections.map(|socket| socket.quic_connections)));
    facts.whole("burst_lost", evidence.lines(Who::Link, "burst-lost").count() as u64);
    let answers = evidence.number_before(Who::Client, "answered");
    if let (Some(answers), Some(late)) = (answers, evidence.number_after(Who::Client, "late")) {
        facts.whole("late", late);
        facts.whole("on_time", answers.saturating_sub(late));
    }
}

fn gather_webrtc(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    gather(evidence, facts);
    let connections = evidence.connections(Role::Client).into_iter();
    facts
        .whole("signalled", sum(connections.map(|tcp| tcp.bytes_in.saturating_add(tcp.bytes_out))));
    facts.whole("open", evidence.number_after(Who::Client, "open_us"));
    for name in ["checks", "check_answers", "handshake", "data"] {
        facts.whole(name, evidence.number_after(Who::Client, name));
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

/// What passed the kernel.
fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        Bar::of(facts, "sent", "the client sent", Owner::Peer),
        Bar::of(facts, "dropped", "the kernel dropped", Owner::Kernel),
        Bar::of(facts, "read", "the server read", Owner::App),
        Bar::of(facts, "written", "the server wrote", Owner::App),
    ];
    Picture::Bars { title: "datagrams".to_owned(), bars }
}

/// What a lost packet did, where the link lost one.
fn picture_of_http3(knobs: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    if knobs.number("lose_in_burst", 0) == 0 {
        return picture(knobs, evidence, facts);
    }
    let bars = vec![
        Bar::of(facts, "burst_lost", "packets lost on the way", Owner::Network),
        Bar::of(facts, "on_time", "answers on time", Owner::Peer),
        Bar::of(facts, "late", "answers a round trip late", Owner::Network),
    ];
    Picture::Bars { title: "packets and answers".to_owned(), bars }
}

fn picture_of_webrtc(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        Bar::of(facts, "checks", "STUN requests", Owner::App),
        Bar::of(facts, "check_answers", "STUN responses", Owner::App),
        Bar::of(facts, "handshake", "DTLS handshakes", Owner::App),
        Bar::of(facts, "data", "encrypted data", Owner::App),
    ];
    Picture::Bars { title: "datagrams, both ways".to_owned(), bars }
}
