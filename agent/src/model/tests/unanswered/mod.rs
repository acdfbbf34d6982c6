//! Exchanges that nobody answered, and connections on which nothing was asked.

mod deferred;
mod left;
mod silent;

use super::connection_facts::on_listener;
use super::connections::{closed, opened, sampled};
use super::facts::{Build, at, client, server};
use super::world::{MS, SECOND, START, World};
use crate::model::event::{
    ConnectionSample, End, Ending, Event, Exchange, Progress, Recognised, Role, Side, Sign,
    TcpState,
};
use crate::model::exchange::{view, without_next};
use crate::model::output::{ExchangeOutput, Output};
use crate::model::snapshot::ExchangeView;

const US: u64 = 1_000;

pub(super) fn end(ts_ns: u64, by: Side, how: Ending) -> Option<End> {
    Some(End { ts_ns, by, how, gone: false })
}

/// A request that was read after 50 µs and never answered; the connection ended so, its socket went
/// at ten seconds.
pub(super) fn asked(end: Option<End>) -> Exchange {
    Exchange { outbound: None, progress: Progress::Closed, end, ts_ns: at(10 * SECOND), ..server() }
}

/// A call that was written, acknowledged, and never answered; likewise.
pub(super) fn called(end: Option<End>) -> Exchange {
    Exchange { inbound: None, progress: Progress::Closed, end, ts_ns: at(10 * SECOND), ..client() }
}

fn slices(view: &ExchangeView) -> Vec<(&'static str, u64)> {
    view.slices.iter().map(|slice| (slice.kind.name(), slice.us)).collect()
}

fn judged(exchange: &Exchange) -> (Vec<(&'static str, u64)>, bool) {
    let view = view(exchange, None);
    assert_eq!(view.slices.iter().map(|slice| slice.us).sum::<u64>(), view.total_us, "{view:?}");
    assert!(view.done, "{view:?}");
    (slices(&view), view.unanswered)
}

fn exchanges(world: &World) -> Vec<ExchangeOutput> {
    let exchange = |output: &Output| match output {
        Output::Exchange(exchange) => Some(exchange.clone()),
        _ => None,
    };
    world.out.iter().filter_map(exchange).collect()
}

#[test]
fn an_exchange_without_an_answer_counts_with_its_time() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    world.apply(Event::Exchange(asked(end(at(800 * MS), Side::Peer, Ending::Reset))));
    world.apply(closed(1, at(10 * SECOND)));
    let told = exchanges(&world);
    assert!(told[0].view.unanswered && told[0].ts_ns == at(800 * MS), "{told:?}");
    assert!(world.finish().exchange.max >= 799_000);
}

#[test]
fn what_is_spoken_decides_whether_an_answer_was_due() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let response =
        Sign::HttpResponse { minor: 1, status: 101, websocket: true, event_stream: false };
    for sign in [Sign::HttpRequest { minor: 1 }, response] {
        world.apply(Event::Recognised(Recognised { ts_ns: START, sock: 1, sign }));
    }
    world.apply(Event::Exchange(asked(end(at(800 * MS), Side::Peer, Ending::Fin))));
    assert!(!exchanges(&world)[0].view.unanswered);
}

/// The client has reset the connection, the server keeps its socket: that request is over all the
/// same, and told once.
#[test]
fn a_request_whose_client_is_gone_is_told_while_its_socket_is_kept() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let gone = asked(end(at(800 * MS), Side::Peer, Ending::Reset));
    world.connections =
        vec![sampled(1, Some(Exchange { progress: Progress::Open, ..gone.clone() }))];
    world.sample_after(2 * SECOND);
    world.sample_after(SECOND);
    world.apply(Event::Exchange(gone));
    let told = exchanges(&world);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].view.unanswered && told[0].view.done && told[0].view.total_us == 800_000,
        "{told:?}"
    );
}

/// The client has closed, the server keeps its socket: what it had answered is told a second after
/// its last ACK.
#[test]
fn an_answer_is_told_whatever_the_state_of_its_connection() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let exchange = Exchange {
        progress: Progress::Open,
        end: end(at(MS), Side::Peer, Ending::Fin),
        ..server()
    };
    let mut sample = sampled(1, Some(exchange));
    sample.state = TcpState::CloseWait;
    world.connections = vec![sample];
    world.sample_after(2 * SECOND);
    assert_eq!(exchanges(&world).len(), 1);
}

/// The next request lies unread behind an answer, and the server sleeps: that one is told, and what
/// it waits for is found.
#[test]
fn a_request_behind_an_answer_waits_by_itself() {
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    let mut exchange = Exchange { progress: Progress::Open, ts_ns: at(4 * SECOND), ..server() };
    exchange.inbound().unread_bytes = 40;
    let came = Some((at(500 * MS), at(500 * MS)));
    world.connections = vec![ConnectionSample { next: came, ..sampled(1, Some(exchange.clone())) }];
    world.sample_after(4 * SECOND);
    assert_eq!(exchanges(&world).len(), 1, "the answer is a second old");
    let finding = world.finding("slow-reader").expect("it waits");
    assert_eq!(finding.headline, "Data lies unread on 1 connection, for up to 3.50 s so far.");
    world.sample_after(SECOND);
    let mut read = Exchange { seq: 2, ..server().later(500 * MS).reading(at(6 * SECOND)) };
    read.ts_ns = at(8 * SECOND);
    world.apply(Event::Exchange(Exchange {
        progress: Progress::Followed,
        ..without_next(&exchange)
    }));
    world.apply(Event::Exchange(read));
    let told = exchanges(&world);
    assert_eq!(told.iter().map(|one| one.view.seq).collect::<Vec<_>>(), [1, 2], "each once");
    assert_eq!(told[1].view.start_ns, at(500 * MS));
}

/// More of an answer may come: what lies unread behind it may belong to it.
#[test]
fn what_comes_while_an_answer_goes_on_is_no_next_request() {
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    let mut exchange = Exchange { progress: Progress::Open, ..server().writing(at(800 * MS)) };
    exchange.inbound().unread_bytes = 40;
    let came = Some((at(900 * MS), at(900 * MS)));
    world.connections = vec![ConnectionSample { next: came, ..sampled(1, Some(exchange)) }];
    world.sample_after(SECOND);
    assert!(exchanges(&world).is_empty());
    assert_eq!(world.finding("slow-reader"), None);
}

/// The peer reset the connection with the answer, or a request behind it, on the way, and the
/// server keeps its socket.
#[test]
fn what_a_reset_cut_off_is_told_while_its_socket_is_kept() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let reset = end(at(2 * SECOND), Side::Peer, Ending::Reset);
    let mut exchange =
        Exchange { progress: Progress::Open, end: reset, ts_ns: at(9 * SECOND), ..server() };
    (exchange.outbound().acked_ns, exchange.outbound().unacked_bytes) = (None, 200);
    exchange.inbound().unread_bytes = 40;
    let came = Some((at(SECOND), at(SECOND)));
    world.connections = vec![ConnectionSample { next: came, ..sampled(1, Some(exchange.clone())) }];
    world.sample_after(9 * SECOND);
    world.sample_after(SECOND);
    let told = exchanges(&world);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].view.total_us <= 2_000_000 && !told[0].view.unanswered, "{told:?}");
    assert_eq!(slices(&told[1].view), [("receive_queue", 1_000_000)]);
    assert!(told[1].view.unanswered);
    for (seq, progress) in [(1, Progress::Followed), (2, Progress::Closed)] {
        world.apply(Event::Exchange(Exchange { seq, progress, ..exchange.clone() }));
    }
    assert_eq!(exchanges(&world).len(), 2, "when the socket goes at last nothing is told again");
}
