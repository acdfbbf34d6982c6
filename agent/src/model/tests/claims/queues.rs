//! Claims about the accept queue and the SYN queue.

use super::ClaimRow;
use crate::model::event::{
    AcceptFails, Event, Exchange, InAccept, ListenerSample, NetSettings, Progress, Stage,
    ThreadSample, WaitKind,
};
use crate::model::tests::chain::exhausted;
use crate::model::tests::facts::server;
use crate::model::tests::processors::accepted_late;
use crate::model::tests::world::{LISTENER, MS, SECOND, World, listener};

pub(super) fn rows() -> Vec<ClaimRow> {
    [overflow(), starved(), clamped(), pressure()].concat()
}

fn overflow() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "accept-queue-overflow",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("full", || refused(&[Stage::Syn], |_| {}), || refused(&[Stage::Syn], unseen)),
        row("was-full", || refused(&[Stage::Syn], unseen), || refused(&[Stage::Syn], |_| {})),
        row("limit-changed", || changed(true), || changed(false)),
        row("was-full", || changed(false), || changed(true)),
        row("syns-dropped", || refused(&[Stage::Syn], |_| {}), || refused(&[Stage::Ack], |_| {})),
        row("acks-ignored", || refused(&[Stage::Ack], |_| {}), || refused(&[Stage::Ack], resets)),
        row("acks-ignored", || refused(&[Stage::Ack], |_| {}), || refused(&[Stage::Syn], |_| {})),
        row("acks-reset", || refused(&[Stage::Ack], resets), || refused(&[Stage::Syn], resets)),
        row("either", || refused(&[Stage::Syn], untold), || refused(&[Stage::Syn], |_| {})),
        row("packets", || refused(&[Stage::Syn; 2], |_| {}), || refused(&[Stage::Syn], |_| {})),
        row("syn-again", || refused(&[Stage::Syn], |_| {}), || refused(&[Stage::Ack], |_| {})),
        row(
            "unaware",
            || refused(&[Stage::Ack], empty),
            || refused(&[Stage::Ack], taken_after_all),
        ),
        row("unaware", || refused(&[Stage::Ack], empty), || refused(&[Stage::Ack], resets)),
        row("short-waits", || refused(&[Stage::Syn], quick), || refused(&[Stage::Syn], slow)),
        row("short-waits", || refused(&[Stage::Syn], quick), || refused(&[Stage::Syn], |_| {})),
        row(
            "clamped",
            || refused(&[Stage::Syn], |world| asked(world, 4_096)),
            || refused(&[Stage::Syn], quick),
        ),
        row("keeps-up", || refused(&[Stage::Syn], quick), || refused(&[Stage::Syn], slow)),
        row(
            "keeps-up",
            || refused(&[Stage::Syn], quick),
            || refused(&[Stage::Syn], quick_and_waiting),
        ),
        row("keeps-up", || refused(&[Stage::Syn], quick), || refused(&[Stage::Syn], |_| {})),
        row("mixed-waits", || refused(&[Stage::Syn], mixed), || refused(&[Stage::Syn], quick)),
        row("waits-unknown", || refused(&[Stage::Syn], |_| {}), || refused(&[Stage::Syn], quick)),
        row(
            "waiting",
            || refused(&[Stage::Syn], quick_and_waiting),
            || refused(&[Stage::Syn], quick),
        ),
    ]
}

/// A queue of four is full, and refuses; `change` says what else there is.
fn refused(stages: &[Stage], change: fn(&mut World)) -> World {
    let mut world = World::with_limit(4);
    world.sample_after(100 * MS);
    (world.listeners[0].depth, world.listeners[0].peak) = (5, 5);
    stages.iter().for_each(|stage| world.refuse(0, *stage));
    change(&mut world);
    world.sample_after(100 * MS);
    world
}

/// A queue of four refuses, and `listen` gives it a limit of 64: before the sample that counts the
/// refusals, or after it.
fn changed(meanwhile: bool) -> World {
    let mut world = World::with_limit(4);
    world.sample_after(100 * MS);
    world.refuse(0, Stage::Syn);
    if !meanwhile {
        world.sample_after(100 * MS);
    }
    world.listeners[0].limit = 64;
    world.sample_after(300 * MS);
    // What a finding says is told again after three seconds.
    (0..2).for_each(|_| world.sample_after(2 * SECOND));
    world
}

/// The refusal is all that tells of the queue.
fn unseen(world: &mut World) {
    (world.listeners[0].depth, world.listeners[0].peak) = (0, 0);
}

fn empty(world: &mut World) {
    world.listeners[0].depth = 0;
}

/// The kernel does not tell a final ACK from a SYN.
fn untold(world: &mut World) {
    world.listeners[0].overflow_ack = None;
}

fn resets(world: &mut World) {
    empty(world);
    world.settings =
        vec![NetSettings { netns: 1, abort_on_overflow: true, ..NetSettings::default() }];
}

/// The client that was ignored is accepted in the end.
fn taken_after_all(world: &mut World) {
    empty(world);
    world.accept_from("10.0.0.7:53122");
}

fn quick(world: &mut World) {
    empty(world);
    (0..10).for_each(|_| world.accept(0, 1, MS, MS / 10));
}

fn quick_and_waiting(world: &mut World) {
    quick(world);
    world.listeners[0].depth = 2;
}

fn slow(world: &mut World) {
    empty(world);
    (0..10).for_each(|_| world.accept(0, 1, 90 * MS, MS / 10));
}

/// Most waits are short, some are not.
fn mixed(world: &mut World) {
    quick(world);
    world.accept(0, 1, 90 * MS, MS / 10);
}

fn asked(world: &mut World, backlog: u32) {
    quick(world);
    world.listeners[0].backlog = Some(backlog);
}

fn starved() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "accept-starved",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("never-accepted", || waits(0, |_| {}), || waits(1, |_| {})),
        row("stalled", || waits(1, |_| {}), || slowly(90 * MS)),
        row("long-waits", || slowly(90 * MS), || waits(1, |_| {})),
        row("capacity", exhausted, || slowly(90 * MS)),
        row("inside-accept", || slowly(0), || slowly(90 * MS)),
        row("seldom-inside-accept", || slowly(90 * MS), || slowly(0)),
        row("seldom-inside-accept", || slowly(60 * MS), || waits(1, inside)),
        row("inside-accept", || waits(1, inside), || waits(1, |_| {})),
        row("backlog-0", || waits(0, |world| world.listeners[0].limit = 0), || waits(0, |_| {})),
        row("unwatched", || waits(1, unwatched), || waits(1, |_| {})),
        row("at-limit-before", || at_limit(0), || at_limit(2)),
        row(
            "held-silent",
            || held(Some(WaitKind::Descriptor), false),
            || held(Some(WaitKind::Events), false),
        ),
        row(
            "held-silent",
            || held(Some(WaitKind::Descriptor), false),
            || held(Some(WaitKind::Descriptor), true),
        ),
        row(
            "held-idle",
            || held(Some(WaitKind::Descriptor), true),
            || held(Some(WaitKind::Descriptor), false),
        ),
        row("accept-fails", || waits(1, fails), || waits(1, |_| {})),
        row("open", || waits(1, unwatched), || waits(0, unwatched)),
        row("without-a-cpu", || accepted_late(85 * MS), || accepted_late(5 * MS)),
    ]
}

/// So many connections were accepted at first; since then five wait, for some seconds.
fn waits(accepts: u32, change: fn(&mut World)) -> World {
    let mut world = World::with_limit(128);
    (0..accepts).for_each(|_| world.accept(0, 1, MS, MS));
    for _ in 0..4 {
        world.listeners[0].depth = 5;
        change(&mut world);
        world.sample_after(SECOND);
    }
    world
}

/// A thread is stuck inside accept.
fn inside(world: &mut World) {
    let since_ns = world.now - SECOND;
    world.in_accept = vec![InAccept { pid: 4242, tid: 1, listener: LISTENER, since_ns }];
}

/// Connections wait though one is accepted a second; for all but so many refreshes of four the
/// listener was in no epoll instance.
fn at_limit(watched: u32) -> World {
    let mut world = World::with_limit(128);
    for at in 0..6 {
        world.listeners[0].depth = 5;
        world.listeners[0].unwatched = watched == 0 && at < 4;
        world.accept(0, 1, 900 * MS, MS);
        world.sample_after(SECOND);
    }
    world
}

/// The only thread that accepts took a connection, which it may have answered, and sleeps so.
/// Others wait.
fn held(sleep: Option<WaitKind>, answered: bool) -> World {
    let mut world = World::with_limit(128);
    world.threads = vec![ThreadSample { pid: 4242, tid: 1, sleep, ..ThreadSample::default() }];
    world.accept(0, 1, MS, MS);
    let sock = world.given.iter().find_map(|event| match event {
        Event::Accept(accept) => Some(accept.sock),
        _ => None,
    });
    if answered {
        let answer =
            Exchange { sock: sock.expect("an accept"), progress: Progress::Followed, ..server() };
        world.apply(Event::Exchange(answer));
    }
    for _ in 0..4 {
        world.listeners[0].depth = 5;
        world.sample_after(SECOND);
    }
    world
}

fn unwatched(world: &mut World) {
    world.listeners[0].unwatched = true;
}

/// Each call of accept ends with EMFILE.
fn fails(world: &mut World) {
    let count =
        world.listeners[0].fails.iter().flatten().map(|fails| fails.count).sum::<u64>() + 100;
    let fails =
        AcceptFails { errno: 24, count, first_ns: world.now, pid: 4242, tid: 1, used: None };
    world.listeners[0].fails = Some(vec![fails]);
}

/// Each connection waits 100 ms; the thread that takes it comes to accept so long after it.
fn slowly(away_ns: u64) -> World {
    let mut world = World::with_limit(128);
    for _ in 0..20 {
        world.now += 100 * MS;
        world.accept(0, 1, 100 * MS, 100 * MS - away_ns);
        world.sample_after(0);
    }
    world
}

fn clamped() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "backlog-clamped",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("overflowed", || shorter(&[Stage::Syn], quick), || shorter(&[], quick)),
        row("behind", || shorter(&[Stage::Syn], slow), || shorter(&[Stage::Syn], quick)),
        row("used", || shorter(&[], |world| world.listeners[0].peak = 3), || shorter(&[], |_| {})),
        row("enough", || shorter(&[], |_| {}), || shorter(&[Stage::Syn], |_| {})),
    ]
}

/// A listener that asked for more than four.
fn shorter(stages: &[Stage], change: fn(&mut World)) -> World {
    let mut world =
        World::new("full", vec![ListenerSample { backlog: Some(4_096), ..listener(LISTENER, 4) }]);
    stages.iter().for_each(|stage| world.refuse(0, *stage));
    change(&mut world);
    world.sample_after(SECOND);
    world
}

fn pressure() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "syn-queue-pressure",
        claim,
        supported,
        contradicted,
    };
    vec![
        row(
            "syns-dropped-full",
            || half_open(16, &[Stage::SynQueue], |_| {}),
            || half_open(1, &[Stage::SynQueue], |_| {}),
        ),
        row(
            "syns-dropped",
            || half_open(1, &[Stage::SynQueue], |_| {}),
            || half_open(16, &[Stage::SynQueue], |_| {}),
        ),
        row(
            "syn-again",
            || half_open(16, &[Stage::SynQueue], |_| {}),
            || half_open(16, &[], |_| {}),
        ),
        row("cookies", || half_open(16, &[Stage::Cookie], |_| {}), || half_open(16, &[], |_| {})),
        row(
            "nobody-refused",
            || half_open(16, &[Stage::Cookie], |_| {}),
            || half_open(16, &[Stage::Cookie, Stage::Ack], |_| {}),
        ),
        row(
            "answered",
            || half_open(16, &[], |_| {}),
            || half_open(16, &[Stage::SynQueue], |_| {}),
        ),
        row("acks-ignored", || half_open(16, &[Stage::Ack], |_| {}), || half_open(16, &[], |_| {})),
        row(
            "acks-may-be-ignored",
            || half_open(16, &[Stage::Syn], untold),
            || half_open(16, &[Stage::Syn], |_| {}),
        ),
        row("defers", || half_open(16, &[], defers), || half_open(16, &[], |_| {})),
        row(
            "silent",
            || {
                half_open(16, &[], |world| {
                    defers(world);
                    again(world, 12, 12);
                })
            },
            || half_open(16, &[], |world| again(world, 12, 12)),
        ),
        row(
            "unanswered",
            || half_open(16, &[], |world| again(world, 12, 0)),
            || {
                half_open(16, &[], |world| {
                    defers(world);
                    again(world, 12, 12);
                })
            },
        ),
        row(
            "on-their-way",
            || half_open(16, &[], |_| {}),
            || half_open(16, &[], |world| again(world, 12, 0)),
        ),
        row("on-their-way", || half_open(16, &[], |_| {}), || half_open(16, &[], defers)),
        row(
            "holder-unknown",
            || half_open(0, &[Stage::SynQueue], |_| {}),
            || half_open(16, &[], |_| {}),
        ),
    ]
}

/// So many of sixteen places in the SYN queue are taken.
fn half_open(requests: u32, stages: &[Stage], change: fn(&mut World)) -> World {
    let mut world = World::with_limit(16);
    world.sample_after(SECOND);
    (world.listeners[0].syn_depth, world.listeners[0].syn_peak) = (requests, requests);
    stages.iter().for_each(|stage| world.refuse(0, *stage));
    change(&mut world);
    world.sample_after(SECOND);
    world
}

fn defers(world: &mut World) {
    world.listeners[0].defer_accept = Some(3);
}

/// So many SYN-ACKs were sent again, of which so many had been answered.
fn again(world: &mut World, sent: u64, acked: u64) {
    (world.listeners[0].synack_retransmits, world.listeners[0].synack_acked) = (sent, Some(acked));
}
