//! Connections that are accepted, and closed without having been served.

use super::{assert_well_written, evidence};
use crate::model::event::{
    Closed, Ending, Event, Opened, Process, ProcessChange, Role, Side, SockId, ThreadSample, Why,
};
use crate::model::snapshot::{Owner, Severity};
use crate::model::tests::closes::{end, late};
use crate::model::tests::connections::{closed, opened};
use crate::model::tests::world::{LISTENER, MS, SECOND, START, World};

/// Connections of one listener: how they ended, and how many so; on which side, how long after
/// accept, and with how many bytes read and written.
pub(in crate::model::tests) fn served(
    ends: &[(Ending, u64)],
    by: Side,
    after_ns: u64,
    bytes: (u64, u64),
) -> World {
    let mut world = World::with_limit(128);
    world.sample_after(SECOND);
    let each = ends.iter().flat_map(|&(how, count)| (0..count).map(move |_| how));
    for (sock, how) in (1..).zip(each) {
        accept(&mut world, sock);
        let Event::Closed(end) = closed(sock, world.now + after_ns) else { panic!("not closed") };
        let (by, how, since_ns) = (Some(by), Some(how), Some(world.now + after_ns));
        let reset = how == Some(Ending::Reset) && by == Some(Side::Local);
        let (why, unread_bytes) = if reset { (Some(Why::UnreadData), 40) } else { (None, 0) };
        let (bytes_in, bytes_out) = bytes;
        world.apply(Event::Closed(Closed {
            by,
            how,
            why,
            unread_bytes,
            since_ns,
            bytes_in,
            bytes_out,
            ..end
        }));
        world.now += 10 * MS;
    }
    world.sample_after(after_ns.max(SECOND));
    assert_well_written(&world);
    world
}

fn accept(world: &mut World, sock: SockId) {
    let Event::Opened(opened) = opened(sock, Role::Server, false) else { panic!("not opened") };
    world.apply(Event::Opened(Opened { listener: Some(LISTENER), ts_ns: world.now, ..opened }));
}

#[test]
fn connections_closed_at_once_and_unread_are_told() {
    let world = served(&[(Ending::Reset, 30)], Side::Local, 2 * MS, (0, 0));
    let finding = world.finding("closed-unserved").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Warning));
    assert_eq!(finding.headline, "30 connections accepted and closed at once, with nothing read.");
    assert!(finding.text.contains("Their peers got a reset"), "{:?}", finding.text);
    assert_eq!(
        (evidence(&finding, "connections"), evidence(&finding, "reset")),
        (Some(30.0), Some(30.0))
    );
    let quiet = served(&[(Ending::Fin, 30)], Side::Local, 2 * MS, (0, 0))
        .finding("closed-unserved")
        .expect("a finding");
    assert!(quiet.text.contains("Their peers got a FIN."), "{:?}", quiet.text);
    let told =
        served(&[(Ending::Reset, 30)], Side::Local, 2 * MS, (0, 20)).finding("closed-unserved");
    assert_eq!(
        evidence(&told.expect("a finding"), "written_to"),
        Some(30.0),
        "it said why, and read nothing"
    );
    let one = served(&[(Ending::Fin, 1)], Side::Local, 2 * MS, (0, 0))
        .finding("closed-unserved")
        .expect("a finding");
    assert_eq!(one.severity, Severity::Info, "it may be chance");
}

#[test]
fn a_process_that_ends_closes_nothing_by_itself() {
    let mut world = World::with_limit(128);
    world.sample_after(SECOND);
    (1..=10).for_each(|sock| accept(&mut world, sock));
    let (ts_ns, pid, comm) = (world.now + MS, 4242, "server".into());
    world.apply(Event::Process(Process { ts_ns, pid, comm, change: ProcessChange::Exited }));
    for sock in 1..=10 {
        let Event::Closed(end) = closed(sock, ts_ns) else { panic!("not closed") };
        let (by, since_ns) = (Some(Side::Local), Some(ts_ns));
        world.apply(Event::Closed(Closed { by, since_ns, bytes_in: 0, bytes_out: 0, ..end }));
    }
    world.sample_after(SECOND);
    assert_eq!(world.finding("closed-unserved"), None);
}

/// Ten connections are accepted by a process that runs, and closed with nothing read or written.
fn closed_by_one_that_runs() -> World {
    let mut world = World::with_limit(128);
    world.threads = vec![ThreadSample { pid: 4242, tid: 4242, ..ThreadSample::default() }];
    world.sample_after(SECOND);
    (1..=10).for_each(|sock| accept(&mut world, sock));
    world.now += MS;
    for sock in 1..=10 {
        let Event::Closed(end) = closed(sock, world.now) else { panic!("not closed") };
        let (by, since_ns) = (Some(Side::Local), Some(world.now));
        world.apply(Event::Closed(Closed { by, since_ns, bytes_in: 0, bytes_out: 0, ..end }));
    }
    world
}

#[test]
fn what_goes_with_its_process_or_its_listener_was_not_closed_by_a_limit() {
    let mut runs = closed_by_one_that_runs();
    runs.sample_after(SECOND);
    assert!(runs.finding("closed-unserved").is_some());

    // By port no end of a process is told: at the next sample it has no threads.
    let mut gone = closed_by_one_that_runs();
    gone.threads.clear();
    gone.sample_after(SECOND);
    assert_eq!(gone.finding("closed-unserved"), None);

    // What the kernel closes of a process it closes in no order.
    for behind_ns in [0, 10 * MS] {
        let mut shut = closed_by_one_that_runs();
        shut.listeners[0].closed_ns = Some(shut.now + behind_ns);
        shut.sample_after(SECOND);
        assert_eq!(shut.finding("closed-unserved"), None);
    }

    let mut later = closed_by_one_that_runs();
    later.listeners[0].closed_ns = Some(later.now + 300 * MS);
    later.sample_after(SECOND);
    assert!(later.finding("closed-unserved").is_some(), "the listener closed long after them");
}

#[test]
fn whoever_is_served_or_leaves_itself_is_no_such_case() {
    let healthy = [
        ("a server that speaks first", Side::Local, 2 * MS, (0, 20)),
        ("one that reads and closes", Side::Local, 2 * MS, (30, 0)),
        ("a health check that connects and closes", Side::Peer, 2 * MS, (0, 0)),
        ("an idle connection that is closed after a while", Side::Local, 5 * SECOND, (0, 0)),
    ];
    for (what, by, after_ns, bytes) in healthy {
        let world = served(&[(Ending::Fin, 30)], by, after_ns, bytes);
        assert_eq!(world.finding("closed-unserved"), None, "{what}");
    }
}

/// A server that writes and closes at once, to clients whose data come right behind that or never.
fn spoke_and_closed(asks: bool) -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=5 {
        accept(&mut world, sock);
        world.apply(end(sock, |closed| {
            (closed.since_ns, closed.idle_ns) = (Some(START + MS), Some(0));
            (closed.bytes_in, closed.bytes_out) = (0, 40);
        }));
        if asks {
            world.apply(late());
        }
    }
    world.sample_after(2 * SECOND);
    world
}

#[test]
fn whoever_writes_why_and_hears_no_request_is_at_a_limit() {
    let finding = spoke_and_closed(true).finding("closed-unserved").expect("a finding");
    assert_eq!(
        (evidence(&finding, "connections"), evidence(&finding, "written_to")),
        (Some(5.0), Some(5.0))
    );
    assert_eq!(spoke_and_closed(true).finding("truncated-responses"), None, "it is told once");
    assert_eq!(
        spoke_and_closed(false).finding("closed-unserved"),
        None,
        "it may tell the time of day"
    );
}
