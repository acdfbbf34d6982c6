//! Accepts that fail, connections that end in the queue, and those that are accepted and not
//! served.

pub(super) use backscope_abi::errno::{ECONNABORTED, EMFILE, ENFILE, ENOMEM, EPERM};

use super::closes::{end, late};
use super::connections::{closed, opened};
use super::world::{LISTENER, MS, SECOND, START, World, address, listener};
use crate::model::event::{
    AcceptFails, Closed, Ending, Event, LeftQueue, ListenerSample, Opened, Process, ProcessChange,
    Role, Side, SockId, ThreadSample, Used, Waiting, Why,
};
use crate::model::snapshot::{Finding, Owner, Severity};

const EIO: u32 = 5;

/// A thread that waits for the listener by epoll.
pub(super) fn waits(tid: u32, exclusive: bool) -> Waiting {
    Waiting { pid: 4242, tid, listener: LISTENER, epoll: tid, exclusive, switches: 0 }
}

fn fails(errno: u32, count: u64, used: Option<Used>) -> AcceptFails {
    AcceptFails { errno, count, first_ns: START, pid: 4242, tid: 4243, used }
}

fn evidence(finding: &Finding, name: &str) -> Option<f64> {
    finding.evidence.iter().find(|(other, _)| *other == name).map(|&(_, value)| value)
}

fn assert_well_written(world: &World) {
    for finding in world.reported_findings() {
        assert!(finding.headline.as_came().chars().count() <= 78, "{:?}", finding.headline);
        assert!(
            finding.headline.ends_with(".")
                && finding.text.ends_with(".")
                && finding.fix.ends_with(".")
        );
        assert!(!finding.evidence.is_empty() && !finding.text.contains("  "), "{:?}", finding.text);
        assert!(
            !finding.text.contains(" 1 connections") && !finding.headline.contains("1 clients"),
            "{finding:?}"
        );
    }
}

/// A listener that fails so often with this error in each of two seconds, while so many connections
/// wait.
pub(super) fn failing(
    errno: u32,
    a_second: u64,
    depth: u32,
    used: Option<Used>,
) -> (World, Finding) {
    let mut world = World::with_limit(128);
    world.sample_after(SECOND);
    for second in 1..=2 {
        world.listeners[0].fails = Some(vec![fails(errno, a_second * second, used)]);
        (world.listeners[0].depth, world.listeners[0].peak) = (depth, depth);
        world.sample_after(SECOND);
    }
    assert_well_written(&world);
    let finding = world.finding("accept-fails").expect("a finding");
    (world, finding)
}

#[test]
fn no_descriptor_left_is_told_with_the_limit() {
    let used = Some(Used { open: 30, limit: 30 });
    let (world, finding) = failing(EMFILE, 600_000, 35, used);
    assert_eq!(
        (finding.owner, finding.severity),
        (Owner::App, Severity::Critical),
        "nothing is accepted"
    );
    assert_eq!(
        finding.headline,
        "accept() fails: no descriptors left (EMFILE), 1,200,000 times so far."
    );
    assert!(
        finding.text.contains("The process has all of its 30 descriptors open (RLIMIT_NOFILE).")
    );
    assert!(finding.text.contains("thread 4243 of process 4242"), "{:?}", finding.text);
    assert!(
        finding.text.contains("burns a CPU") && finding.fix.contains("instead of retrying at once")
    );
    assert!(finding.text.contains(
        "35 connections are waiting in the queue, and none has been accepted for 1.00 s."
    ));
    assert!(finding.fix.contains("LimitNOFILE="));
    let figures =
        ["errno", "failures", "open", "open_limit", "depth"].map(|name| evidence(&finding, name));
    assert_eq!(figures, [24.0, 1_200_000.0, 30.0, 30.0, 35.0].map(Some));
    // What else is said of the same queue does not contradict it.
    for other in world.model.snapshot().findings {
        assert!(other.kind == "accept-fails" || !other.fix.contains("two accepts"), "{other:?}");
    }
    let view = world.view();
    assert_eq!(
        (view.totals.accept_fails, view.accept_errors),
        (Some(1_200_000), vec![("EMFILE".into(), 1_200_000)])
    );
}

#[test]
fn a_server_that_waits_in_between_is_not_said_to_spin() {
    let (_, finding) = failing(EMFILE, 2, 0, Some(Used { open: 1_020, limit: 1_024 }));
    assert_eq!(finding.severity, Severity::Warning, "nobody waits");
    assert!(finding.text.contains("When checked, the process had 1,020 of 1,024 descriptors open"));
    assert!(
        !finding.text.contains("burns") && !finding.text.contains("queue"),
        "{:?}",
        finding.text
    );
    assert!(!finding.fix.contains("at once"));
}

#[test]
fn each_error_has_its_owner_and_no_cause_that_was_not_seen() {
    let cases = [
        (EMFILE, Owner::App, Severity::Warning),
        (ENFILE, Owner::Kernel, Severity::Warning),
        (ENOMEM, Owner::Kernel, Severity::Warning),
        (EPERM, Owner::Kernel, Severity::Warning),
        (EIO, Owner::Unknown, Severity::Warning),
        (ECONNABORTED, Owner::Peer, Severity::Info),
    ];
    for (errno, owner, severity) in cases {
        let (_, finding) = failing(errno, 5, 0, None);
        assert_eq!((finding.owner, finding.severity), (owner, severity), "{errno}: {finding:?}");
        assert_eq!(finding.text.contains("RLIMIT_NOFILE"), errno == EMFILE, "{:?}", finding.text);
        assert_eq!(finding.text.contains("policy"), errno == EPERM, "{:?}", finding.text);
        assert_eq!(finding.fix.contains("fs.file-max"), errno == ENFILE, "{:?}", finding.fix);
    }
    let (_, finding) = failing(ENFILE, 5, 1, Some(Used { open: 1_984, limit: 2_000 }));
    assert!(
        finding
            .text
            .contains("When checked, the machine had 1,984 of 2,000 files open (fs.file-max).")
    );
    assert!(finding.text.contains("1 connection is waiting in the queue"), "{:?}", finding.text);
}

#[test]
fn the_error_of_now_is_told_and_an_old_one_is_not() {
    let mut world = World::with_limit(128);
    world.listeners[0].fails = Some(vec![fails(ENOMEM, 900, None)]);
    world.sample_after(SECOND);
    assert!(
        world.finding("accept-fails").is_some_and(|finding| finding.headline.contains("ENOMEM"))
    );
    world.listeners[0].fails = Some(vec![fails(ENOMEM, 900, None), fails(EMFILE, 3, None)]);
    world.sample_after(SECOND);
    assert!(
        world
            .finding("accept-fails")
            .is_some_and(|finding| finding.headline.contains("EMFILE), 3 times"))
    );
    (0..12).for_each(|_| world.sample_after(SECOND));
    assert_eq!(world.finding("accept-fails"), None, "it has ended");
    // The next one begins anew, and its count with it.
    world.listeners[0].fails = Some(vec![fails(ENOMEM, 900, None), fails(EMFILE, 4, None)]);
    world.sample_after(SECOND);
    assert!(
        world
            .finding("accept-fails")
            .is_some_and(|finding| finding.headline.ends_with("EMFILE), 1 time so far."))
    );
}

#[test]
fn where_failures_are_not_seen_there_is_neither_a_finding_nor_a_zero() {
    let mut world = World::new(
        "full",
        vec![ListenerSample { fails: None, left: None, ..listener(LISTENER, 8) }],
    );
    (0..3).for_each(|_| world.sample_after(SECOND));
    assert_eq!(world.model.snapshot().findings, []);
    assert_eq!((world.view().totals.accept_fails, world.view().totals.left), (None, None));
}

/// So many clients gave up after a second each, and five left at once.
pub(super) fn left(late: u64) -> World {
    let mut world = World::with_limit(128);
    world.sample_after(SECOND);
    world.listeners[0].left =
        Some(LeftQueue { closed: late, reset: 5, late, late_us: late * 1_000_000, cut: 0 });
    world.sample_after(SECOND);
    world
}

#[test]
fn clients_that_give_up_waiting_are_the_applications() {
    let world = left(20);
    let finding = world.finding("abandoned").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Warning));
    assert_eq!(finding.headline, "20 clients gave up waiting to be accepted.");
    assert!(
        finding.text.contains("after a mean of 1.00 s in the accept queue"),
        "{:?}",
        finding.text
    );
    assert!(!finding.text.contains("reset by") && finding.fix.contains("between two accepts"));
    assert_eq!(
        (evidence(&finding, "gave_up"), evidence(&finding, "reset_by_close")),
        (Some(20.0), Some(0.0))
    );
    assert_well_written(&world);
}

#[test]
fn whoever_connects_and_closes_at_once_is_no_loss() {
    let mut world = World::with_limit(128);
    for round in 1..=20 {
        world.listeners[0].left =
            Some(LeftQueue { closed: round * 50, reset: round * 50, ..LeftQueue::default() });
        world.sample_after(SECOND);
    }
    assert_eq!(world.model.snapshot().findings, []);
}

/// One of a group of so many listeners closed with 17 connections in its queue.
pub(super) fn member_closed(members: u64) -> World {
    let listeners: Vec<_> = (0..members).map(|n| listener(LISTENER + n, 128)).collect();
    let mut world = World::new("tracepoint", listeners);
    world.sample_after(SECOND);
    world.listeners[0].closed_ns = Some(world.now + 500 * MS);
    world.listeners[0].left = Some(LeftQueue { cut: 17, ..LeftQueue::default() });
    world.sample_after(SECOND);
    world
}

#[test]
fn a_listener_that_closes_with_a_queue_resets_it() {
    let told = |members: u64| {
        let world = member_closed(members);
        assert_well_written(&world);
        world.finding("abandoned").expect("a finding")
    };
    let alone = told(1);
    assert_eq!((alone.owner, alone.severity), (Owner::App, Severity::Warning));
    assert_eq!(alone.headline, "Closing the listener reset 17 connections in its queue.");
    assert!(
        !alone.text.contains("SO_REUSEPORT") && !alone.fix.contains("tcp_migrate_req"),
        "{alone:?}"
    );
    let member = told(2);
    assert!(
        member.text.contains("Another listener at this address (SO_REUSEPORT) is still open"),
        "{:?}",
        member.text
    );
    assert!(member.fix.contains("net.ipv4.tcp_migrate_req=1"));
    assert!(told(4).text.contains("3 other listeners"));
}

/// Connections of one listener: how they ended, and how many so; on which side, how long after
/// accept, and with how many bytes read and written.
pub(super) fn served(ends: &[(Ending, u64)], by: Side, after_ns: u64, bytes: (u64, u64)) -> World {
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

/// One of four threads takes nearly all, while these wait; calls last so long, and connections wait
/// so long.
pub(super) fn uneven(waiting: Vec<Waiting>, call_ns: u64, waited_ns: u64) -> World {
    let mut world = World::with_limit(128);
    world.waiting = waiting;
    for step in 0..1_000_u32 {
        world.now += 3 * MS;
        world.accept(0, if step % 50 < 47 { 1 } else { 2 + step % 3 }, waited_ns, call_ns);
        if step % 100 == 99 {
            world.sample_after(0);
        }
    }
    world
}

/// One of two listeners of a group takes nearly all.
pub(super) fn uneven_group() -> World {
    let mut world = World::new("full", vec![listener(1, 128), listener(2, 128)]);
    for step in 0..1_000_u32 {
        world.now += 3 * MS;
        world.accept(usize::from(step % 10 != 0), 1, 60_000, 10_000);
        if step % 100 == 99 {
            world.sample_after(0);
        }
    }
    world
}

#[test]
fn epoll_exclusive_is_blamed_only_where_it_was_seen() {
    let uneven = |waiting: Vec<Waiting>, call_ns: u64| {
        let world = uneven(waiting, call_ns, 60_000);
        assert_well_written(&world);
        world.finding("uneven-workers").expect("a finding")
    };
    let (found_there, waited) = (10_000, 900_000);
    let exclusive = uneven(vec![waits(1, true), waits(2, true)], found_there);
    assert!(
        exclusive.text.contains("wait in epoll with EPOLLEXCLUSIVE")
            && exclusive.owner == Owner::Kernel
    );
    let alike = uneven(vec![waits(1, false), waits(2, false)], found_there);
    assert!(
        alike.text.contains("without EPOLLEXCLUSIVE") && alike.owner == Owner::Unknown,
        "{:?}",
        alike.text
    );
    for unseen in
        [uneven(vec![], found_there), uneven(vec![waits(1, true), waits(2, false)], found_there)]
    {
        assert!(
            !unseen.text.contains("EPOLLEXCLUSIVE") && unseen.owner == Owner::Unknown,
            "{:?}",
            unseen.text
        );
    }
    let blocking = uneven(vec![], waited);
    assert!(
        !blocking.text.contains("epoll") && !blocking.text.contains("event loops"),
        "{:?}",
        blocking.text
    );
}

#[test]
fn others_at_the_same_place_are_in_the_view() {
    let other = crate::model::event::OtherListener {
        pid: 77,
        comm: "old".into(),
        local: address("0.0.0.0:8080"),
        depth: 5,
        limit: 8,
    };
    let mut world = World::with_limit(8);
    world.listeners[0].others = vec![other.clone()];
    world.sample_after(SECOND);
    assert_eq!(world.view().others, [other]);
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
