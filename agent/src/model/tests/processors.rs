//! Waits for a processor: those that a quota accounts for, and others.

use super::connections::opened;
use super::facts::{Build, at, server};
use super::world::{LISTENER, MS, SECOND, World};
use crate::model::event::{
    CpuLimit, CpuRefresh, CpuState, Event, Exchange, Opened, Role, ThreadSample, ThreadUse,
};
use crate::model::snapshot::{ExchangeView, Owner, Severity, SliceKind};

const US: u64 = 1_000;
const PID: u32 = 4242;

/// What a refresh tells of a cgroup with this process in it.
pub(super) fn refresh(ts_ns: u64, throttled_ns: u64, throttled: u64) -> CpuState {
    let limit = CpuLimit {
        path: "/pods/a".into(),
        quota_us: 13_000,
        period_us: 100_000,
        periods: throttled + 2,
        throttled,
        throttled_ns,
        pids: vec![PID],
    };
    let refresh = CpuRefresh { cpus: Some(2), runnable: Some(1), stopped: Vec::new() };
    CpuState { ts_ns, limits: vec![limit], refresh: Some(refresh) }
}

/// The same in between.
pub(super) fn look(ts_ns: u64, throttled_ns: u64, throttled: u64) -> CpuState {
    let mut state = refresh(ts_ns, throttled_ns, throttled);
    (state.limits[0].path, state.limits[0].pids, state.refresh) = ("".into(), Vec::new(), None);
    state
}

/// Requests that are answered after 90 ms, 60 of which their thread was ready and had no CPU.
fn starved(sock: u64, begin_ns: u64) -> Exchange {
    let mut exchange = Exchange { sock, ..server().later(begin_ns - at(0)) };
    let read_ns = exchange.inbound().read_first_ns.expect("a read");
    let mut exchange = exchange.writing(read_ns + 90 * MS);
    let writer = ThreadUse {
        pid: PID,
        tid: 11,
        since_ns: Some(read_ns),
        run_delay_ns: 60 * MS,
        cpu_ns: 29 * MS,
    };
    exchange.outbound().writer = Some(writer);
    exchange
}

/// A server, four requests of which wait so, one a second, while `state` tells what it does at that
/// time.
fn site(state: impl Fn(&mut World, u64)) -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=4 {
        let Event::Opened(opened) = opened(sock, Role::Server, false) else { panic!("not opened") };
        world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
    }
    for sock in 1..=4 {
        let begin_ns = world.now + 100 * MS;
        state(&mut world, begin_ns);
        world.apply(Event::Exchange(starved(sock, begin_ns)));
        world.sample_after(SECOND);
    }
    world
}

/// A quota that took so much of each of the waits, and was used up so often in all.
pub(super) fn throttled(each_ns: u64, times: u64) -> World {
    let mut world = site(|world, begin_ns| {
        let nth = (begin_ns - at(0)) / SECOND;
        let (before_ns, after_ns) = (nth * each_ns, (nth + 1) * each_ns);
        world.apply(Event::Cpu(refresh(begin_ns - 50 * MS, before_ns, times * nth)));
        world.apply(Event::Cpu(look(begin_ns + 100 * MS, after_ns, times * (nth + 1))));
    });
    world.sample_after(100 * MS);
    world
}

/// So many threads of the machine want to run, on two processors.
pub(super) fn crowded(runnable: u32) -> World {
    site(|world, begin_ns| {
        let refresh = CpuRefresh { cpus: Some(2), runnable: Some(runnable), stopped: Vec::new() };
        world.apply(Event::Cpu(CpuState {
            ts_ns: begin_ns,
            limits: Vec::new(),
            refresh: Some(refresh),
        }));
    })
}

/// Connections are accepted after 90 ms. So much of that the thread that accepts and reads them was
/// ready, without a CPU.
pub(super) fn accepted_late(delay_ns: u64) -> World {
    accepted_late_with(delay_ns, |_, _| {})
}

/// The same, while a quota takes all of that.
pub(super) fn accepted_late_by_quota(delay_ns: u64) -> World {
    accepted_late_with(delay_ns, |world, nth| {
        let (before_ns, after_ns) = (nth * delay_ns, (nth + 1) * delay_ns);
        world.apply(Event::Cpu(refresh(world.now - 95 * MS, before_ns, 7 * nth)));
        world.apply(Event::Cpu(look(world.now, after_ns, 7 * (nth + 1))));
    })
}

fn accepted_late_with(delay_ns: u64, quota: impl Fn(&mut World, u64)) -> World {
    let mut world = World::with_limit(128);
    for nth in 0..4 {
        world.now += 100 * MS;
        quota(&mut world, nth);
        world.accept(0, 11, 90 * MS, 10 * US);
        let mut exchange = Exchange { sock: world.accepted(), ..server().later(world.now - at(0)) };
        let since_ns = Some(world.now - 300 * MS);
        exchange.inbound().reader =
            Some(ThreadUse { pid: PID, tid: 11, since_ns, run_delay_ns: delay_ns, cpu_ns: MS });
        world.apply(Event::Exchange(exchange));
        world.sample_after(500 * MS);
    }
    world
}

fn worst(world: &World) -> ExchangeView {
    let views = world.model.snapshot().connections;
    views[0].recent.last().cloned().expect("an exchange")
}

fn time(view: &ExchangeView, kind: SliceKind) -> u64 {
    view.slices.iter().filter(|slice| slice.kind == kind).map(|slice| slice.us).sum()
}

#[test]
fn what_the_quota_took_is_told_as_such_and_the_rest_is_not() {
    let view = worst(&throttled(50 * MS, 7));
    assert_eq!(
        (time(&view, SliceKind::Throttled), time(&view, SliceKind::RunQueue)),
        (50_000, 10_000)
    );
    assert_eq!(view.total_us, view.slices.iter().map(|slice| slice.us).sum::<u64>());
    assert_eq!(SliceKind::Throttled.owner(), Owner::Kernel);
    let view = worst(&throttled(200 * MS, 7));
    assert_eq!(
        (time(&view, SliceKind::Throttled), time(&view, SliceKind::RunQueue)),
        (60_000, 0),
        "on two CPUs"
    );
    let view = worst(&throttled(0, 0));
    assert_eq!((time(&view, SliceKind::Throttled), time(&view, SliceKind::RunQueue)), (0, 60_000));
}

#[test]
fn a_quota_is_named_with_its_figures() {
    let finding = throttled(60 * MS, 7).finding("throttled").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::Kernel, Severity::Warning));
    assert_eq!(finding.headline, "A CPU quota holds exchanges for 60 ms, 60 ms at worst.");
    assert!(
        finding.text.contains("/pods/a may use 13 ms of CPU time in each 100 ms"),
        "{:?}",
        finding.text
    );
    assert!(finding.inferred && finding.fix.contains("cpu.max"), "{finding:?}");
    assert_eq!(throttled(60 * MS, 7).finding("cpu-starved"), None, "nobody else had the CPU");
}

#[test]
fn a_wait_without_a_quota_is_for_a_cpu() {
    let world = crowded(9);
    let finding = world.finding("cpu-starved").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::Kernel, Severity::Warning));
    assert!(
        finding.text.contains("up to 9 threads wanted to run on 2 processors"),
        "{:?}",
        finding.text
    );
    assert_eq!(world.finding("throttled"), None);
    assert!(!crowded(2).finding("cpu-starved").expect("a finding").text.contains("wanted to run"));
}

/// It is found only when somebody has waited for it, and what was before it came is told then.
#[test]
fn a_quota_that_came_during_the_watch_counts_from_then_on() {
    let came_late = |is_new: bool| {
        let mut world = World::with_limit(128);
        let Event::Opened(opened) = opened(1, Role::Server, false) else { panic!("not opened") };
        world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
        world.sample_after(SECOND);
        let begin_ns = world.now + 100 * MS;
        if is_new {
            world.apply(Event::Cpu(refresh(world.now, 0, 0)));
        }
        world.apply(Event::Cpu(refresh(begin_ns + 150 * MS, 60 * MS, 2)));
        world.apply(Event::Exchange(starved(1, begin_ns)));
        world.sample_after(SECOND);
        time(&worst(&world), SliceKind::Throttled)
    };
    assert_eq!(came_late(true), 60_000);
    assert_eq!(came_late(false), 0, "it may have held others before");
}

#[test]
fn what_is_told_late_of_one_quota_leaves_another_as_it_is() {
    let world = site(|world, begin_ns| {
        let nth = (begin_ns - at(0)) / SECOND;
        world.apply(Event::Cpu(refresh(begin_ns - 50 * MS, nth * 60 * MS, nth)));
        world.apply(Event::Cpu(look(begin_ns + 100 * MS, (nth + 1) * 60 * MS, nth + 1)));
        let mut late = refresh(begin_ns - 40 * MS, (nth + 1) * 60 * MS, nth + 1);
        late.limits.push(CpuLimit { path: "/pods/b".into(), ..late.limits[0].clone() });
        world.apply(Event::Cpu(late));
    });
    assert_eq!(time(&worst(&world), SliceKind::Throttled), 60_000);
}

/// Another process's quota says nothing of this one's waits.
#[test]
fn a_quota_holds_only_who_is_in_its_cgroup() {
    let mut world = site(|world, begin_ns| {
        let mut before = refresh(begin_ns - 50 * MS, 0, 0);
        before.limits[0].pids = vec![7];
        world.apply(Event::Cpu(before));
        world.apply(Event::Cpu(look(begin_ns + 100 * MS, 60 * MS, 3)));
    });
    world.sample_after(100 * US);
    assert_eq!(time(&worst(&world), SliceKind::Throttled), 0);
}

/// Who would accept, and has no CPU, is not to blame for what waits.
#[test]
fn a_late_accept_is_the_kernels_where_its_thread_had_no_cpu() {
    let world = accepted_late(85 * MS);
    let finding = world.finding("accept-starved").expect("a finding");
    assert_eq!(finding.owner, Owner::Kernel, "{finding:?}");
    assert!(finding.text.contains("it could have run and had no CPU"), "{:?}", finding.text);
    assert!(!finding.text.contains("inside accept") && finding.fix.contains("CPU"), "{finding:?}");
    let view = worst(&world);
    // The wait for the read has its own part of it, 50 µs.
    assert_eq!(
        (time(&view, SliceKind::AcceptQueue), time(&view, SliceKind::RunQueue)),
        (5_050, 85_000),
        "{view:?}"
    );
    let world = accepted_late(5 * MS);
    let finding = world.finding("accept-starved").expect("a finding");
    assert_eq!(finding.owner, Owner::App, "{finding:?}");
    assert_eq!(time(&worst(&world), SliceKind::AcceptQueue), 85_050);
}

/// Some wait at the refresh, as they do under a quota: what those that were accepted tell holds
/// still.
#[test]
fn who_waits_for_a_moment_does_not_change_whose_a_late_accept_is() {
    let mut world = accepted_late(85 * MS);
    for _ in 0..3 {
        world.listeners[0].depth = 2;
        world.sample_after(100 * MS);
        assert_eq!(world.finding("accept-starved").expect("a finding").owner, Owner::Kernel);
    }
}

/// A thread that serves others meanwhile is known by all its calls: of its next read it is known
/// for the last 10 ms only.
#[test]
fn a_late_accept_of_a_busy_thread_is_told_by_all_its_calls() {
    let mut world = World::with_limit(128);
    let Event::Opened(other) = opened(1, Role::Server, false) else { panic!("not opened") };
    world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..other }));
    world.now += SECOND;
    let used = |since_ns, run_delay_ns, cpu_ns| {
        Some(ThreadUse { pid: PID, tid: 11, since_ns: Some(since_ns), run_delay_ns, cpu_ns })
    };
    // It reads and writes for another client until 10 ms before the accept.
    let (queued_ns, wrote_ns) = (world.now - 90 * MS, world.now - 10 * MS);
    let mut served = server().later(queued_ns - at(0)).writing(wrote_ns);
    served.inbound().reader = used(queued_ns - MS, 0, MS / 2);
    served.outbound().writer =
        used(served.inbound().read_first_ns.expect("a read"), 70 * MS, 9 * MS);
    world.apply(Event::Exchange(served));
    world.accept(0, 11, 90 * MS, 10 * US);
    let mut late = Exchange { sock: world.accepted(), ..server().later(world.now - at(0)) };
    late.inbound().reader = used(wrote_ns, 8 * MS, MS);
    world.apply(Event::Exchange(late));
    let views = world.model.snapshot().connections;
    let view = views
        .iter()
        .flat_map(|view| &view.recent)
        .find(|view| time(view, SliceKind::AcceptQueue) > 0);
    let view = view.expect("the late one");
    let delay_us = time(view, SliceKind::RunQueue);
    assert!((75_000..80_000).contains(&delay_us), "70 and 8 ms: {view:?}");
    assert_eq!(view.total_us, view.slices.iter().map(|slice| slice.us).sum::<u64>());
}

/// Nobody of a cgroup whose quota is used up accepts, whatever its threads are.
#[test]
fn a_late_accept_is_the_quotas_while_that_is_used_up() {
    let late = |taken_ns: u64| {
        let mut world = World::with_limit(128);
        for _ in 0..4 {
            world.apply(Event::Cpu(refresh(world.now, 0, 0)));
            world.now += 100 * MS;
            world.accept(0, 11, 90 * MS, 10 * US);
            world.apply(Event::Cpu(look(world.now, taken_ns, 1)));
            world.apply(Event::Exchange(Exchange {
                sock: world.accepted(),
                ..server().later(world.now - at(0))
            }));
            world.sample_after(500 * MS);
        }
        world
    };
    let world = late(80 * MS);
    let view = worst(&world);
    assert_eq!(
        (time(&view, SliceKind::AcceptQueue), time(&view, SliceKind::Throttled)),
        (10_000, 80_000),
        "{view:?}"
    );
    assert_eq!(world.finding("accept-starved").expect("a finding").owner, Owner::Kernel);
    let world = late(0);
    assert_eq!(time(&worst(&world), SliceKind::AcceptQueue), 90_000);
    assert_eq!(world.finding("accept-starved").expect("a finding").owner, Owner::App);
}

/// Where CPUs are short, who is to blame is said once exchanges tell.
#[test]
fn nobody_is_accused_before_it_is_known_where_cpus_are_short() {
    let mut world = World::with_limit(128);
    // What its thread waits for now is not in its sum yet.
    world.threads = vec![ThreadSample { pid: PID, tid: 11, ..ThreadSample::default() }];
    world.sample_after(SECOND);
    let late = |world: &mut World| {
        let refresh = CpuRefresh { cpus: Some(2), runnable: Some(9), stopped: Vec::new() };
        world.apply(Event::Cpu(CpuState {
            ts_ns: world.now,
            limits: Vec::new(),
            refresh: Some(refresh),
        }));
        (0..4).for_each(|_| world.accept(0, 11, 90 * MS, 10 * US));
        world.sample_after(SECOND);
    };
    late(&mut world);
    assert_eq!(world.finding("accept-starved"), None);
    (0..3).for_each(|_| late(&mut world));
    assert_eq!(
        world.finding("accept-starved").expect("a finding").owner,
        Owner::App,
        "no exchange tells of a CPU"
    );
}

/// A thread that only accepts is known by its sums.
#[test]
fn an_acceptor_that_does_not_read_is_known_by_its_samples() {
    let late = |delay_ns: u64| {
        let mut world = World::with_limit(128);
        let thread = |run_delay_ns| ThreadSample {
            pid: PID,
            tid: 11,
            run_delay_ns,
            ..ThreadSample::default()
        };
        for second in 0..5 {
            world.threads = vec![thread(second * delay_ns)];
            (0..4).for_each(|_| world.accept(0, 11, 90 * MS, 10 * US));
            world.sample_after(SECOND);
        }
        world.finding("accept-starved").expect("a finding")
    };
    let finding = late(85 * MS);
    assert_eq!(finding.owner, Owner::Kernel, "{finding:?}");
    assert_eq!(late(5 * MS).owner, Owner::App);
}

/// While nothing is accepted a quota is all that tells of CPUs: without one nothing is said of
/// them.
#[test]
fn a_stall_without_a_quota_says_nothing_of_cpus() {
    let stalled = |taken_ns: Option<u64>| {
        let mut world = World::with_limit(128);
        world.accept(0, 11, MS, 10 * US);
        for second in 0..4 {
            world.listeners[0].depth = 5;
            if let Some(taken_ns) = taken_ns {
                world.apply(Event::Cpu(refresh(world.now, second * taken_ns, second)));
            }
            world.sample_after(SECOND);
        }
        world.finding("accept-starved").expect("a finding")
    };
    let says = |finding: &crate::model::snapshot::Finding| {
        finding.evidence.iter().any(|(name, _)| *name == "without_cpu_share")
    };
    let finding = stalled(None);
    assert!(finding.owner == Owner::App && !says(&finding), "{finding:?}");
    let finding = stalled(Some(900 * MS));
    assert!(finding.owner == Owner::Kernel && says(&finding), "{finding:?}");
}
