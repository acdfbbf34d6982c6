//! Servers whose threads serve many clients: handlers that compute or block, streams, quotas,
//! tails. Each has a healthy twin.

mod site;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cases::native;
use crate::harness::json::{Value, finds, number};
use crate::harness::ledger::spent_us;
use crate::harness::{Case, Ended, World, net};
use site::{Quota, Site, ask, cpu_ns};

pub(super) const CASES: &[Case] = &[
    native("field::loops::who_computes_is_not_asleep", computing),
    native("field::loops::a_handler_that_blocks_is_named", blocking),
    native("field::loops::a_handler_that_awaits_blocks_nobody", awaiting),
    native("field::loops::streams_wait_by_design", streams),
    native("field::loops::a_rest_that_comes_late_is_no_stream", late_rests),
    native("field::loops::a_quota_is_told_as_such", quota),
    native("field::loops::late_accepts_under_a_quota", late_accepts),
    native("field::loops::a_quota_that_comes_during_the_watch_is_told", late_quota),
    native("field::loops::who_waits_for_a_thread_without_a_cpu_is_not_blamed", handed_on).alone(),
    native("field::loops::a_tail_is_told_by_its_moment", stopped),
    native("field::loops::an_even_server_has_no_tail", even),
];

/// Returns the findings of warning level and above.
fn warnings(ended: &Ended) -> Vec<&Value> {
    ended.of("finding").filter(|finding| finding["severity"] != "info").collect()
}

fn check_no_warning(ended: &Ended) -> anyhow::Result<()> {
    let mut warnings = warnings(ended);
    // A machine without a free processor is not the server's fault.
    warnings.retain(|finding| finding["owner"] != "kernel");
    ensure!(warnings.is_empty(), "a healthy server: {warnings:?}");
    Ok(())
}

fn text(finding: &Value) -> &str {
    finding["text"].as_str().unwrap_or("")
}

/// The newest finding of that kind.
fn last<'a>(ended: &'a Ended, kind: &str) -> anyhow::Result<&'a Value> {
    let found: Vec<_> = ended.of("finding").collect();
    let last = found.iter().rev().find(|finding| finds(finding, kind)).copied();
    last.with_context(|| format!("no {kind} in {found:?}"))
}

/// Runs so many clients at a time, each with so many requests on a connection of its own.
fn load(path: &str, clients: u32, times: u32, pause: Duration) -> anyhow::Result<()> {
    at_once(clients, || ask(path, times, pause))
}

/// Runs this in so many threads at a time.
fn at_once(clients: u32, run: impl Fn() -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(&run)).collect();
        clients.into_iter().try_for_each(|client| {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
        })
    })
}

const SHORTLY: Duration = Duration::from_millis(10);

/// Eight clients of an event loop that computes 30 ms for each request. Their requests lie unread
/// while it computes.
fn computing(world: &World) -> anyhow::Result<()> {
    let site = Site::start(world)?;
    let agent = world.watch().pid(site.pid()).start()?;
    let (begin_ns, cpu_begin_ns) = (net::monotonic_ns(), cpu_ns(site.pid())?);
    load("/compute", 8, 10, SHORTLY)?;
    let share =
        (cpu_ns(site.pid())? - cpu_begin_ns) as f64 / (net::monotonic_ns() - begin_ns) as f64;
    let mut agent = agent;
    agent.await_time(net::monotonic_ns() + 1_000_000_000)?;
    let ended = agent.stop()?;
    let finding = last(&ended, "slow-reader")?;
    ensure!(
        !text(finding).contains("slept"),
        "its thread was on a CPU for {share:.2} of the time: {finding}"
    );
    let busy = number(finding, "/evidence/on_cpu_us").unwrap_or(0);
    ensure!(share < 0.6 || busy > 0, "on a CPU for {share:.2} of the time: {finding}");
    Ok(())
}

/// Some requests block the only thread for 250 ms each; requests of another client wait for it.
fn blocking(world: &World) -> anyhow::Result<()> {
    for path in ["/block", "/busy"] {
        let site = Site::start(world)?;
        let mut agent = world.watch().pid(site.pid()).start()?;
        thread::scope(|scope| {
            let slow = scope.spawn(|| ask(path, 8, Duration::from_millis(250)));
            let quick = scope.spawn(|| ask("/", 30, Duration::from_millis(50)));
            slow.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            quick.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
        })?;
        agent.await_time(net::monotonic_ns() + 4_000_000_000)?;
        let ended = agent.stop()?;
        let finding = last(&ended, "slow-app")?;
        ensure!(text(finding).contains("lay unread until it was done"), "{path}: {finding}");
        ensure!(!text(finding).contains("by design"), "{path}: {finding}");
        let tid = number(finding, "/evidence/blocking_tid");
        ensure!(
            tid == Some(site.pid().into()),
            "{path}: the only thread is {}: {finding}",
            site.pid()
        );
        ensure!(number(finding, "/evidence/held_up") >= Some(1), "{path}: {finding}");
    }
    Ok(())
}

/// Slow handlers again, but the thread serves others while they wait.
fn awaiting(world: &World) -> anyhow::Result<()> {
    let site = Site::start(world)?;
    let mut agent = world.watch().pid(site.pid()).start()?;
    thread::scope(|scope| {
        let slow = scope.spawn(|| load("/await", 3, 8, Duration::from_millis(50)));
        let quick = scope.spawn(|| ask("/", 30, Duration::from_millis(50)));
        slow.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        quick.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
    })?;
    agent.await_time(net::monotonic_ns() + 4_000_000_000)?;
    let ended = agent.stop()?;
    check_no_warning(&ended)?;
    let blocks = ended.of("finding").find(|finding| text(finding).contains("lay unread"));
    ensure!(blocks.is_none(), "nobody waited unread: {blocks:?}");
    Ok(())
}

/// Twenty pieces, 50 ms apart.
fn streams(world: &World) -> anyhow::Result<()> {
    let site = Site::start(world)?;
    let mut agent = world.watch().pid(site.pid()).start()?;
    load("/stream", 3, 2, SHORTLY)?;
    agent.await_time(net::monotonic_ns() + 1_000_000_000)?;
    let ended = agent.stop()?;
    check_no_warning(&ended)?;
    let streams: Vec<_> =
        ended.of("exchange").filter(|exchange| spent_us(exchange, &["streaming"]) > 0).collect();
    ensure!(streams.len() == 6, "{} streams", streams.len());
    for stream in streams {
        // On a busy machine its thread waits for a CPU, too.
        let kinds = ["streaming", "run_queue", "receive_queue", "accept_queue"];
        let (spent, total) = (spent_us(stream, &kinds), number(stream, "/total_us").unwrap_or(0));
        ensure!(total >= 900_000 && spent * 10 >= total * 8, "{stream}");
        let [first, longest] =
            ["/pieces/first_byte_us", "/pieces/longest_pause_us"].map(|at| number(stream, at));
        ensure!(first < Some(total / 2) && longest >= Some(45_000), "{stream}");
    }
    Ok(())
}

/// Answers whose head comes at once and whose body comes 700 ms later, computed or awaited.
fn late_rests(world: &World) -> anyhow::Result<()> {
    for (path, computes) in [("/late", false), ("/late-busy", true)] {
        let site = Site::start(world)?;
        let mut agent = world.watch().pid(site.pid()).start()?;
        ask(path, 6, SHORTLY)?;
        agent.await_time(net::monotonic_ns() + 3_500_000_000)?;
        let ended = agent.stop()?;
        let late: Vec<_> =
            ended.of("exchange").filter(|exchange| exchange["writes"] != 0).collect();
        let finding = last(&ended, "slow-app").with_context(|| format!("{path}: {late:?}"))?;
        ensure!(text(finding).contains("last byte was written"), "{path}: {finding}");
        ensure!(!text(finding).contains("to the first write"), "{path}: {finding}");
        ensure!(text(finding).contains("computed for") == computes, "{path}: {finding}");
        ensure!((finding["severity"] == "warning") == computes, "{path}: {finding}");
        let late = number(finding, "/evidence/rest_mean_us").unwrap_or(0);
        ensure!(late >= 600_000, "{path}: {finding}");
    }
    Ok(())
}

/// Requests on connections of their own, which wait to be accepted while the quota is used up, or
/// while the only thread sleeps in a handler.
fn late_accepts(world: &World) -> anyhow::Result<()> {
    for limited in [true, false] {
        let site = Site::start(world)?;
        let path = if limited { "/compute" } else { "/block" };
        let quota = if limited { Some(Quota::on(site.pid(), 15_000)?) } else { None };
        let mut agent = world.watch().pid(site.pid()).start()?;
        at_once(4, || (0..5).try_for_each(|_| ask(path, 1, SHORTLY)))?;
        agent.await_time(net::monotonic_ns() + 2_500_000_000)?;
        let throttled_us = quota.as_ref().map_or(Ok(0), Quota::throttled_us)?;
        let ended = agent.stop()?;
        let spent = |kinds: &[&str]| {
            ended.of("exchange").map(|exchange| spent_us(exchange, kinds)).sum::<u64>()
        };
        let (queue_us, cpu_us) = (spent(&["accept_queue"]), spent(&["throttled", "run_queue"]));
        let figures = format!(
            "{path}: {queue_us} us in the queue, {cpu_us} without a CPU, {throttled_us} throttled"
        );
        let finding = last(&ended, "accept-starved").context(figures.clone())?;
        let owner = if limited { "kernel" } else { "app" };
        let is_other = |it: &&Value| finds(it, "accept-starved") && it["owner"] != owner;
        let others: Vec<_> = ended.of("finding").filter(is_other).collect();
        ensure!(others.is_empty(), "{figures}: {others:?}");
        ensure!((queue_us < cpu_us) == limited, "{figures}: {finding}");
    }
    Ok(())
}

/// 30 ms of CPU a request, with a quota of 15 ms in each 100 ms, and without one.
fn quota(world: &World) -> anyhow::Result<()> {
    for limited in [true, false] {
        let site = Site::start(world)?;
        let quota = if limited { Some(Quota::on(site.pid(), 15_000)?) } else { None };
        let agent = world.watch().pid(site.pid()).start()?;
        let before_us = quota.as_ref().map_or(Ok(0), Quota::throttled_us)?;
        ask("/compute", 12, SHORTLY)?;
        let mut agent = agent;
        agent.await_time(net::monotonic_ns() + 1_500_000_000)?;
        let throttled_us = quota.as_ref().map_or(Ok(0), Quota::throttled_us)? - before_us;
        let ended = agent.stop()?;
        let told_us: u64 =
            ended.of("exchange").map(|exchange| spent_us(exchange, &["throttled"])).sum();
        if limited {
            ensure!(throttled_us > 200_000, "the kernel throttled it for {throttled_us} µs only");
            let fits = told_us * 10 >= throttled_us * 7 && told_us * 10 <= throttled_us * 13;
            ensure!(fits, "the kernel counts {throttled_us} µs, told are {told_us} µs");
            let finding = last(&ended, "throttled")?;
            ensure!(
                finding["owner"] == "kernel"
                    && number(finding, "/evidence/quota_us") == Some(15_000),
                "{finding}"
            );
            ensure!(number(finding, "/evidence/nr_throttled") > Some(0), "{finding}");
        } else {
            ensure!(told_us == 0, "nobody throttled it");
            ended.check_no_finding("throttled")?;
        }
    }
    Ok(())
}

/// A quota that comes late: the server is put into its cgroup while it is watched, and later back
/// into one without a quota.
fn late_quota(world: &World) -> anyhow::Result<()> {
    let site = Site::start(world)?;
    let mut agent = world.watch().pid(site.pid()).start()?;
    ask("/compute", 4, SHORTLY)?;
    let came_ns = net::monotonic_ns();
    let quota = Quota::on(site.pid(), 15_000)?;
    ask("/compute", 8, SHORTLY)?;
    let throttled_us = quota.throttled_us()?;
    let went_ns = net::monotonic_ns();
    drop(quota);
    ask("/compute", 8, SHORTLY)?;
    agent.await_time(net::monotonic_ns() + 1_500_000_000)?;
    let ended = agent.stop()?;
    let told_us = |from_ns: u64, to_ns: u64| -> u64 {
        let began = |exchange: &&Value| {
            (from_ns..to_ns).contains(&number(exchange, "/start_ns").unwrap_or(0))
        };
        ended.of("exchange").filter(began).map(|exchange| spent_us(exchange, &["throttled"])).sum()
    };
    let told = [told_us(0, came_ns), told_us(came_ns, went_ns), told_us(went_ns, u64::MAX)];
    ensure!(throttled_us > 200_000, "the kernel throttled it for {throttled_us} µs only");
    let fits = told[1] * 10 >= throttled_us * 7 && told[1] * 10 <= throttled_us * 13;
    ensure!(
        fits && told[0] == 0 && told[2] == 0,
        "the kernel counts {throttled_us} µs, told are {told:?} µs"
    );
    let finding = last(&ended, "throttled")?;
    ensure!(number(finding, "/evidence/nr_throttled") > Some(0), "{finding}");
    Ok(())
}

/// One thread reads, and others compute 8 ms for each request, on a processor that five more
/// threads want; or they sleep for 80 ms. The thread that answers has slept until the request was
/// handed to it.
fn handed_on(world: &World) -> anyhow::Result<()> {
    for (crowded, knobs) in [
        (true, &["--pin-cpu", "0", "--spinners", "5", "--work", "8ms"][..]),
        (false, &["--sleep", "80ms"]),
    ] {
        let demo = world.demo(&[&["message-load-balancing"], knobs].concat())?;
        let mut agent = world.watch().pid(demo.pid()).start()?;
        at_once(4, || {
            let mut stream = TcpStream::connect(demo.addr)?;
            (0..30).try_for_each(|_| {
                stream.write_all(b"a request\n")?;
                ensure!(stream.read(&mut [0; 4_096])? > 0, "no answer");
                thread::sleep(SHORTLY);
                Ok(())
            })
        })?;
        agent.await_time(net::monotonic_ns() + 2_500_000_000)?;
        let ended = agent.stop()?;
        if crowded {
            let blamed = warnings(&ended).into_iter().find(|finding| finding["owner"] == "app");
            ensure!(blamed.is_none(), "nobody had a processor: {blamed:?}");
            last(&ended, "cpu-starved")?;
        }
        let findings = ended.of("finding").filter(|finding| finds(finding, "slow-app"));
        for finding in findings {
            let lacked = text(finding).contains("had no CPU for as long");
            let computed =
                text(finding).contains("The thread computed") && !text(finding).contains("slept");
            let owner = if lacked { "unknown" } else { "app" };
            ensure!(finding["owner"] == owner, "{finding}");
            ensure!(!crowded || lacked || computed, "its threads had no processor: {finding}");
        }
        ensure!(crowded || last(&ended, "slow-app").is_ok(), "it slept");
    }
    Ok(())
}

/// A server that is stopped for 600 ms, once in several seconds of load.
fn stopped(world: &World) -> anyhow::Result<()> {
    let site = Site::start(world)?;
    let mut agent = world.watch().pid(site.pid()).start()?;
    thread::scope(|scope| {
        let clients = scope.spawn(|| load("/", 5, 120, Duration::from_millis(20)));
        thread::sleep(Duration::from_millis(1_500));
        site.stop_for(Duration::from_millis(600));
        clients.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
    })?;
    agent.await_time(net::monotonic_ns() + 1_500_000_000)?;
    let ended = agent.stop()?;
    let finding = last(&ended, "tail")?;
    ensure!(text(finding).contains("was stopped"), "{finding}");
    ensure!(number(finding, "/evidence/moments") == Some(1), "{finding}");
    ensure!(number(finding, "/evidence/tail_us") >= Some(400_000), "{finding}");
    Ok(())
}

fn even(world: &World) -> anyhow::Result<()> {
    let site = Site::start(world)?;
    let mut agent = world.watch().pid(site.pid()).start()?;
    load("/", 5, 120, Duration::from_millis(20))?;
    agent.await_time(net::monotonic_ns() + 1_000_000_000)?;
    let ended = agent.stop()?;
    check_no_warning(&ended)?;
    Ok(())
}
