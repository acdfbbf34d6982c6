//! Ends that no record tells: no table stays full for that, and what gives way is counted.

use backscope_abi::MAX_DATAGRAMS;

use super::connections::{closed, opened};
use super::world::{SECOND, START, World};
use crate::model::MAX_HELLOS;
use crate::model::event::{
    ClientHello, Event, Http2Streams, Recognised, Role, ServerHello, Sign, SockId,
};
use crate::model::output::{ConnectionOutput, Output};

fn sign(sock: SockId, sign: Sign) -> Event {
    Event::Recognised(Recognised { ts_ns: START, sock, sign })
}

/// What was lost in a table.
fn lost(world: &World, table: &str) -> u64 {
    let of_table = world.out.iter().filter_map(|output| match output {
        Output::Lost(lost) if lost.probe == table => Some(lost.count),
        _ => None,
    });
    of_table.sum()
}

fn connection(world: &World, sock: SockId) -> &ConnectionOutput {
    let connection = world.out.iter().find_map(|output| match output {
        Output::Connection(connection) if connection.view.sock == sock => Some(connection),
        _ => None,
    });
    connection.unwrap_or_else(|| panic!("connection {sock} is not reported"))
}

#[test]
fn hellos_and_streams_are_known_of_new_connections() {
    let mut world = World::with_limit(128);
    let streams = Http2Streams { opened: 3, most: 1, partly: false };
    let newest = MAX_HELLOS as u64 + 5;
    for sock in 1..=newest {
        world.apply(opened(sock, Role::Server, false));
        world.apply(sign(sock, Sign::ClientHello(ClientHello::default())));
        world.apply(sign(sock, Sign::ServerHello(ServerHello::default())));
        world.apply(sign(sock, Sign::Http2Streams(streams)));
    }
    world.sample_after(SECOND);
    assert_eq!((lost(&world, "model_hellos"), lost(&world, "model_requests")), (5, 5));
    for sock in [5, 6, newest] {
        world.apply(closed(sock, world.now));
    }
    let [gone, oldest, newest] = [5, 6, newest].map(|sock| &connection(&world, sock).view);
    assert_eq!((gone.tls.is_some(), gone.streams), (false, None), "it gave way");
    assert_eq!((oldest.tls.is_some(), oldest.streams), (true, Some(streams)));
    assert_eq!((newest.tls.is_some(), newest.streams), (true, Some(streams)));
}

#[test]
fn what_is_known_of_udp_sockets_that_no_sample_shows_is_forgotten() {
    let mut world = World::with_limit(128);
    let quic = Sign::Quic { version: 1, early_data: false };
    let room = 2 * u64::from(MAX_DATAGRAMS);
    (1..=room).for_each(|sock| world.apply(sign(sock, quic.clone())));
    // A sample may come before the socket is in it.
    world.sample_after(SECOND);
    world.apply(sign(room + 1, quic.clone()));
    world.sample_after(SECOND);
    assert_eq!(lost(&world, "model_datagrams"), 1, "one too many at once");
    (1..room).for_each(|at| world.apply(sign(room + 1 + at, quic.clone())));
    world.sample_after(SECOND);
    assert_eq!(lost(&world, "model_datagrams"), 1, "those before were forgotten");
    world.apply(sign(1, quic));
    world.sample_after(SECOND);
    assert_eq!(lost(&world, "model_datagrams"), 1);
}
