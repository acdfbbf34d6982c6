//! Who may watch whom: callers that are not all of root.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::{NOBODY, check_confined, record};
use crate::cases::pattern::load::{Load, Manner};
use crate::harness::json::{Value, is, number};
use crate::harness::net::monotonic_ns;
use crate::harness::{Agent, Process, Protocol, World, connect, copy_program, skip};

/// A folder that everybody can look into, with a copy of a program: others may have no access to
/// the build directory.
fn copy_of(program: &Path, name: &str) -> anyhow::Result<(TempDir, PathBuf)> {
    let folder = tempfile::Builder::new().prefix("backscope").tempdir_in("/tmp")?;
    let copy = folder.path().join(name);
    copy_program(program, &copy)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok((folder, copy))
}

/// A server of another user, which waits for events.
struct Other {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Other {
    fn start(world: &World, user: u32) -> anyhow::Result<Self> {
        let (folder, program) = copy_of(&world.demo_servers(), "demo-servers")?;
        let mut command = Command::new(program);
        command.args(["serve", "--epoll"]).current_dir("/").uid(user).gid(user);
        let process = Process::start(command)?;
        let deadline = Instant::now() + world.patience();
        loop {
            let line = process.next_line(deadline)?.context("the server ended")?;
            if let Some(address) = line.strip_prefix("listening on ") {
                let address: std::net::SocketAddr = address.parse()?;
                return Ok(Self { process, port: address.port(), _folder: folder });
            }
        }
    }

    fn connect(&self) -> anyhow::Result<crate::harness::Client> {
        connect(([127, 0, 0, 1], self.port).into())
    }
}

/// True of a pattern that rests on what its threads were seen to wait for.
fn knows_waits(object: &Value) -> bool {
    is(object, "pattern") && object["evidence"].to_string().contains("sampled asleep")
}

/// What a thread of another user's process waits for is in a file of its owner alone, in a folder
/// of its owner alone, and shown to whoever may trace it.
pub(super) fn proc_of_others(world: &World) -> anyhow::Result<()> {
    let server = Other::start(world, NOBODY)?;
    let protocol = Protocol { greeting: b"", request: b"ask\n", end: b"\n" };
    let pause = Duration::from_millis(20);
    let manner = Manner { protocol, clients: 6, requests: 5, pause };
    let _load = Load::start(([127, 0, 0, 1], server.port).into(), manner);
    let watch = |without: &str| {
        world.watch().pid(server.process.pid()).env("BACKSCOPE_WITHOUT", without).start()
    };
    let mut agent = watch("")?;
    let begin = Instant::now();
    agent.await_object("pattern with waits", knows_waits)?;
    let took = begin.elapsed();
    agent.stop()?;
    for capability in ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"] {
        let mut agent = watch(capability)?;
        let patience = 2 * took + Duration::from_secs(1);
        agent.await_time(monotonic_ns() + u64::try_from(patience.as_nanos())?)?;
        let told = agent.objects().iter().find(|object| knows_waits(object));
        ensure!(told.is_none(), "known without {capability}: {told:?}");
        agent.stop()?;
    }
    Ok(())
}

/// Starts a watch of a command, as if another user had called sudo.
fn watch_for(world: &World, without: &str, command: &[&str]) -> anyhow::Result<(Agent, u32)> {
    let nobody = NOBODY.to_string();
    let mut agent = world
        .watch_queues()
        .env("SUDO_UID", &nobody)
        .env("SUDO_GID", &nobody)
        .env("BACKSCOPE_WITHOUT", without)
        .command(command)
        .start()?;
    let attached = agent.await_object("attached", |object| is(object, "attached"))?;
    let target = attached["targets"][0].as_str().unwrap_or_default().to_owned();
    let pid = target.rsplit(' ').next().and_then(|pid| pid.parse().ok());
    Ok((agent, pid.with_context(|| format!("no process in {target:?}"))?))
}

pub(super) fn command_of_another(world: &World) -> anyhow::Result<()> {
    let runs = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let (agent, command) = watch_for(world, "", &["sleep", "600"])?;
    agent.stop()?;
    ensure!(!runs(command), "the command goes on");
    let (agent, command) = watch_for(world, "CAP_KILL", &["sleep", "600"])?;
    agent.signal(libc::SIGINT);
    let ended = agent.ended()?;
    ensure!(!ended.status.success(), "process {command} was ended without CAP_KILL");
    ensure!(ended.stderr.contains("not permitted"), "{}", ended.stderr);
    Ok(())
}

pub(super) fn caller_of_sudo(world: &World) -> anyhow::Result<()> {
    let (_folder, id) = copy_of(Path::new("/usr/bin/id"), "id")?;
    fs::set_permissions(&id, fs::Permissions::from_mode(0o4_755))?;
    let script = format!(
        "echo $(id -u) $(id -g) $(id -G) $HOME; {} -u; grep NoNewPrivs /proc/self/status",
        id.display()
    );
    let run = |more: &[&str]| {
        let mut command = world.agent_command(&["watch", "--json", "--interval", "100ms"]);
        command.args(more).args(["--", "sh", "-c", &script]);
        let nobody = NOBODY.to_string();
        command.env("SUDO_UID", &nobody).env("SUDO_GID", &nobody).env("HOME", "/root");
        let Output { status, stderr, .. } = command.output()?;
        let said = String::from_utf8_lossy(&stderr).into_owned();
        ensure!(status.success(), "{status}: {said}");
        anyhow::Ok(said)
    };
    for user in [&[][..], &["--user", "nobody"]] {
        let said = run(user)?;
        ensure!(said.contains("65534 65534 65534 /nonexistent\n"), "{user:?}: {said}");
        ensure!(said.contains("\n0\n") && said.contains("NoNewPrivs:\t0"), "setuid: {said}");
    }
    let said = run(&["--as-root"])?;
    ensure!(said.contains("0 0 ") && said.contains("/root\n"), "as root: {said}");
    let mut unknown = world.agent_command(&["watch", "--user", "no-such-user", "--", "true"]);
    ensure!(unknown.output()?.status.code() == Some(2), "there is no such user");
    Ok(())
}

/// A copy of the agent whose file has capabilities; `None` where it cannot have them.
fn with_capabilities(world: &World, mode: u32) -> anyhow::Result<Option<(TempDir, PathBuf)>> {
    let (folder, copy) = copy_of(&world.agent(), "backscope")?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(mode))?;
    let capabilities = "cap_bpf,cap_perfmon,cap_sys_admin,cap_dac_read_search+ep";
    match Command::new("setcap").arg(capabilities).arg(&copy).status() {
        Ok(status) if status.success() => Ok(Some((folder, copy))),
        _ => Ok(None),
    }
}

/// A user who runs a copy of the agent.
struct Caller {
    program: PathBuf,
    user: u32,
    group: u32,
}

impl Caller {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir("/").uid(self.user).gid(self.group);
        command
    }

    fn ended(&self, args: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
        let Output { status, stdout, stderr } = self.command(args).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((status.code(), text(&stdout), text(&stderr)))
    }

    /// Fails unless these arguments are refused with this status and these words.
    fn check_refused(&self, args: &[&str], status: i32, words: &str) -> anyhow::Result<()> {
        let (ended, _, said) = self.ended(args)?;
        ensure!(ended == Some(status) && said.contains(words), "{args:?}: {ended:?}: {said}");
        Ok(())
    }
}

pub(super) fn file_capabilities(world: &World) -> anyhow::Result<()> {
    let Some((_folder, program)) = with_capabilities(world, 0o755)? else {
        return skip("no file can be given capabilities here");
    };
    let caller = Caller { program, user: NOBODY, group: NOBODY };
    for args in [&["learn", "nagle", "--auto"][..], &["demo", "nagle", "--rtt", "10ms"]] {
        caller.check_refused(args, 3, "CAP_NET_ADMIN")?;
    }
    let (status, _, said) = caller.ended(&["demo", "nagle", "--duration", "300ms"])?;
    ensure!(status == Some(0), "a demo on loopback takes nothing: {status:?}: {said}");
    let secret = tempfile::tempdir()?;
    let recording = record(world, secret.path())?;
    let recording = recording.to_str().context("a path")?;
    caller.check_refused(&["replay", recording, "--json"], 2, "Permission denied")?;
    let roots = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let pid = roots.pid_arg();
    caller.check_refused(&["watch", "--json", "--pid", &pid], 3, "you may not watch")?;
    let port = roots.addr.port().to_string();
    caller.check_refused(&["watch", "--json", "--port", &port], 3, "no such process")?;
    let new = secret.path().join("new.bsrec");
    let new = new.to_str().context("a path")?;
    let own = Other::start(world, NOBODY)?;
    let own_pid = own.process.pid().to_string();
    let args = ["record", "--pid", &own_pid, "--duration", "300ms", "-o", new];
    caller.check_refused(&args, 2, "cannot create")?;
    let args = ["watch", "--json", "--pid", &own_pid, "--probe-log=/etc/passwd"];
    caller.check_refused(&args, 2, "takes root")?;
    let (status, listeners, said) = caller.ended(&["listeners", "--json"])?;
    ensure!(status == Some(0), "{status:?}: {said}");
    ensure!(listeners.contains(&format!(":{}\"", own.port)), "its own: {listeners}");
    ensure!(!listeners.contains(&roots.addr.to_string()), "root's, too: {listeners}");
    for args in [["--pid", &own_pid], ["--port", &own.port.to_string()], ["--all", "--json"]] {
        let own_only = watch_until(world, &caller, &args, own.port, &[&own, &own])?;
        let other = own_only.iter().find(|object| object["local"] == roots.addr.to_string());
        ensure!(other.is_none(), "{args:?}: root's server is watched: {other:?}");
    }
    Ok(())
}

/// A process that does nothing, and holds this socket.
struct Holder(Child);

impl Holder {
    fn start(socket: &TcpListener, user: u32) -> anyhow::Result<Self> {
        let socket = OwnedFd::from(socket.try_clone()?);
        let mut command = Command::new("sleep");
        command.arg("600").stdin(socket).current_dir("/").uid(user).gid(user);
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// More processes of root than have names in the output hold a listener, and then one of the
/// caller's.
pub(super) fn one_of_many_holders(world: &World) -> anyhow::Result<()> {
    let Some((_folder, program)) = with_capabilities(world, 0o755)? else {
        return skip("no file can be given capabilities here");
    };
    let caller = Caller { program, user: NOBODY, group: NOBODY };
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let mut holders = Vec::new();
    for _ in 0..80 {
        holders.push(Holder::start(&socket, 0)?);
    }
    let own = Holder::start(&socket, NOBODY)?;
    let (local, own_pid) = (socket.local_addr()?, u64::from(own.0.id()));
    let port = local.port().to_string();
    let args = ["watch", "--json", "--duration", "300ms", "--port", &port];
    for args in [&["listeners", "--json"][..], &args] {
        let (status, shown, said) = caller.ended(args)?;
        ensure!(status == Some(0), "{args:?}: {status:?}: {said}");
        let mut objects = Vec::new();
        for line in shown.lines() {
            objects.push(serde_json::from_str::<Value>(line)?);
        }
        let listener = objects.iter().find(|object| object["local"] == local.to_string());
        let listener = listener.with_context(|| format!("{args:?}: {shown}"))?;
        ensure!(listener["pid"] == own_pid, "{args:?}: not the caller's: {listener}");
        let is_alone = listener["holders"] == Value::from(vec![own_pid]);
        ensure!(is_alone && listener["holders_total"].is_null(), "{args:?}: {listener}");
    }
    Ok(())
}

/// Watches as this caller until connections to the servers are seen; returns all objects.
fn watch_until(
    world: &World,
    caller: &Caller,
    args: &[&str],
    port: u16,
    servers: &[&Other],
) -> anyhow::Result<Vec<Value>> {
    let mut command = caller.command(&["watch", "--json", "--interval", "100ms"]);
    command.args(args.iter().filter(|arg| **arg != "--json"));
    let agent = Process::start(command)?;
    let (mut objects, mut clients): (Vec<Value>, Vec<_>) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + world.patience();
    let mut agent = agent;
    loop {
        let Some(line) = agent.next_line(deadline)? else {
            anyhow::bail!("{args:?}: it ended: {}", agent.finish());
        };
        let object: Value = serde_json::from_str(&line)?;
        if is(&object, "attached") {
            check_confined(agent.pid(), &kept_without_others(&object))?;
            for server in servers {
                clients.push(server.connect()?);
            }
        }
        let is_seen = object["local"].as_str().is_some_and(|at| at.ends_with(&format!(":{port}")))
            && number(&object, "/accepted") >= Some(servers.len() as u64);
        objects.push(object);
        if is_seen {
            return Ok(objects);
        }
    }
}

/// Whoever may watch only their own processes needs no right to read others'.
fn kept_without_others(attached: &Value) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let said = attached["sandbox"]["capabilities"].to_string();
    for name in ["CAP_PERFMON", "CAP_BPF"] {
        if said.contains(name) {
            kept.push(name);
        }
    }
    kept
}

/// Who is in the group of a file that others cannot run may watch what is root's.
pub(super) fn group(world: &World) -> anyhow::Result<()> {
    const GROUP: u32 = 64_999;
    let Some((_folder, program)) = with_capabilities(world, 0o750)? else {
        return skip("no file can be given capabilities here");
    };
    std::os::unix::fs::chown(&program, Some(0), Some(GROUP))?;
    // A change of owner takes them away.
    let capabilities = "cap_bpf,cap_perfmon,cap_sys_admin,cap_dac_read_search+ep";
    ensure!(Command::new("setcap").arg(capabilities).arg(&program).status()?.success());
    let member = Caller { program, user: NOBODY, group: GROUP };
    let roots = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let args = ["watch", "--json", "--duration", "500ms", "--pid", &roots.pid_arg()];
    let (status, shown, said) = member.ended(&args)?;
    ensure!(status == Some(0), "{status:?}: {said}");
    ensure!(shown.contains(&roots.addr.to_string()), "{shown}");
    let secret = tempfile::tempdir()?;
    let recording = record(world, secret.path())?;
    let recording = recording.to_str().context("a path")?;
    member.check_refused(&["replay", recording, "--json"], 2, "Permission denied")
}
