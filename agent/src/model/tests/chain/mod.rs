//! Which finding explains which.

mod pool;

use super::connects::failed;
use super::processors::{accepted_late, accepted_late_by_quota};
use super::world::{LISTENER, MS, SECOND, START, World, address, udp_socket};
use crate::model::event::{Event, Outcome, WaitKind};
use crate::model::output::{FindingState, Output};
use crate::model::snapshot::{Finding, Severity, chain};
use pool::go_on;
pub(super) use pool::{Pool, exhausted, exhausted_by_calls, serve};

fn kinds(world: &World) -> Vec<&'static str> {
    world.model.snapshot().findings.iter().map(|finding| finding.kind).collect()
}

fn cause_of(world: &World, kind: &str) -> Option<&'static str> {
    let finding = world.finding(kind).unwrap_or_else(|| panic!("no {kind} in {:?}", kinds(world)));
    finding.explained_by.map(|cause| cause.kind)
}

fn no_links(world: &World) {
    for finding in world.reported_findings() {
        assert_eq!((&finding.explained_by, finding.explains.len()), (&None, 0), "{finding:#?}");
    }
}

#[test]
fn used_up_workers_are_the_root_of_one_chain() {
    let world = exhausted();
    let findings = world.model.snapshot().findings;
    assert_eq!(kinds(&world), ["slow-app", "accept-starved", "accept-queue-overflow"]);
    let root = &findings[0];
    assert_eq!(
        root.headline,
        "2 workers serve one connection at a time, 250 ms each: 8 a second, more come."
    );
    assert!(root.fix.starts_with("run more workers") && root.fix.contains("answer sooner"));
    assert_eq!(root.severity, Severity::Warning, "the gravest of its chain comes behind it");
    assert_eq!(cause_of(&world, "accept-starved"), Some("slow-app"));
    assert_eq!(cause_of(&world, "accept-queue-overflow"), Some("accept-starved"));
    assert_eq!(root.explains.len(), 1);
    let depths: Vec<_> = findings.iter().map(|one| chain::depth(&findings, one)).collect();
    assert_eq!(depths, [0, 1, 2]);
    assert_eq!(chain::root(&findings, &findings[2]).kind, "slow-app");
    let so = chain::consequences(&findings, root).expect("consequences");
    assert!(so.starts_with("accept queue full → "), "{so:?}");
    assert!(so.ends_with(" SYNs refused a second → clients try again"), "{so:?}");
}

#[test]
fn blocking_workers_are_never_given_a_thread_for_accept() {
    let world = exhausted();
    for finding in world.reported_findings() {
        let fix = &finding.fix;
        assert!(!fix.contains("EAGAIN") || fix.contains("one connection at a time"), "{fix:?}");
        assert!(!fix.contains("own thread"), "{fix:?}");
        let is_open = fix.contains("Where each worker serves one connection at a time");
        assert!(is_open || !fix.contains("thread pool"), "{fix:?}");
    }
    for kind in ["slow-app", "accept-starved", "accept-queue-overflow"] {
        let fix = world.finding(kind).expect("a finding").fix;
        assert!(fix.starts_with("run more workers (gunicorn --workers"), "{fix:?}");
        assert!(!fix.contains("thread"), "{fix:?}");
    }
}

/// What comes is counted where nobody is refused, and so is what would do.
#[test]
fn without_refusals_the_arithmetic_is_whole() {
    let world = serve(&[4_096], &mut [Pool::new(0, 2, 250 * MS, 61)], 6);
    assert_eq!(kinds(&world), ["slow-app", "accept-starved"]);
    let root = world.finding("slow-app").expect("a finding");
    assert_eq!(
        root.headline,
        "2 workers serve one connection at a time, 250 ms each: 8 a second, 61 come."
    );
    assert!(root.fix.contains(" 16 would serve the 61 a second that come."), "{:?}", root.fix);
}

/// Fifteen milliseconds are no slow answer, but two workers serve no more than 133 a second.
#[test]
fn quick_answers_can_be_too_few_workers_as_well() {
    let world = serve(&[4_096], &mut [Pool::new(0, 2, 15 * MS, 300)], 6);
    assert_eq!(kinds(&world)[0], "slow-app", "{:#?}", world.model.snapshot().findings);
    let root = world.finding("slow-app").expect("a finding");
    assert!(root.headline.contains("2 workers serve one connection at a time, 15"), "{root:?}");
    assert!(root.fix.starts_with("run more workers") && !root.text.contains("Every byte"));
}

/// Their clients keep connections open: that holds the workers, and not what they answer.
#[test]
fn connections_that_stay_open_are_not_the_answers_fault() {
    let mut pool = Pool::new(0, 2, 5 * MS, 20);
    pool.open_ns = 400 * MS;
    let world = serve(&[4_096], &mut [pool], 6);
    let starved = world.finding("accept-starved").expect("a finding");
    assert_eq!(starved.explained_by, None);
    assert!(starved.text.contains("2 workers serve one connection at a time, 405"), "{starved:?}");
    assert!(starved.fix.contains("keep-alive"), "{:?}", starved.fix);
    assert_eq!(world.finding("slow-app"), None);
}

#[test]
fn a_healthy_server_has_no_chain() {
    let world = serve(&[16], &mut [Pool::new(0, 4, 10 * MS, 61)], 10);
    assert_eq!(kinds(&world), [""; 0]);
    no_links(&world);
}

/// Answers take long, and there are enough workers.
#[test]
fn slow_answers_with_an_empty_queue_explain_nothing() {
    let world = serve(&[16], &mut [Pool::new(0, 40, 250 * MS, 61)], 6);
    assert_eq!(kinds(&world), ["slow-app"]);
    let headline = world.finding("slow-app").expect("a finding").headline;
    assert!(headline.starts_with("The application takes 250 ms to answer"), "{headline:?}");
    no_links(&world);
}

/// Three hundred come at once, and the workers take a few milliseconds for each.
#[test]
fn a_burst_over_a_short_queue_is_not_explained_by_answers() {
    let mut pools = [Pool::new(0, 4, 5 * MS, 20)];
    let mut world = serve(&[16], &mut pools, 4);
    for _ in 0..40 {
        pools[0].come(&mut world);
    }
    go_on(&mut world, &mut pools, 2);
    assert_eq!(kinds(&world), ["accept-queue-overflow"]);
    assert_eq!(cause_of(&world, "accept-queue-overflow"), None);
    no_links(&world);
}

/// One is exhausted, and at the other one comes a burst.
#[test]
fn faults_of_two_listeners_are_not_linked() {
    let mut pools = [Pool::new(0, 2, 250 * MS, 61), Pool::new(1, 4, 5 * MS, 20)];
    let mut world = serve(&[16, 16], &mut pools, 5);
    for _ in 0..40 {
        pools[1].come(&mut world);
    }
    go_on(&mut world, &mut pools, 1);
    let findings = world.model.snapshot().findings;
    let other = LISTENER + 1;
    let burst: Vec<&Finding> = findings.iter().filter(|one| one.sock == other).collect();
    assert_eq!(burst.len(), 1, "{findings:#?}");
    assert_eq!((burst[0].kind, &burst[0].explained_by), ("accept-queue-overflow", &None));
    for finding in &findings {
        let refs = finding.explains.iter().chain(&finding.explained_by);
        assert!(refs.into_iter().all(|of| of.sock == finding.sock), "{finding:#?}");
    }
    assert_eq!(findings[0].kind, "slow-app", "both chains are critical; the first began earlier");
}

/// The causes come first in the stream, and a finding is reported once with its cause.
#[test]
fn reports_name_their_cause() {
    let world = exhausted();
    let begun = |output: &Output| match output {
        Output::Finding(report) if report.state == FindingState::Begun => {
            Some((report.finding.kind, report.finding.explained_by.clone().map(|by| by.kind)))
        }
        _ => None,
    };
    let begun: Vec<_> = world.out.iter().filter_map(begun).collect();
    assert!(begun.contains(&("accept-queue-overflow", Some("accept-starved"))), "{begun:?}");
    let place = |kind| begun.iter().position(|(other, _)| *other == kind);
    assert!(place("accept-starved") < place("accept-queue-overflow"), "{begun:?}");
}

/// When the load ends, what is left keeps its cause until it ends itself, and says nothing anew.
#[test]
fn a_chain_ends_without_a_flurry() {
    let mut pools = [Pool::new(0, 2, 250 * MS, 61)];
    let mut world = serve(&[16], &mut pools, 6);
    pools[0].every_ns = 3_600 * SECOND;
    pools[0].next_ns = world.now + 3_600 * SECOND;
    let before = world.out.len();
    go_on(&mut world, &mut pools, 16);
    assert_eq!(kinds(&world), [""; 0]);
    for output in &world.out[before..] {
        let Output::Finding(report) = output else { continue };
        if report.state == FindingState::Changed {
            assert!(
                report.finding.kind == "slow-app" || report.finding.explained_by.is_some(),
                "{report:#?}"
            );
        }
    }
    let ended = world.states_of("accept-queue-overflow");
    assert_eq!(ended.last(), Some(&FindingState::Ended));
}

/// A process whose own other listener is full finds no answer when it connects there.
#[test]
fn connects_to_a_full_queue_of_the_same_namespace_follow_from_it() {
    let linked = |netns: u32, to: &str| {
        let mut pools = [Pool::new(0, 2, 250 * MS, 61), Pool::new(1, 1, 5 * MS, 5)];
        let mut world = serve(&[16, 16], &mut pools, 5);
        world.listeners[1].netns = netns;
        for step in 0..5 {
            let from_ns = world.now - START - SECOND + step * 10 * MS;
            let mut connect = failed(address(to), Outcome::GivenUp, from_ns, 900 * MS);
            connect.pid = pools[1].first;
            world.apply(Event::Connect(connect));
        }
        go_on(&mut world, &mut pools, 1);
        let fails = world.finding("connect-fails").expect("a finding");
        fails.explained_by.map(|cause| (cause.kind, cause.sock))
    };
    assert_eq!(linked(1, "127.0.0.1:8080"), Some(("accept-queue-overflow", LISTENER)));
    assert_eq!(linked(2, "127.0.0.1:8080"), None, "it is another loopback interface");
    assert_eq!(linked(1, "127.0.0.1:8081"), None, "that queue has room");
    assert_eq!(linked(1, "10.9.9.9:8080"), None, "it is another host");
}

/// Workers wait for an upstream that is not watched: then its address is all that is known.
#[test]
fn an_upstream_that_nobody_watches_is_named_by_the_root() {
    let world = exhausted_by_calls();
    let root = world.model.snapshot().findings.remove(0);
    assert_eq!(root.kind, "slow-app");
    assert!(root.headline.contains("for calls, most to 10.0.1.1:9001"), "{root:?}");
    assert!(root.text.contains("2 workers serve one connection at a time"), "{root:?}");
    assert!(root.fix.contains("look at 10.0.1.1:9001"), "{root:?}");
    assert_eq!(cause_of(&world, "accept-starved"), Some("slow-app"));
}

/// The upstream is watched, and exhausted: its workers are the root of both chains.
#[test]
fn an_upstream_that_is_watched_is_the_root() {
    let behind = |upstream_netns: u32| {
        let mut front = Pool::new(0, 40, 900 * MS, 20);
        front.calls = Some(address("127.0.0.1:8081"));
        let back = Pool::new(1, 2, 250 * MS, 20);
        let mut pools = [front, back];
        let mut world = serve(&[4_096, 16], &mut pools, 3);
        world.listeners[1].netns = upstream_netns;
        go_on(&mut world, &mut pools, 6);
        world
    };
    let world = behind(1);
    let findings = world.model.snapshot().findings;
    let of_front = findings
        .iter()
        .find(|finding| finding.sock == LISTENER && finding.kind == "slow-app")
        .unwrap_or_else(|| panic!("{findings:#?}"));
    let cause = of_front.explained_by.as_ref().unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!(cause.sock, LISTENER + 1);
    let root = chain::root(&findings, of_front);
    assert_eq!((root.kind, root.sock), ("slow-app", LISTENER + 1));
    assert_eq!(findings[0].sock, LISTENER + 1, "the root comes first");
    let elsewhere = behind(2).model.snapshot().findings;
    let of_front = elsewhere.iter().find(|finding| finding.sock == LISTENER).expect("a finding");
    assert_eq!(of_front.explained_by, None, "it is another loopback interface");
}

/// An event loop (Node, nginx) whose handler takes long: it has no number of connections that it
/// serves at a time, and nobody advises more blocking workers.
#[test]
fn an_event_loop_has_no_capacity_by_connections() {
    let mut pool = Pool::new(0, 1, 250 * MS, 20);
    pool.sleep = WaitKind::Events;
    let world = serve(&[4_096], &mut [pool], 12);
    let starved = world.finding("accept-starved").expect("a finding");
    assert!(starved.evidence.iter().all(|(name, _)| *name != "workers"), "{starved:#?}");
    assert!(starved.fix.contains("keep slow work out of the thread that accepts"), "{starved:?}");
    for finding in world.reported_findings() {
        assert!(!finding.headline.contains("one connection at a time"), "{finding:?}");
    }
}

/// Datagrams have no part in a chain of a listener, though it is the same process.
#[test]
fn a_udp_socket_beside_used_up_workers_is_not_linked() {
    let mut pools = [Pool::new(0, 2, 250 * MS, 61)];
    let mut world = serve(&[16], &mut pools, 4);
    world.datagrams = vec![udp_socket()];
    go_on(&mut world, &mut pools, 1);
    world.datagrams[0].drops += 50;
    go_on(&mut world, &mut pools, 1);
    let udp = world.finding("udp-receive-overflow").expect("a finding");
    assert_eq!((&udp.explained_by, udp.explains.len()), (&None, 0));
    assert_eq!(kinds(&world).iter().filter(|kind| **kind == "slow-app").count(), 1);
}

/// Whoever accepts has no CPU, for want of one or by a quota: then that is the cause.
#[test]
fn waits_for_a_cpu_are_the_cause_of_waits_in_the_queue() {
    assert_eq!(cause_of(&accepted_late(85 * MS), "accept-starved"), Some("cpu-starved"));
    assert_eq!(cause_of(&accepted_late(5 * MS), "accept-starved"), None, "it had one");
    let world = accepted_late_by_quota(85 * MS);
    assert_eq!(cause_of(&world, "accept-starved"), Some("throttled"), "{:?}", kinds(&world));
    assert_eq!(kinds(&world)[0], "throttled");
}
