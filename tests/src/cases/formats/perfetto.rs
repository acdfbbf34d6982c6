//! A trace, read with Perfetto's own protos.

use std::process::Command;

use anyhow::{Context, ensure};

use super::expect;
use crate::cases::ledger::serve;
use crate::harness::json::{Value, number, overflows};
use crate::harness::ledger::is_connection;
use crate::harness::trace::Conversation;
use crate::harness::{Ended, World, connect_nonblocking};
use crate::servers::{built, installed};

/// The Python package with Perfetto's messages, below the folder into which setup installs it.
const PROTOS: &str = "perfetto/perfetto/__init__.py";

/// Prints what a trace holds.
const READER: &str = include_str!("perfetto.py");

pub(super) fn run(world: &World) -> anyhow::Result<()> {
    let python = installed("python3")?;
    let protos = built(PROTOS)?;
    let protos = protos.ancestors().nth(2).context("no folder")?;
    let dir = tempfile::tempdir()?;
    let (file, trace) = (dir.path().join("run.bsrec"), dir.path().join("run.pftrace"));
    let refusing = world.demo(&["never-accept", "--backlog", "2"])?;
    let mut serving = serve(world, &["--work", "5ms", "--writes", "4,200"])?;
    let watch = world.watch().pid(refusing.pid()).pid(serving.pid());
    let mut agent = watch.args(["-o".as_ref(), file.as_path()]).start()?;
    let talk = Conversation::hold(world, &mut serving, &["--response", "204", "--count", "5"])?;
    let _clients = connect_nonblocking(refusing.addr, 10)?;
    agent
        .await_listener(refusing.addr.port(), "7 overflows", |listener| overflows(listener) >= 7)?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "server", talk.port)
    })?;
    let ended = agent.stop()?;
    ensure!(ended.of("exchange").count() >= 5, "exchanges to compare");
    let mut command = world.agent_command(&["report", "--format", "perfetto"]);
    expect(command.arg(&file).arg("-o").arg(&trace), 0)?;
    let output = expect(
        Command::new(&python).env("PYTHONPATH", protos).args(["-c", READER]).arg(&trace),
        0,
    )?;
    let read: Value = serde_json::from_slice(&output.stdout).context("JSON")?;
    let list = |name: &str| read[name].as_array().cloned().unwrap_or_default();

    // Exchanges, with slices that tile them.
    let (slices, instants) = (list("slices"), list("instants"));
    let mut exchanges = 0;
    for exchange in ended.of("exchange") {
        exchanges += 1;
        let found = slices.iter().find(|slice| {
            slice["facts"]["sock"] == exchange["sock"] && slice["facts"]["seq"] == exchange["seq"]
        });
        let found = found.with_context(|| format!("no slice for {exchange}"))?;
        let took_ns = number(found, "/ended").unwrap_or(0) - number(found, "/begun").unwrap_or(0);
        ensure!(took_ns / 1_000 == number(exchange, "/total_us").unwrap_or(0), "{found}");
        let inner = found["inner"].as_array().context("slices")?;
        let sum: u64 = inner.iter().filter_map(|slice| slice[1].as_u64()).sum();
        ensure!(sum == took_ns, "the slices of {found}");
    }
    let told = slices.iter().filter(|slice| slice["facts"]["seq"].is_u64()).count();
    ensure!(told == exchanges, "{told} of {exchanges} exchanges");

    // Refusals, findings and accepts.
    let count = |name: &str| instants.iter().filter(|instant| instant["name"] == name).count();
    ensure!(count("refused") == ended.of("overflow").count(), "refusals: {instants:?}");
    ensure!(count("accepted") == ended.of("accept").count(), "accepts");
    for finding in ended.of("finding") {
        let kind = finding["kind"].as_str().context("a kind")?;
        ensure!(count(kind) > 0, "no {kind} in {instants:?}");
    }
    check_queues(&ended, &list("counters"))?;

    // The clocks are those of the objects.
    let clocks = list("clocks");
    ensure!(clocks.len() == 2 && clocks[0][0] == 3 && clocks[1][0] == 1, "{clocks:?}");
    Ok(())
}

/// Every depth that was reported is a value of the counter of its listener.
fn check_queues(ended: &Ended, counters: &[Value]) -> anyhow::Result<()> {
    for listener in ended.of("listener") {
        let (ts_ns, local) = (&listener["ts_ns"], listener["local"].as_str().context("local")?);
        let of_it = |name: &str| {
            let mut of_time = counters.iter().filter(|counter| counter["ts"] == *ts_ns);
            of_time.any(|counter| {
                let track = counter["track"].as_array().map_or(&[][..], Vec::as_slice);
                let field = if name == "accept queue" { "accept_depth" } else { "limit" };
                track.last().is_some_and(|last| *last == name)
                    && track.iter().any(|part| *part == format!("listener {local}").as_str())
                    && counter["value"] == listener[field]
            })
        };
        ensure!(of_it("accept queue") && of_it("accept queue: limit"), "{listener}");
    }
    Ok(())
}
