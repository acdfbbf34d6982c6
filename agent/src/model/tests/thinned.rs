//! Exchanges that were left untold, and others that stand for them.

use super::connections::{closed, opened, sampled};
use super::facts::{Build, at, client, server};
use super::world::{LISTENER, MS, SECOND, START, World};
use crate::model::event::{Closed, Event, Exchange, Opened, Progress, Role, SockId, ThreadSample};
use crate::model::output::{Interest, Output, Summary};
use crate::model::snapshot::{Holder, Owner};

const US: u64 = 1_000;
const MANY: u32 = 8_000;
const SOCK: SockId = 77;

fn world() -> World {
    let mut world = World::with_limit(128);
    let Event::Opened(known) = opened(SOCK, Role::Server, false) else { panic!("not opened") };
    world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..known }));
    world
}

/// One before which so many were left untold in all.
fn told(seq: u32, untold: u8, exchange: Exchange) -> Event {
    Event::Exchange(Exchange { sock: SOCK, seq, untold: Some(untold), ..exchange })
}

fn slow(later_ns: u64) -> Exchange {
    server().writing(at(30 * MS)).later(later_ns)
}

fn end(world: &mut World, exchanges: u32, (bytes_in, bytes_out): (u64, u64)) -> Summary {
    let Event::Closed(end) = closed(SOCK, world.now) else { panic!("not closed") };
    world.apply(Event::Closed(Closed { exchanges, bytes_in, bytes_out, ..end }));
    world.finish()
}

#[test]
fn it_counts_as_all_that_it_stands_for() {
    let mut world = world();
    world.apply(told(1, 0, server()));
    world.apply(told(9, 7, server().later(10 * MS)));
    let view = world.model.snapshot().connections.remove(0);
    assert_eq!((view.exchanges, view.recent.len()), (9, 2));
    assert_eq!((view.bytes_in, view.bytes_out), (900, 1_800), "reckoned");
    let of_one = view.recent[1].total_us;
    let owned: u64 = Owner::ALL.iter().map(|&owner| view.times.of(owner)).sum();
    assert_eq!(owned, 9 * of_one);
    let summary = end(&mut world, 9, (901, 1_802));
    assert_eq!((summary.times.exchanges, summary.untold), (9, 7));
    assert_eq!((summary.held.exchanges, summary.exchange.count), (9, 9));
    assert_eq!(summary.held.sum_us(), 9 * of_one);
    let connection = world.out.iter().find_map(|output| match output {
        Output::Connection(connection) => Some(&connection.view),
        _ => None,
    });
    let connection = connection.expect("its end");
    assert_eq!((connection.bytes_in, connection.bytes_out), (901, 1_802), "counted by the kernel");
}

#[test]
fn a_slow_one_between_stands_for_itself() {
    // The slow one is told by a record that can say how many were left untold, or by one that
    // cannot.
    for untold in [None, Some(3)] {
        let mut world = world();
        world.apply(told(1, 0, server()));
        let slow = Exchange { sock: SOCK, seq: 5, untold, ..slow(10 * MS) };
        world.apply(Event::Exchange(slow));
        let exchanges = world.model.snapshot().connections[0].exchanges;
        assert_eq!(exchanges, 2, "nothing stands for them yet");
        world.apply(told(9, 6, server().later(100 * MS)));
        assert_eq!(world.model.snapshot().connections[0].exchanges, 9);
        let summary = end(&mut world, 9, (900, 1_800));
        assert_eq!((summary.times.exchanges, summary.untold), (9, 6));
        // Until it reads, too.
        let (quick_us, slow_us) = (950, 30 * MS / US);
        assert_eq!(summary.held.of(Holder::App), 8 * quick_us + slow_us);
    }
}

#[test]
fn one_that_a_scan_shows_stands_for_them_once() {
    let shown = |world: &mut World, untold, later_ns| {
        let exchange = Exchange {
            sock: SOCK,
            seq: 9,
            untold: Some(untold),
            progress: Progress::Open,
            ..server().later(later_ns)
        };
        world.connections = vec![sampled(SOCK, Some(exchange))];
        world.sample_after(SECOND / 2);
    };
    // The next one begins, or nothing comes any more.
    for goes_on in [true, false] {
        let mut world = world();
        world.apply(told(1, 0, server()));
        shown(&mut world, 7, 10 * MS);
        shown(&mut world, 7, 10 * MS);
        if goes_on {
            world.apply(told(9, 7, server().later(10 * MS)));
        }
        world.connections[0].exchange = None;
        for _ in 0..3 {
            world.sample_after(SECOND);
        }
        let view = world.model.snapshot().connections.remove(0);
        assert_eq!((view.exchanges, view.current), (9, None));
        assert_eq!((world.finish().untold, goes_on), (7, goes_on));
    }
}

#[test]
fn what_was_shown_before_a_record_and_comes_after_it_tells_nothing_new() {
    let mut world = world();
    world.apply(told(1, 0, server()));
    world.apply(told(250, 200, server().later(10 * MS)));
    // Far less than half of a byte's range is between the two, by the low bits alone.
    let shown = Exchange { progress: Progress::Open, ..server().later(5 * MS) };
    let Event::Exchange(shown) = told(40, 30, shown) else { panic!("no exchange") };
    world.connections = vec![sampled(SOCK, Some(shown))];
    world.sample_after(SECOND);
    world.apply(told(251, 200, server().later(11 * MS)));
    assert_eq!(world.finish().untold, 200);
}

#[test]
fn a_record_that_was_lost_is_missed_all_the_same() {
    let mut world = world();
    world.apply(told(1, 0, server()));
    world.apply(told(9, 3, server().later(10 * MS)));
    assert_eq!(world.model.snapshot().connections[0].exchanges, 5, "four were lost");
}

/// One that was answered at this time.
fn quick(written_ns: u64) -> Exchange {
    let mut exchange = server().acked(written_ns + 30 * US);
    let outbound = exchange.outbound();
    (outbound.first_ns, outbound.last_ns) = (written_ns, written_ns);
    outbound.sent_ns = Some(written_ns);
    exchange
}

/// Eight thousand exchanges on one connection, of 0.1 to 0.9 ms by no rule, and each fiftieth slow. With
/// `thinned` ordinary ones are left untold as the probes do it.
fn busy(thinned: bool) -> Summary {
    let mut world = world();
    let (mut lot, mut untold, last) = (0x9e37_79b9_u64, 0_u8, MANY);
    for seq in 1..=last {
        lot ^= lot << 13;
        lot ^= lot >> 7;
        lot ^= lot << 17;
        let later_ns = u64::from(seq) * 50 * MS;
        let is_slow = seq % 50 == 0;
        let mut exchange = if is_slow {
            slow(later_ns)
        } else {
            quick(at(100 * US + lot % (800 * US))).later(later_ns)
        };
        if seq == last {
            exchange.progress = Progress::Closed;
        }
        let is_ordinary = seq > 1 && !is_slow;
        if thinned && is_ordinary && seq != last && (lot >> 32) % 8 != 0 {
            untold = untold.wrapping_add(1);
            continue;
        }
        world.apply(told(seq, untold, exchange));
        world.now = START + later_ns + 40 * MS;
    }
    end(&mut world, last, (100_000, 200_000))
}

#[test]
fn sums_are_nearly_those_of_all() {
    let (all, thinned) = (busy(false), busy(true));
    assert_eq!(all.times.exchanges, u64::from(MANY));
    assert_eq!(thinned.times.exchanges, u64::from(MANY), "though the last was slow");
    let untimed = u64::from(MANY) - thinned.exchange.count;
    assert!((1..50).contains(&untimed), "{untimed}");
    assert!((6_400..7_200).contains(&thinned.untold), "{}", thinned.untold);
    let near = |one: u64, other: u64| one.abs_diff(other) * 10 <= other;
    for owner in [Owner::Kernel, Owner::App] {
        let (one, other) = (thinned.times.of(owner), all.times.of(owner));
        assert!(near(one, other), "{owner:?}: {one} of {other}");
    }
    let p50 = [thinned.exchange.p50, all.exchange.p50];
    assert!(near(p50[0], p50[1]), "{p50:?}");
    assert_eq!(thinned.exchange.max, all.exchange.max, "the slow ones are all told");
    assert!(near(thinned.exchange.p99, all.exchange.p99));
}

#[test]
fn the_same_is_found_wrong() {
    let found = |thinned| {
        let summary = busy(thinned);
        let kinds: Vec<&str> = summary
            .past_findings
            .iter()
            .chain(&summary.standing_findings)
            .map(|one| one.kind)
            .collect();
        (kinds.len(), format!("{kinds:?}"))
    };
    assert_eq!(found(true), found(false));
}

/// Number of connections, the last few of which nobody stands for.
const CONNECTIONS: u32 = 4_005;

/// So many connections with an exchange each; it takes 0.1 to 0.9 ms by no rule, and each
/// fiftieth is slow. With `thinned` ordinary ones are left untold as the probes do it.
fn short(thinned: bool) -> World {
    let mut world = World::with_limit(128);
    world.threads = vec![ThreadSample { pid: 4242, tid: 11, ..ThreadSample::default() }];
    world.sample_after(SECOND);
    let (mut lot, mut untold) = (0x9e37_79b9_u64, 0);
    for number in 0..CONNECTIONS {
        lot ^= lot << 13;
        lot ^= lot >> 7;
        lot ^= lot << 17;
        world.now += 500 * US;
        let is_slow = number % 50 == 0;
        if thinned && !is_slow && (lot >> 32) % 8 != 0 {
            let listener = &mut world.listeners[0];
            (listener.queued, listener.accepted) = (listener.queued + 1, listener.accepted + 1);
            listener.untold += 1;
            untold += 1;
        } else {
            let stands_for = if is_slow { 1 } else { 1 + std::mem::take(&mut untold) };
            world.accept_for(1 + (lot % 2) as u32, lot % (3 * MS), stands_for);
            let exchange = if is_slow { slow(0) } else { quick(at(100 * US + lot % (800 * US))) };
            let (sock, seq, progress) = (world.accepted(), 1, Progress::Closed);
            let later_ns = world.now - START;
            let exchange = Exchange { sock, seq, progress, ..exchange }.later(later_ns);
            world.apply(Event::Exchange(exchange));
            // As the sensor counts them.
            (world.threads[0].reads, world.threads[0].writes) =
                (world.threads[0].reads + 1, world.threads[0].writes + 1);
            let Event::Closed(end) = closed(sock, world.now) else { panic!("not closed") };
            world.apply(Event::Closed(Closed { exchanges: 1, ..end }));
        }
        if number % 400 == 0 || number + 1 == CONNECTIONS {
            world.sample_after(0);
        }
    }
    world
}

#[test]
fn connections_stand_for_others_in_all_sums() {
    let (mut all, mut thinned) = (short(false), short(true));
    let near = |one: u64, other: u64| one.abs_diff(other) * 10 <= other;
    let accepts = |world: &World| {
        let snapshot = world.model.snapshot();
        snapshot.listeners[0].acceptors.iter().map(|one| one.accepts).collect::<Vec<u64>>()
    };
    for (one, other) in accepts(&thinned).into_iter().zip(accepts(&all)) {
        assert!(near(one, other), "{one} of {other} accepts");
    }
    // Accepts, reads, writes and connections of all threads, by their pattern.
    let calls = |world: &World| {
        let mut sums = [0; 4];
        for thread in &world.model.snapshot().patterns[0].threads {
            let calls = [thread.accepts, thread.reads, thread.writes, thread.connections];
            sums.iter_mut().zip(calls).for_each(|(sum, calls)| *sum += calls);
        }
        sums
    };
    for (one, other) in calls(&thinned).into_iter().zip(calls(&all)) {
        assert!(other > 0 && near(one, other), "{one} of {other} calls");
    }
    let reads = |world: &World| world.model.snapshot().threads[0].reads as u64;
    assert!(reads(&all) > 0 && near(reads(&thinned), reads(&all)), "{} a second", reads(&thinned));
    let churn = |world: &World| {
        let finding = world.finding("connection-churn").expect("churn");
        finding.evidence.iter().find(|one| one.0 == "connections").expect("their number").1
    };
    assert!(near(churn(&thinned) as u64, churn(&all) as u64), "{}", churn(&thinned));
    let (all, thinned) = (all.finish(), thinned.finish());
    let many = u64::from(CONNECTIONS);
    assert_eq!((all.connections, all.times.exchanges, all.untold), (many, many, 0));
    assert_eq!((thinned.connections, thinned.times.exchanges), (many, many));
    assert!((3_200..3_600).contains(&thinned.untold), "{}", thinned.untold);
    let left = many - thinned.wait.count;
    assert!((1..50).contains(&left), "{left} that no other stands for");
    assert_eq!(thinned.exchange.count, thinned.wait.count);
    for owner in [Owner::Kernel, Owner::App] {
        let (one, other) = (thinned.times.of(owner), all.times.of(owner));
        assert!(near(one, other), "{owner:?}: {one} of {other}");
    }
    assert!(near(thinned.exchange.p50, all.exchange.p50));
    assert!(near(thinned.wait.p50, all.wait.p50));
    assert_eq!(thinned.exchange.max, all.exchange.max, "the slow ones are all told");
    let found = |summary: &Summary| {
        let all = summary.past_findings.iter().chain(&summary.standing_findings);
        all.map(|one| one.kind).collect::<Vec<&str>>()
    };
    assert_eq!(found(&thinned), found(&all));
}

#[test]
fn nothing_may_be_left_untold_that_somebody_asks_for() {
    let mut world = world();
    assert!(!world.model.may_be_thinned(), "everything is asked for");
    let slow = Interest { exchanges_from_us: 10_000, ..Interest::ALL };
    world.model.set_interest(slow);
    assert!(world.model.may_be_thinned());
    world.model.set_interest(Interest { exchanges_from_us: 5_000, ..slow });
    assert!(!world.model.may_be_thinned(), "an ordinary one may take as long, with its ACK");
    world.model.set_interest(Interest { each: false, ..Interest::ALL });
    assert!(world.model.may_be_thinned(), "one of several will do");
    world.apply(opened(SOCK + 1, Role::Client, false));
    assert!(!world.model.may_be_thinned(), "a request may have waited for a call");
}

#[test]
fn a_call_that_nobody_saw_begin_shows_that_there_are_calls() {
    let mut world = world();
    world.model.set_interest(Interest { each: false, ..Interest::ALL });
    world.apply(opened(SOCK + 1, Role::Server, false));
    world.apply(Event::Exchange(Exchange { sock: SOCK + 1, ..client().later(SECOND) }));
    assert!(!world.model.may_be_thinned());
}
