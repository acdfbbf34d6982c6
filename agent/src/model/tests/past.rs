//! Findings that have ended stay known, each once, with the times at which they stood.

use super::connection_facts::{after, times};
use super::facts::{Build, at, server};
use super::tails::at_once;
use super::world::{MS, SECOND, START, World, listener};
use crate::model::event::{
    Event, Exchange, ListenerSample, Pause, Process, ProcessChange, Progress, Stage,
};
use crate::model::finding::{MAX_FINDINGS, MAX_PAST};
use crate::model::output::{FindingState::Begun, Summary};
use crate::model::snapshot::{Finding, Severity};

fn past(world: &World, kind: &str) -> Vec<Finding> {
    let mut past = world.model.snapshot().past_findings;
    past.retain(|finding| finding.kind == kind);
    past
}

/// Refreshes for this long.
fn refresh(world: &mut World, seconds: u64) {
    (0..seconds).for_each(|_| world.sample_after(SECOND));
}

/// Refuses clients for so many seconds, once at the beginning of each.
fn overflow(world: &mut World, listener: usize, seconds: u64) {
    for _ in 0..seconds {
        world.listeners[listener].depth = world.listeners[listener].limit + 1;
        world.refuse(listener, Stage::Syn);
        world.sample_after(SECOND);
    }
    world.listeners[listener].depth = 0;
}

fn kinds(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.kind).collect()
}

/// Seconds since the attach.
fn second(ts_ns: u64) -> u64 {
    (ts_ns - START) / SECOND
}

#[test]
fn a_finding_that_ended_stays_as_it_last_was() {
    let mut world = World::with_limit(128);
    refresh(&mut world, 3);
    overflow(&mut world, 0, 10);
    assert!(past(&world, "accept-queue-overflow").is_empty(), "it stands");
    refresh(&mut world, 120);
    assert_eq!(world.model.snapshot().findings, []);
    let [finding] = &past(&world, "accept-queue-overflow")[..] else { panic!("not one") };
    assert_eq!(finding.severity, Severity::Critical);
    // The rate is not that of the silence after it.
    let headline = "Clients are being refused: 10 SYNs so far, 1 a second.";
    assert_eq!(finding.headline, headline);
    assert!(!finding.evidence.is_empty() && !finding.fix.is_empty() && !finding.text.is_empty());
    assert_eq!(finding.was(), "clients were refused");
    // The last refusal was counted at the thirteenth second, whatever the window of the check is.
    let stood = &finding.stood;
    assert_eq!((second(stood.from_ns()), second(stood.until_ns()), stood.times), (4, 13, 1));
    assert_eq!(stood.total_ns, 9 * SECOND);
    let summary = world.finish();
    assert_eq!(summary.standing_findings, []);
    // Nobody accepted meanwhile.
    assert_eq!(kinds(&summary.past_findings), ["accept-queue-overflow", "accept-starved"]);
}

/// The check looks back over five seconds: without a new refusal that renews nothing.
#[test]
fn it_stands_for_three_seconds_after_the_last_sign_as_it_was_then() {
    let mut world = World::with_limit(128);
    refresh(&mut world, 3);
    overflow(&mut world, 0, 10);
    let told = world.finding("accept-queue-overflow").expect("a finding");
    refresh(&mut world, 2);
    let later = world.finding("accept-queue-overflow").expect("it can still be read");
    assert_eq!((later.headline, later.owner, later.fix), (told.headline, told.owner, told.fix));
    refresh(&mut world, 1);
    assert!(world.finding("accept-queue-overflow").is_none(), "nobody is refused any more");
    refresh(&mut world, 1);
    assert!(world.finding("accept-queue-overflow").is_none(), "an old sign begins nothing");
    overflow(&mut world, 0, 1);
    assert!(world.finding("accept-queue-overflow").is_some(), "a new one does");
}

#[test]
fn one_that_comes_back_is_one_with_its_times() {
    let mut world = World::with_limit(128);
    for _ in 0..3 {
        overflow(&mut world, 0, 5);
        refresh(&mut world, 25);
    }
    overflow(&mut world, 0, 2);
    assert!(past(&world, "accept-queue-overflow").is_empty(), "it stands again");
    let stands = world.finding("accept-queue-overflow").expect("a finding");
    assert_eq!((stands.stood.times, stands.stood.total_ns), (4, 13 * SECOND));
    assert_eq!((second(stands.since_ns), second(stands.stood.from_ns())), (91, 1));
    refresh(&mut world, 20);
    let [finding] = &past(&world, "accept-queue-overflow")[..] else { panic!("not one") };
    assert_eq!((finding.stood.times, finding.stood.total_ns), (4, 13 * SECOND));
    assert_eq!(finding.stood.stretches.len(), 4);
    assert!(finding.headline.as_came().contains(": 17 SYNs"), "{:?}", finding.headline);
    let begun =
        world.states_of("accept-queue-overflow").into_iter().filter(|&state| state == Begun);
    assert_eq!(begun.count(), 4, "each time is told");
    let summary = world.finish();
    assert_eq!(
        (summary.findings, summary.past_findings.len()),
        (8, 2),
        "{:?}",
        kinds(&summary.past_findings)
    );
}

#[test]
fn two_subjects_are_two_and_worse_ones_come_first() {
    let mut world = World::new("full", vec![listener(1, 128), listener(2, 128)]);
    world.listeners[1].backlog = Some(4_096);
    overflow(&mut world, 0, 4);
    overflow(&mut world, 1, 4);
    // One stands on, and so has not ended.
    refresh(&mut world, 20);
    let found = past(&world, "accept-queue-overflow");
    assert_eq!(found.iter().map(|finding| finding.sock).collect::<Vec<_>>(), [2, 1]);
    let summary = world.finish();
    assert_eq!(kinds(&summary.standing_findings), ["backlog-clamped"]);
    let past: Vec<Severity> =
        summary.past_findings.iter().map(|finding| finding.severity).collect();
    assert!(past.is_sorted_by(|one, other| one >= other), "{past:?}");
}

#[test]
fn one_ends_with_its_listener() {
    let mut world = World::with_limit(128);
    overflow(&mut world, 0, 4);
    world.listeners.clear();
    refresh(&mut world, 10);
    assert_eq!(world.model.snapshot().findings, []);
    let [finding] = &past(&world, "accept-queue-overflow")[..] else { panic!("not one") };
    assert!(second(finding.stood.until_ns()) <= 4, "{:?}", finding.stood);
}

#[test]
fn one_ends_with_its_process() {
    let mut world = after(&times(4, &server().writing(at(400 * MS))));
    let found = world.finding("slow-app").expect("a finding");
    let ts_ns = world.now;
    let change = ProcessChange::Exited;
    world.apply(Event::Process(Process { ts_ns, pid: 4242, comm: "server".into(), change }));
    world.listeners.clear();
    refresh(&mut world, 12);
    let [finding] = &past(&world, "slow-app")[..] else { panic!("not one") };
    assert_eq!((&finding.subject, finding.sock), (&found.subject, found.sock));
}

#[test]
fn a_healthy_run_has_none() {
    let mut world = World::with_limit(128);
    for _ in 0..60 {
        (0..20).for_each(|_| world.accept(0, 100, MS, MS));
        world.sample_after(SECOND);
    }
    assert_eq!(world.model.snapshot().past_findings, []);
    let summary = world.finish();
    let Summary { standing_findings, past_findings, findings_left_out, .. } = summary;
    assert_eq!((standing_findings, past_findings, findings_left_out), (vec![], vec![], 0));
}

#[test]
fn the_worst_past_ones_are_kept_and_the_rest_is_counted() {
    const MORE: u64 = 40;
    let clamped = |sock| ListenerSample { backlog: Some(4_096), ..listener(sock, 128) };
    let mut world = World::new("full", vec![listener(1, 128)]);
    overflow(&mut world, 0, 1);
    refresh(&mut world, 10);
    // More than are kept end, in two lots, as only so many stand at once.
    for lot in 0..2_u64 {
        let first = 1_000 * (lot + 1);
        world.listeners = (first..first + (MAX_PAST as u64 + MORE) / 2).map(clamped).collect();
        assert!(world.listeners.len() < MAX_FINDINGS);
        refresh(&mut world, 2);
        world.listeners.clear();
        refresh(&mut world, 10);
    }
    let past = world.model.snapshot().past_findings;
    assert_eq!((past.len(), past[0].kind), (MAX_PAST, "accept-queue-overflow"));
    // Of the mild ones those that ended last are there.
    assert!(past[1..].iter().take(100).all(|finding| finding.sock >= 2_000));
    assert_eq!(world.finish().findings_left_out, MORE + 1);
}

/// Ten unread requests for each of ten connections, which explain any tail.
fn unread(world: &mut World, first_seq: u32) {
    for nth in 0..100 {
        let later = world.now - at(0);
        let mut exchange =
            Exchange { sock: nth % 10 + 1, ..server().reading(at(50 * MS)).later(later) };
        exchange.seq = first_seq + nth as u32;
        world.apply(Event::Exchange(exchange));
    }
    world.sample_after(100 * MS);
}

#[test]
fn a_tail_that_is_explained_is_no_past_finding() {
    let mut world = at_once();
    assert!(world.finding("tail").is_some());
    unread(&mut world, 50);
    assert!(world.finding("slow-reader").is_some() && world.finding("tail").is_none());
    assert_eq!(world.model.snapshot().past_findings, []);
    refresh(&mut world, 20);
    assert_eq!(kinds(&world.model.snapshot().past_findings), ["slow-reader"]);
}

#[test]
fn a_tail_that_ends_by_itself_is_one() {
    let mut world = at_once();
    refresh(&mut world, 20);
    assert_eq!(kinds(&world.model.snapshot().past_findings), ["tail"]);
}

#[test]
fn an_explained_tail_that_had_been_past_is_so_again() {
    let mut world = at_once();
    refresh(&mut world, 20);
    let before = past(&world, "tail")[0].stood.clone();
    for (nth, sock) in (1..=300).zip((1..=10).cycle()) {
        let later = world.now - at(0);
        let quick = Exchange { sock, seq: 1_000 + nth, ..server().later(later) };
        world.apply(Event::Exchange(quick));
    }
    for (nth, sock) in (1..=4).zip(1..) {
        let later = world.now - at(0);
        let mut slow =
            Exchange { sock, seq: 2_000 + nth, ..server().reading(at(390 * MS)).later(later) };
        slow.progress = Progress::Followed;
        world.apply(Event::Exchange(slow));
    }
    world.sample_after(SECOND);
    assert_eq!(world.finding("tail").map(|tail| tail.stood.times), Some(2));
    unread(&mut world, 3_000);
    let [tail] = &past(&world, "tail")[..] else { panic!("not one") };
    assert_eq!(tail.stood, before, "as it was before it came back");
}

#[test]
fn a_pause_is_no_time_in_which_it_stood() {
    let mut world = after(&times(4, &server().writing(at(400 * MS))));
    let before = world.finding("slow-app").expect("a finding").stood;
    let pause = |world: &mut World, begins| {
        world.apply(Event::Pause(Pause { ts_ns: world.now, begins }));
    };
    pause(&mut world, true);
    refresh(&mut world, 60);
    assert!(past(&world, "slow-app").is_empty(), "it stands through the pause");
    pause(&mut world, false);
    refresh(&mut world, 12);
    let [finding] = &past(&world, "slow-app")[..] else { panic!("not one") };
    assert!(finding.stood.total_ns < 10 * SECOND, "{:?} {before:?}", finding.stood);
}
