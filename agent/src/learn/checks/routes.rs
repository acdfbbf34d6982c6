//! Three hosts in a row: a client, a router and a server, and each packet on the two wires between
//! them.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Router, Scenario},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
        packets::{self, Packet},
    },
    model::snapshot::Owner,
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo", "mtu", "silent"],
    facts: &[
        Spec::count("asked", "connections that the client tried to make"),
        Spec::count("answers", "answers that it got"),
        Spec::count("ttl_sent", "TTL of the client's first packet when it left"),
        Spec::count("ttl_arrived", "TTL of that packet when it arrived"),
        Spec::word("seen_from", "address that it came from, as the server saw it"),
        Spec::count("sent", "packets that the client sent"),
        Spec::count("passed", "packets of the client that the router passed on"),
        Spec::count("refused", "packets of the client that the router did not pass on"),
        Spec::count("told", "messages of ICMP that the client got"),
        Spec::count("unheard", "messages of ICMP that were lost on their way to the client"),
        Spec::count("expired", "messages that say: TTL exceeded"),
        Spec::count("too_big", "messages that say: too big"),
        Spec::word("by", "address that these messages came from"),
        Spec::bytes("mtu", "the longest packet that they allow"),
        Spec::bytes("longest_sent", "the longest packet of the client"),
        Spec::bytes("longest_passed", "the longest one that reached the server"),
        Spec::bytes("arrived", "bytes of the client's message that reached the server's wire"),
    ],
    scenario,
    gather,
    picture,
};

/// What Ethernet takes.
const ETHERNET: u64 = 1_500;

fn scenario(knobs: &Knobs) -> Scenario {
    let router =
        Router { mtu: knobs.number("mtu", ETHERNET), silent: knobs.number("silent", 0) > 0 };
    Scenario::demo(&knobs.text("demo", "tcp --connections 1")).routed(router)
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("asked", evidence.number_before(Who::Client, "asked"));
    facts.whole("answers", evidence.number_before(Who::Client, "answered"));
    let packets = packets::of(evidence);
    if packets.is_empty() {
        return;
    }
    let client = |wire: u64| {
        packets
            .iter()
            .filter(move |packet| packet.wire == wire && packet.protocol == 6 && !packet.answers)
    };
    if let Some(first) = client(1).next() {
        facts.whole("ttl_sent", first.ttl);
    }
    if let Some(first) = client(2).next() {
        facts.whole("ttl_arrived", first.ttl);
        facts.word("seen_from", &first.from);
    }
    let (sent, passed) = (client(1).count() as u64, client(2).count() as u64);
    facts.whole("sent", sent);
    facts.whole("passed", passed);
    facts.whole("refused", sent.saturating_sub(passed));
    facts.whole("longest_sent", client(1).map(|packet| packet.length).max());
    facts.whole("longest_passed", client(2).map(|packet| packet.length).max());
    facts.whole("arrived", arrived(client(2)));
    let messages: Vec<_> = packets.iter().filter(|packet| packet.is_icmp()).collect();
    let count = |of: fn(&Packet) -> bool| messages.iter().filter(|packet| of(packet)).count();
    facts.whole("told", count(|packet| !packet.lost) as u64);
    facts.whole("unheard", count(|packet| packet.lost) as u64);
    facts.whole("expired", count(|packet| packet.kind == TIME_EXCEEDED) as u64);
    facts.whole("too_big", count(Packet::is_too_big) as u64);
    if let Some(first) = messages.first() {
        facts.word("by", &first.from);
    }
    let too_big = messages.iter().find(|packet| packet.is_too_big());
    facts.whole("mtu", too_big.map(|packet| packet.mtu));
}

/// Type of ICMP's message that a TTL is used up.
const TIME_EXCEEDED: u64 = 11;

/// Bytes that came at least once, whatever the segments were that carried them.
fn arrived<'a>(packets: impl Iterator<Item = &'a Packet>) -> u64 {
    let segments: Vec<_> = packets.filter(|packet| packet.data > 0).collect();
    let Some(first) = segments.first() else { return 0 };
    // Numbers wrap; counted from the first, none is far away.
    let place = |packet: &Packet| i64::from(packet.seq.wrapping_sub(first.seq) as u32 as i32);
    let mut parts: Vec<_> = segments
        .iter()
        .map(|packet| (place(packet), place(packet).saturating_add_unsigned(packet.data)))
        .collect();
    parts.sort_unstable();
    let (mut bytes, mut end) = (0_u64, i64::MIN);
    for (from, to) in parts {
        let from = from.max(end);
        bytes = bytes.saturating_add(u64::try_from(to.saturating_sub(from)).unwrap_or(0));
        end = end.max(to);
    }
    bytes
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    if facts.figure("refused") == Some(0.0) {
        return Picture::Bars {
            title: "time to live of the client's first packet".to_owned(),
            bars: vec![
                Bar::of(facts, "ttl_sent", "when it left the client", Owner::Kernel),
                Bar::of(facts, "ttl_arrived", "when it reached the server", Owner::Network),
            ],
        };
    }
    Picture::Bars {
        title: "packets from the client, and what the router says of them".to_owned(),
        bars: vec![
            Bar::of(facts, "sent", "the client sent", Owner::Kernel),
            Bar::of(facts, "passed", "the router passed on", Owner::Network),
            Bar::of(facts, "refused", "the router kept back", Owner::Network),
            Bar::of(facts, "told", "messages that reached the client", Owner::Network),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_twice_counts_once() {
        let segment = |seq: u64, data: u64| Packet { seq, data, ..Packet::default() };
        let wrapped = u64::from(u32::MAX) - 99;
        let segments = [
            segment(wrapped, 100),
            segment(wrapped, 150),
            segment(50, 10),
            segment(100, 20),
            segment(0, 0),
        ];
        assert_eq!(arrived(segments.iter()), 150 + 10 + 20);
        assert_eq!(arrived([].iter()), 0);
    }
}
