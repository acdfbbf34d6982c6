use super::*;
use crate::model::event::QuicPackets;

const MS: u64 = 1_000_000;
const START: u64 = 1_000 * MS;

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], port))
}

/// A datagram at this ms, to or from a server, with these packets: I, E (early data), H, R (retry),
/// S (short header).
fn datagram(ms: u64, outbound: bool, kinds: &str) -> QuicDatagram {
    let has = |kind| kinds.contains(kind);
    let short = kinds == "S";
    // The client makes an id up for the server, until it is told one. Behind it are bytes of the
    // packet.
    let destination: &[u8] = match (outbound, short, ms) {
        (true, ..) => &[3],
        (false, true, _) => &[1, 2, 0x5a, 0x5b],
        (false, false, 0) => &[9; 8],
        (false, false, _) => &[1, 2],
    };
    QuicDatagram {
        ts_ns: START + ms * MS,
        sock: 7,
        // As a server has it that is not connected.
        peer: outbound.then(|| peer(4_000)),
        outbound,
        packets: QuicPackets {
            version: (!short).then_some(1),
            initial: has('I'),
            early_data: has('E'),
            handshake: has('H'),
            retry: has('R'),
            short: has('S'),
            destination: destination.to_vec(),
            source: if outbound { vec![1, 2] } else { vec![3] },
        },
    }
}

/// The connection of a server with these datagrams: when, "<" from the client or ">" to it, which
/// packets.
fn answered(datagrams: &[(u64, &str)]) -> Option<QuicView> {
    let mut flows = Flows::default();
    for (ms, what) in datagrams {
        flows.seen(&datagram(*ms, what.starts_with('>'), &what[1..]));
    }
    let mut answered = flows.take_answered();
    assert!(answered.len() < 2 && flows.take_answered().is_empty());
    answered.pop()
}

fn trips(datagrams: &[(u64, &str)]) -> Option<u32> {
    answered(datagrams)?.answer.map(|answer| answer.round_trips)
}

#[test]
fn a_connection_takes_two() {
    let whole = [(0, "<I"), (1, ">IH"), (1, ">HS"), (41, "<IH"), (41, "<HS"), (42, ">S")];
    let view = answered(&whole).unwrap();
    assert_eq!(view.answer, Some(QuicAnswer { round_trips: 2, us: 42_000 }));
    assert_eq!(view.trips, [QuicTrip { sent_us: 1_000, back_us: 41_000 }], "its own wait");
    assert_eq!(
        (view.role, view.version, view.early_data, view.retry),
        (Role::Server, 1, false, false)
    );
    assert_eq!((&view.client_id[..], view.server_id.as_deref()), (&[3][..], Some(&[1, 2][..])));
    assert_eq!(trips(&whole[..5]), None, "not answered yet");
}

#[test]
fn early_data_take_one() {
    let view = answered(&[(0, "<IE"), (1, ">IHS")]).unwrap();
    assert_eq!(view.answer.map(|answer| answer.round_trips), Some(1));
    assert!(view.early_data);
    // In datagrams of their own, and the server's first has no answer yet.
    assert_eq!(trips(&[(0, "<I"), (0, "<E"), (1, ">IH"), (2, ">S")]), Some(1));
    assert_eq!(
        trips(&[(0, "<IE"), (1, ">IH"), (41, "<IH"), (42, ">S")]),
        Some(1),
        "it answered late, but to that"
    );
}

#[test]
fn what_costs_more_is_counted() {
    let retry =
        [(0, "<I"), (1, ">R"), (41, "<I"), (42, ">IH"), (42, ">S"), (82, "<HS"), (83, ">S")];
    assert_eq!(trips(&retry), Some(3), "a client that must prove its address");
    assert!(answered(&retry).is_some_and(|view| view.retry));
    // A certificate of more than three times what the client had sent.
    let long = [(0, "<I"), (1, ">IH"), (1, ">H"), (41, "<IH"), (42, ">H"), (82, "<HS"), (83, ">S")];
    assert_eq!(trips(&long), Some(3));
}

#[test]
fn a_hello_in_two_datagrams_is_one_flight() {
    // The server acknowledges the first before it has read the second.
    let split = [(0, "<I"), (0, ">I"), (1, "<I"), (2, ">IH"), (42, "<HS"), (43, ">S")];
    assert_eq!(trips(&split), Some(2));
}

#[test]
fn what_is_acknowledged_within_a_flight_makes_no_other() {
    let whole = [(0, "<I"), (1, ">IH"), (1, ">S"), (41, "<IH"), (42, ">H"), (43, "<S"), (44, ">S")];
    assert_eq!(trips(&whole), Some(2));
}

#[test]
fn a_client_sees_the_same() {
    let mut flows = Flows::default();
    for (ms, outbound, kinds) in
        [(0, true, "I"), (40, false, "IHS"), (41, true, "HS"), (80, false, "S")]
    {
        // As on a socket that is connected.
        let mut datagram = QuicDatagram { peer: Some(peer(443)), ..datagram(ms, outbound, kinds) };
        (datagram.packets.source, datagram.packets.destination) =
            (vec![1 + u8::from(outbound)], vec![2 - u8::from(outbound)]);
        flows.seen(&datagram);
    }
    let view = flows.take_answered().pop().unwrap();
    assert_eq!(
        (view.role, view.answer),
        (Role::Client, Some(QuicAnswer { round_trips: 2, us: 80_000 }))
    );
    let trip = |sent_us, back_us| QuicTrip { sent_us, back_us };
    assert_eq!(view.trips, [trip(0, 40_000), trip(41_000, 80_000)]);
}

/// A client's first datagram, with the id that it goes by and the one that it made up.
fn first(client_id: &[u8], made_up: u8) -> QuicDatagram {
    let mut datagram = datagram(0, false, "I");
    datagram.packets.source = client_id.to_vec();
    datagram.packets.destination = vec![made_up; 8];
    datagram
}

#[test]
fn connections_of_a_socket_are_told_apart() {
    let mut flows = Flows::default();
    for number in 1..=3 {
        flows.seen(&first(&[number], number));
        flows.seen(&first(&[number], number));
    }
    assert_eq!((flows.count(7), flows.unanswered().count()), (3, 3));
    for (number, port) in [(2, 2_000), (1, 1_000)] {
        let mut reply = QuicDatagram { peer: Some(peer(port)), ..datagram(1, true, "IH") };
        (reply.packets.destination, reply.packets.source) = (vec![number], vec![number; 4]);
        flows.seen(&reply);
    }
    let mut request = datagram(40, false, "S");
    request.packets.destination = [vec![1; 4], vec![0xee; 9]].concat();
    flows.seen(&request);
    flows.seen(&QuicDatagram { peer: Some(peer(2_000)), ..datagram(41, true, "S") });
    assert_eq!(flows.take_answered(), [], "that was another's");
    // By an id that the client has named meanwhile.
    flows.seen(&QuicDatagram { peer: Some(peer(1_000)), ..datagram(41, true, "S") });
    let mut answered = flows.take_answered();
    let view = answered.pop().unwrap();
    assert_eq!((&view.client_id[..], view.peer), (&[1][..], Some(peer(1_000))));
    assert_eq!(flows.shown(7), [view]);
    flows.forget(7);
    assert_eq!((flows.count(7), flows.unanswered().count(), flows.shown(7).len()), (0, 0, 0));
}

#[test]
fn what_is_left_of_the_connection_before_is_not_the_next_ones() {
    // A client with a socket of its own, and a server that it comes back to.
    let mut flows = Flows::default();
    let mut see = |ms, outbound, kinds, ids: [u8; 2]| {
        let mut datagram = QuicDatagram { peer: Some(peer(443)), ..datagram(ms, outbound, kinds) };
        let [client, server] = ids.map(|id| vec![id; 4]);
        (datagram.packets.source, datagram.packets.destination) =
            if outbound { (client, server) } else { (server, client) };
        flows.seen(&datagram);
        flows.take_answered().pop().and_then(|view| view.answer)
    };
    assert_eq!(see(0, true, "I", [1, 9]), None);
    assert_eq!(see(40, false, "IHS", [1, 2]), None);
    assert_eq!(see(41, true, "S", [1, 2]), None);
    assert_eq!(see(42, false, "S", [1, 2]), None, "sent along with the handshake");
    assert!(see(80, false, "S", [1, 2]).is_some());
    assert_eq!(see(81, true, "I", [3, 9]), None);
    assert_eq!(see(81, true, "S", [1, 2]), None, "the first one is closed");
    assert_eq!(see(121, false, "IHS", [3, 4]), None, "no answer to that");
    assert_eq!(see(122, true, "S", [3, 4]), None);
    assert_eq!(see(161, false, "S", [3, 4]).map(|answer| answer.round_trips), Some(2));
}

#[test]
fn clients_without_ids_are_told_apart_by_the_servers() {
    let mut flows = Flows::default();
    flows.seen(&first(&[], 1));
    flows.seen(&first(&[], 2));
    for (number, port) in [(1, 1_000), (2, 2_000)] {
        let mut reply = QuicDatagram { peer: Some(peer(port)), ..datagram(1, true, "IH") };
        (reply.packets.destination, reply.packets.source) = (vec![], vec![number; 4]);
        flows.seen(&reply);
    }
    for (number, port) in [(2, 2_000), (1, 1_000)] {
        let mut request = datagram(40, false, "S");
        request.packets.destination = vec![number; 4];
        flows.seen(&request);
        flows.seen(&QuicDatagram { peer: Some(peer(port)), ..datagram(41, true, "S") });
        assert_eq!(flows.take_answered().pop().unwrap().peer, Some(peer(port)));
    }
}

#[test]
fn no_more_are_followed_than_there_is_room_for() {
    let mut flows = Flows::default();
    for number in 0..MAX_FOLLOWED as u32 + 10 {
        let mut datagram = first(&number.to_be_bytes(), 0);
        datagram.packets.destination = number.to_be_bytes().to_vec();
        flows.seen(&datagram);
    }
    assert_eq!(flows.unanswered().count(), MAX_FOLLOWED);
    assert_eq!(trips(&[(0, "<S"), (1, ">S")]), None, "it was open before");
}
