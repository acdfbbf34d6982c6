//! The packets of a run, as a capture or a wire told of them.

use std::collections::BTreeMap;

use super::{
    check::Scenario,
    evidence::{Evidence, Who, sum},
};

/// Bits of TCP's flags.
const FIN: u64 = 1;
const SYN: u64 = 2;
const RST: u64 = 4;
const ACK: u64 = 16;

/// A packet by its headers. What its protocol does not have is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Packet {
    /// When it was sent, µs.
    pub(super) at_us: u64,
    /// The wire that it was seen on; 0 if there is but one.
    pub(super) wire: u64,
    /// Address of the sender.
    pub(super) from: String,
    /// Hops that it may still make.
    pub(super) ttl: u64,
    /// Bytes in all, of IP's header, of the one within and of what follows.
    pub(super) length: u64,
    pub(super) ip: u64,
    pub(super) header: u64,
    pub(super) data: u64,
    /// 6 of TCP, 17 of UDP, 1 of ICMP.
    pub(super) protocol: u64,
    /// Sent by the server.
    pub(super) answers: bool,
    pub(super) flags: u64,
    /// Number of its first byte, and of the next one that is expected.
    pub(super) seq: u64,
    pub(super) ack: u64,
    /// Of ICMP: type, code, and the MTU that it tells.
    pub(super) kind: u64,
    pub(super) code: u64,
    pub(super) mtu: u64,
    /// It did not arrive.
    pub(super) lost: bool,
}

impl Packet {
    fn parse(line: &str) -> Self {
        let mut packet = Self::default();
        for word in line.split_whitespace() {
            let Some((name, value)) = word.split_once('=') else { continue };
            if name == "from" {
                value.clone_into(&mut packet.from);
            }
            let Ok(number) = value.parse() else { continue };
            match name {
                "at_us" => packet.at_us = number,
                "wire" => packet.wire = number,
                "ttl" => packet.ttl = number,
                "length" => packet.length = number,
                "ip" => packet.ip = number,
                "header" => packet.header = number,
                "data" => packet.data = number,
                "protocol" => packet.protocol = number,
                "source" => packet.answers = number == u64::from(Scenario::PORT),
                "flags" => packet.flags = number,
                "seq" => packet.seq = number,
                "ack" => packet.ack = number,
                "kind" => packet.kind = number,
                "code" => packet.code = number,
                "mtu" => packet.mtu = number,
                "lost" => packet.lost = number > 0,
                _ => {}
            }
        }
        packet
    }

    /// True of the packet that begins a connection, and of its answer.
    pub(super) fn begins(&self) -> bool {
        self.flags & SYN > 0
    }

    /// True of a segment that ends a half of a connection.
    pub(super) fn ends(&self) -> bool {
        self.flags & FIN > 0
    }

    /// True of a segment that does nothing but acknowledge.
    pub(super) fn only_acknowledges(&self) -> bool {
        self.flags & (SYN | FIN | RST) == 0 && self.flags & ACK > 0 && self.data == 0
    }

    /// True of ICMP's message that a packet may not be fragmented, and is too big for the next wire.
    pub(super) fn is_too_big(&self) -> bool {
        self.is_icmp() && self.kind == 3 && self.code == 4
    }

    /// True of a message of ICMP.
    pub(super) fn is_icmp(&self) -> bool {
        self.protocol == 1
    }
}

/// The packets of a run in their order; empty if none was told, or not all were.
pub(super) fn of(evidence: &Evidence) -> Vec<Packet> {
    let missed = evidence.number_after(Who::Wire, "missed").unwrap_or(0);
    if missed > 0 {
        return Vec::new();
    }
    let mut packets: Vec<_> = evidence.lines(Who::Wire, "packet").map(Packet::parse).collect();
    packets.sort_by_key(|packet| packet.at_us);
    packets
}

/// Bytes of some packets, by IP's account.
pub(super) fn bytes<'a>(packets: impl Iterator<Item = &'a Packet>) -> u64 {
    sum(packets.map(|packet| packet.length))
}

/// Times that a client waited for its server, as the packets took turns: a run of packets that say
/// something (so many bytes at least, or the beginning of a connection) one way, then one the other
/// way. What the client says last is not waited for.
pub(super) fn round_trips(packets: &[Packet], least: u64) -> u64 {
    let mut trips = 0_u64;
    let mut waits = false;
    for packet in packets.iter().filter(|packet| packet.begins() || packet.data >= least) {
        if !packet.answers {
            waits = true;
        } else if waits {
            trips = trips.saturating_add(1);
            waits = false;
        }
    }
    trips
}

/// Bytes that the sides said in turns, the client's first.
pub(super) fn turns(packets: &[Packet]) -> Vec<u64> {
    let mut turns: Vec<u64> = Vec::new();
    let mut speaks = None;
    for packet in packets.iter().filter(|packet| packet.data > 0) {
        match turns.last_mut() {
            Some(said) if speaks == Some(packet.answers) => {
                *said = said.saturating_add(packet.data);
            }
            _ => turns.push(packet.data),
        }
        speaks = Some(packet.answers);
    }
    turns
}

/// A segment with data that was sent again, and the time since it was sent first, µs.
pub(super) struct Again {
    pub(super) answers: bool,
    pub(super) after_us: u64,
}

/// The segments with data that were sent again.
pub(super) fn sent_again(packets: &[Packet]) -> Vec<Again> {
    let mut first: BTreeMap<(bool, u64), u64> = BTreeMap::new();
    let mut again = Vec::new();
    for packet in packets.iter().filter(|packet| packet.protocol == 6 && packet.data > 0) {
        let Packet { answers, seq, at_us, .. } = *packet;
        match first.get(&(answers, seq)) {
            Some(first_us) => {
                again.push(Again { answers, after_us: at_us.saturating_sub(*first_us) });
            }
            None => {
                first.insert((answers, seq), at_us);
            }
        }
    }
    again
}

/// The server's segments with data by round trips: a new one begins with the first segment after the
/// first one of the last was acknowledged. The acknowledgement takes half of a round trip to come.
pub(super) fn flights(packets: &[Packet], link_us: u64) -> Vec<u64> {
    let mut flights: Vec<u64> = Vec::new();
    let mut first = 0;
    let acknowledged = |first: u64, at_us: u64| {
        packets.iter().any(|packet| {
            let arrived_us = packet.at_us.saturating_add(link_us / 2);
            !packet.answers
                && packet.flags & ACK > 0
                && packet.ack.wrapping_sub(first) as u32 as i32 > 0
                && arrived_us <= at_us
        })
    };
    for packet in packets.iter().filter(|packet| packet.answers && packet.data > 0) {
        match flights.last_mut() {
            Some(flight) if !acknowledged(first, packet.at_us) => *flight += 1,
            _ => {
                flights.push(1);
                first = packet.seq;
            }
        }
    }
    flights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(line: &str) -> Packet {
        Packet::parse(line)
    }

    #[test]
    fn a_line_is_a_packet() {
        let syn = packet(
            "at_us=7 wire=2 from=10.78.1.2 to=10.78.2.2 ttl=63 length=60 ip=20 whole=1 fragment=0 \
             protocol=6 source=40000 destination=8080 header=40 data=0 flags=2 seq=9 ack=0 lost=1",
        );
        assert!(syn.begins() && syn.lost && !syn.answers && !syn.is_icmp());
        assert!(!syn.ends() && !syn.only_acknowledges());
        assert_eq!((syn.from.as_str(), syn.wire, syn.ttl, syn.header), ("10.78.1.2", 2, 63, 40));
        assert_eq!(packet("from at_us=x flags=99999999999999999999"), Packet::default());
    }

    #[test]
    fn round_trips_are_turns() {
        let said = |port: u64, data: u64| packet(&format!("source={port} data={data} flags=16"));
        let turns = [said(1, 5), said(1, 5), said(8080, 9), said(1, 0), said(8080, 9), said(1, 1)];
        assert_eq!((round_trips(&turns, 1), round_trips(&turns, 10)), (1, 0));
        let twice = [turns.clone(), turns].concat();
        assert_eq!((round_trips(&twice, 1), self::turns(&twice)), (2, vec![10, 18, 11, 18, 1]));
    }

    #[test]
    fn a_flight_ends_when_its_first_segment_is_acknowledged() {
        let data = |at: u64, seq: u64| {
            packet(&format!("at_us={at} source=8080 data=100 seq={seq} flags=16"))
        };
        let ack = |at: u64, ack: u64| packet(&format!("at_us={at} source=1 ack={ack} flags=16"));
        let packets = [data(0, 100), data(1, 200), ack(20, 300), data(41, 300), data(42, 400)];
        assert_eq!(flights(&packets, 40), [2, 2]);
        assert_eq!(flights(&packets, 400), [4]);
        let again = [data(0, 100), data(9, 100), data(10, 200)];
        let again = sent_again(&again.map(|segment| Packet { protocol: 6, ..segment }));
        assert_eq!(again.iter().map(|again| again.after_us).collect::<Vec<_>>(), [9]);
        assert!(again[0].answers);
    }
}
