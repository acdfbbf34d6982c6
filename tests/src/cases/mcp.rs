//! An assistant asks: its questions are answered, its nonsense is refused, and the server keeps no
//! right and leaves no process.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::finding::check_useful;
use super::native;
use crate::harness::json::{Value, number};
use crate::harness::{Case, Process, World};
use crate::servers::built;

pub(super) const CASES: &[Case] = &[
    native("mcp::a_watch_finds_the_fault", finds_the_fault),
    native("mcp::a_healthy_server_has_no_finding", healthy),
    native("mcp::a_real_client", real_client),
    native("mcp::nonsense_is_refused", nonsense),
    native("mcp::a_recording_cut_anywhere_is_explained", cut_recordings),
    native("mcp::the_server_has_no_capability", no_capability),
    native("mcp::nothing_outlives_the_server", nothing_outlives),
];

/// The Python package of the protocol's authors, below the folder into which setup installs it.
const CLIENT: &str = "mcp-client/mcp/__init__.py";

/// `backscope mcp`, and whoever talks to it.
struct Assistant<'a> {
    world: &'a World,
    server: Process,
    next_id: u64,
}

impl<'a> Assistant<'a> {
    fn start(world: &'a World) -> anyhow::Result<Self> {
        let server = Process::start(world.agent_command(&["mcp"]))?;
        let mut assistant = Self { world, server, next_id: 0 };
        let who = json!({ "name": "tests", "version": "1" });
        let begin =
            json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": who });
        let greeting = assistant.ask("initialize", begin)?;
        ensure!(greeting["result"]["serverInfo"]["name"] == "backscope", "{greeting}");
        assistant.say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(assistant)
    }

    fn say(&mut self, message: Value) -> anyhow::Result<()> {
        self.server.write_line(&message.to_string())
    }

    /// Sends a request, and returns its id.
    fn send(&mut self, method: &str, params: Value) -> anyhow::Result<u64> {
        self.next_id += 1;
        let id = self.next_id;
        self.say(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        Ok(id)
    }

    /// Returns the response to a request. What comes before it is for nobody.
    fn response(&self, id: u64, limit: Duration) -> anyhow::Result<Value> {
        let deadline = Instant::now() + limit;
        while let Some(line) = self.server.next_line(deadline)? {
            let message: Value = serde_json::from_str(&line).context(line)?;
            if message["id"] == id {
                return Ok(message);
            }
        }
        bail!("the server ended before it answered request {id}")
    }

    fn ask(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        let id = self.send(method, params)?;
        self.response(id, self.world.patience())
    }

    /// Calls a tool, and returns its text and whether that tells of an error.
    fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<(String, bool)> {
        let answer = self.ask("tools/call", json!({ "name": tool, "arguments": arguments }))?;
        told(&answer)
    }

    /// Calls a tool that has an answer, and returns that.
    fn answer(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        let (text, is_error) = self.call(tool, arguments)?;
        ensure!(!is_error, "{tool} says: {text}");
        serde_json::from_str(&text).context(text)
    }
}

/// Returns the text of a tool's result, and whether it tells of an error.
fn told(answer: &Value) -> anyhow::Result<(String, bool)> {
    let text = answer["result"]["content"][0]["text"].as_str();
    let text = text.with_context(|| format!("no text in {answer}"))?;
    Ok((text.to_owned(), answer["result"]["isError"] == true))
}

fn finds_the_fault(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "4"])?;
    let target = demo.addr.to_string();
    let _load = world.demo_waiting(&["load", "--target", &target, "--rate", "20/s", "--silent"])?;
    let mut assistant = Assistant::start(world)?;
    // The port, as an assistant would find it.
    let listeners = assistant.answer("listeners", json!({ "target": { "pid": [demo.pid()] } }))?;
    let port = demo.addr.port();
    let rows = listeners["listeners"].as_array().context("no rows")?;
    ensure!(rows.len() == 1 && rows[0]["local"] == target, "its one listener: {listeners}");
    ensure!(number(&rows[0], "/limit") == Some(4), "listen(4): {listeners}");
    let arguments = json!({ "seconds": 4, "target": { "port": [port] } });
    let answer = assistant.answer("watch_for", arguments)?;
    let (root, finding) = (&answer["findings"][0], &answer["findings"][1]);
    ensure!(root["kind"] == "accept-starved" && root["explained_by"].is_null(), "{answer}");
    ensure!(finding["kind"] == "accept-queue-overflow", "the gravest behind its cause: {answer}");
    ensure!(finding["explained_by"]["kind"] == "accept-starved", "{finding}");
    ensure!(finding["standing"] == true && finding["owner"] == "app", "{finding}");
    check_useful(finding)?;
    ensure!(number(&answer["listeners"][0], "/deepest") == Some(5), "4 and one: {answer}");
    ensure!(answer["complete"] == true, "{answer}");
    let refused = number(&answer, "/summary/overflows/syn").unwrap_or(0);
    ensure!(refused > 0, "the sums have the refusals: {answer}");
    Ok(())
}

fn healthy(world: &World) -> anyhow::Result<()> {
    let demo =
        world.demo(&["acceptors", "--mode", "blocking", "--workers", "2", "--backlog", "64"])?;
    let target = demo.addr.to_string();
    let _load = world.demo_waiting(&["load", "--target", &target, "--rate", "20/s", "--silent"])?;
    let mut assistant = Assistant::start(world)?;
    let arguments = json!({ "seconds": 4, "target": { "pid": [demo.pid()] } });
    let answer = assistant.answer("watch_for", arguments)?;
    let findings = answer["findings"].as_array().context("no list of findings")?;
    let graves: Vec<_> = findings.iter().filter(|found| found["severity"] != "info").collect();
    ensure!(graves.is_empty(), "{graves:?}");
    ensure!(number(&answer, "/summary/accepted").unwrap_or(0) > 0, "it was watched: {answer}");
    Ok(())
}

/// The client that the protocol's authors wrote does with the server what one does with a server.
fn real_client(world: &World) -> anyhow::Result<()> {
    let package = built(CLIENT)?;
    let packages = package.ancestors().nth(2).context("a folder of packages")?;
    let demo = world.demo(&["never-accept", "--backlog", "4"])?;
    let target = demo.addr.to_string();
    let _load = world.demo_waiting(&["load", "--target", &target, "--rate", "20/s", "--silent"])?;
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).arg("-c").arg(include_str!("mcp_client.py"));
    let output = python.arg(world.agent()).arg(demo.pid_arg()).output()?;
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the client says: {text}{errors}");
    let seen: Value = serde_json::from_str(&text).context(text.into_owned())?;
    ensure!(seen["tools"] == json!(["listeners", "watch_for", "explain"]), "{seen}");
    ensure!(seen["read_only"] == true, "no tool changes anything: {seen}");
    ensure!(number(&seen, "/progress").unwrap_or(0) >= 2, "it hears how far it is: {seen}");
    let kinds = seen["findings"].as_array().context("no findings")?;
    ensure!(kinds.contains(&json!("accept-queue-overflow")), "{seen}");
    ensure!(
        seen["unknown_tool"].as_str().is_some_and(|told| told.contains("no such tool")),
        "{seen}"
    );
    Ok(())
}

fn nonsense(world: &World) -> anyhow::Result<()> {
    let mut assistant = Assistant::start(world)?;
    let before = resident_kb(assistant.server.pid())?;
    for line in ["garbage", "{\"jsonrpc\":", "[]", "\u{0}\u{1b}[31m", "{}", "null", "\"\\ud800\""] {
        assistant.server.write_line(line)?;
    }
    assistant.server.write_line(&"x".repeat(30_000_000))?;
    let nested = "[".repeat(200_000);
    assistant.server.write_line(&nested)?;
    let answer = assistant.ask("tools/call", json!({ "name": "exec", "arguments": {} }))?;
    ensure!(answer["error"]["code"] == -32602, "no such tool: {answer}");
    let all = json!({ "all": true });
    for (tool, arguments, wanted) in [
        ("watch_for", json!({ "seconds": 1_000_000_000_000_u64, "target": all }), "1 to 60"),
        ("watch_for", json!({ "seconds": 1.5, "target": all }), "unusable arguments"),
        ("watch_for", json!({ "seconds": 1 }), "no target"),
        (
            "watch_for",
            json!({ "seconds": 1, "target": { "pid": [4_000_000_000_u32] } }),
            "no process",
        ),
        ("watch_for", json!({ "seconds": 1, "target": all, "output": "/etc/x" }), "unknown field"),
        ("listeners", json!({ "target": { "comm": "" } }), "comm must have"),
        ("explain", json!({ "recording": "/etc/passwd" }), "not a backscope recording"),
        ("explain", json!({ "recording": "/nonexistent/\u{1b}[31m" }), "No such file"),
        ("explain", json!({ "recording": "--help" }), "No such file"),
        ("explain", json!({}), "missing field"),
    ] {
        let (text, is_error) = assistant.call(tool, arguments.clone())?;
        ensure!(is_error && text.contains(wanted), "{tool} {arguments}: {text}");
        ensure!(!text.contains('\u{1b}'), "what steers a terminal is escaped: {text:?}");
    }
    // More at once than are answered: the others are told so.
    let mut ids = Vec::new();
    for _ in 0..4 {
        let arguments = json!({ "seconds": 2, "target": { "pid": [assistant.server.pid()] } });
        ids.push(
            assistant.send("tools/call", json!({ "name": "watch_for", "arguments": arguments }))?,
        );
    }
    let (mut answered, mut refused) = (0, 0);
    let deadline = Instant::now() + world.patience();
    while answered + refused < ids.len() {
        let line = assistant.server.next_line(deadline)?.context("the server ended")?;
        let (text, is_error) = told(&serde_json::from_str(&line)?)?;
        match is_error {
            false => answered += 1,
            true if text.contains("ask again") => refused += 1,
            true => bail!("{text}"),
        }
    }
    ensure!((answered, refused) == (2, 2), "{answered} were answered, {refused} refused");
    let grown = resident_kb(assistant.server.pid())?.saturating_sub(before);
    ensure!(grown < 20_000, "it grew by {grown} kB");
    let answer = assistant.ask("ping", json!({}))?;
    ensure!(answer["result"].is_object(), "it still answers: {answer}");
    Ok(())
}

fn cut_recordings(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let demo = world.demo(&["never-accept", "--backlog", "4"])?;
    let target = demo.addr.to_string();
    let _load = world.demo_waiting(&["load", "--target", &target, "--rate", "20/s", "--silent"])?;
    let recorded = world
        .agent_command(&["record", "--output", "-", "--duration", "3s", "--pid", &demo.pid_arg()])
        .output()?;
    ensure!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let whole = recorded.stdout;
    let path = folder.path().join("a.bsrec");
    let mut assistant = Assistant::start(world)?;
    let arguments = json!({ "recording": path });
    fs::write(&path, &whole)?;
    let answer = assistant.answer("explain", arguments.clone())?;
    ensure!(answer["complete"] == true, "the whole recording: {answer}");
    let findings = answer["findings"].as_array().context("no findings")?;
    ensure!(findings.iter().any(|finding| finding["kind"] == "accept-queue-overflow"), "{answer}");
    let (mut explained, mut refused) = (0, 0);
    for part in 0..40 {
        fs::write(&path, &whole[..whole.len() * part / 40])?;
        let (text, is_error) = assistant.call("explain", arguments.clone())?;
        if is_error {
            refused += 1;
            continue;
        }
        let answer: Value = serde_json::from_str(&text).context(text)?;
        ensure!(answer["complete"] == false, "{part} of 40 parts: {answer}");
        ensure!(answer["damage"][0].is_string(), "it says what is missing: {answer}");
        explained += 1;
    }
    ensure!(explained > 20 && refused > 0, "{explained} explained, {refused} refused");
    // One byte that is another, and a file that never ends.
    let mut file = fs::File::options().write(true).open(&path)?;
    file.write_all(&whole)?;
    file.seek(SeekFrom::Start(whole.len() as u64 / 2))?;
    file.write_all(&[!whole[whole.len() / 2]])?;
    let answer = assistant.answer("explain", arguments)?;
    ensure!(answer["complete"] == false, "a wrong byte: {answer}");
    let (text, is_error) = assistant.call("explain", json!({ "recording": "/dev/zero" }))?;
    ensure!(is_error, "{text}");
    Ok(())
}

/// The process that reads what the assistant says can do nothing: its children can.
fn no_capability(world: &World) -> anyhow::Result<()> {
    let mut assistant = Assistant::start(world)?;
    let status = fs::read_to_string(format!("/proc/{}/status", assistant.server.pid()))?;
    for set in ["CapPrm:", "CapEff:", "CapInh:", "CapAmb:"] {
        let line = status.lines().find_map(|line| line.strip_prefix(set)).context(set)?;
        ensure!(line.trim().chars().all(|digit| digit == '0'), "{set} {line}");
    }
    let arguments = json!({ "seconds": 1, "target": { "pid": [assistant.server.pid()] } });
    assistant.answer("watch_for", arguments).map(drop)
}

fn nothing_outlives(world: &World) -> anyhow::Result<()> {
    for by_signal in [false, true] {
        let mut assistant = Assistant::start(world)?;
        let server = assistant.server.pid();
        let arguments = json!({ "seconds": 60, "target": { "pid": [server] } });
        assistant.send("tools/call", json!({ "name": "watch_for", "arguments": arguments }))?;
        let deadline = Instant::now() + world.patience();
        let children = loop {
            let children = children_of(server)?;
            // Who records, and who sums up.
            if children.len() == 2 {
                break children;
            }
            ensure!(Instant::now() < deadline, "it starts {} processes", children.len());
            std::thread::sleep(Duration::from_millis(10));
        };
        if by_signal {
            assistant.server.signal(libc::SIGTERM);
        } else {
            assistant.server.close_input();
        }
        let status = assistant.server.wait(Duration::from_secs(10))?;
        ensure!(
            status.success(),
            "ended by {}: {status}",
            if by_signal { "SIGTERM" } else { "EOF" }
        );
        while children.iter().any(|child| is_running(*child)) {
            ensure!(Instant::now() < deadline, "{children:?} outlive the server");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

fn children_of(pid: u32) -> anyhow::Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).context(path)?;
    text.split_whitespace().map(|pid| Ok(pid.parse()?)).collect()
}

/// Whether it is there, and no zombie that somebody else has to wait for.
fn is_running(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat"));
    state.is_ok_and(|text| text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}

/// Resident memory, kB.
fn resident_kb(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
