//! Calls of accept that fail.

use backscope_abi::errno::{ECONNABORTED, EMFILE, ENFILE, ENOMEM, EPERM};

use super::{assert_well_written, evidence};
use crate::model::event::{AcceptFails, ListenerSample, Used};
use crate::model::snapshot::{Finding, Owner, Severity};
use crate::model::tests::world::{LISTENER, SECOND, START, World, listener};

const EIO: u32 = 5;

fn fails(errno: u32, count: u64, used: Option<Used>) -> AcceptFails {
    AcceptFails { errno, count, first_ns: START, pid: 4242, tid: 4243, used }
}

/// A listener that fails so often with this error in each of two seconds, while so many connections
/// wait.
pub(in crate::model::tests) fn failing(
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
