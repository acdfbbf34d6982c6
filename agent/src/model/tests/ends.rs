//! Both ends of a connection on this host: what one records of its ACKs proves what the other
//! infers.

use super::connections::{closed, sampled};
use super::facts::{Build, at, client, server};
use super::world::{MS, START, World, address};
use crate::model::event::{DelayedAcks, Event, Exchange, Opened, Progress, Role, SockId};
use crate::model::output::{Interest, Output};
use crate::model::snapshot::{Slice, SliceKind};

/// The ends of one connection, and a client of another network namespace with the same addresses.
const SERVER: SockId = 1;
const CLIENT: SockId = 2;
const TWIN: SockId = 3;
/// When the ACK came that the client delayed.
const ACKED: u64 = START + 41 * MS;

fn opened(sock: SockId, role: Role, client_port: u16) -> Event {
    let (near, far) = (address("127.0.0.1:8080"), address(&format!("127.0.0.1:{client_port}")));
    let (local, peer) = if role == Role::Server { (near, far) } else { (far, near) };
    Event::Opened(Opened {
        ts_ns: START,
        sock,
        role,
        listener: None,
        local,
        peer,
        pid: if role == Role::Server { 4242 } else { 5_000 },
        comm: "one".into(),
        handshake_us: None,
        preexisting: false,
        asked_ns: None,
        syns_again: 0,
    })
}

/// Both ends are known.
fn world() -> World {
    let mut world = World::with_limit(128);
    world.apply(opened(SERVER, Role::Server, 40_122));
    world.apply(opened(CLIENT, Role::Client, 40_122));
    world
}

/// The server's exchange, the last byte of which was acknowledged late.
fn answered() -> Exchange {
    Exchange { sock: SERVER, ..server().acked(ACKED) }
}

/// An exchange of a client that has sent its newest delayed ACK then.
fn asked(sock: SockId, seq: u32, newest_ns: u64) -> Exchange {
    let delayed_acks = Some(DelayedAcks {
        sent: seq,
        waited_us: 40_000 * u64::from(seq),
        newest_ns: Some(newest_ns),
    });
    Exchange { sock, seq, delayed_acks, ..client() }
}

/// The delayed ACKs in the server's exchanges.
fn suffered(world: &World) -> Vec<Slice> {
    let slices = world.out.iter().filter_map(|output| match output {
        Output::Exchange(exchange) if exchange.sock == SERVER => {
            exchange.view.slices.last().copied()
        }
        _ => None,
    });
    slices.filter(|slice| slice.kind == SliceKind::DelayedAck).collect()
}

fn proved(world: &World) -> Vec<bool> {
    suffered(world).iter().map(|slice| slice.proved).collect()
}

#[test]
fn the_other_ends_record_proves_a_delayed_ack_whichever_comes_first() {
    for server_first in [false, true] {
        let mut world = world();
        let mut events =
            vec![Event::Exchange(asked(CLIENT, 1, ACKED - 9_000)), Event::Exchange(answered())];
        if server_first {
            events.reverse();
        }
        events.into_iter().for_each(|event| world.apply(event));
        assert_eq!(proved(&world), [true], "the server first: {server_first}");
        let view = world
            .model
            .snapshot()
            .connections
            .into_iter()
            .find(|view| view.sock == SERVER)
            .unwrap();
        let kept = [&view.recent[0], view.worst.as_ref().unwrap()];
        assert!(
            kept.iter().all(|view| view.slices.last().is_some_and(|last| last.proved)),
            "the screen shows it"
        );
    }
}

#[test]
fn a_scan_and_a_close_prove_it_too() {
    let open = |exchange| Exchange { progress: Progress::Open, ts_ns: at(1_500 * MS), ..exchange };
    let mut scanned = world();
    scanned.connections = [answered(), asked(CLIENT, 1, ACKED)]
        .map(open)
        .map(|one| sampled(one.sock, Some(one)))
        .into();
    scanned.sample_after(1_500 * MS);
    assert_eq!(proved(&scanned), [true]);

    let mut ended = world();
    ended.apply(Event::Exchange(asked(CLIENT, 1, ACKED)));
    ended.apply(closed(CLIENT, ACKED + MS));
    ended.apply(Event::Exchange(answered()));
    assert_eq!(proved(&ended), [true], "the client's end was first");
}

#[test]
fn nothing_is_proved_without_evidence() {
    let mut world = world();
    world.apply(Event::Exchange(answered()));
    world.apply(Event::Exchange(asked(CLIENT, 1, ACKED - 45 * MS)));
    assert_eq!(proved(&world), [false], "the client delayed another one");
    world.apply(opened(5, Role::Client, 40_123));
    world.apply(Event::Exchange(asked(5, 1, ACKED)));
    assert_eq!(proved(&world), [false], "that is somebody else's");
    world.apply(Event::Exchange(asked(CLIENT, 2, ACKED)));
    assert_eq!(proved(&world), [true]);
}

#[test]
fn of_two_clients_with_the_same_addresses_nothing_is_known() {
    let mut world = world();
    world.apply(opened(TWIN, Role::Client, 40_122));
    for client in [CLIENT, TWIN] {
        world.apply(Event::Exchange(asked(client, 1, ACKED)));
    }
    world.apply(Event::Exchange(answered()));
    assert_eq!(proved(&world), [false]);
}

#[test]
fn a_port_that_comes_again_is_the_new_clients() {
    let mut world = world();
    world.apply(closed(CLIENT, at(MS)));
    world.apply(opened(TWIN, Role::Client, 40_122));
    world.apply(Event::Exchange(asked(CLIENT, 1, ACKED)));
    world.apply(Event::Exchange(answered()));
    assert_eq!(proved(&world), [false], "the old one is over");
    world.apply(Event::Exchange(asked(TWIN, 1, ACKED)));
    assert_eq!(proved(&world), [true]);
}

#[test]
fn an_open_connection_tells_of_the_acks_that_it_delayed() {
    let mut world = world();
    world.apply(Event::Exchange(asked(CLIENT, 3, ACKED)));
    world.finish();
    let sent = world.out.iter().filter_map(|output| match output {
        Output::Connection(connection) => {
            Some((connection.view.sock, connection.delayed_acks_sent))
        }
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), [(SERVER, None), (CLIENT, Some((3, 120_000)))]);
}

#[test]
fn what_nobody_wants_to_hear_of_counts_all_the_same() {
    let (mut all, mut some) = (world(), world());
    some.model.set_interest(Interest { exchanges_from_us: 10_000, each: true, connections: false });
    for world in [&mut all, &mut some] {
        let quick = Exchange { sock: SERVER, seq: 1, ..server() };
        let slow = Exchange { seq: 2, ..quick.clone().later(10 * MS).writing(at(60 * MS)) };
        let answered = Exchange { seq: 3, ..answered().later(100 * MS) };
        for exchange in [quick, slow, answered, asked(CLIENT, 1, ACKED + 100 * MS)] {
            world.apply(Event::Exchange(exchange));
        }
        world.apply(closed(SERVER, at(200 * MS)));
        world.sample_after(MS);
    }
    assert_eq!(all.model.snapshot(), some.model.snapshot(), "proofs, too");
    let wanted = |output: &Output| match output {
        Output::Exchange(exchange) => exchange.sock == SERVER && exchange.view.seq > 1,
        Output::Connection(_) => false,
        _ => true,
    };
    assert_eq!(all.out.iter().filter(|output| !wanted(output)).count(), 3, "{:?}", all.out);
    all.out.retain(wanted);
    assert_eq!(all.out, some.out);
    assert!(suffered(&some)[0].proved);
    assert_eq!(all.finish(), some.finish());
}
