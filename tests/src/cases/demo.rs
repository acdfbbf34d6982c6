//! The demo servers themselves: their faults are as described, by their own traces and the kernel's
//! counts. No agent takes part.

use anyhow::{Context, ensure};

use super::datagram::{await_dropped, receiver};
use super::ledger::{serve, servers_of_every_way};
use super::native;
use crate::harness::trace::{Conversation, Trace};
use crate::harness::{Case, Skip, World};

pub(super) const CASES: &[Case] = &[
    native("demo::faults_before_the_answer", before_the_answer),
    native("demo::faults_before_the_read", before_the_read),
    native("demo::spinners_steal_the_processor", spinners).alone(),
    native("demo::nagle_waits_for_a_delayed_ack", nagle).alone(),
    native("demo::a_peer_that_does_not_read", slow_peer),
    native("demo::every_way_moves_the_same_bytes", every_way),
    native("demo::link_delays_and_drops", link),
    native("demo::far_away", far_away),
    native("demo::datagrams_are_dropped", datagrams),
];

const MS: u64 = 1_000_000;

fn talk(world: &World, server: &[&str], client: &[&str]) -> anyhow::Result<Conversation> {
    let mut demo = serve(world, server)?;
    let talk = Conversation::hold(world, &mut demo, client)?;
    talk.check_kernel()?;
    Ok(talk)
}

/// Checks a time of every exchange.
fn each(traces: &[Trace], from: &str, to: &str, right: impl Fn(u64) -> bool) -> anyhow::Result<()> {
    for trace in traces {
        let took = trace.between(from, to)?;
        ensure!(right(took), "{took} ns from {from} to {to}: {trace:?}");
    }
    Ok(())
}

fn before_the_answer(world: &World) -> anyhow::Result<()> {
    let computing = talk(world, &["--work", "30ms"], &["--count", "3"])?;
    each(&computing.served, "read_ns", "write_ns", |ns| ns >= 30 * MS)?;
    let locked = talk(world, &["--lock", "30ms"], &["--count", "3"])?;
    each(&locked.served, "read_ns", "write_ns", |ns| ns >= 30 * MS)?;
    let behind = serve(world, &["--work", "30ms"])?;
    let calling = talk(world, &["--upstream", &behind.addr.to_string()], &["--count", "3"])?;
    each(&calling.served, "read_ns", "write_ns", |ns| ns >= 30 * MS)?;
    for (computing, locked) in computing.served.iter().zip(&locked.served) {
        let cpu_ns = (computing.get("cpu_ns")?, locked.get("cpu_ns")?);
        ensure!(
            cpu_ns.0 >= 30 * MS && cpu_ns.1 < 15 * MS,
            "computing and blocked: {cpu_ns:?} ns on a processor"
        );
    }
    Ok(())
}

fn before_the_read(world: &World) -> anyhow::Result<()> {
    for knobs in [&["--sleep-before-read", "50ms"][..], &["--busy-before-read", "50ms", "--epoll"]]
    {
        let talk = talk(world, knobs, &["--count", "3"])?;
        for (client, server) in talk.asked.iter().zip(&talk.served).skip(1) {
            let waited = server.get("first_read_ns")?.saturating_sub(client.get("written_ns")?);
            // The server falls asleep before the client asks again: the answer takes some time to
            // arrive. So the data wait a little less than 50 ms.
            ensure!(waited > 40 * MS || world.vm, "{knobs:?}: the data waited {waited} ns");
        }
    }
    Ok(())
}

fn spinners(world: &World) -> anyhow::Result<()> {
    let talk =
        talk(world, &["--pin-cpu", "0", "--spinners", "3", "--work", "20ms"], &["--count", "5"])?;
    let delays = talk
        .served
        .iter()
        .map(|server| server.get("run_delay_ns"))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(delays.iter().sum::<u64>() > 50 * MS, "waits for the processor: {delays:?} ns");
    for (server, delay) in talk.served.iter().zip(delays) {
        let all = server.between("read_ns", "write_ns")?;
        ensure!(delay <= all, "it waited {delay} ns of {all}");
    }
    Ok(())
}

/// Counts the conversation's exchanges that waited for a delayed ACK. The first ones of a
/// connection never do.
fn held(world: &World, server: &[&str], client: &[&str]) -> anyhow::Result<usize> {
    let server = [&["--writes", "4,200"], server].concat();
    let talk = talk(world, &server, &[&["--response", "204", "--count", "6"], client].concat())?;
    let waits = talk.asked.iter().map(|client| client.between("write_ns", "done_ns"));
    Ok(waits.collect::<anyhow::Result<Vec<_>>>()?.into_iter().filter(|ns| *ns > 25 * MS).count())
}

fn nagle(world: &World) -> anyhow::Result<()> {
    let plain = held(world, &[], &[])?;
    ensure!(plain >= 2, "only {plain} of 6 answers waited");
    let corked = held(world, &["--cork", "forget"], &[])?;
    ensure!(corked == 6, "a cork that is forgotten holds every answer, it held {corked} of 6");
    if world.vm {
        // Under emulation anything may take 25 ms.
        return Ok(());
    }
    for (server, client) in [
        (&["--nodelay"][..], &[][..]),
        (&["--out", "writev"], &[]),
        (&["--cork", "lift"], &[]),
        (&[], &["--quickack"]),
    ] {
        let held = held(world, server, client)?;
        ensure!(held == 0, "{server:?} {client:?}: {held} of 6 answers waited");
    }
    Ok(())
}

/// Returns whether the server's write ended only after the client, which sleeps for 300 ms, had
/// begun to read.
fn blocked(talk: &Conversation) -> anyhow::Result<bool> {
    let (server, client) = (&talk.served[0], &talk.asked[0]);
    Ok(server.get("written_ns")?.saturating_sub(client.get("written_ns")?) > 250 * MS)
}

fn slow_peer(world: &World) -> anyhow::Result<()> {
    let slow = ["--slow-read", "300ms", "--response"];
    let full = talk(world, &["--response", "8000000"], &[&slow[..], &["8000000"]].concat())?;
    ensure!(blocked(&full)?, "8 MB found room in the buffers: {:?}", full.served);
    let small_window = [&slow[..], &["60000", "--receive-buffer", "4096"]].concat();
    let shut = talk(world, &["--response", "60000"], &small_window)?;
    ensure!(!blocked(&shut)?, "60 KB found no room in the send buffer: {:?}", shut.served);
    each(&shut.asked, "write_ns", "first_ns", |ns| ns > 300 * MS)
}

fn every_way(world: &World) -> anyhow::Result<()> {
    for mut server in servers_of_every_way(world)? {
        let talk =
            Conversation::hold(world, &mut server, &["--count", "3", "--response", "12000"])?;
        let bytes = talk.check_kernel().with_context(|| server.name().to_owned())?;
        ensure!(bytes == (120, 36_000), "{}: {bytes:?} bytes", server.name());
        // The client had every answer before it closed, so every byte was acknowledged with its
        // FIN.
        ensure!(talk.closed.get("acked")? == 36_000, "{:?}", talk.closed);
    }
    Ok(())
}

fn link(world: &World) -> anyhow::Result<()> {
    let mut link =
        world.demo_waiting(&["delay-link", "--rtt", "40ms", "--trace", "--drop-nth", "3"])?;
    link.await_line("link ")?;
    let mut server = serve(world, &["--listen", "10.77.0.1:0"])?;
    let far = format!("10.77.0.2:{}", server.addr.port());
    let talk = Conversation::begin_at(world, &far, &["--count", "5"])?.end(&mut server)?;
    talk.check_kernel()?;
    each(&talk.asked, "write_ns", "done_ns", |ns| ns >= 40 * MS)?;
    let (lost, plain) = (&talk.asked[2], &talk.asked[3]);
    let more =
        lost.between("write_ns", "done_ns")?.saturating_sub(plain.between("write_ns", "done_ns")?);
    ensure!(more > 40 * MS, "the third answer was lost, which took only {more} ns more: {lost:?}");
    ensure!(talk.closed.get("retransmits")? > 0, "nothing was sent again: {:?}", talk.closed);
    let lost = Trace::parse(&link.await_line("dropped ")?);
    ensure!(lost.get("bytes")? == 200, "an answer was to be dropped: {lost:?}");
    Ok(())
}

fn datagrams(world: &World) -> anyhow::Result<()> {
    let (mut demo, target) = receiver(world, &["--receive-buffer", "2048", "--pause", "20ms"])?;
    world
        .demo_waiting(&["datagrams", "--target", &target, "--count", "100"])?
        .await_line("sent 100 10000")?;
    await_dropped(&mut demo, 50)
}

/// With a round-trip time each answer takes one, and the watch shows it as the peer's.
fn far_away(world: &World) -> anyhow::Result<()> {
    let run = ["demo", "nagle", "--nodelay", "--rtt", "40ms", "--clients", "1", "--duration", "3s"];
    let output = world.agent_command(&run).output()?;
    let said = String::from_utf8(output.stdout)?;
    if String::from_utf8_lossy(&output.stderr).contains("/dev/net/tun") {
        return Err(Skip("there is no TUN device".to_owned()).into());
    }
    let line = said.lines().find(|line| line.contains("latency")).with_context(|| said.clone())?;
    let median =
        line.split("p50 ").nth(1).and_then(|rest| rest.split(' ').next()).context("a median")?;
    let median: f64 = median.parse()?;
    ensure!((40.0..120.0).contains(&median), "one round trip: {line}");
    let watched = world.agent_command(&[&run[..], &["--watch"]].concat()).output()?;
    let watched = String::from_utf8(watched.stdout)?;
    let times = watched
        .lines()
        .find(|line| line.contains("their time"))
        .with_context(|| watched.clone())?;
    let network = times.split("N network ").nth(1).and_then(|rest| rest.split(' ').next());
    let network: f64 = network.context("the network's share")?.parse()?;
    ensure!(network > 80.0, "the time of a round trip is the network's: {times}");
    Ok(())
}
