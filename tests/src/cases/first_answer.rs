//! Round trips to the first answer, over a link with a known round-trip time, counted from the
//! kernel's events.

use anyhow::ensure;

use super::native;
use crate::harness::json::Value;
use crate::harness::{Case, World};

pub(super) const CASES: &[Case] = &[
    native("first_answer::tls_1_2", |world| way(world, "https-tls12", [1, 2, 1])),
    native("first_answer::tls_1_2_resumed", |world| way(world, "https-tls12-resumed", [1, 1, 1])),
    native("first_answer::tls_1_3", |world| way(world, "https-tls13", [1, 1, 1])),
    native("first_answer::tls_1_3_early_data", |world| way(world, "https-tls13-0rtt", [1, 0, 1])),
    native("first_answer::fast_open", |world| way(world, "https-tfo-tls13", [0, 1, 1])),
    native("first_answer::fast_open_early_data", |world| way(world, "https-tfo-0rtt", [0, 0, 1])),
    native("first_answer::quic", |world| quic(world, "https-quic", 2)),
    native("first_answer::quic_early_data", |world| quic(world, "https-quic-0rtt", 1)),
];

/// Connections of a run. The first one fetches the ticket or cookie, if there is one.
const CONNECTIONS: usize = 4;
/// Round-trip time of the link.
const RTT_US: u64 = 40_000;

/// Runs a demo to its end. Returns the objects of its connections, the server's and the client's.
fn told(world: &World, demo: &str, kind: &str) -> anyhow::Result<[Vec<Value>; 2]> {
    let program = world.demo_servers().display().to_string();
    let (connections, rtt) = (CONNECTIONS.to_string(), format!("{RTT_US}us"));
    let command =
        [&program, "demo", demo, "--rtt", &rtt, "--connections", &connections, "--pause", "0ms"];
    let ended = world.watch().command(command).start()?.ended()?;
    ended.check_clean()?;
    let of = |role: &str| {
        // The demo ends with its last answer, whose acknowledgement may no longer be seen.
        let is_whole = |object: &Value| !object["first_answer"].is_null();
        let of = ended.of(kind).filter(|object| object["role"] == role && is_whole(object));
        let mut of: Vec<_> = of.collect();
        of.sort_by_key(|object| object["since_ns"].as_u64());
        of.into_iter().cloned().collect::<Vec<_>>()
    };
    Ok([of("server"), of("client")])
}

/// Checks that each connection after the first has so many round trips, and takes no less time.
/// `seen` are the round trips on the server's side: it sees neither the first half of the first
/// one, nor the second half of the last.
fn check(told: &[Value], round_trips: u64, seen: u64) -> anyhow::Result<()> {
    ensure!(told.len() + 1 >= CONNECTIONS, "{} of {CONNECTIONS} connections: {told:?}", told.len());
    for connection in &told[1..] {
        let answer = &connection["first_answer"];
        ensure!(answer["round_trips"] == round_trips, "not {round_trips}: {connection}");
        let us = answer["us"].as_u64().unwrap_or(0);
        // A busy machine may add any time.
        ensure!(us >= seen * RTT_US, "{seen} round trips take {us} µs: {connection}");
    }
    Ok(())
}

fn way(world: &World, demo: &str, steps: [u64; 3]) -> anyhow::Result<()> {
    let round_trips = steps.iter().sum();
    for (role, told) in ["server", "client"].iter().zip(told(world, demo, "connection")?) {
        for connection in told.iter().skip(1) {
            let told =
                ["tcp", "tls", "request"].map(|step| connection["first_answer"][step].as_u64());
            ensure!(told == steps.map(Some), "{role}: {connection}");
            ensure!(connection["fast_open"] == (steps[0] == 0), "{role}: {connection}");
        }
        let seen = if *role == "server" { round_trips - 1 } else { round_trips };
        check(&told, round_trips, seen)?;
    }
    Ok(())
}

fn quic(world: &World, demo: &str, round_trips: u64) -> anyhow::Result<()> {
    let [server, client] = told(world, demo, "quic")?;
    let early = |told: &[Value]| {
        told.iter().skip(1).all(|connection| connection["early_data"] == (round_trips == 1))
    };
    ensure!(early(&server) && early(&client), "{server:?} {client:?}");
    check(&server, round_trips, round_trips - 1)?;
    check(&client, round_trips, round_trips)
}
