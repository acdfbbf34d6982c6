//! Pauses: what is said of exchanges stands still, and nothing is made of what went unseen.

use super::connection_facts::{after, times};
use super::connections::{closed, opened, sampled};
use super::facts::{Build, at, server};
use super::world::{LISTENER, MS, SECOND, START, World};
use crate::model::event::{
    Closed, Ending, Event, Exchange, Opened, Pause, Progress, Role, Side, SockId, Stage, Why,
};
use crate::model::output::{FindingState, Output};

fn pause(world: &mut World, begins: bool) {
    world.apply(Event::Pause(Pause { ts_ns: world.now, begins }));
}

/// Refreshes for this long.
fn refresh(world: &mut World, seconds: u64) {
    (0..seconds).for_each(|_| world.sample_after(SECOND));
}

/// Four exchanges that took the application 400 ms, up to now.
fn slow(world: &mut World, sock: SockId) {
    let exchange = server().writing(at(400 * MS));
    for seq in 1..=4 {
        let later = world.now - at(0);
        let exchange = exchange.clone().later(later);
        world.apply(Event::Exchange(Exchange {
            sock,
            seq,
            progress: Progress::Followed,
            ts_ns: world.now,
            ..exchange
        }));
    }
}

fn exchanges(world: &World) -> usize {
    world.out.iter().filter(|output| matches!(output, Output::Exchange(_))).count()
}

#[test]
fn a_finding_in_exchanges_stands_through_a_pause_and_ends_after_it() {
    let mut world = after(&times(4, &server().writing(at(400 * MS))));
    let found = world.finding("slow-app").expect("a finding");
    pause(&mut world, true);
    refresh(&mut world, 60);
    assert_eq!(world.finding("slow-app"), Some(found), "nothing is known to have changed");
    assert!(world.model.snapshot().recent_times.exchanges > 0, "as of the pause's beginning");
    pause(&mut world, false);
    refresh(&mut world, 2);
    assert!(world.finding("slow-app").is_some(), "seconds of a pause do not count");
    refresh(&mut world, 8);
    assert_eq!(world.states_of("slow-app"), [FindingState::Begun, FindingState::Ended]);
    assert_eq!(world.finish().paused_us, Some(60_000_000));
}

#[test]
fn without_a_pause_it_ends_as_ever() {
    let mut world = after(&times(4, &server().writing(at(400 * MS))));
    refresh(&mut world, 12);
    assert_eq!(world.states_of("slow-app"), [FindingState::Begun, FindingState::Ended]);
    assert_eq!(world.finish().paused_us, None);
}

#[test]
fn queues_are_judged_in_a_pause() {
    let mut world = World::with_limit(4);
    pause(&mut world, true);
    for _ in 0..20 {
        (world.listeners[0].depth, world.listeners[0].peak) = (5, 5);
        world.refuse(0, Stage::Syn);
        world.sample_after(500 * MS);
    }
    assert!(world.finding("accept-queue-overflow").is_some());
    (world.listeners[0].depth, world.listeners[0].peak) = (0, 0);
    refresh(&mut world, 12);
    assert_eq!(world.finding("accept-queue-overflow"), None);
}

/// Thirty connections that this host resets with a request unread, seconds after accept; `paused`
/// for a while meanwhile.
fn reset_unread(paused: bool, in_pause: bool) -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=30 {
        let Event::Opened(known) = opened(sock, Role::Server, false) else { panic!("not opened") };
        let known = Opened { listener: Some(LISTENER), ts_ns: world.now, ..known };
        world.apply(Event::Opened(known));
    }
    if paused {
        pause(&mut world, true);
        refresh(&mut world, 1);
        if !in_pause {
            pause(&mut world, false);
        }
    }
    for sock in 1..=30 {
        let Event::Closed(end) = closed(sock, world.now + 2 * MS) else { panic!("not closed") };
        let told = Closed {
            by: Some(Side::Local),
            how: Some(Ending::Reset),
            why: Some(Why::UnreadData),
            unread_bytes: 40,
            bytes_in: 0,
            bytes_out: 0,
            ..end
        };
        let untold = Closed::untold(world.now + 2 * MS, sock);
        world.apply(Event::Closed(if in_pause { untold } else { told }));
        world.now += 10 * MS;
    }
    refresh(&mut world, 3);
    world
}

#[test]
fn a_connection_that_was_left_alone_is_not_called_unserved() {
    assert!(reset_unread(false, false).finding("closed-unserved").is_some(), "it was not served");
    for in_pause in [false, true] {
        let world = reset_unread(true, in_pause);
        assert!(world.reported_findings().is_empty(), "it may have been, in the pause");
        assert_eq!(world.model.snapshot().connections_open, 0);
    }
}

#[test]
fn what_comes_in_a_pause_is_no_exchange_and_no_connection() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, true));
    world.now += SECOND;
    pause(&mut world, true);
    // A record of before the pause may come behind its beginning.
    slow(&mut world, 1);
    assert_eq!(exchanges(&world), 4);
    world.now += MS;
    slow(&mut world, 1);
    assert_eq!(exchanges(&world), 4, "a probe that was still on");
    world.accept(0, 1, MS, MS);
    let in_pause = world.accepted();
    world.now += SECOND;
    pause(&mut world, false);
    world.now += MS;
    // It was queued while nobody looked.
    world.accept(0, 1, 2 * MS, MS);
    let across = world.accepted();
    world.now += 20 * MS;
    world.accept(0, 1, MS, MS);
    let known = world.accepted();
    world.sample_after(SECOND);
    let socks: Vec<_> =
        world.model.snapshot().connections.iter().map(|connection| connection.sock).collect();
    assert!(socks.contains(&known) && !socks.contains(&in_pause) && !socks.contains(&across));
    let accepts = world.out.iter().filter(|output| matches!(output, Output::Accept(_))).count();
    assert_eq!(accepts, 3, "each is reported all the same");
}

#[test]
fn an_exchange_that_a_pause_interrupts_is_forgotten() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, true));
    let open =
        Exchange { progress: Progress::Open, outbound: None, ts_ns: START + SECOND, ..server() };
    world.connections = vec![sampled(1, Some(open))];
    world.sample_after(SECOND);
    pause(&mut world, true);
    world.connections.clear();
    refresh(&mut world, 30);
    pause(&mut world, false);
    world.sample_after(100 * MS);
    let summary = world.finish();
    assert_eq!((exchanges(&world), summary.times.exchanges), (0, 0));
    assert!(world.reported_findings().is_empty(), "30 s without an answer is not known");
}
