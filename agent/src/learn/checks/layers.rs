//! One connection, packet by packet: how the layers nest in the packet with the request, and what
//! all packets are.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
        packets::{self, Packet},
    },
    model::{
        event::Role,
        snapshot::{Owner, Protocol},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo", "link_ms"],
    facts: &[
        Spec::count("packets", "packets of the connection, both ways"),
        Spec::count("with_data", "packets with data"),
        Spec::count("opening", "packets that begin the connection (SYN)"),
        Spec::count("closing", "packets that end a half of it (FIN)"),
        Spec::count("bare", "packets that only acknowledge"),
        Spec::bytes("on_the_wire", "bytes of all packets"),
        Spec::bytes("message", "bytes of them that the applications wrote"),
        Spec::bytes("headers", "bytes of them that are headers of IP and TCP"),
        Spec::bytes("longest", "the longest packet"),
        Spec::count("writes", "calls of the client that wrote"),
        Spec::count("reads", "calls of the client that read"),
        Spec::bytes("packet", "the packet with the request"),
        Spec::bytes("segment", "the TCP segment in it"),
        Spec::bytes("record", "the TLS record in that"),
        Spec::bytes("http", "the HTTP request within"),
        Spec::bytes("ip_header", "IP's header"),
        Spec::bytes("tcp_header", "TCP's header"),
        Spec::bytes("tls_extra", "what TLS adds to the request"),
        Spec::word("protocol", "protocol, as backscope made it out"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let scenario = Scenario::demo(&knobs.text("demo", "layers --connections 1")).captured();
    match knobs.number("link_ms", 0) {
        0 => scenario,
        link_ms => scenario.far(link_ms),
    }
}

/// Bytes that TLS 1.3 adds to what it carries: the record's header, its inner type, and the tag.
const RECORD_EXTRA: u64 = 5 + 1 + 16;
/// The longest alert of TLS, which is no request.
const LONGEST_ALERT: u64 = 31;

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let connections = evidence.connections(Role::Client);
    let protocol = connections.first().and_then(|connection| connection.protocol);
    if let Some(protocol) = protocol {
        facts.word("protocol", protocol.name());
    }
    facts.whole("writes", evidence.number_after(Who::Client, "writes"));
    facts.whole("reads", evidence.number_after(Who::Client, "reads"));
    let packets = packets::of(evidence);
    if packets.is_empty() {
        return;
    }
    let count = |of: fn(&Packet) -> bool| packets.iter().filter(|packet| of(packet)).count() as u64;
    facts.whole("packets", packets.len() as u64);
    facts.whole("with_data", count(|packet| packet.data > 0));
    facts.whole("opening", count(Packet::begins));
    facts.whole("closing", count(Packet::ends));
    facts.whole("bare", count(Packet::only_acknowledges));
    let all = packets::bytes(packets.iter());
    let message = sum(packets.iter().map(|packet| packet.data));
    facts.whole("on_the_wire", all);
    facts.whole("message", message);
    facts.whole("headers", all.saturating_sub(message));
    facts.whole("longest", packets.iter().map(|packet| packet.length).max());
    let over_tls = protocol == Some(Protocol::Tls);
    if let Some(request) = request(&packets, over_tls) {
        shells(request, over_tls, facts);
    }
}

/// The packet with a request: the first one with data; over TLS the last one with more than an
/// alert, since the first ones are of the handshake.
fn request(packets: &[Packet], over_tls: bool) -> Option<&Packet> {
    let mut said = packets.iter().filter(|packet| !packet.answers && packet.data > LONGEST_ALERT);
    if over_tls { said.next_back() } else { said.next() }
}

fn shells(request: &Packet, over_tls: bool, facts: &mut LessonFacts) {
    facts.whole("packet", request.length);
    facts.whole("segment", request.length.saturating_sub(request.ip));
    facts.whole("ip_header", request.ip);
    facts.whole("tcp_header", request.header);
    if over_tls {
        facts.whole("record", request.data);
        facts.whole("tls_extra", RECORD_EXTRA);
        facts.whole("http", request.data.saturating_sub(RECORD_EXTRA));
    } else {
        facts.whole("http", request.data);
    }
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let shell = |fact, label: String, owner| Bar::of(facts, fact, &label, owner);
    let header = |fact| facts.shown(fact);
    let mut shells = vec![
        shell(
            "packet",
            format!("IP packet: {} header: from, to, TTL", header("ip_header")),
            Owner::Kernel,
        ),
        shell(
            "segment",
            format!("TCP segment: {} header: ports, numbers, window", header("tcp_header")),
            Owner::Kernel,
        ),
    ];
    if facts.get("record").is_some() {
        let label = format!("TLS record: {} more: type, length, tag", header("tls_extra"));
        shells.push(shell("record", label, Owner::App));
    }
    shells.push(shell("http", "HTTP request: GET / HTTP/1.1 …".to_owned(), Owner::App));
    Picture::Nested { title: "the packet with the request, as its layers nest".to_owned(), shells }
}
