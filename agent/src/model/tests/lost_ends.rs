//! Ends that no record tells: no table stays full for that, and what gives way is counted.

use backscope_abi::MAX_DATAGRAMS;

use super::closes::late;
use super::connections::{closed, opened};
use super::facts::server;
use super::world::{SECOND, START, World};
use crate::model::event::{
    Census, ClientHello, Event, Exchange, Http2Streams, Late, Opened, Progress, Recognised, Role,
    ServerHello, Sign, SockId,
};
use crate::model::output::{ConnectionOutput, Output};
use crate::model::tests::world::setup;
use crate::model::{
    MAX_CONNECTIONS, MAX_CURRENT, MAX_GREETED, MAX_HELLOS, MAX_LEFT, MAX_LOOPBACK_PAIRS, Model,
    UNTOLD_NS,
};

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
fn greetings_and_lingering_closes_that_give_way_are_counted() {
    let mut world = World::with_limit(128);
    for sock in 1..=MAX_GREETED as u64 + 3 {
        world.apply(opened(sock, Role::Server, false));
        world.apply(Event::Exchange(Exchange { sock, inbound: None, ..server() }));
    }
    for sock in 1..=MAX_LEFT as u64 + 2 {
        let Event::Late(late) = late() else { panic!("not late") };
        world.apply(Event::Late(Late { lingers: Some((sock, 2 * SECOND)), ..late }));
    }
    world.sample_after(SECOND);
    assert_eq!((lost(&world, "model_greetings"), lost(&world, "model_lingering")), (3, 2));
    world.sample_after(SECOND);
    assert_eq!((lost(&world, "model_greetings"), lost(&world, "model_lingering")), (3, 2));
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

/// Tells that a scan which began now shows these connections.
fn count(world: &mut World, shown: impl IntoIterator<Item = SockId>) {
    let since_ns = world.now;
    let socks: Vec<_> = shown.into_iter().collect();
    let (first, rest) = socks.split_at(socks.len() / 2);
    for (socks, complete) in [(first, false), (rest, true)] {
        let census = Census { ts_ns: since_ns, since_ns, socks: socks.to_vec(), complete };
        world.apply(Event::Census(census));
    }
    // For the others of very many.
    for _ in 0..MAX_CONNECTIONS / 1_024 {
        let census = Census { ts_ns: since_ns, since_ns, socks: Vec::new(), complete: false };
        world.apply(Event::Census(census));
    }
}

fn ended(world: &World) -> Vec<(SockId, bool)> {
    let mut ended = Vec::new();
    for output in &world.out {
        if let Output::Connection(connection) = output {
            ended.push((connection.view.sock, connection.view.end.untold));
        }
    }
    ended
}

/// Opens a connection now.
fn open(world: &mut World, sock: SockId) {
    let Event::Opened(known) = opened(sock, Role::Server, false) else { panic!("not opened") };
    world.apply(Event::Opened(Opened { ts_ns: world.now, ..known }));
}

#[test]
fn what_two_complete_scans_do_not_show_has_ended() {
    let mut world = World::with_limit(128);
    (1..=10).for_each(|sock| open(&mut world, sock));
    world.now += SECOND;
    count(&mut world, 1..=5);
    assert_eq!(ended(&world), [], "one scan may miss a connection that is on its way");
    world.now += UNTOLD_NS - 1;
    open(&mut world, 11);
    count(&mut world, 1..=4);
    assert_eq!(ended(&world), [], "too soon");
    world.apply(closed(9, world.now));
    world.now += 1;
    open(&mut world, 12);
    // The last part never comes: what it would have shown is not missed.
    let part = Census { ts_ns: world.now, since_ns: world.now, socks: vec![1], complete: false };
    world.apply(Event::Census(part));
    assert_eq!(ended(&world), [(9, false)]);
    world.now += 1;
    count(&mut world, [1, 2, 3, 4, 10]);
    assert_eq!(ended(&world)[1..], [(6, true), (7, true), (8, true)]);
    let view = &connection(&world, 7).view;
    assert_eq!((view.ended, view.closed_ns), (None, Some(world.now)));
    world.now += UNTOLD_NS;
    count(&mut world, [1, 2, 3, 4, 10]);
    assert_eq!(ended(&world)[4..], [(5, true), (11, true), (12, true)], "each has its own time");
    // The record comes after all.
    world.apply(closed(6, world.now));
    assert_eq!(ended(&world).len(), 7);

    // A replay says the same.
    let (mut replayed, mut out) = (Model::new(setup("full")), Vec::new());
    world.given.iter().for_each(|event| replayed.apply(event, &mut out));
    assert_eq!(out, world.out);
}

#[test]
fn connections_come_after_any_number_of_lost_ends() {
    let mut world = World::with_limit(128);
    let mut sock = 0;
    for burst in 0..6 {
        for _ in 0..MAX_CONNECTIONS / 2 {
            sock += 1;
            open(&mut world, sock);
        }
        for _ in 0..2 {
            world.now += UNTOLD_NS;
            count(&mut world, []);
        }
        let all = ended(&world);
        assert_eq!(all.len(), MAX_CONNECTIONS / 2, "burst {burst}");
        assert!(all.iter().all(|(_, untold)| *untold));
        world.out.clear();
    }
    world.sample_after(SECOND);
    assert_eq!(lost(&world, "model_connections"), 0);
    open(&mut world, 999_999);
    world.apply(closed(999_999, world.now));
    assert!(!connection(&world, 999_999).view.end.untold);
}

#[test]
fn an_exchange_that_goes_on_at_a_lost_end_keeps_no_place() {
    let mut world = World::with_limit(128);
    let all = MAX_CURRENT as u64;
    let begun = |sock, now| {
        let open = Exchange { progress: Progress::Open, outbound: None, ts_ns: now, ..server() };
        Event::Exchange(Exchange { sock, ..open })
    };
    for sock in 1..=all {
        open(&mut world, sock);
        world.apply(begun(sock, world.now));
    }
    for _ in 0..2 {
        world.now += UNTOLD_NS;
        count(&mut world, []);
    }
    open(&mut world, all + 1);
    world.apply(begun(all + 1, world.now));
    let views = world.model.snapshot().connections;
    let newest = views.iter().find(|view| view.sock == all + 1).expect("the newest");
    assert!(newest.current.is_some(), "its exchange is shown while it goes on");
}

#[test]
fn what_a_connection_had_goes_with_it() {
    let mut world = World::with_limit(128);
    let all = MAX_HELLOS.max(MAX_LOOPBACK_PAIRS) as u64;
    for burst in 0..3 {
        for at in 1..=all {
            let sock = burst * all + at;
            let Event::Opened(known) = opened(sock, Role::Client, false) else { panic!() };
            let local = std::net::SocketAddr::from(([10, 0, 0, 1], at as u16));
            world.apply(Event::Opened(Opened { ts_ns: world.now, local, ..known }));
            world.apply(sign(sock, Sign::ClientHello(ClientHello::default())));
            world.apply(sign(sock, Sign::Http2Streams(Http2Streams::default())));
        }
        for _ in 0..2 {
            world.now += UNTOLD_NS;
            count(&mut world, []);
        }
    }
    world.sample_after(SECOND);
    for table in ["model_hellos", "model_requests", "model_loopback_pairs"] {
        // The last ones that closed are kept for the screen.
        assert!(lost(&world, table) <= 2 * 256, "{table}: {}", lost(&world, table));
    }
}

#[test]
fn very_many_lost_ends_are_reported_in_parts() {
    let mut world = World::with_limit(128);
    let all = 3_000;
    (1..=all).for_each(|sock| open(&mut world, sock));
    let part = |now, complete| {
        let census = Census { ts_ns: now, since_ns: now, socks: Vec::new(), complete };
        Event::Census(census)
    };
    for _ in 0..2 {
        world.now += UNTOLD_NS;
        world.apply(part(world.now, true));
    }
    assert_eq!(ended(&world).len(), 1_024, "the oldest of them");
    world.apply(closed(1_025, world.now));
    world.apply(part(world.now, false));
    assert_eq!(ended(&world).len(), 2_049, "one was told after all");
    world.finish();
    let ended = ended(&world);
    assert_eq!(ended.len() as u64, all);
    assert_eq!(ended.iter().filter(|(_, untold)| !untold).collect::<Vec<_>>(), [&(1_025, false)]);
}
