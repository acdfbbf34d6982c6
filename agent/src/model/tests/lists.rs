//! Lists of connections: windows over all of them, those that are asked for, those that close.

use std::collections::BTreeSet;

use super::connections::{closed, opened};
use super::world::{MS, SECOND, START, World, address};
use crate::model::MAX_CONNECTION_VIEWS;
use crate::model::event::{
    Closing, ClosingSocket, Connect, Event, Opened, Outcome, Role, SockId, TcpState,
};
use crate::model::snapshot::{ConnectionOrder, ConnectionQuery, Selection};

/// More connections than a snapshot holds, from peers in no order.
const ALL: u64 = 3 * MAX_CONNECTION_VIEWS as u64;

fn crowd() -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=ALL {
        let Event::Opened(one) = opened(sock, Role::Server, false) else { panic!("not opened") };
        let mixed = sock.wrapping_mul(0x9e37_79b9) % 60_000 + 1_024;
        let peer = address(&format!("10.0.{}.9:{mixed}", sock % 7));
        world.apply(Event::Opened(Opened { peer, ts_ns: START + sock, ..one }));
    }
    world
}

fn pending(sock: SockId, now_ns: u64) -> Event {
    Event::Connect(Connect {
        ts_ns: now_ns,
        sock,
        peer: address("192.0.2.1:443"),
        pid: 4242,
        comm: "server".into(),
        tid: Some(4243),
        asked_ns: START + SECOND,
        outcome: Outcome::Pending,
        error: None,
        inferred: false,
        syns: 3,
        ports: None,
        time_wait: None,
    })
}

#[test]
fn the_windows_of_a_query_are_the_list_in_its_order() {
    let world = crowd();
    let orders = [ConnectionOrder::Worst, ConnectionOrder::Address, ConnectionOrder::In];
    for (order, reversed) in orders.into_iter().flat_map(|order| [(order, false), (order, true)]) {
        let mut query =
            ConnectionQuery { filter: "10.0.3.".into(), order, reversed, ..Default::default() };
        let (mut row, mut socks, mut keys) = (0, Vec::new(), Vec::new());
        loop {
            query.selection = Selection::Row(row);
            let found = world.model.find(&query).unwrap();
            assert_eq!((found.matching as u64, found.cursor), (ALL / 7 + 1, row));
            let here = &found.rows[row - found.first..];
            socks.extend(here.iter().map(|view| view.sock));
            keys.extend(here.iter().map(|view| order.key(view)));
            row += here.len();
            if row == found.matching {
                break;
            }
        }
        let distinct: BTreeSet<_> = socks.iter().collect();
        assert_eq!(distinct.len(), socks.len(), "each is there once");
        assert!(socks.iter().all(|sock| sock % 7 == 3), "those that match");
        if reversed {
            keys.reverse();
        }
        assert!(keys.is_sorted(), "{order:?}, reversed: {reversed}");
        // Whatever is selected by its id is where it was met.
        query.selection = Selection::Sock(socks[300], 0);
        assert_eq!(world.model.find(&query).unwrap().cursor, 300);
    }
}

#[test]
fn a_snapshot_that_holds_all_needs_no_window() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    assert_eq!(world.model.find(&ConnectionQuery::default()), None);
    let query = ConnectionQuery { open: Some(ALL), ..ConnectionQuery::default() };
    let open = crowd().model.find(&query).and_then(|found| found.open).map(|view| view.sock);
    assert_eq!(open, Some(ALL), "wherever it is in the list");
}

#[test]
fn a_connect_that_hangs_is_in_the_list_until_it_is_over() {
    let mut world = World::with_limit(128);
    world.apply(pending(5, START + 3 * SECOND));
    let [one] = &world.model.snapshot().connections[..] else { panic!("one row") };
    assert_eq!((one.sock, one.state, one.role), (5, TcpState::SynSent, Role::Client));
    assert_eq!((one.since_ns, one.syns_again), (START + SECOND, 2));
    assert_eq!(world.model.snapshot().connections_listed, 1);
    let Event::Opened(made) = opened(5, Role::Client, false) else { panic!("not opened") };
    world.apply(Event::Opened(Opened { ts_ns: START + 4 * SECOND, ..made }));
    let [one] = &world.model.snapshot().connections[..] else { panic!("one row") };
    assert_eq!((one.sock, one.state), (5, TcpState::Established));
}

#[test]
fn what_no_file_leads_to_has_the_kernels_state_and_count() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let closing = |state, retransmits| {
        let sockets = [1, 99].map(|sock| ClosingSocket { sock, state, retransmits });
        Event::Closing(Closing { ts_ns: START + SECOND, sockets: sockets.into() })
    };
    let shown = |world: &World| {
        let [one] = &world.model.snapshot().connections[..] else { panic!("one row") };
        (one.state, one.retransmits)
    };
    world.apply(closing(TcpState::FinWait1, Some(3)));
    assert_eq!(shown(&world), (TcpState::FinWait1, 3), "99 is nobody's");
    world.apply(closing(TcpState::FinWait1, None));
    assert_eq!(shown(&world), (TcpState::FinWait1, 3));
    world.apply(closed(1, START + 2 * SECOND + MS));
    assert_eq!(shown(&world).0, TcpState::Closed);
    world.apply(closing(TcpState::FinWait2, Some(4)));
    assert_eq!(shown(&world).0, TcpState::Closed, "it has ended");
}
