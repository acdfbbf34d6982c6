//! Whose time it is when a full accept queue made the kernel ignore a client.

use std::net::SocketAddr;

use super::facts::{Build, at, client, server};
use super::world::{LISTENER, MS, SECOND, START, World, address};
use crate::model::event::{
    Accept, Event, Exchange, Opened, Overflow, Role, SockId, Stage, SynAckRetransmit,
};
use crate::model::output::{ExchangeOutput, Output};
use crate::model::snapshot::ExchangeView;

const SOCK: SockId = 77;
const US: u64 = 1_000;

fn peer() -> SocketAddr {
    address("10.0.0.9:40122")
}

fn ignored(ns: u64, stage: Stage, bytes: Option<u32>) -> Event {
    let overflow = Overflow {
        ts_ns: ns,
        listener: LISTENER,
        peer: peer(),
        stage,
        depth: 9,
        limit: 8,
        syn_depth: 0,
        bytes,
    };
    Event::Overflow(overflow)
}

/// Queued and accepted `waited_ns` later, at the beginning of [`server`]'s facts.
fn accept(handshake_us: Option<u64>, waited_ns: u64, depth: u32) -> Accept {
    Accept {
        ts_ns: START,
        sock: SOCK,
        listener: LISTENER,
        local: address("10.0.0.1:8080"),
        peer: peer(),
        pid: 4242,
        tid: 11,
        comm: "server".into(),
        fd: Some(9),
        handshake_us,
        queued_ns: Some(START - waited_ns),
        queued_estimated: false,
        late: false,
        entered_ns: None,
        depth,
        stands_for: 1,
    }
}

fn told(world: &World) -> Vec<ExchangeView> {
    let exchange = |output: &Output| match output {
        Output::Exchange(ExchangeOutput { view, .. }) => Some(view.clone()),
        _ => None,
    };
    world.out.iter().filter_map(exchange).collect()
}

fn slices(view: &ExchangeView) -> Vec<(&'static str, u64)> {
    view.slices.iter().map(|slice| (slice.kind.name(), slice.us)).collect()
}

/// The first slices of a server's exchange whose data came `late_ns` after the accept.
fn served(
    before: impl IntoIterator<Item = Event>,
    accept: Accept,
    late_ns: u64,
    count: usize,
) -> Vec<(&'static str, u64)> {
    let mut world = World::with_limit(8);
    before.into_iter().for_each(|event| world.apply(event));
    world.apply(Event::Accept(accept));
    world.apply(Event::Exchange(Exchange { sock: SOCK, ..server().later(late_ns) }));
    slices(&told(&world)[0])[..count].to_vec()
}

#[test]
fn from_the_first_ignored_packet_on_it_is_the_applications_time() {
    let packets = [
        ignored(START - 3_000 * MS, Stage::Ack, Some(0)),
        ignored(START - 2_900 * MS, Stage::Ack, Some(40)),
        ignored(START - 2_000 * MS, Stage::Ack, Some(40)),
    ];
    // The kernel's sample of the handshake runs to the packet that was let in.
    let slices = served(packets, accept(Some(2_900_100), 100 * MS, 8), 700 * MS, 4);
    let expected = [
        ("handshake", 100),
        ("ignored", 2_900_000),
        ("accept_queue", 100_000),
        ("ignored", 700_000),
    ];
    assert_eq!(slices, expected, "the data had been ignored, too");
}

#[test]
fn a_client_that_said_nothing_before_it_was_let_in_is_waited_for() {
    let packets = [
        ignored(START - 3_000 * MS, Stage::Ack, Some(0)),
        ignored(START - 2_000 * MS, Stage::Ack, Some(0)),
    ];
    let slices = served(packets, accept(None, 100 * MS, 8), 700 * MS, 3);
    // Without a sample of the handshake it begins where the client was ignored.
    assert_eq!(slices, [("ignored", 2_900_000), ("accept_queue", 100_000), ("request", 700_000)]);
}

#[test]
fn where_packets_are_not_seen_their_data_are_unknown() {
    let again = SynAckRetransmit {
        ts_ns: START - 2_000 * MS,
        listener: LISTENER,
        peer: peer(),
        count: 1,
        first_ns: Some(START - 3_000 * MS),
        ignored: true,
    };
    let slices =
        served([Event::SynAckRetransmit(again.clone())], accept(None, 100 * MS, 8), 700 * MS, 3);
    assert_eq!(slices, [("ignored", 2_900_000), ("accept_queue", 100_000), ("unknown", 700_000)]);
    // A SYN-ACK that was not answered is sent again for want of an answer.
    let lost = Event::SynAckRetransmit(SynAckRetransmit { ignored: false, ..again });
    assert_eq!(
        served([lost], accept(None, 100 * MS, 8), 700 * MS, 2),
        [("accept_queue", 100_000), ("request", 700_000)]
    );
}

#[test]
fn another_client_at_the_same_address_was_not_ignored() {
    // The one before gave up long ago.
    let packets = [ignored(START - 300 * SECOND, Stage::Ack, Some(40))];
    let slices = served(packets, accept(Some(400), 100 * MS, 0), 700 * MS, 3);
    assert_eq!(slices, [("handshake", 400), ("accept_queue", 100_000), ("request", 700_000)]);
    // A SYN that was dropped is sent again before there is a connection.
    let packets = [ignored(START - 1_000 * MS, Stage::Syn, Some(0))];
    assert_eq!(served(packets, accept(Some(400), 100 * MS, 0), 0, 2)[0], ("handshake", 400));
}

/// A call over these addresses, whose request was sent again after 200 ms and acknowledged after
/// 900.
fn called(world: &mut World, local: &str, server: &str) -> Vec<(&'static str, u64)> {
    world.apply(Event::Opened(Opened {
        ts_ns: START,
        sock: 5,
        role: Role::Client,
        listener: None,
        local: address(local),
        peer: address(server),
        pid: 4242,
        comm: "proxy".into(),
        handshake_us: Some(30),
        preexisting: false,
        asked_ns: None,
        syns_again: 0,
    }));
    let mut exchange = Exchange { sock: 5, ..client() };
    (exchange.outbound().retransmits, exchange.outbound().retransmit_ns) = (2, Some(at(200 * MS)));
    exchange.outbound().acked_ns = Some(at(900 * MS));
    let inbound = exchange.inbound();
    (inbound.first_ns, inbound.last_ns) = (at(905 * MS), at(905 * MS));
    (inbound.read_first_ns, inbound.read_last_ns) = (Some(at(906 * MS)), Some(at(906 * MS)));
    world.apply(Event::Exchange(exchange));
    slices(told(world).last().unwrap())
}

#[test]
fn a_call_that_its_server_ignored_is_not_called_lost() {
    // The listener's address is a wildcard's as well.
    let mut world = World::with_limit(8);
    world.sample_after(10 * MS);
    world.apply(ignored(START + 20 * US, Stage::Ack, Some(40)));
    let slices = called(&mut world, "10.0.0.9:40122", "10.0.0.1:8080");
    assert_eq!(slices, [("ignored", 900_000), ("response", 5_000), ("receive_queue", 1_000)]);
    // Nothing is lost on the way from a host to itself, but nobody has seen why it was sent again.
    let mut world = World::with_limit(8);
    let slices = called(&mut world, "127.0.0.1:40122", "127.0.0.1:9000");
    assert_eq!(slices[1].0, "unknown", "{slices:?}");
    let mut world = World::with_limit(8);
    let slices = called(&mut world, "10.0.0.9:40122", "10.0.0.1:9000");
    assert_eq!(slices[1].0, "retransmit", "{slices:?}");
}
