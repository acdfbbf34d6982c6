//! The slowest hundredth: what it has in common, and silence where there is none.

use super::connections::opened;
use super::facts::{Build, at, server};
use super::world::{LISTENER, MS, SECOND, World};
use crate::model::event::{CpuRefresh, CpuState, Event, Exchange, Opened, Role, ThreadUse};
use crate::model::output::FindingState;
use crate::model::snapshot::{Owner, Severity};

const PID: u32 = 4242;

/// Ten connections with 30 quick exchanges each within a second and a half, and `slow` ones among
/// them: on a connection, after so long, read after so long, by a thread.
pub(super) fn site(slow: &[(u64, u64, u64, u32)], stopped_ns: Option<u64>) -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=10 {
        let Event::Opened(opened) = opened(sock, Role::Server, false) else { panic!("not opened") };
        world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
    }
    for turn in 0..30 {
        for sock in 1..=10 {
            let quick =
                Exchange { sock, seq: turn + 1, ..server().later(u64::from(turn) * 50 * MS) };
            world.apply(Event::Exchange(quick));
        }
    }
    if let Some(stopped_ns) = stopped_ns {
        let refresh = CpuRefresh { cpus: Some(2), runnable: Some(1), stopped: vec![PID] };
        world.apply(Event::Cpu(CpuState {
            ts_ns: at(stopped_ns),
            limits: Vec::new(),
            refresh: Some(refresh),
        }));
    }
    for (nth, &(sock, after_ns, unread_ns, tid)) in (31..).zip(slow) {
        let mut exchange =
            Exchange { sock, seq: nth, ..server().reading(at(unread_ns)).later(after_ns) };
        let thread = Some(ThreadUse { pid: PID, tid, ..ThreadUse::default() });
        exchange.inbound().reader = thread;
        exchange.outbound().writer = thread;
        world.apply(Event::Exchange(exchange));
    }
    world.sample_after(2 * SECOND);
    world
}

/// All at once, on several connections, by several threads.
pub(super) fn at_once() -> World {
    site(
        &[
            (1, 500 * MS, 400 * MS, 1),
            (2, 510 * MS, 390 * MS, 2),
            (3, 520 * MS, 380 * MS, 3),
            (4, 530 * MS, 370 * MS, 4),
        ],
        None,
    )
}

/// The same while the process is stopped.
pub(super) fn stopped() -> World {
    site(
        &[(1, 500 * MS, 400 * MS, 1), (2, 510 * MS, 390 * MS, 2), (3, 520 * MS, 380 * MS, 3)],
        Some(700 * MS),
    )
}

/// One after the other, on one connection, by one thread.
pub(super) fn in_turn() -> World {
    site(
        &[(1, 100 * MS, 300 * MS, 7), (1, 500 * MS, 300 * MS, 7), (1, 900 * MS, 300 * MS, 7)],
        None,
    )
}

/// At once, and each slow in something else.
pub(super) fn mixed() -> World {
    let mut world = site(&[(1, 500 * MS, 400 * MS, 1)], None);
    for (sock, written_ns) in [(2, 400 * MS), (3, 395 * MS)] {
        let mut exchange =
            Exchange { sock, seq: 40, ..server().writing(at(written_ns)).later(500 * MS) };
        if sock == 3 {
            exchange = server().later(500 * MS);
            (exchange.sock, exchange.seq) = (sock, 40);
            let outbound = exchange.outbound();
            outbound.retransmits = 1;
            outbound.acked_ns = Some(outbound.last_ns + 395 * MS);
        }
        world.apply(Event::Exchange(exchange));
    }
    world.sample_after(100 * MS);
    world
}

#[test]
fn what_falls_into_one_moment_is_told_with_it() {
    let world = at_once();
    let finding = world.finding("tail").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Warning));
    assert!(finding.headline.starts_with("The slowest 3 take 38"), "{:?}", finding.headline);
    assert!(
        finding.text.contains("lay unread") && finding.text.contains("fall into 1 moment"),
        "{:?}",
        finding.text
    );
    assert!(
        !finding.text.contains("thread") && !finding.text.contains("was stopped"),
        "{:?}",
        finding.text
    );
    assert_eq!(world.reported_findings().len(), 1);
}

/// A finding that says as much and is made later takes the tail's place.
#[test]
fn a_tail_gives_way_to_what_says_more() {
    let mut world = at_once();
    assert!(world.finding("tail").is_some());
    for nth in 0..100 {
        let mut exchange =
            Exchange { sock: nth % 10 + 1, ..server().reading(at(50 * MS)).later(2 * SECOND) };
        exchange.seq = 50 + nth as u32;
        world.apply(Event::Exchange(exchange));
    }
    world.sample_after(100 * MS);
    assert!(world.finding("slow-reader").is_some() && world.finding("tail").is_none());
    assert_eq!(world.states_of("tail"), [FindingState::Begun, FindingState::Ended]);
}

#[test]
fn a_stopped_process_is_named() {
    let finding = stopped().finding("tail").expect("a finding");
    assert!(finding.text.contains("Process 4242 was stopped then"), "{:?}", finding.text);
}

#[test]
fn one_thread_and_one_connection_are_told() {
    let finding = in_turn().finding("tail").expect("a finding");
    assert!(
        finding.text.contains("by thread 7") && finding.text.contains("on one connection"),
        "{:?}",
        finding.text
    );
    assert!(!finding.text.contains("moment"), "{:?}", finding.text);
}

#[test]
fn a_tail_without_anything_in_common_or_of_noise_is_none() {
    assert_eq!(site(&[], None).reported_findings(), []);
    let noise =
        site(&[(1, 0, 30 * MS, 1), (2, 300 * MS, 25 * MS, 2), (3, 600 * MS, 22 * MS, 3)], None);
    assert_eq!(noise.reported_findings(), [], "a busy machine");
    assert_eq!(
        site(&[(1, 0, 400 * MS, 1), (2, 0, 400 * MS, 1)], None).reported_findings(),
        [],
        "two are few"
    );
}
