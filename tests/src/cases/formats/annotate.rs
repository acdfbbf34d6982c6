//! A capture by tcpdump beside a recording, annotated, and opened by tshark.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use super::{empty_dump, expect, recording};
use crate::cases::ledger::serve;
use crate::harness::json::Value;
use crate::harness::ledger::{is_connection, paired, spent_us};
use crate::harness::trace::Conversation;
use crate::harness::{Ended, Process, World};
use crate::servers::installed;

/// A response in two pieces, the second of which Nagle's algorithm holds.
const PIECES: [&str; 2] = ["--writes", "4,200"];
const CLIENT: [&str; 4] = ["--response", "204", "--count", "8"];
/// Longer than any delay here but a delayed ACK (40 ms), ns.
const HELD_NS: u64 = 20_000_000;
/// What two hooks, and the rounding of a comment, may be apart, ms.
const NEAR_MS: f64 = 1.0;

/// A run that was captured and recorded at the same time.
struct Captured {
    dir: tempfile::TempDir,
    ended: Ended,
    talk: Conversation,
    dump: PathBuf,
}

fn capture(world: &World, server: &[&str], tcpdump: &[&str]) -> anyhow::Result<Captured> {
    installed("tshark")?;
    let dir = tempfile::tempdir()?;
    let dump = dir.path().join("dump.pcap");
    let mut command = Command::new("sh");
    // It says on standard error that it listens.
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(installed("tcpdump")?);
    // Little of each packet and a large buffer: none is dropped on a busy machine.
    command.args(["--immediate-mode", "-s", "200", "-B", "65536"]);
    command.args(["-U", "-Z", "root", "-w"]).arg(&dump);
    let mut capturing = Process::start({
        command.args(tcpdump).arg("tcp");
        command
    })?;
    let deadline = Instant::now() + world.patience();
    loop {
        match capturing.next_line(deadline)? {
            Some(line) if line.contains("listening on") => break,
            Some(_) => {}
            None => bail!("tcpdump ended"),
        }
    }
    let mut demo = serve(world, server)?;
    let file = dir.path().join("run.bsrec");
    let mut agent = world.watch().pid(demo.pid()).args(["-o".as_ref(), file.as_path()]).start()?;
    let talk = Conversation::hold(world, &mut demo, &CLIENT)?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "server", talk.port)
    })?;
    let ended = agent.stop()?;
    capturing.signal(libc::SIGINT);
    capturing.wait(Duration::from_secs(10))?;
    Ok(Captured { dir, ended, talk, dump })
}

/// A packet as tshark shows it.
#[derive(Debug)]
struct Packet {
    time_s: f64,
    from: u16,
    bytes: u64,
    comments: String,
}

/// Lists the packets of TCP in a capture, by tshark.
fn packets(file: &Path) -> anyhow::Result<Vec<Packet>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-Y", "tcp", "-T", "fields", "-E", "aggregator=|"]);
    for field in ["frame.time_epoch", "tcp.srcport", "tcp.len", "frame.comment"] {
        tshark.args(["-e", field]);
    }
    let output = expect(&mut tshark, 0)?;
    let text = String::from_utf8(output.stdout).context("tshark writes UTF-8")?;
    let mut packets = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [time, from, bytes, comments] = fields[..] else { bail!("four fields: {line:?}") };
        packets.push(Packet {
            time_s: seconds(time)?,
            from: from.parse()?,
            bytes: bytes.parse()?,
            comments: comments.to_owned(),
        });
    }
    Ok(packets)
}

/// Returns a time of tshark, which newer versions write as a date.
fn seconds(time: &str) -> anyhow::Result<f64> {
    if let Ok(seconds) = time.parse() {
        return Ok(seconds);
    }
    let (_, clock) = time.split_once('T').with_context(|| format!("a time: {time}"))?;
    let mut seconds = 0.0;
    for part in clock.trim_end_matches('Z').split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>()?;
    }
    Ok(seconds)
}

/// Annotates the capture; returns its packets, and what was said.
fn annotated(world: &World, captured: &Captured) -> anyhow::Result<(Vec<Packet>, String)> {
    let out = captured.dir.path().join("annotated.pcapng");
    let file = captured.dir.path().join("run.bsrec");
    let mut command = world.agent_command(&["annotate"]);
    let output = expect(command.arg(&captured.dump).arg(&file).arg("-o").arg(&out), 0)?;
    same_packets(captured, &out)?;
    Ok((packets(&out)?, String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Checks that a packet of the annotated capture is what it was, byte for byte.
fn same_packets(captured: &Captured, out: &Path) -> anyhow::Result<()> {
    let dump = |file: &Path| -> anyhow::Result<Vec<u8>> {
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(file).args(["-x", "-T", "text", "-P", "-t", "e"]);
        Ok(expect(&mut tshark, 0)?.stdout)
    };
    ensure!(dump(&captured.dump)? == dump(out)?, "the packets are not what they were");
    Ok(())
}

/// Returns the milliseconds of "held it 43.3 ms (nagle)".
fn held_ms(comments: &str) -> Option<f64> {
    let (before, _) = comments.split_once(" ms (nagle) before this segment")?;
    let (_, time) = before.rsplit_once("the kernel held it ")?;
    time.parse().ok()
}

pub(super) fn nagle(world: &World) -> anyhow::Result<()> {
    let captured = capture(world, &PIECES, &["-i", "lo"])?;
    check_holds(world, &captured)
}

/// The same on the pseudo-interface of all, whose packets have other headers.
pub(super) fn any_interface(world: &World) -> anyhow::Result<()> {
    for link in ["LINUX_SLL", "LINUX_SLL2"] {
        let options = ["-i", "any", "-y", link, "--time-stamp-precision=nano"];
        check_holds(world, &capture(world, &PIECES, &options)?)?;
    }
    Ok(())
}

/// Compares the comments on held segments with both programs' traces, and with the stamps of the
/// capture itself.
fn check_holds(world: &World, captured: &Captured) -> anyhow::Result<()> {
    let (packets, told) = annotated(world, captured)?;
    ensure!(told.contains("is tolerated"), "how well they fit: {told}");
    let mut held = 0;
    for (exchange, server, client) in paired(&captured.ended, "server", &captured.talk)? {
        if client.between("first_ns", "done_ns")? < HELD_NS {
            continue;
        }
        held += 1;
        let seq = exchange["seq"].as_u64().context("a number")?;
        let begins = format!("request {seq}: the kernel held it ");
        let of_it: Vec<usize> =
            (0..packets.len()).filter(|place| packets[*place].comments.contains(&begins)).collect();
        let [place] = of_it[..] else { bail!("one packet with {begins:?}: {packets:#?}") };
        let packet = &packets[place];
        ensure!(packet.bytes == 200 && packet.from != captured.talk.port, "{packet:?}");
        let held_ms = held_ms(&packet.comments).with_context(|| packet.comments.clone())?;
        // What the capture itself shows: the segment left that long after the one before it.
        let mut sent = packets[..place].iter().rev();
        let before = sent.find(|before| before.bytes == 4 && before.from == packet.from);
        let apart_ms = (packet.time_s - before.context("the first piece")?.time_s) * 1e3;
        ensure!((apart_ms - held_ms).abs() < NEAR_MS, "{apart_ms} ms apart: {packet:?}");
        // The client may have got it late, but not earlier.
        let waited_ns = client.get("done_ns")?.saturating_sub(server.get("write_ns")?);
        ensure!(held_ms * 1e6 < waited_ns as f64 + NEAR_MS * 1e6, "{waited_ns} ns: {packet:?}");
        ensure!(spent_us(exchange, &["nagle"]).abs_diff((held_ms * 1e3) as u64) < 600);
    }
    ensure!(held >= 2, "the kernel delayed only {held} of 8 acknowledgements");
    Ok(())
}

/// The same server without Nagle's algorithm: no packet is held, and the exchanges are commented on.
pub(super) fn healthy(world: &World) -> anyhow::Result<()> {
    let captured = capture(world, &[&PIECES[..], &["--nodelay"]].concat(), &["-i", "lo"])?;
    let (packets, _) = annotated(world, &captured)?;
    let held: Vec<_> =
        packets.iter().filter(|packet| packet.comments.contains("held it")).collect();
    ensure!(held.is_empty(), "nothing was held: {held:?}");
    let exchanges: Vec<&Value> = captured.ended.of("exchange").collect();
    let begun = |exchange: &&Value| {
        let seq = exchange["seq"].as_u64().unwrap_or(0);
        let words = format!("request {seq}: begins");
        packets.iter().any(|packet| packet.comments.contains(&words))
            // Shorter ones have no comment.
            || exchange["total_us"].as_u64().unwrap_or(0) < 100
    };
    ensure!(exchanges.iter().all(begun), "each exchange: {packets:#?}");
    Ok(())
}

/// A capture of other times, one of other connections, and one that is none.
pub(super) fn strangers(world: &World) -> anyhow::Result<()> {
    installed("tcpdump")?;
    let dir = tempfile::tempdir()?;
    let file = recording(world, dir.path())?;
    let told = |dump: &Path, status: i32| -> anyhow::Result<String> {
        let mut command = world.agent_command(&["annotate"]);
        let output = expect(command.arg(dump).arg(&file), status)?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let empty = told(&empty_dump(dir.path())?, 1)?;
    ensure!(empty.contains("the capture has no packet"), "{empty}");

    // One packet of 1970.
    let old = dir.path().join("old.pcap");
    let mut bytes = fs::read(empty_dump(dir.path())?)?;
    bytes.extend([1_u32, 0, 14, 14].map(u32::to_le_bytes).concat());
    bytes.extend([0; 14]);
    fs::write(&old, &bytes)?;
    let apart = told(&old, 1)?;
    ensure!(apart.contains("do not overlap: the capture is from 1970-01-01T00:00:01"), "{apart}");

    bytes.truncate(bytes.len() - 3);
    fs::write(&old, &bytes)?;
    let cut = told(&old, 1)?;
    ensure!(cut.contains("no packet"), "{cut}");

    let none = told(&file, 2)?;
    ensure!(none.contains("not a packet capture"), "{none}");
    Ok(())
}
