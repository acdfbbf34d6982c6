//! Time that requests wait for upstreams: whose it is on a screen, and what is known of the call.

use super::connections::sampled;
use super::connects::failed;
use super::facts::Build;
use super::proxy::{Span, called, exchanges, figures, proxy, served, upstream};
use super::unanswered::end;
use super::world::{MS, SECOND, START, World};
use crate::model::event::{
    Connect, Ending, Event, Exchange, Outcome, Progress, Role, Side, SockId,
};
use crate::model::snapshot::{
    CallFault, ConnectionView, ExchangeView, Holder, Owner, SliceKind, UpstreamView,
};
use crate::model::timeline;

const US: u64 = 1_000;

fn connection(world: &World, sock: SockId) -> ConnectionView {
    let snapshot = world.model.snapshot();
    snapshot.connections.into_iter().find(|one| one.sock == sock).expect("it is shown")
}

/// The only exchange of a connection.
fn shown(world: &World, sock: SockId) -> ExchangeView {
    let view = connection(world, sock);
    view.current.or_else(|| view.recent.last().cloned()).expect("an exchange")
}

/// Time by holder as letters and µs: only what there is.
fn held(view: &ExchangeView) -> Vec<(char, u64)> {
    let held = view.held();
    let mut all = Vec::new();
    for holder in Holder::ALL {
        if held.of(holder) > 0 {
            all.push((holder.letter(), held.of(holder)));
        }
    }
    all
}

fn panel(world: &World, port: u16) -> UpstreamView {
    let proxies = world.model.snapshot().proxies;
    let all = proxies.into_iter().flat_map(|proxy| proxy.upstreams);
    all.into_iter().find(|one| one.peer == upstream(port)).expect("a row of the panel")
}

/// What goes on at 4 s.
fn open(exchange: Exchange) -> Exchange {
    Exchange { progress: Progress::Open, ts_ns: START + 4 * SECOND, ..exchange }
}

#[test]
fn the_wait_for_a_call_is_the_upstreams_and_counts_once() {
    let mut world = proxy([1], &[(2, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(3 * SECOND);
    let view = shown(&world, 1);
    assert_eq!(held(&view), [('A', 2_010), ('U', 18_000), ('N', 10)]);
    let parts: Vec<_> =
        view.parts().iter().map(|part| (part.holder.letter(), part.slice.us)).collect();
    assert_eq!(parts, [('A', 10), ('A', 1_000), ('U', 18_000), ('A', 1_000), ('N', 10)]);
    let most = view.held_most().expect("some time");
    assert_eq!((most.holder, most.us), (Holder::Upstream, 18_000));
    let wait = view.longest_wait().expect("a wait");
    assert_eq!((wait.peer, wait.call, wait.fault), (upstream(9_001), Some((2, 1)), None));
    // The contract knows the application alone.
    assert_eq!(view.verdict.map(|verdict| verdict.kind.owner()), Some(Owner::App));
    let snapshot = world.model.snapshot();
    let own = connection(&world, 1).held;
    assert_eq!((own.of(Holder::App), own.of(Holder::Upstream)), (2_010, 18_000));
    for held in [snapshot.held, snapshot.recent_held] {
        assert_eq!((held.exchanges, held.of(Holder::Upstream)), (1, 18_000), "the call is in it");
        assert_eq!(held.of(Holder::Peer), 0);
    }
    assert_eq!(snapshot.times.exchanges, 2, "the contract counts both");
    assert_eq!(world.finish().held.of(Holder::Upstream), 18_000);
}

#[test]
fn no_sentence_blames_the_proxy_for_its_upstreams_time() {
    let mut world = proxy([1], &[(2, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(3 * SECOND);
    let (snapshot, connection) = (world.model.snapshot(), connection(&world, 1));
    let steps = timeline::exchange(&snapshot, &connection, &shown(&world, 1));
    let words: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            timeline::Step::Held { owner: Holder::Upstream, us, text, .. } => {
                Some((*us, text.as_came().to_owned()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(words, [(18_000, "thread 11 waited until upstream 10.0.1.1:9001 answered".into())]);
}

#[test]
fn what_has_just_been_answered_is_the_upstreams_at_once() {
    let mut world = proxy([1], &[(2, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(30 * MS);
    assert!(exchanges(&world).is_empty(), "not reported yet");
    assert_eq!(held(&shown(&world, 1)), [('A', 2_010), ('U', 18_000), ('N', 10)]);
    assert_eq!(connection(&world, 1).held.of(Holder::Upstream), 18_000);
    assert_eq!(world.model.snapshot().held.exchanges, 0, "the sums wait for the last word");
}

#[test]
fn calls_in_parallel_count_once() {
    let mut world = proxy([1], &[(2, 9_001), (3, 9_002)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 12 * MS))));
    world.apply(Event::Exchange(called(Span(3, 1, 11, 3 * MS, 20 * MS))));
    world.sample_after(3 * SECOND);
    let view = shown(&world, 1);
    assert_eq!(held(&view), [('A', 2_010), ('U', 18_000), ('N', 10)]);
    assert_eq!(view.longest_wait().map(|wait| wait.peer), Some(upstream(9_002)));
    let held = world.model.snapshot().held;
    assert_eq!((held.exchanges, held.of(Holder::Upstream), held.of(Holder::Peer)), (1, 18_000, 0));
}

#[test]
fn a_call_of_another_thread_counts_only_if_it_fills_the_time() {
    for (from_ms, to_ms, waited_us) in [(2, 20, 18_000), (8, 15, 0)] {
        let mut world = proxy([1], &[(2, 9_001)]);
        world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
        world.apply(Event::Exchange(called(Span(2, 1, 12, from_ms * MS, to_ms * MS))));
        world.sample_after(3 * SECOND);
        let view = shown(&world, 1);
        assert_eq!(view.upstream.len(), 1, "it is likely, and told");
        assert_eq!(view.held().of(Holder::Upstream), waited_us, "{from_ms} to {to_ms} ms");
        let app = view.slices.iter().find(|slice| slice.kind == SliceKind::App).expect("work");
        assert_eq!(app.upstream_us, (waited_us > 0).then_some(waited_us));
        let held = world.model.snapshot().held;
        let calls = u64::from(waited_us == 0);
        assert_eq!((held.exchanges, held.of(Holder::Upstream)), (1 + calls, waited_us));
        assert_eq!(held.of(Holder::Peer) > 0, waited_us == 0, "a call of its own counts");
    }
}

#[test]
fn a_connection_that_was_not_used_is_no_upstream_of_the_request() {
    let mut world = proxy([1], &[(2, 9_001)]);
    world.apply(Event::Exchange(called(Span(2, 1, 11, MS, 9 * MS))));
    world.apply(Event::Exchange(served(Span(1, 1, 11, 10 * MS, 30 * MS))));
    world.sample_after(3 * SECOND);
    assert_eq!(held(&shown(&world, 1)), [('A', 20_010), ('N', 10)]);
    assert_eq!(world.model.snapshot().held.of(Holder::Upstream), 0);
}

/// In one batch an event loop reads a request, calls for it, and reads the next within the slack
/// between clocks. The answers come in the other order.
#[test]
fn of_requests_read_at_once_each_has_its_own_call() {
    let mut world = proxy([1, 2], &[(3, 9_001), (4, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, 398 * US, 42_361 * US))));
    world.apply(Event::Exchange(served(Span(2, 1, 11, 508 * US, 42_062 * US))));
    world.apply(Event::Exchange(called(Span(3, 1, 11, 460 * US, 41_755 * US))));
    world.apply(Event::Exchange(called(Span(4, 1, 11, 521 * US, 41_830 * US))));
    world.sample_after(3 * SECOND);
    let calls =
        |sock| shown(&world, sock).upstream.iter().map(|join| join.sock).collect::<Vec<_>>();
    assert_eq!((calls(1), calls(2)), (vec![3], vec![4]));
}

/// Both answers are read and passed on in one batch, too: within the slack after the first response.
#[test]
fn of_responses_written_at_once_each_has_its_own_call() {
    let mut world = proxy([1, 2], &[(3, 9_001), (4, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, 100 * US, 40_020 * US))));
    world.apply(Event::Exchange(served(Span(2, 1, 11, 150 * US, 40_075 * US))));
    world.apply(Event::Exchange(called(Span(3, 1, 11, 130 * US, 40_000 * US))));
    world.apply(Event::Exchange(called(Span(4, 1, 11, 170 * US, 40_040 * US))));
    world.sample_after(3 * SECOND);
    let calls =
        |sock| shown(&world, sock).upstream.iter().map(|join| join.sock).collect::<Vec<_>>();
    assert_eq!((calls(1), calls(2)), (vec![3], vec![4]));
}

#[test]
fn a_request_that_waits_now_is_the_upstreams() {
    let mut world = proxy([1, 2], &[(101, 9_001)]);
    let request = |sock| Exchange { outbound: None, ..served(Span(sock, 1, 11, MS, 2 * MS)) };
    let call = Exchange { inbound: None, ..called(Span(101, 1, 11, 2 * MS, 3 * MS)) };
    world.connections.push(sampled(1, Some(open(request(1)))));
    world.connections.push(sampled(101, Some(open(call))));
    world.sample_after(4 * SECOND);
    let view = shown(&world, 1);
    assert_eq!(held(&view), [('A', 1_010), ('U', 3_998_000)]);
    let wait = view.longest_wait().expect("a wait");
    assert!(wait.open && wait.call == Some((101, 1)), "{wait:?}");
    let row = panel(&world, 9_001);
    assert_eq!((row.waiting, row.waiting_us), (1, 3_998_000));
    world.connections.retain(|one| one.sock < 100);
    world.connections = vec![sampled(2, Some(open(request(2))))];
    world.sample_after(SECOND);
    assert_eq!(shown(&world, 2).held().of(Holder::Upstream), 0, "it has called nobody");
}

#[test]
fn a_connect_without_an_answer_is_a_wait_for_the_upstream() {
    let mut world = proxy([1], &[(101, 9_002)]);
    let request = Exchange { outbound: None, ..served(Span(1, 1, 11, MS, 2 * MS)) };
    world.connections.push(sampled(1, Some(open(request))));
    let pending = Connect {
        ts_ns: START + 4 * SECOND,
        ..failed(upstream(9_001), Outcome::Pending, 2 * MS, 0)
    };
    world.apply(Event::Connect(pending.clone()));
    world.sample_after(4 * SECOND);
    let view = shown(&world, 1);
    assert_eq!(held(&view), [('A', 1_010), ('U', 3_998_000)]);
    let wait = view.longest_wait().expect("a wait");
    assert!(wait.open && wait.call.is_none() && wait.peer == upstream(9_001), "{wait:?}");
    assert_eq!(panel(&world, 9_001).waiting, 1);
    world.apply(Event::Connect(Connect { outcome: Outcome::TimedOut, ..pending }));
    world.sample_after(SECOND);
    let row = panel(&world, 9_001);
    assert_eq!((row.waiting, row.failures()), (0, 1));
    let last = row.last_failure.expect("it failed");
    assert_eq!(last.fault, CallFault::Connect(Outcome::TimedOut));
}

#[test]
fn connects_that_fail_are_named_with_their_number() {
    let mut world = proxy([1], &[(101, 9_002)]);
    for from_ms in [2, 3, 4] {
        let connect = failed(upstream(9_001), Outcome::Refused, from_ms * MS, 500 * US);
        world.apply(Event::Connect(connect));
    }
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 6 * MS))));
    world.sample_after(3 * SECOND);
    let view = shown(&world, 1);
    assert_eq!(held(&view), [('A', 3_510), ('U', 1_500), ('N', 10)]);
    assert_eq!(view.faults(), [(upstream(9_001), CallFault::Connect(Outcome::Refused), 3)]);
    // The contract has them as their peer's.
    let refused = view.slices.iter().filter(|slice| slice.kind == SliceKind::ConnectRefused);
    assert_eq!(refused.count(), 3);
    let held = connection(&world, 1).held;
    assert_eq!((held.of(Holder::Upstream), held.of(Holder::Peer)), (1_500, 0));
    let last = panel(&world, 9_001).last_failure.expect("it failed");
    let (sock, seq, _) = last.request.expect("the request that waited");
    assert_eq!((last.fault, sock, seq), (CallFault::Connect(Outcome::Refused), 1, 1));
}

#[test]
fn a_connect_that_never_left_this_host_is_no_wait_for_an_upstream() {
    let mut world = proxy([1], &[(101, 9_002)]);
    world.apply(Event::Connect(failed(upstream(9_001), Outcome::NoPort, 2 * MS, 500 * US)));
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 6 * MS))));
    world.sample_after(3 * SECOND);
    let view = shown(&world, 1);
    assert_eq!((view.held().of(Holder::Upstream), view.faults()), (0, Vec::new()));
}

#[test]
fn a_call_that_failed_says_how_and_who_waited() {
    let faults = [
        (Side::Local, Ending::Fin, CallFault::GivenUp),
        (Side::Peer, Ending::Reset, CallFault::Reset),
        (Side::Peer, Ending::Fin, CallFault::Closed),
        (Side::Local, Ending::Timeout, CallFault::TimedOut),
    ];
    for (by, how, fault) in faults {
        let mut world = proxy([1], &[(101, 9_001)]);
        let mut call = called(Span(101, 1, 11, 2 * MS, 499 * MS));
        call = Exchange { inbound: None, progress: Progress::Closed, ..call };
        (call.end, call.ts_ns) = (end(START + 499 * MS, by, how), START + 540 * MS);
        world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 500 * MS))));
        world.apply(Event::Exchange(call));
        world.sample_after(3 * SECOND);
        let view = shown(&world, 1);
        assert_eq!(held(&view), [('A', 2_010), ('U', 497_000), ('N', 10)], "{fault:?}");
        assert_eq!(view.faults(), [(upstream(9_001), fault, 1)]);
        let row = panel(&world, 9_001);
        let last = row.last_failure.expect("it failed");
        let request = last.request.map(|(sock, seq, _)| (sock, seq));
        assert_eq!((row.failures(), last.fault, request), (1, fault, Some((1, 1))));
        assert_eq!(last.ts_ns, START + 499 * MS, "{fault:?}");
        assert_eq!(figures(&world).view.upstreams[0].last_failure, row.last_failure);
    }
}

#[test]
fn time_of_programs_that_call_nobody_is_summed_at_once() {
    let mut world = World::with_limit(128);
    world.apply(super::connections::opened(1, Role::Server, true));
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    let snapshot = world.model.snapshot();
    assert_eq!(snapshot.held, snapshot.times.into());
    assert_eq!(snapshot.held.exchanges, 1);
}

#[test]
fn the_answer_lies_unread_in_no_upstreams_time() {
    let mut world = proxy([1], &[(2, 9_001)]);
    let mut request = served(Span(1, 1, 11, MS, 21 * MS));
    request.inbound().first_ns = START - 5 * MS;
    world.apply(Event::Exchange(request));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(3 * SECOND);
    let view = shown(&world, 1);
    assert_eq!(view.held().of(Holder::Upstream), 18_000, "only what the app had read");
}
