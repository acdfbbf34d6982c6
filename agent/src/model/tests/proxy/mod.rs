//! Which call was made for which request, and what a proxy does in all.

mod held;
mod joins;

use std::net::SocketAddr;

use super::facts::{Build, client, server};
use super::world::{MS, SECOND, START, World, address};
use crate::model::event::{Event, Exchange, Opened, Progress, Role, SockId, ThreadUse};
use crate::model::output::{ExchangeOutput, Output, ProxyOutput};
use crate::model::snapshot::{Reuse, Severity, Spreading};
use crate::record::{RecordEntry, tests::entries_of};
pub(super) use held::{Waits, behind_an_upstream};
use joins::joins;

const US: u64 = 1_000;

type Id = (SockId, u32);

/// An exchange that this thread served or made, from these moments on: first its beginning, then
/// its end.
#[derive(Clone, Copy)]
pub(super) struct Span(
    pub(super) SockId,
    pub(super) u32,
    pub(super) u32,
    pub(super) u64,
    pub(super) u64,
);

/// Read at the beginning, answered at the end.
pub(super) fn served(Span(sock, seq, tid, read_ns, written_ns): Span) -> Exchange {
    let mut exchange = server();
    let thread = Some(ThreadUse { pid: 4242, tid, ..ThreadUse::default() });
    let inbound = exchange.inbound();
    (inbound.first_ns, inbound.last_ns) = (START + read_ns - 10 * US, START + read_ns - 10 * US);
    (inbound.read_first_ns, inbound.read_last_ns, inbound.reader) =
        (Some(START + read_ns), Some(START + read_ns), thread);
    let outbound = exchange.outbound();
    let written_ns = START + written_ns;
    (outbound.first_ns, outbound.last_ns, outbound.sent_ns) =
        (written_ns, written_ns, Some(written_ns));
    (outbound.acked_ns, outbound.writer) = (Some(written_ns + 10 * US), thread);
    Exchange { sock, seq, ts_ns: written_ns + 20 * US, progress: Progress::Followed, ..exchange }
}

/// Written at the beginning, the answer read at the end.
pub(super) fn called(Span(sock, seq, tid, written_ns, read_ns): Span) -> Exchange {
    let mut exchange = client();
    let thread = Some(ThreadUse { pid: 4242, tid, ..ThreadUse::default() });
    let outbound = exchange.outbound();
    let written_ns = START + written_ns;
    (outbound.first_ns, outbound.last_ns, outbound.sent_ns) =
        (written_ns, written_ns, Some(written_ns));
    (outbound.acked_ns, outbound.writer) = (Some(written_ns + 10 * US), thread);
    let inbound = exchange.inbound();
    let read_ns = START + read_ns;
    (inbound.first_ns, inbound.last_ns) = (read_ns - 10 * US, read_ns - 10 * US);
    (inbound.read_first_ns, inbound.read_last_ns, inbound.reader) =
        (Some(read_ns), Some(read_ns), thread);
    Exchange { sock, seq, ts_ns: read_ns + 10 * US, progress: Progress::Followed, ..exchange }
}

fn opened(sock: SockId, role: Role, peer: SocketAddr) -> Event {
    Event::Opened(Opened {
        ts_ns: START,
        sock,
        role,
        listener: None,
        local: address("10.0.0.1:8080"),
        peer,
        pid: 4242,
        comm: "proxy".into(),
        handshake_us: None,
        preexisting: true,
        asked_ns: None,
        syns_again: 0,
    })
}

pub(super) fn upstream(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, 1], port))
}

/// A proxy that has these connections, with clients and with upstreams.
pub(super) fn proxy(
    clients: impl IntoIterator<Item = SockId>,
    upstreams: &[(SockId, u16)],
) -> World {
    let mut world = World::with_limit(128);
    for &(sock, port) in upstreams {
        world.apply(opened(sock, Role::Client, upstream(port)));
    }
    for sock in clients {
        world.apply(opened(sock, Role::Server, address("10.0.0.9:40122")));
    }
    world
}

/// A request and the call that was made for it, as a recording has them.
pub(crate) fn entries() -> Vec<RecordEntry> {
    let mut world = proxy([1], &[(2, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(3 * SECOND);
    let mut entries = entries_of(world.given);
    entries.push(RecordEntry::Finish(world.now));
    entries
}

pub(super) fn exchanges(world: &World) -> Vec<&ExchangeOutput> {
    world
        .out
        .iter()
        .filter_map(|output| if let Output::Exchange(one) = output { Some(one) } else { None })
        .collect()
}

pub(super) fn figures(world: &World) -> ProxyOutput {
    let newest = world.out.iter().rev().find_map(|output| match output {
        Output::Proxy(proxy) => Some(ProxyOutput::clone(proxy)),
        _ => None,
    });
    newest.expect("a proxy")
}

#[test]
fn a_process_that_only_serves_or_only_calls_is_told_at_once_and_is_no_proxy() {
    for role in [Role::Server, Role::Client] {
        let mut world = World::with_limit(128);
        world.apply(opened(1, role, upstream(1)));
        let span = Span(1, 1, 11, MS, 2 * MS);
        world.apply(Event::Exchange(if role == Role::Server {
            served(span)
        } else {
            called(span)
        }));
        assert_eq!(exchanges(&world).len(), 1);
        world.finish();
        assert!(!world.out.iter().any(|output| matches!(output, Output::Proxy(_))));
    }
}

/// Requests of `clients` connections one after the other, each joined to the call on the connection
/// that `choose` names; of these there are twelve, three for each of four upstreams. Upstream 9,001
/// takes so long.
fn run(clients: u64, slow_ms: u64, choose: impl Fn(u64, u64) -> u64) -> World {
    let upstreams: Vec<(SockId, u16)> =
        (0..12).map(|at| (100 + at, 9_001 + (at % 4) as u16)).collect();
    let mut world = proxy(1..=clients, &upstreams);
    let mut seqs = [0; 12];
    for turn in 0..160 {
        let client = turn % clients;
        let up = choose(client, turn) % 12;
        seqs[up as usize] += 1;
        let took = if up.is_multiple_of(4) { slow_ms * MS } else { 2 * MS };
        let read_ns = turn * 20 * MS + MS;
        let request = Span(1 + client, 1 + (turn / clients) as u32, 11, read_ns, read_ns + took);
        world.apply(Event::Exchange(served(request)));
        let call =
            Span(100 + up, seqs[up as usize], 11, read_ns + 30 * US, read_ns + took - 30 * US);
        world.apply(Event::Exchange(called(call)));
    }
    world.sample_after(5 * SECOND);
    world
}

#[test]
fn a_pool_and_requests_in_turn_are_told() {
    let world = run(5, 2, |_, turn| turn);
    let view = figures(&world).view;
    assert_eq!((view.reuse, view.spreading), (Some(Reuse::Pooled), Some(Spreading::PerRequest)));
    assert_eq!((view.downstream.connections, view.downstream.exchanges), (5, 160));
    assert_eq!((view.upstream.connections, view.upstream.exchanges, view.joined), (12, 160, 160));
    assert_eq!(view.upstreams.len(), 4);
    assert_eq!((view.upstreams[0].share, view.imbalance), (0.25, Some(1.0)));
    assert!(world.finding("upstream-imbalance").is_none(), "balanced");
    assert_eq!(world.model.snapshot().proxies, [view]);
}

#[test]
fn one_upstream_connection_for_each_client_is_told() {
    let view = figures(&run(5, 2, |client, _| client)).view;
    assert_eq!(
        (view.reuse, view.spreading),
        (Some(Reuse::PerConnection), Some(Spreading::PerConnection))
    );
}

#[test]
fn a_slow_upstream_is_found_and_marked() {
    let world = run(5, 15, |_, turn| turn);
    let finding = world.finding("upstream-imbalance").expect("a finding");
    assert_eq!((finding.severity, finding.subject.as_came()), (Severity::Warning, "proxy 4242"));
    assert!(finding.headline.contains("10.0.1.1:9001 takes 15 ms"), "{:?}", finding.headline);
    let slow: Vec<_> =
        figures(&world).view.upstreams.iter().filter(|one| one.slow).map(|one| one.peer).collect();
    assert_eq!(slow, [upstream(9_001)]);
}

#[test]
fn an_upstream_with_more_than_its_part_is_found() {
    let world = run(5, 2, |_, turn| if turn % 2 == 0 { 1 } else { turn });
    let finding = world.finding("upstream-imbalance").expect("a finding");
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.headline.contains("10.0.1.1:9002 gets"), "{:?}", finding.headline);
}

#[test]
fn many_clients_that_come_and_go_leave_room_for_a_proxy() {
    let mut world = World::with_limit(128);
    let client = |pid: u32| {
        let Event::Opened(one) = opened(10_000 + u64::from(pid), Role::Client, upstream(1)) else {
            unreachable!()
        };
        Event::Opened(Opened { pid, ..one })
    };
    (1..=200).for_each(|pid| world.apply(client(pid)));
    world.apply(opened(2, Role::Client, upstream(9_001)));
    world.apply(opened(1, Role::Server, address("10.0.0.9:40122")));
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(3 * SECOND);
    assert_eq!(joins(&world), [((1, 1), vec![(2, 1)])]);
}
