//! Counts the instructions that watching costs: in a virtual machine whose clock advances by one
//! nanosecond an instruction.
//!
//! Client, server, kernel and agent share its one processor, so the time that passes is the sum of
//! what all of them did.

use std::ffi::c_int;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::harness::{Process, Tier, World};

/// First requests, which are not measured.
const WARM_UP: u32 = 200;

/// The connections over which requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    KeepAlive,
    ConnectionEach,
}

/// One measurement: a load, with or without a watch.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    load: Load,
    /// Tier and detail of the watch beside it, if there is one.
    watch: Option<(Tier, &'static str)>,
}

/// Returns all measurements. The first of each load is without a watch, for comparison.
pub fn all() -> Vec<Measurement> {
    let watches = [Tier::Full, Tier::Tracepoint].into_iter().flat_map(|tier| {
        let details = ["queues", "exchanges"];
        details.map(|detail| Some((tier, detail)))
    });
    let beside: Vec<_> = std::iter::once(None).chain(watches).collect();
    let of = |load| beside.iter().map(move |watch| Measurement { load, watch: *watch });
    [Load::KeepAlive, Load::ConnectionEach].into_iter().flat_map(of).collect()
}

/// Instructions for a request.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Instructions of all programs and the kernel.
    pub all: f64,
    /// Of these, those of the agent, and of the kernel on its behalf.
    pub agent: f64,
}

impl Measurement {
    /// `keep-alive`, or `keep-alive/full/queues`.
    pub fn name(&self) -> String {
        let load = match self.load {
            Load::KeepAlive => "keep-alive",
            Load::ConnectionEach => "connection-each",
        };
        match self.watch {
            Some((tier, detail)) => format!("{load}/{}/{detail}", tier.name()),
            None => load.to_owned(),
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// The server or the agent did not do what it should; or the kernel does not have the tier.
    pub fn take(&self, world: &World) -> anyhow::Result<Cost> {
        let server = world.demo(&["serve", "--epoll"])?;
        let agent = match self.watch {
            Some((tier, detail)) => Some(agent(world, server.pid(), tier, detail)?),
            None => None,
        };
        let requests = match self.load {
            Load::KeepAlive => 40_000,
            Load::ConnectionEach => 8_000,
        };
        self.ask(server.addr, WARM_UP)?;
        let own = || agent.as_ref().map_or(Ok(Duration::ZERO), |agent| cpu_time(agent.pid()));
        let (begin, before) = (Instant::now(), own()?);
        self.ask(server.addr, requests)?;
        let (all, agents) = (begin.elapsed(), own()?.saturating_sub(before));
        let each = |time: Duration| time.as_nanos() as f64 / f64::from(requests);
        Ok(Cost { all: each(all), agent: each(agents) })
    }

    fn ask(&self, server: SocketAddr, requests: u32) -> anyhow::Result<()> {
        let mut client = TcpStream::connect(server)?;
        for _ in 0..requests {
            if self.load == Load::ConnectionEach {
                client = TcpStream::connect(server)?;
            }
            client.write_all(b"ask\n")?;
            client.read_exact(&mut [0; 200]).context("no answer")?;
        }
        Ok(())
    }
}

/// A watch that has attached.
fn agent(world: &World, pid: u32, tier: Tier, detail: &str) -> anyhow::Result<Process> {
    let target = pid.to_string();
    let args = ["watch", "--plain", "--tier", tier.name(), "--detail", detail, "--pid", &target];
    let agent = Process::start(world.agent_command(&args))?;
    let attached = agent.next_line(Instant::now() + world.patience())?;
    ensure!(attached.is_some(), "the watch ended before it attached: no such tier here?");
    Ok(agent)
}

/// Returns the processor time of a process so far.
fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers are to variables of ours.
    let status: c_int = unsafe {
        match libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) {
            0 => libc::clock_gettime(clock, &raw mut time),
            error => error,
        }
    };
    ensure!(status == 0, "the agent has ended");
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}
