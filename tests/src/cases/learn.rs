//! Lessons: their claims hold, live and recorded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, ensure};

use super::{Where, any_tier, native};
use crate::harness::{Case, World, copy_program, skip};

pub(super) const CASES: &[Case] = &[
    here("learn::who_speaks_first", |world| holds(world, "who-speaks-first", 2)),
    here("learn::request_response", |world| holds(world, "request-response", 3)),
    here("learn::synchronous_asynchronous", |world| holds(world, "async", 3)),
    here("learn::blocking", |world| holds(world, "blocking", 3)),
    here("learn::durability", |world| holds(world, "durability", 4)),
    here("learn::push", |world| holds(world, "push", 3)),
    here("learn::short_polling", |world| holds(world, "short-polling", 3)),
    here("learn::long_polling", |world| holds(world, "long-polling", 2)),
    here("learn::server_sent_events", |world| holds(world, "sse", 3)),
    here("learn::publish_subscribe", |world| holds(world, "pub-sub", 2)),
    here("learn::multiplexing", |world| holds(world, "multiplexing", 5)),
    here("learn::stateful_stateless", |world| holds(world, "state", 4)),
    here("learn::sidecar", |world| holds(world, "sidecar", 3)),
    here("learn::promises", |world| holds(world, "promises", 3)),
    here("learn::properties", |world| holds(world, "properties", 5)),
    here("learn::layers", |world| holds(world, "layers", 4)),
    here("learn::routes", |world| holds(world, "routes", 4)),
    here("learn::udp", |world| holds(world, "udp", 4)),
    here("learn::tcp", |world| holds(world, "tcp", 3)),
    here("learn::congestion", |world| holds(world, "congestion", 4)),
    here("learn::tls", |world| holds(world, "tls", 3)),
    here("learn::http1", |world| holds(world, "http1", 3)),
    here("learn::websocket", |world| holds(world, "websocket", 3)),
    here("learn::http2", |world| holds(world, "http2", 2)),
    here("learn::http3", |world| holds(world, "http3", 4)),
    here("learn::grpc", |world| holds(world, "grpc", 3)),
    here("learn::webrtc", |world| holds(world, "webrtc", 3)),
    here("learn::https", |world| holds(world, "https", 4)),
    here("learn::tls12", |world| holds(world, "tls12", 3)),
    here("learn::tls13", |world| holds(world, "tls13", 3)),
    lesson("learn::quic", |world| holds(world, "quic", 2)),
    lesson("learn::fast_open", |world| holds(world, "fast-open", 2)),
    here("learn::early_data", |world| holds(world, "early-data", 3)),
    here("learn::quic_0rtt", |world| holds(world, "quic-0rtt", 2)),
    here("learn::execution", |world| holds(world, "execution", 2)),
    here("learn::cpu", |world| holds(world, "cpu", 4)),
    here("learn::processes", |world| holds(world, "processes", 3)),
    lesson("learn::accept_queue", |world| holds(world, "accept-queue", 2)),
    here("learn::syn_queue", |world| holds(world, "syn-queue", 3)),
    here("learn::socket_data", |world| holds(world, "socket-data", 2)),
    here("learn::three_roles", |world| holds(world, "three-roles", 4)),
    here("learn::one_thread", |world| holds(world, "one-thread", 3)),
    here("learn::readers", |world| holds(world, "readers", 2)),
    here("learn::messages", |world| holds(world, "messages", 4)),
    here("learn::acceptors", |world| holds(world, "acceptors", 3)),
    here("learn::sharding", |world| holds(world, "sharding", 2)),
    here("learn::idempotency", |world| holds(world, "idempotency", 2)),
    lesson("learn::nagle", |world| holds(world, "nagle", 4)),
    here("learn::proxies", |world| holds(world, "proxies", 3)),
    here("learn::balancers", |world| holds(world, "balancers", 3)),
    native("learn::recorded_lessons_need_no_root", recorded_without_root),
    native("learn::a_live_lesson_without_root_says_what_to_do", live_without_root),
    native("learn::a_wrong_claim_fails", wrong_claim),
    native("learn::asks_by_line_and_keeps_progress", by_line),
    native("learn::rounds_are_json", as_json),
    native("learn::demos_and_lessons_go_by_other_names", other_names),
];

/// A lesson. It needs exchanges, and times that load would change.
const fn lesson(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case { place: Where::Everywhere, ..any_tier(name, run) }.since(super::EXCHANGES).alone()
}

/// A lesson that runs on this kernel alone. Other cases test in a tenth of the time the parts of it
/// that a kernel can change.
const fn here(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case { place: Where::Native, ..lesson(name, run) }
}

/// Runs the lesson and checks that all claims of its text hold.
fn holds(world: &World, name: &str, rounds: usize) -> anyhow::Result<()> {
    let output = world.agent_command(&["learn", "--auto", name]).output()?;
    match lacking(name, &output) {
        Some(reason) => skip(reason),
        None => check_rounds(&output, rounds),
    }
}

/// What this machine lacks that the lesson cannot do without, if that is why it failed.
pub(super) fn lacking(name: &str, output: &Output) -> Option<&'static str> {
    const ON_A_LINK: [&str; 4] = ["promises", "layers", "congestion", "routes"];
    if output.status.success() {
        return None;
    }
    let text = text(output);
    let no_cgroup = ["cannot make the cgroup", "no cgroups for processors"];
    if no_cgroup.iter().any(|reason| text.contains(reason)) {
        return Some("no cgroup with the controller `cpu` can be made here");
    }
    let no_link = ON_A_LINK.contains(&name) && !Path::new("/dev/net/tun").exists();
    no_link.then_some("there are no TUN devices here")
}

fn check_rounds(output: &Output, rounds: usize) -> anyhow::Result<()> {
    let text = text(output);
    ensure!(output.status.success(), "{}: {text}", output.status);
    let held = text.lines().filter(|line| line.contains("claims hold")).count();
    ensure!(held == rounds, "{held} rounds in place of {rounds}: {text}");
    Ok(())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs the agent as a user without any privilege, who can read only the program.
fn unprivileged(world: &World, args: &[&str]) -> anyhow::Result<Output> {
    let folder =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir()?;
    let program = folder.path().join("backscope");
    copy_program(&world.agent(), &program)?;
    let mut command = Command::new(program);
    command
        .args(args)
        .uid(65_534)
        .gid(65_534)
        .env_remove("SUDO_UID")
        .env("HOME", "/nonexistent")
        .current_dir("/");
    Ok(command.output()?)
}

fn recorded_without_root(world: &World) -> anyhow::Result<()> {
    let list = unprivileged(world, &["learn", "--list", "--json"])?;
    let questions =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["questions"].as_u64();
    let rounds: u64 = String::from_utf8_lossy(&list.stdout).lines().filter_map(questions).sum();
    ensure!(rounds > 50, "the list has {rounds} questions: {}", text(&list));
    check_rounds(&unprivileged(world, &["learn", "--recorded", "--auto"])?, rounds as usize)
}

fn live_without_root(world: &World) -> anyhow::Result<()> {
    let output = unprivileged(world, &["learn", "nagle"])?;
    let text = text(&output);
    ensure!(output.status.code() == Some(3), "{}: {text}", output.status);
    for part in ["CAP_NET_ADMIN", "sudo", "backscope learn nagle --recorded"] {
        ensure!(text.contains(part), "no word of {part}: {text}");
    }
    Ok(())
}

fn wrong_claim(world: &World) -> anyhow::Result<()> {
    let lesson = include_str!("../../../agent/lessons/accept-queue.md");
    let wrong = lesson.replacen("is = 7", "is = 8", 1);
    ensure!(wrong != lesson, "the lesson has changed");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("accept-queue.md");
    fs::write(&path, wrong)?;
    let path = path.to_string_lossy();
    let output =
        world.agent_command(&["learn", "--auto", "accept-queue", "--text", &path]).output()?;
    let text = text(&output);
    ensure!(output.status.code() == Some(1), "{}: {text}", output.status);
    ensure!(text.contains("the lesson says 8, measured 7"), "{text}");
    Ok(())
}

fn by_line(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (input, mut answers) = std::io::pipe()?;
    std::io::Write::write_all(&mut answers, b"x\nc = kak\n44 ms\n0.1 ms\n0.1 ms\n")?;
    drop(answers);
    let learn = |args: &[&str]| {
        let mut command = world.agent_command(args);
        command.env("XDG_STATE_HOME", folder.path());
        command
    };
    let output = learn(&["learn", "nagle", "--recorded"]).stdin(input).output()?;
    let text = text(&output);
    ensure!(output.status.success(), "{}: {text}", output.status);
    for part in [
        "not one of the answers",
        "✓ as you predicted",
        "you predicted 44 ms",
        "✗ 44 ms",
        "✓ 0.1 ms",
        "times what was measured.",
        "✓ K ",
        "(you said A)",
        "WHOSE JOB",
        "Predictions: 3 of 4 right, 3 of 4 at the first try",
        "That was the lesson",
    ] {
        ensure!(text.contains(part), "no word of {part}: {text}");
    }
    let list = learn(&["learn", "--list", "--json"]).output()?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let nagle = list.lines().find(|line| line.contains("\"nagle\"")).context("no such lesson")?;
    ensure!(nagle.contains("\"done\":4") && nagle.contains("\"right\":3"), "{nagle}");
    ensure!(nagle.contains("\"owners\":3"), "{nagle}");

    // A retry improves the score, and what was right at first stays.
    let (input, mut answers) = std::io::pipe()?;
    std::io::Write::write_all(&mut answers, b"a\na\na\na\n")?;
    drop(answers);
    learn(&["learn", "nagle", "--recorded"]).stdin(input).output()?;
    let list = learn(&["learn", "--list", "--json"]).output()?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let nagle = list.lines().find(|line| line.contains("\"nagle\"")).context("no such lesson")?;
    ensure!(nagle.contains("\"right\":4") && nagle.contains("\"first_right\":3"), "{nagle}");
    Ok(())
}

/// The rounds of a lesson as JSON, and nothing where somebody would be asked.
fn as_json(world: &World) -> anyhow::Result<()> {
    let output =
        world.agent_command(&["learn", "--auto", "--json", "--recorded", "nagle"]).output()?;
    ensure!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout)?;
    let rounds: Vec<serde_json::Value> =
        lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(rounds.len() == 4, "{lines}");
    let first = &rounds[0];
    ensure!(first["type"] == "round" && first["lesson"] == "nagle", "{first}");
    ensure!(first["answer"] == "took" && first["right_answer"] == "44 ms", "{first}");
    ensure!(first["broken"] == 0 && first["recorded"] == true, "{first}");
    let took = first["facts"].as_array().context("facts")?.iter();
    let mut took = took.filter(|fact| fact["name"] == "took");
    let us = took.next().and_then(|fact| fact["value"].as_f64()).context("it was measured")?;
    ensure!((30_000.0..250_000.0).contains(&us), "{us} µs");
    let claims = first["claims"].as_array().context("claims")?;
    ensure!(claims.iter().all(|claim| claim["holds"] == true), "{first}");

    let output = world.agent_command(&["learn", "nagle", "--json", "--recorded"]).output()?;
    let text = text(&output);
    ensure!(output.status.code() == Some(2), "{}: {text}", output.status);
    ensure!(text.contains("learn --auto --json nagle"), "{text}");
    Ok(())
}

/// The number of a lecture, the other's name, and a slip of the finger.
fn other_names(world: &World) -> anyhow::Result<()> {
    let said = |args: &[&str], status: i32, parts: &[&str]| -> anyhow::Result<()> {
        let output = world.agent_command(args).output()?;
        let text = text(&output);
        ensure!(output.status.code() == Some(status), "{args:?}: {}: {text}", output.status);
        for part in parts {
            ensure!(text.contains(part), "{args:?}: no word of {part}: {text}");
        }
        Ok(())
    };
    let once = ["--clients", "1", "--connections", "1", "--requests", "1"];
    said(&[&["demo", "47"], &once[..]].concat(), 0, &["nagle: ", "1 answered"])?;
    said(&["demo", "async", "--duration", "300ms"], 0, &["synchronous-asynchronous: "])?;
    said(
        &["demo", "38"],
        2,
        &["demo slow-acceptor ", "demo tiny-backlog ", "demo never-accepts "],
    )?;
    said(&["demo", "nagel"], 2, &["did you mean nagle?"])?;
    said(&["demo", "4711"], 2, &["there is no demo 4711", "demo --list"])?;
    said(&["learn", "nagel"], 2, &["did you mean nagle?"])?;
    said(&["learn", "99"], 2, &["no lesson on lecture 99", "learn --list"])?;
    let recorded = ["learn", "--recorded", "--auto"];
    said(&[&recorded[..], &["tiny-backlog"]].concat(), 0, &["accept-queue"])?;
    said(&[&recorded[..], &["https-tls13"]].concat(), 0, &["31 tls13"])
}
