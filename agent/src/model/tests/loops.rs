//! Threads that serve many connections: what they did while requests waited, and whom they let
//! wait.

use super::connections::opened;
use super::facts::{Build, at, server};
use super::world::{LISTENER, MS, SECOND, World};
use crate::model::event::{
    CpuRefresh, CpuState, Event, Exchange, Opened, Recognised, Role, Sign, SockId, ThreadSample,
    ThreadUse, WaitKind,
};
use crate::model::snapshot::{Finding, Owner, Severity};

const US: u64 = 1_000;
const TID: u32 = 11;

/// An event loop, which is seen asleep, with connections on which HTTP is spoken.
fn event_loop(connections: u64) -> World {
    let mut world = World::with_limit(128);
    let sleep = Some(WaitKind::Events);
    world.threads =
        vec![ThreadSample { pid: 4242, tid: TID, sleep, writes: 1, ..ThreadSample::default() }];
    for sock in 1..=connections {
        let Event::Opened(opened) = opened(sock, Role::Server, true) else { panic!("not opened") };
        world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
        let sign = Sign::HttpRequest { minor: 1 };
        world.apply(Event::Recognised(Recognised { ts_ns: at(0), sock, sign }));
    }
    world.sample_after(100 * MS);
    world
}

fn used(since_ns: u64, cpu_ns: u64, run_delay_ns: u64) -> Option<ThreadUse> {
    Some(ThreadUse { pid: 4242, tid: TID, since_ns: Some(since_ns), run_delay_ns, cpu_ns })
}

/// A request that came, was read and was answered at these times, by a thread whose call before was
/// then, and that spent so much of its work on a CPU.
fn request(sock: SockId, seq: u32, times_ns: [u64; 3], since_ns: u64, cpu_ns: u64) -> Exchange {
    let [came_ns, read_ns, written_ns] = times_ns;
    let mut exchange = Exchange { sock, seq, ..server() };
    let inbound = exchange.inbound();
    (inbound.first_ns, inbound.last_ns) = (came_ns, came_ns);
    (inbound.read_first_ns, inbound.read_last_ns) = (Some(read_ns), Some(read_ns));
    inbound.reader = used(since_ns, 10 * US, 0);
    let outbound = exchange.outbound();
    (outbound.first_ns, outbound.last_ns, outbound.sent_ns) =
        (written_ns, written_ns, Some(written_ns));
    outbound.acked_ns = Some(written_ns + 30 * US);
    outbound.writer = used(read_ns, cpu_ns, 0);
    exchange.ts_ns = written_ns + 10 * MS;
    exchange
}

fn found(world: &World, kind: &str) -> Finding {
    let finding = world.reported_findings().into_iter().rfind(|finding| finding.kind == kind);
    finding.unwrap_or_else(|| panic!("no {kind} in {:?}", world.reported_findings()))
}

/// Eight clients whose requests are worked on in turn, 20 ms each, so that each waits for seven
/// others.
fn in_turn(cpu_ns: u64) -> World {
    let mut world = event_loop(8);
    let begin_ns = world.now;
    let mut since_ns = begin_ns;
    for turn in 0..40 {
        let read_ns = begin_ns + turn * 20 * MS + 20 * US;
        let written_ns = begin_ns + (turn + 1) * 20 * MS;
        let came_ns = read_ns.saturating_sub(140 * MS).max(begin_ns);
        let (sock, seq) = (turn % 8 + 1, turn as u32 / 8 + 1);
        let exchange = request(sock, seq, [came_ns, read_ns, written_ns], since_ns, cpu_ns);
        since_ns = written_ns;
        world.apply(Event::Exchange(exchange));
    }
    world.sample_after(SECOND);
    world
}

#[test]
fn the_reader_of_an_event_loop_did_what_all_its_calls_tell() {
    let computes = found(&in_turn(19 * MS), "slow-reader");
    assert!(
        computes.text.contains("busy meanwhile, on a CPU for 95 % of that time"),
        "{:?}",
        computes.text
    );
    let sleeps = found(&in_turn(MS), "slow-reader");
    assert!(sleeps.text.contains("slept for 95 % of that time"), "{:?}", sleeps.text);
}

/// Four requests wait for 100 ms, to be read or to be answered, while another thread of the process
/// was ready and without a CPU for so long in that second. What the thread that served them did is
/// known or not.
fn handed_on(unread: bool, known: bool, delay_ns: u64) -> World {
    let mut world = event_loop(4);
    let other = ThreadSample { pid: 4242, tid: TID + 1, ..ThreadSample::default() };
    world.threads.push(other);
    world.threads[0].sleep = Some(WaitKind::Lock);
    world.sample_after(100 * MS);
    for sock in 1..=4 {
        let came_ns = world.now + sock * 200 * MS;
        let read_ns = came_ns + if unread { 100 * MS } else { MS };
        let written_ns = read_ns + if unread { MS } else { 100 * MS };
        let since_ns = if known { came_ns } else { read_ns - MS / 2 };
        let mut exchange = request(sock, 1, [came_ns, read_ns, written_ns], since_ns, 10 * US);
        if !known {
            // A worker, to which it was handed on.
            let worker = used(written_ns - MS / 2, 10 * US, 0)
                .map(|used| ThreadUse { tid: TID + 1, ..used });
            exchange.outbound().writer = worker;
        }
        world.apply(Event::Exchange(exchange));
    }
    world.threads[1].run_delay_ns += delay_ns;
    (0..4).for_each(|_| world.sample_after(SECOND));
    world
}

pub(super) fn unread(known: bool, delay_ns: u64) -> World {
    handed_on(true, known, delay_ns)
}

pub(super) fn unanswered(known: bool, delay_ns: u64) -> World {
    handed_on(false, known, delay_ns)
}

#[test]
fn who_waits_for_a_thread_without_a_cpu_is_not_to_blame() {
    for known in [false, true] {
        let found_in = |delay_ns| found(&unread(known, delay_ns), "slow-reader");
        let starved = found_in(300 * MS);
        assert_eq!(
            (starved.owner, starved.severity, starved.inferred),
            (Owner::Unknown, Severity::Info, true)
        );
        assert!(starved.text.contains("had no CPU for as long"), "{:?}", starved.text);
        assert!(starved.fix.starts_with("add CPUs"), "{:?}", starved.fix);
        let had = found_in(20 * MS);
        assert_eq!((had.owner, had.severity, had.inferred), (Owner::App, Severity::Warning, false));
        assert_eq!(had.text.contains("No thread of the process was"), !known, "{:?}", had.text);
        let found_in = |delay_ns| found(&unanswered(known, delay_ns), "slow-app");
        let starved = found_in(300 * MS);
        assert_eq!(
            (starved.owner, starved.severity, starved.inferred),
            (Owner::Unknown, Severity::Info, true)
        );
        assert!(
            !starved.text.contains("a lock") && starved.fix.starts_with("add CPUs"),
            "{starved:?}"
        );
        assert_eq!(found_in(20 * MS).owner, Owner::App);
    }
}

#[test]
fn a_stopped_process_waits_for_nothing_of_its_own_accord() {
    let mut world = unread(true, 0);
    assert!(found(&world, "slow-reader").text.contains("waiting for something else"));
    let refresh = CpuRefresh { cpus: Some(2), runnable: Some(1), stopped: vec![4242] };
    world.apply(Event::Cpu(CpuState {
        ts_ns: world.now,
        limits: Vec::new(),
        refresh: Some(refresh),
    }));
    world.sample_after(100 * MS);
    let finding = world.finding("slow-reader").expect("a finding");
    assert!(
        finding.text.contains("on no CPU") && finding.text.contains("is stopped"),
        "{:?}",
        finding.text
    );
    assert!(
        !finding.text.contains("waiting") && finding.fix.contains("who stopped it"),
        "{finding:?}"
    );
}

#[test]
fn what_a_call_does_not_tell_of_the_wait_is_not_told() {
    let mut world = event_loop(4);
    for sock in 1..=4 {
        // The reader's call before came when the request had waited for 90 ms.
        let came_ns = world.now + sock * 200 * MS;
        let read_ns = came_ns + 100 * MS;
        let exchange =
            request(sock, 1, [came_ns, read_ns, read_ns + MS], read_ns - 10 * MS, 10 * US);
        world.apply(Event::Exchange(exchange));
    }
    (0..4).for_each(|_| world.sample_after(SECOND));
    let finding = found(&world, "slow-reader");
    assert!(finding.text.contains("was not observed."), "{:?}", finding.text);
}

#[test]
fn a_wait_for_a_cpu_after_the_read_is_not_unread_time() {
    let mut world = event_loop(4);
    for sock in 1..=4 {
        let came_ns = world.now + sock * 200 * MS;
        let read_ns = came_ns + 2 * MS;
        let mut exchange =
            request(sock, 1, [came_ns, read_ns, read_ns + 60 * MS], came_ns, 10 * MS);
        exchange.inbound().reader = used(came_ns, 0, MS);
        exchange.outbound().writer = used(read_ns, 10 * MS, 50 * MS);
        world.apply(Event::Exchange(exchange));
    }
    world.sample_after(SECOND);
    assert_eq!(world.finding("slow-reader"), None, "two milliseconds");
}

/// Requests that take 300 ms each, one at a time; with `others` a second client asks every 100 ms,
/// and waits.
pub(super) fn blocking(others: bool, cpu_ns: u64) -> World {
    let mut world = event_loop(2);
    for turn in 0..6 {
        let read_ns = world.now + 10 * MS;
        let written_ns = read_ns + 300 * MS;
        let slow =
            request(1, turn + 1, [read_ns - 50 * US, read_ns, written_ns], read_ns - MS, cpu_ns);
        world.apply(Event::Exchange(slow));
        if others {
            let times_ns = [read_ns + 40 * MS, written_ns + 30 * US, written_ns + 90 * US];
            world.apply(Event::Exchange(request(2, turn + 1, times_ns, written_ns, 50 * US)));
        }
        world.sample_after(500 * MS);
    }
    // Until it is plain that no other request was answered with them.
    for _ in 0..4 {
        world.sample_after(SECOND);
    }
    world
}

#[test]
fn a_thread_that_lets_others_wait_does_not_wait_by_design() {
    let finding = found(&blocking(true, MS), "slow-app");
    assert_eq!(finding.severity, Severity::Warning);
    assert!(!finding.text.contains("by design"), "{:?}", finding.text);
    let held = "While thread 11 worked on ";
    assert!(
        finding.text.contains(held) && finding.text.contains("lay unread until it was done"),
        "{:?}",
        finding.text
    );
    assert!(finding.fix.contains("blocking calls"), "{:?}", finding.fix);
}

#[test]
fn a_thread_that_computes_does_not_wait_by_design() {
    let finding = found(&blocking(false, 290 * MS), "slow-app");
    assert!(
        !finding.text.contains("by design") && finding.text.contains("computed"),
        "{:?}",
        finding.text
    );
}

/// On a busy machine 250 ms of work took three seconds.
#[test]
fn a_thread_that_waits_for_a_cpu_does_not_sleep() {
    let mut world = event_loop(1);
    for turn in 0..3 {
        let read_ns = world.now + 10 * MS;
        let written_ns = read_ns + 3_000 * MS;
        let mut slow =
            request(1, turn + 1, [read_ns - 50 * US, read_ns, written_ns], read_ns - MS, 250 * MS);
        slow.outbound().writer = used(read_ns, 250 * MS, 2_740 * MS);
        world.apply(Event::Exchange(slow));
        world.sample_after(500 * MS);
    }
    (0..8).for_each(|_| world.sample_after(SECOND));
    let finding = found(&world, "slow-app");
    assert!(
        finding.text.contains("computed for 96 %") && !finding.text.contains("slept"),
        "{:?}",
        finding.text
    );
}

#[test]
fn a_thread_that_sleeps_and_lets_nobody_wait_may_wait_by_design() {
    let finding = found(&blocking(false, MS), "slow-app");
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.text.contains("by design"), "{:?}", finding.text);
}

/// Long polls put aside by a loop that answers others at once.
#[test]
fn a_loop_that_serves_others_meanwhile_waits_by_design() {
    let mut world = event_loop(4);
    let asked_ns = world.now;
    let news_ns = asked_ns + 2 * SECOND;
    for turn in 0..20 {
        let read_ns = asked_ns + turn * 90 * MS + 50 * US;
        let quick = request(
            4,
            turn as u32 + 1,
            [read_ns - 50 * US, read_ns, read_ns + 200 * US],
            read_ns - MS,
            100 * US,
        );
        world.apply(Event::Exchange(quick));
    }
    for _ in 0..4 {
        world.sample_after(500 * MS);
    }
    for sock in 1..=3 {
        let read_ns = asked_ns + sock * MS;
        let mut poll =
            request(sock, 1, [read_ns - 50 * US, read_ns, news_ns + sock * MS], read_ns - MS, 0);
        poll.outbound().writer = used(news_ns - 200 * MS, MS, 0);
        world.apply(Event::Exchange(poll));
    }
    for _ in 0..4 {
        world.sample_after(SECOND);
    }
    assert_eq!(world.reported_findings(), []);
}
