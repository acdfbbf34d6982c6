//! Claims about listeners that many threads wait for, and about UDP sockets.

use super::ClaimRow;
use crate::model::event::{DatagramFlow, DatagramSample, Waiting};
use crate::model::tests::world::{LISTENER, MS, SECOND, World, udp_socket};

pub(super) fn rows() -> Vec<ClaimRow> {
    [herd(), datagrams()].concat()
}

fn herd() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "thundering-herd",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("dear", || woken(4, 1_000, 0), || woken(4, 50, 0)),
        row("not-exclusive", || woken(4, 50, 0), || woken(0, 0, 40)),
        row("several-accept", || woken(0, 0, 40), || woken(4, 50, 0)),
        row("found-nothing", || woken(0, 0, 40), || woken(4, 50, 0)),
        row("costs", || woken(4, 50, 0), || woken(0, 0, 0)),
    ]
}

/// Two threads accept. So many wait by epoll without `EPOLLEXCLUSIVE`, and wake so often for each
/// accept; and accept finds nothing so often each tenth of a second.
fn woken(waiters: u32, wakeups: u64, empty: u64) -> World {
    let mut world = World::with_limit(128);
    for step in 1..=40 {
        for at in 0..5 {
            world.now += 10 * MS;
            world.accept(0, 100 + at % 2, MS, MS);
        }
        world.listeners[0].eagain = step * empty;
        world.waiting = (0..waiters).map(|at| waits(at, step * wakeups)).collect();
        world.sample_after(50 * MS);
    }
    world
}

fn waits(at: u32, switches: u64) -> Waiting {
    let (tid, epoll) = (100 + at, 5 + at);
    Waiting { pid: 4242, tid, listener: LISTENER, epoll, exclusive: false, switches }
}

fn datagrams() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "udp-receive-overflow",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("dropped", || stopped(3), || stopped(0)),
        row("stopped", || stopped(3), || reads(3)),
        row("slow", || reads(3), || stopped(3)),
        row("never-read", || never_read(3), || reads(3)),
        row("reader-unknown", || unseen(3), || reads(3)),
    ]
}

/// A socket that has dropped so many datagrams, with what was seen of its reader.
fn dropping(drops: u64, socket: DatagramSample) -> World {
    let mut world = World::with_limit(128);
    world.datagrams = vec![DatagramSample { drops: 0, ..socket.clone() }];
    world.sample_after(SECOND);
    world.datagrams = vec![DatagramSample { drops, waiting: 9, ..socket }];
    world.sample_after(SECOND);
    world
}

/// The reader has stopped while datagrams wait.
fn stopped(drops: u64) -> World {
    let now = World::with_limit(128).now + 2 * SECOND;
    let (read_ns, oldest_ns) = (Some(now - 3 * SECOND), Some(now - 2 * SECOND));
    dropping(
        drops,
        DatagramSample { read_ns, oldest_ns, reader: Some((4242, 4243)), ..udp_socket() },
    )
}

/// The reader reads.
fn reads(drops: u64) -> World {
    let now = World::with_limit(128).now + 2 * SECOND;
    dropping(
        drops,
        DatagramSample { read_ns: Some(now), reader: Some((4242, 4243)), ..udp_socket() },
    )
}

/// Reads would be seen, and there was none.
fn never_read(drops: u64) -> World {
    dropping(drops, DatagramSample { read: Some(DatagramFlow::default()), ..udp_socket() })
}

/// Reads are not seen.
fn unseen(drops: u64) -> World {
    dropping(drops, DatagramSample { read: None, ..udp_socket() })
}
