//! Recordings of real servers, compared.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::expect;
use crate::cases::ledger::serve;
use crate::harness::json::{Value, number};
use crate::harness::trace::Conversation;
use crate::harness::{World, schema};

/// Samples of each recording: some a second, so that there are stretches to compare.
const INTERVAL: &str = "250ms";
/// Requests of the client, with a pause after each: some six seconds.
const CLIENT: [&str; 6] = ["--response", "204", "--count", "600", "--pause", "10ms"];

/// Records a server while a client asks it.
fn record(world: &World, dir: &Path, name: &str, server: &[&str]) -> anyhow::Result<PathBuf> {
    let file = dir.join(name);
    let mut demo = serve(world, &[&["--nodelay", "--writes", "204"], server].concat())?;
    let mut watch = world.watch().pid(demo.pid()).interval(INTERVAL);
    watch = watch.args(["-o".as_ref(), file.as_path()]);
    let agent = watch.start()?;
    Conversation::hold(world, &mut demo, &CLIENT)?;
    agent.stop()?;
    Ok(file)
}

fn compared(world: &World, before: &Path, after: &Path) -> anyhow::Result<Value> {
    let mut command = world.agent_command(&["diff", "--json"]);
    let output = expect(command.arg(before).arg(after), 0)?;
    let object: Value = serde_json::from_slice(&output.stdout).context("JSON")?;
    schema::keeps_to("diff", &object)?;
    Ok(object)
}

fn figure<'a>(object: &'a Value, group: &str, name: &str) -> anyhow::Result<&'a Value> {
    let figures = object["figures"].as_array().context("figures")?;
    let mut found = figures.iter().filter(|one| one["group"] == group && one["name"] == name);
    found.next().with_context(|| format!("no {name} in {object}"))
}

/// The same server twice: nothing is better, and nothing worse.
pub(super) fn twin(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let before = record(world, dir.path(), "a.bsrec", &[])?;
    let after = record(world, dir.path(), "b.bsrec", &[])?;
    let object = compared(world, &before, &after)?;
    ensure!(object["better"] == 0 && object["worse"] == 0, "{object:#}");
    let median = figure(&object, "exchanges", "p50")?;
    ensure!(median["verdict"] == "same", "it was judged: {median}");
    let output = expect(world.agent_command(&["diff"]).arg(&before).arg(&after), 0)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.starts_with("No difference that these recordings could show."), "{text}");
    Ok(())
}

/// The same server, which now computes for 8 ms before each answer.
pub(super) fn slower(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let before = record(world, dir.path(), "a.bsrec", &[])?;
    let after = record(world, dir.path(), "b.bsrec", &["--work", "8ms"])?;
    for (before, after, verdict) in [(&before, &after, "worse"), (&after, &before, "better")] {
        let object = compared(world, before, after)?;
        for (group, name) in [("exchanges", "p50"), ("owners", "app"), ("kinds", "app")] {
            let found = figure(&object, group, name)?;
            ensure!(found["verdict"] == verdict, "{found}");
        }
        let slower = if verdict == "worse" { "/after" } else { "/before" };
        let app = figure(&object, "owners", "app")?;
        let app_us = app.pointer(slower).and_then(Value::as_f64).unwrap_or(0.0);
        ensure!((8_000.0..20_000.0).contains(&app_us), "it computes for 8 ms: {app}");
        ensure!(number(&object, &format!("/{verdict}")) >= Some(3), "{object:#}");
        let output = expect(world.agent_command(&["diff", "--html"]).arg(before).arg(after), 0)?;
        let page = String::from_utf8_lossy(&output.stdout);
        ensure!(page.contains(verdict) && !page.contains("://"), "{page}");
    }
    Ok(())
}
