//! The ledger of exchanges: the owners of the time, compared with the traces of server and client;
//! and every byte.

use anyhow::{Context, ensure};

use super::finding::check_useful;
use super::{EXCHANGES, any_exchange, any_tier, exchange, native};
use crate::harness::json::{Value, is, number};
use crate::harness::ledger::{
    Truth, check_bytes, check_sums, check_verdict, connection_of, cpu_us, exchanges_of,
    is_connection, paired, spent_us,
};
use crate::harness::trace::Conversation;
use crate::harness::{Case, Demo, Ended, Skip, World, signal};

pub(super) const CASES: &[Case] = &[
    exchange("ledger::computing_30_ms", computing).alone(),
    any_exchange("ledger::blocked_on_a_lock_30_ms", locked).by_processor().alone(),
    any_exchange("ledger::processor_stolen", stolen).alone(),
    any_exchange("ledger::every_way_to_read_and_write", every_way).by_processor().on_each_kernel(),
    any_exchange("ledger::pipelined", pipelined),
    any_exchange("ledger::server_speaks_first", speaks_first),
    any_exchange("ledger::large_upload", large_upload),
    any_tier("ledger::open_at_the_attach", open_at_attach).on_each_kernel().since(EXCHANGES),
    any_exchange("ledger::a_client_waits_for_its_server", client).alone(),
    any_exchange("ledger::calls_inside_an_exchange", upstream).alone(),
    native("ledger::slow_app_is_found", slow_app),
    native("ledger::nothing_is_found_on_a_healthy_server", healthy).alone(),
];

/// Findings about exchanges and connections.
const FINDINGS: &[&str] = &[
    "nagle-delayed-ack",
    "small-writes",
    "slow-reader",
    "slow-app",
    "send-blocked",
    "zero-window",
    "retransmits",
    "close-wait-leak",
    "connection-churn",
    "udp-receive-overflow",
];

/// Starts the request-response server with these knobs.
pub(super) fn serve(world: &World, knobs: &[&str]) -> anyhow::Result<Demo> {
    world.demo(&[&["serve", "--trace"], knobs].concat())
}

/// Watches a server while a client asks it, to the end of the connection, and checks every byte.
pub(super) fn watched(
    world: &World,
    server: &[&str],
    client: &[&str],
) -> anyhow::Result<(Ended, Conversation)> {
    let (ended, talk) = watched_in_part(world, server, client)?;
    check_bytes(&ended, &talk)?;
    Ok((ended, talk))
}

/// Watches like [`watched`], but leaves the bytes unchecked: the server does something that is not
/// seen.
pub(super) fn watched_in_part(
    world: &World,
    server: &[&str],
    client: &[&str],
) -> anyhow::Result<(Ended, Conversation)> {
    let mut demo = serve(world, server)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let talk = Conversation::hold(world, &mut demo, client)?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "server", talk.port)
    })?;
    Ok((agent.stop()?, talk))
}

/// Watches a server while a client asks it again and again, until the fault is found.
pub(super) fn found(
    world: &World,
    kind: &str,
    server: &[&str],
    client: &[&str],
) -> anyhow::Result<()> {
    let demo = serve(world, server)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let _client = Conversation::begin(world, &demo, client)?;
    check_useful(&agent.await_finding(kind)?)?;
    agent.stop().map(drop)
}

fn computing(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = watched(world, &["--work", "30ms"], &["--count", "5"])?;
    let mut undisturbed = 0;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        // Its waits for a processor are not its own time. An emulated server may wait for longer
        // than it computes.
        let all = server.between("read_ns", "write_ns")?;
        if server.get("run_delay_ns")? < all / 4 {
            undisturbed += 1;
            check_verdict(exchange, "app", "app")?;
        }
        let truth = Truth::new(all - server.get("run_delay_ns")?.min(all), all);
        let spent = spent_us(exchange, &["app"]);
        truth.check(world, "app", spent, client)?;
        let cpu = cpu_us(exchange, "app");
        ensure!(cpu.is_none_or(|cpu| cpu > spent / 2), "it computed, yet: {exchange}");
    }
    ensure!(undisturbed > 0, "the server hardly got a processor: {:?}", talk.served);
    Ok(())
}

fn locked(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = watched(world, &["--lock", "30ms"], &["--count", "5"])?;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        check_verdict(exchange, "app", "app")?;
        let all = server.between("read_ns", "write_ns")?;
        let spent = spent_us(exchange, &["app"]);
        Truth::new(all - server.get("run_delay_ns")?.min(all), all)
            .check(world, "app", spent, client)?;
        let cpu = cpu_us(exchange, "app");
        ensure!(cpu.is_none_or(|cpu| cpu < spent / 2), "it slept, yet: {exchange}");
    }
    Ok(())
}

fn stolen(world: &World) -> anyhow::Result<()> {
    let mut demo = serve(world, &["--pin-cpu", "0", "--spinners", "3", "--work", "20ms"])?;
    // The spinners are to steal from the server, not from an agent that starts or ends.
    let spinners: Vec<u32> = demo
        .await_lines("spinner ", 3)?
        .iter()
        .map(|line| line["spinner ".len()..].parse())
        .collect::<Result<_, _>>()?;
    let all = |sign| spinners.iter().for_each(|spinner| signal(*spinner, sign));
    all(libc::SIGSTOP);
    let mut agent = world.watch().pid(demo.pid()).start()?;
    all(libc::SIGCONT);
    let talk = Conversation::hold(world, &mut demo, &["--count", "5"])?;
    all(libc::SIGSTOP);
    agent.await_object("end of the connection", |object| {
        is_connection(object, "server", talk.port)
    })?;
    let ended = agent.stop()?;
    check_bytes(&ended, &talk)?;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        let stolen = server.get("run_delay_ns")?;
        let before = server.get("read_ns")?.saturating_sub(client.get("write_ns")?);
        // On a machine with spare processors the spinners may run elsewhere.
        if stolen > server.get("cpu_ns")? * 3 / 2 {
            check_verdict(exchange, "kernel", "run_queue")?;
        }
        // The server may have waited for its processor before the read, too.
        let spent = spent_us(exchange, &["run_queue"]);
        Truth::new(stolen, stolen + before).check(world, "run_queue", spent, client)?;
    }
    let total =
        talk.served.iter().map(|server| server.get("run_delay_ns")).sum::<anyhow::Result<u64>>()?;
    ensure!(total > 50_000_000, "the spinners stole only {total} ns");
    Ok(())
}

/// Ways to read, in turn with the ways to write.
const READS: [&str; 6] = ["read", "readv", "recv", "recvmsg", "recvmmsg", "io_uring"];
const WRITES: [&str; 9] = [
    "write", "writev", "send", "sendmsg", "sendmmsg", "sendfile", "splice", "zerocopy", "io_uring",
];

/// Starts a server for each way to write, with the ways to read in turn, and a few unusual ones.
pub(super) fn servers_of_every_way(world: &World) -> anyhow::Result<Vec<Demo>> {
    const PIECES: [&str; 2] = ["--writes", "1000,2000,9000"];
    let plain = WRITES.iter().enumerate().map(|(place, out)| {
        let mode = if place % 2 == 0 { "--epoll" } else { "--nodelay" };
        vec!["--out", out, "--io", READS[place % READS.len()], mode]
    });
    let odd = [
        vec!["--peek", "--read-size", "7"],
        vec!["--out", "send", "--more"],
        vec!["--cork", "lift"],
    ];
    let mut servers = Vec::new();
    for knobs in plain.chain(odd) {
        match serve(world, &[&knobs[..], &PIECES].concat()) {
            Ok(server) => servers.push(server),
            // A kernel without io_uring.
            Err(error) if error.is::<Skip>() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(servers)
}

fn every_way(world: &World) -> anyhow::Result<()> {
    let mut servers = servers_of_every_way(world)?;
    let watch = servers.iter().fold(world.watch(), |watch, server| watch.pid(server.pid()));
    let mut agent = watch.start()?;
    let client = ["--count", "3", "--response", "12000"];
    let mut talks = Vec::new();
    for server in &mut servers {
        talks.push(Conversation::hold(world, server, &client)?);
    }
    for talk in &talks {
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", talk.port)
        })?;
    }
    let ended = agent.stop()?;
    for (server, talk) in servers.iter().zip(&talks) {
        check_bytes(&ended, talk).with_context(|| server.name().to_owned())?;
        paired(&ended, "server", talk).with_context(|| server.name().to_owned())?;
    }
    Ok(())
}

fn pipelined(world: &World) -> anyhow::Result<()> {
    let (ended, talk) =
        watched(world, &["--nodelay"], &["--count", "20", "--pipeline", "8", "--pause", "2ms"])?;
    let shown = ended.of("exchange").count();
    // The kernel decides how many requests one burst has: 8, or fewer.
    ensure!((20..=160).contains(&shown), "20 bursts of 8 requests: {shown} exchanges");
    ensure!(talk.served.len() == 160, "the server answered {} requests", talk.served.len());
    Ok(())
}

fn speaks_first(world: &World) -> anyhow::Result<()> {
    let (ended, talk) =
        watched(world, &["--speak-first"], &["--listen-first", "--count", "3", "--pause", "20ms"])?;
    let exchanges: Vec<_> = ended.of("exchange").collect();
    let greeting = exchanges.first().context("no exchange")?;
    ensure!(number(greeting, "/request_bytes") == Some(0), "the server spoke first: {greeting}");
    ensure!(exchanges.len() == talk.served.len(), "a greeting and three answers: {exchanges:?}");
    Ok(())
}

fn large_upload(world: &World) -> anyhow::Result<()> {
    let (ended, _) = watched(world, &[], &["--request", "50000000", "--count", "2"])?;
    let uploads: Vec<_> =
        ended.of("exchange").filter_map(|exchange| number(exchange, "/request_bytes")).collect();
    ensure!(uploads == [50_000_000; 2], "two uploads of 50 MB: {uploads:?}");
    Ok(())
}

fn open_at_attach(world: &World) -> anyhow::Result<()> {
    let mut demo = serve(world, &["--work", "1ms"])?;
    // Surely attached in the middle of an exchange: this one lasts as long as the case.
    let early = Conversation::begin(world, &demo, &["--count", "20000"])?;
    demo.await_line("exchange ")?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let exchange = agent.await_object("exchange", |object| {
        is(object, "exchange") && number(object, "/seq") > Some(2)
    })?;
    drop(early);
    let connection = agent.await_object("connection", |object| is(object, "connection"))?;
    ensure!(
        connection["attached_midway"] == true && connection["sock"] == exchange["sock"],
        "{connection}"
    );
    ensure!(number(&exchange, "/request_bytes") == Some(40), "a whole exchange: {exchange}");
    agent.stop().map(drop)
}

/// The client's view of the wait in the server: the time is the peer's.
fn client(world: &World) -> anyhow::Result<()> {
    let mut demo = serve(world, &["--work", "30ms"])?;
    let mut begun = Conversation::begin(world, &demo, &["--count", "5", "--wait"])?;
    begun.0.await_line("connected ")?;
    let mut agent = world.watch().pid(begun.0.pid()).start()?;
    begun.0.go()?;
    let talk = begun.end(&mut demo)?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "client", talk.port)
    })?;
    let ended = agent.stop()?;
    check_sums(&ended.objects, connection_of(&ended.objects, "client", talk.port)?)?;
    for (exchange, server, client) in paired(&ended, "client", &talk)? {
        check_verdict(exchange, "peer", "response")?;
        let truth = Truth::new(
            server.between("read_ns", "write_ns")?,
            client.between("write_ns", "first_ns")?,
        );
        truth.check(
            world,
            "response",
            spent_us(exchange, &["ack_wait", "delayed_ack", "response"]),
            client,
        )?;
    }
    Ok(())
}

fn upstream(world: &World) -> anyhow::Result<()> {
    let behind = serve(world, &["--work", "30ms"])?;
    let (ended, talk) =
        watched(world, &["--upstream", &behind.addr.to_string()], &["--count", "5"])?;
    let inner = ended
        .of("connection")
        .find(|object| object["role"] == "client")
        .context("no call is shown")?;
    let calls = exchanges_of(&ended.objects, inner);
    ensure!(calls.len() == talk.served.len(), "five calls, {} are shown: {inner}", calls.len());
    for ((exchange, ..), call) in paired(&ended, "server", &talk)?.into_iter().zip(calls) {
        // The thread sleeps in its call, which is the application's time of the inbound exchange.
        check_verdict(exchange, "app", "app")?;
        check_verdict(call, "peer", "response")?;
        // The exchange that ends later names the other.
        let names = |by: &Value, hint: &str, other: &Value| {
            let hints = by[hint].as_array().into_iter().flatten();
            hints
                .into_iter()
                .any(|hint| hint["sock"] == other["sock"] && hint["seq"] == other["seq"])
        };
        let shown = names(exchange, "inside", call) || names(call, "within", exchange);
        ensure!(shown, "{call} ran inside {exchange}");
    }
    Ok(())
}

fn slow_app(world: &World) -> anyhow::Result<()> {
    found(world, "slow-app", &["--lock", "30ms"], &["--count", "100000"])
}

fn healthy(world: &World) -> anyhow::Result<()> {
    let (ended, _) = watched(world, &[], &["--count", "2000"])?;
    for kind in FINDINGS {
        ended.check_no_finding(kind)?;
    }
    Ok(())
}
