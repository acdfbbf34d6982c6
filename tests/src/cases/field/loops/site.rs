//! A server with one thread, an event loop, and a path for each fault; its client; and a quota.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::harness::{Process, World, net, skip};
use crate::servers::{PORT, installed};

/// Answers of 200 bytes.
const SERVER: &str = "
import asyncio, sys, time
def compute(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
async def serve(reader, writer):
    head = b'HTTP/1.1 200 OK\\r\\nContent-Length: 200\\r\\n\\r\\n'
    async def send(data):
        writer.write(data)
        await writer.drain()
    try:
        while True:
            path = (await reader.readuntil(b'\\r\\n\\r\\n')).split(b' ')[1]
            if path == b'/compute':
                compute(0.03)
            elif path == b'/block':
                time.sleep(0.25)
            elif path == b'/busy':
                compute(0.25)
            elif path == b'/await':
                await asyncio.sleep(0.25)
            elif path == b'/stream':
                await send(head)
                for _ in range(20):
                    await send(b'0123456789')
                    await asyncio.sleep(0.05)
                continue
            elif path in (b'/late', b'/late-busy'):
                await send(head)
                if path == b'/late':
                    await asyncio.sleep(0.7)
                else:
                    compute(0.7)
                await send(b'x' * 200)
                continue
            await send(head + b'x' * 200)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
";

/// A running server.
pub(super) struct Site(Process);

impl Site {
    pub(super) fn start(world: &World) -> anyhow::Result<Self> {
        let mut python = Command::new(installed("python3")?);
        python.args(["-c", SERVER, &PORT.to_string()]);
        let server = Process::start(python)?;
        net::await_listening(PORT, world.patience())?;
        Ok(Self(server))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Stops the server for so long.
    pub(super) fn stop_for(&self, duration: Duration) {
        self.0.signal(libc::SIGSTOP);
        thread::sleep(duration);
        self.0.signal(libc::SIGCONT);
    }
}

/// Requests the path again and again on one connection.
pub(super) fn ask(path: &str, times: u32, pause: Duration) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    for _ in 0..times {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())?;
        while {
            let mut line = String::new();
            reader.read_line(&mut line)? > 2
        } {}
        reader.read_exact(&mut [0; 200])?;
        thread::sleep(pause);
    }
    Ok(())
}

/// Returns the time that the main thread of a process has been on a CPU.
pub(super) fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat"))?;
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).context("no time in schedstat")
}

/// A cgroup with a quota, inside another one; removed when the guard is dropped.
pub(super) struct Quota {
    parent: PathBuf,
    child: PathBuf,
    second: bool,
}

impl Quota {
    /// Limits a process to so much of each 100 ms. The quota is on the parent group, and the
    /// process is in the child.
    pub(super) fn on(pid: u32, quota_us: u64) -> anyhow::Result<Self> {
        let Some((root, second)) = root() else {
            skip("no cgroup of the processor's controller is mounted")?;
            unreachable!();
        };
        let parent = root.join(format!("backscope-test-{pid}"));
        let quota = Self { child: parent.join("inner"), parent, second };
        fs::create_dir(&quota.parent)
            .with_context(|| format!("creating {}", quota.parent.display()))?;
        if second {
            // A parent must enable the controller for its children.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
            fs::write(quota.parent.join("cpu.max"), format!("{quota_us} 100000"))?;
        } else {
            fs::write(quota.parent.join("cpu.cfs_period_us"), "100000")?;
            fs::write(quota.parent.join("cpu.cfs_quota_us"), quota_us.to_string())?;
        }
        fs::create_dir(&quota.child)?;
        fs::write(quota.child.join("cgroup.procs"), pid.to_string())?;
        Ok(quota)
    }

    /// Returns the time that its threads were kept off the CPU, as the kernel counts it.
    pub(super) fn throttled_us(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(self.parent.join("cpu.stat"))?;
        let (name, unit_ns) =
            if self.second { ("throttled_usec ", 1_000) } else { ("throttled_time ", 1) };
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)).context("no throttled time")?;
        Ok(value.trim().parse::<u64>()? * unit_ns / 1_000)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let home = self.parent.parent().unwrap_or(Path::new("/")).join("cgroup.procs");
        for pid in fs::read_to_string(self.child.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(&home, pid);
        }
        let _ = fs::remove_dir(&self.child);
        let _ = fs::remove_dir(&self.parent);
    }
}

/// Returns the mount point of the CPU controller, and whether it is cgroup v2.
fn root() -> Option<(PathBuf, bool)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let cgroups = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let path = PathBuf::from(place.split(' ').nth(4)?);
        let mut kind = kind.split(' ');
        Some((path, kind.next()?.to_owned(), kind.nth(1)?.to_owned()))
    });
    let all: Vec<_> = cgroups.collect();
    let first = all
        .iter()
        .find(|(_, kind, options)| kind == "cgroup" && options.split(',').any(|it| it == "cpu"));
    let second = all.iter().find(|(path, kind, _)| {
        let controllers = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        kind == "cgroup2" && controllers.split_whitespace().any(|controller| controller == "cpu")
    });
    first.map(|(path, ..)| (path.clone(), false)).or(second.map(|(path, ..)| (path.clone(), true)))
}
