//! A running `backscope watch --json`.

use std::ffi::{OsStr, OsString, c_int};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::json::{Value, finds, is, listens_on, number};
use super::{Process, Tier, World, contract};

/// `backscope watch --json --interval 250ms …`, not started yet.
#[derive(Debug)]
pub struct Watch<'a> {
    world: &'a World,
    interval: &'static str,
    args: Vec<OsString>,
    command: Vec<OsString>,
    wrapper: Vec<OsString>,
    env: Vec<(String, String)>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let mut args: Vec<OsString> = ["watch", "--json"].map(Into::into).into();
        if let Some(tier) = world.tier {
            args.extend(["--tier".into(), tier.name().into()]);
        }
        Self {
            world,
            interval: "250ms",
            args,
            command: Vec::new(),
            wrapper: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Adds `--pid PID`.
    pub fn pid(self, pid: u32) -> Self {
        self.args(["--pid", &pid.to_string()])
    }

    /// Sets another period than 250 ms.
    pub fn interval(mut self, period: &'static str) -> Self {
        self.interval = period;
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds `-- COMMAND…`.
    pub fn command<S: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.command = command.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        self
    }

    /// Starts it by another program, which has to become it: `prlimit --nofile=64`, say.
    pub fn by<S: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = S>) -> Self {
        self.wrapper = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it without waiting for anything.
    pub fn spawn(self) -> anyhow::Result<Agent> {
        let agent = self.world.agent();
        let mut command = match self.wrapper.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(agent);
                command
            }
            None => Command::new(agent),
        };
        command.args(&self.args).args(["--interval", self.interval]);
        super::world::without_sudo(&mut command).envs(self.env);
        if !self.command.is_empty() {
            command.arg("--").args(&self.command);
        }
        let process = Process::start(command)?;
        Ok(Agent { process, objects: Vec::new(), world: self.world.clone() })
    }

    /// Starts it and waits until it has attached.
    pub fn start(self) -> anyhow::Result<Agent> {
        let tier = self.world.tier;
        let mut agent = self.spawn()?;
        let attached = agent.await_object("attached", |object| is(object, "attached"))?;
        if let Some(tier) = tier {
            ensure!(
                attached["tier"] == tier.name(),
                "asked for the {} tier, got: {attached}",
                tier.name()
            );
        }
        Ok(agent)
    }
}

/// A running agent, killed when the guard is dropped.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    objects: Vec<Value>,
    world: World,
}

impl Agent {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns the objects that have been read.
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// Returns the objects, including those that have been printed by now.
    pub fn arrived(&mut self) -> anyhow::Result<&[Value]> {
        while let Some(line) = self.process.ready_line() {
            self.take(line)?;
        }
        Ok(&self.objects)
    }

    /// The tier it chose.
    pub fn tier(&self) -> Tier {
        match self.objects.first() {
            Some(attached) if attached["tier"] == "full" => Tier::Full,
            _ => Tier::Tracepoint,
        }
    }

    /// Waits for an object that satisfies `wanted`, among those that were printed already or come
    /// later.
    ///
    /// Fails with `what` and the objects that came instead, if none comes in time or the agent
    /// ends.
    pub fn await_object(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let doubt = self.world.patience() / 8;
        self.await_with(what, doubt, wanted)
    }

    /// As [`Self::await_object`], where no single run of a probe decides whether it comes.
    pub fn await_patiently(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        self.await_with(what, self.world.patience(), wanted)
    }

    /// Waits until one of its probes' counters has reached so much.
    pub fn await_counter(&mut self, what: &str, index: u32, least: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.world.patience();
        loop {
            let count = super::bpf::counter(self.pid(), index)?;
            if count >= least as u64 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let _ = self.note_skipped();
                anyhow::bail!("{count} {what} in {:?}, not {least}", self.world.patience());
            }
            self.arrived()?;
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the agent's objects are of that time. Findings on a long clock of their own come
    /// after.
    pub fn await_time(&mut self, ts_ns: u64) -> anyhow::Result<()> {
        let patience = self.world.patience();
        self.await_with("later object", patience, |object| number(object, "/ts_ns") > Some(ts_ns))
            .map(drop)
    }

    fn await_with(
        &mut self,
        what: &str,
        doubt: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let begin = Instant::now();
        let deadline = begin + self.world.patience();
        let mut doubt = begin + doubt;
        let mut seen = 0;
        loop {
            if let Some(object) = self.objects[seen..].iter().find(|object| wanted(object)) {
                return Ok(object.clone());
            }
            seen = self.objects.len();
            if Instant::now() >= doubt {
                doubt = deadline;
                ensure!(
                    !self.note_skipped(),
                    "no {what} in {:?}; {}",
                    begin.elapsed(),
                    self.latest()
                );
            }
            match self.process.next_line(deadline) {
                Ok(Some(line)) => self.take(line)?,
                Ok(None) => {
                    anyhow::bail!("the agent ended before it showed {what}: {}", self.post_mortem())
                }
                Err(_) => {
                    let _ = self.note_skipped();
                    anyhow::bail!("no {what} in {:?}; {}", self.world.patience(), self.latest());
                }
            }
        }
    }

    /// Waits for a `listener` object of that port that satisfies `wanted`.
    pub fn await_listener(
        &mut self,
        port: u16,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        self.await_object(&format!("listener on port {port} with {what}"), |object| {
            listens_on(object, port) && wanted(object)
        })
    }

    /// Waits until that listener has `accepted` so many.
    pub fn await_accepted(&mut self, port: u16, count: u64) -> anyhow::Result<Value> {
        self.await_listener(port, &format!("{count} accepted"), |listener| {
            number(listener, "/accepted").is_some_and(|accepted| accepted >= count)
        })
    }

    /// Waits for a listener object that is made after now, so that everything before is in it.
    pub fn await_refresh(&mut self, port: u16) -> anyhow::Result<Value> {
        let now = super::net::monotonic_ns();
        self.await_listener(port, "fresh figures", move |listener| {
            number(listener, "/ts_ns").unwrap_or(0) > now
        })
    }

    /// Waits for a finding of that kind.
    pub fn await_finding(&mut self, kind: &str) -> anyhow::Result<Value> {
        self.await_object(&format!("finding {kind}"), |object| finds(object, kind))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: c_int) {
        let _ = self.note_skipped();
        self.process.signal(signal);
    }

    /// Lowers its priority, so that everything else runs first.
    pub fn be_nice(&self) -> std::io::Result<()> {
        super::process::be_nice(self.pid())
    }

    /// Returns whether the kernel skipped runs of its probes. An awaited object may then never
    /// come.
    fn note_skipped(&self) -> bool {
        let skipped = super::bpf::skipped_runs(self.pid());
        self.world.note_skipped(skipped);
        skipped > 0
    }

    /// Ends it with SIGINT and checks a clean end: status 0, the summary last, every object by the
    /// contract.
    pub fn stop(self) -> anyhow::Result<Ended> {
        self.signal(libc::SIGINT);
        let ended = self.ended()?;
        ended.check_clean()?;
        Ok(ended)
    }

    /// Waits for its end, whatever the cause.
    pub fn ended(mut self) -> anyhow::Result<Ended> {
        let deadline = Instant::now() + self.world.patience();
        while let Some(line) = self
            .process
            .next_line(deadline)
            .with_context(|| format!("waiting for the agent's end; {}", self.latest()))?
        {
            self.take(line)?;
        }
        let status = self.process.wait(self.world.patience())?;
        let stderr = self.process.finish();
        Ok(Ended { objects: self.objects, status, stderr })
    }

    fn take(&mut self, line: String) -> anyhow::Result<()> {
        match serde_json::from_str(&line) {
            Ok(object @ Value::Object(_)) => self.objects.push(object),
            _ => anyhow::bail!("not a JSON object on the agent's standard output: {line}"),
        }
        Ok(())
    }

    fn latest(&self) -> String {
        let from = self.objects.len().saturating_sub(4);
        let latest: Vec<_> = self.objects[from..].iter().map(Value::to_string).collect();
        format!("{} objects, the latest: {}", self.objects.len(), latest.join(" "))
    }

    fn post_mortem(&mut self) -> String {
        let status = self.process.wait(self.world.patience());
        let stderr = self.process.finish();
        match status {
            Ok(status) => format!("{status}; it said: {stderr}"),
            Err(error) => format!("{error}; it said: {stderr}"),
        }
    }
}

/// Output and exit status of an agent that has ended.
#[derive(Debug)]
pub struct Ended {
    /// All its objects.
    pub objects: Vec<Value>,
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard error.
    pub stderr: String,
}

impl Ended {
    /// Checks status 0, the order of the first and the last object, and every object against the
    /// contract.
    pub fn check_clean(&self) -> anyhow::Result<()> {
        ensure!(self.status.success(), "the agent ended with {}: {}", self.status, self.stderr);
        contract::check_stream(&self.objects)
    }

    /// All objects of a type.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| is(object, kind))
    }

    /// The last `listener` object of that port: its final figures.
    pub fn listener(&self, port: u16) -> anyhow::Result<&Value> {
        self.objects
            .iter()
            .rev()
            .find(|object| listens_on(object, port))
            .with_context(|| format!("no listener object for port {port}"))
    }

    /// Checks that there is no finding of that kind.
    pub fn check_no_finding(&self, kind: &str) -> anyhow::Result<()> {
        match self.objects.iter().find(|object| finds(object, kind)) {
            Some(finding) => anyhow::bail!("an unfounded finding: {finding}"),
            None => Ok(()),
        }
    }

    /// How much was lost of this kind, by the last `lost` object that tells of it.
    pub fn lost(&self, probe: &str) -> u64 {
        let told = self.of("lost").filter(|object| object["probe"] == probe);
        told.filter_map(|object| number(object, "/total")).last().unwrap_or(0)
    }

    /// The last object.
    pub fn summary(&self) -> anyhow::Result<&Value> {
        self.objects
            .last()
            .filter(|object| is(object, "summary"))
            .context("the last object is no summary")
    }
}
