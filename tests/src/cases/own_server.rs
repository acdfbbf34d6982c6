//! `learn --pid`: questions made from a server of one's own.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{exchange, native};
use crate::harness::{Case, World, ask};

pub(super) const CASES: &[Case] = &[
    exchange("own_server::asks_about_the_requests_of_a_live_server", live).alone(),
    exchange("own_server::asks_about_the_server_of_a_recording", of_a_recording),
    native("own_server::a_process_that_serves_nobody_is_not_asked_about", nobody),
];

/// Requests that each connection carries.
const REQUESTS: usize = 3;

/// Time between two clients: a server with nothing but work is another matter.
const PAUSE: Duration = Duration::from_millis(5);

/// Answers to more questions than there are.
const ANSWERS: &[u8] = b"a\nb\na\nb\na\n";

fn start(command: &mut Command) -> anyhow::Result<Child> {
    let child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    Ok(child)
}

/// Answers, and returns what was said.
fn answer(mut child: Child) -> anyhow::Result<Output> {
    let mut input = child.stdin.take().context("it reads")?;
    for _ in 0..4 {
        // Who has no further question reads no further.
        let _ = input.write_all(ANSWERS);
    }
    drop(input);
    Ok(child.wait_with_output()?)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn check(output: &Output, listener: &str) -> anyhow::Result<()> {
    let text = text(output);
    ensure!(output.status.success(), "{}: {text}", output.status);
    let words: Vec<_> = text.split_whitespace().collect();
    let told = words.join(" ");
    for part in [
        format!("accept queue of {listener} have room for?"),
        "How many requests does one connection carry".to_owned(),
        "as you predicted.".to_owned(),
    ] {
        ensure!(told.contains(&part), "no word of {part:?}: {text}");
    }
    // " P  3: 60 requests came on 20 connections."
    let (before, after) = told.split_once(" requests came on ").context("no word of it")?;
    let number = |word: Option<&str>| -> anyhow::Result<f64> {
        Ok(word.context("a number")?.replace(',', "").parse()?)
    };
    let requests = number(before.split_whitespace().last())?;
    let connections = number(after.split_whitespace().next())?;
    let each = requests / connections;
    ensure!((2.0..=REQUESTS as f64).contains(&each), "{each} a connection: {text}");
    Ok(())
}

fn live(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve"])?;
    let mut learn =
        start(world.agent_command(&["learn", "--duration", "4s", "--pid"]).arg(demo.pid_arg()))?;
    while learn.try_wait()?.is_none() {
        // While it asks it waits for answers, which come once the watch is over.
        let mut input = learn.stdin.take();
        ask(demo.ipv4(), REQUESTS)?;
        thread::sleep(PAUSE);
        if let Some(open) = &mut input {
            let _ = open.write_all(b"a\n");
        }
        learn.stdin = input;
    }
    check(&answer(learn)?, &demo.ipv4().to_string())
}

fn of_a_recording(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve"])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("server.bsrec");
    let mut record = start(
        world
            .agent_command(&["record", "--duration", "3s", "--pid"])
            .arg(demo.pid_arg())
            .arg("-o")
            .arg(&file),
    )?;
    while record.try_wait()?.is_none() {
        ask(demo.ipv4(), REQUESTS)?;
        thread::sleep(PAUSE);
    }
    let recorded = record.wait_with_output()?;
    ensure!(recorded.status.success(), "{}", text(&recorded));
    let learn = start(world.agent_command(&["learn", "--from"]).arg(&file))?;
    check(&answer(learn)?, &demo.ipv4().to_string())
}

fn nobody(world: &World) -> anyhow::Result<()> {
    let mut sleeper = Command::new("sleep").arg("60").spawn()?;
    let pid = sleeper.id().to_string();
    let learn = start(&mut world.agent_command(&["learn", "--duration", "1s", "--pid", &pid]));
    let output = learn.and_then(answer);
    sleeper.kill()?;
    sleeper.wait()?;
    let output = output?;
    let text = text(&output);
    ensure!(output.status.code() == Some(1), "{}: {text}", output.status);
    ensure!(text.contains("there is nothing to ask"), "{text}");
    Ok(())
}
