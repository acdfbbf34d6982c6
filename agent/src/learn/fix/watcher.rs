//! The thread that watches an exercise: its sensor, and the findings of its model.

use std::{
    collections::HashSet,
    io,
    sync::mpsc::{Receiver, Sender, TryRecvError},
    thread,
    time::{Duration, Instant},
};

use super::second::FoundNow;
use crate::{
    model::{
        Model,
        event::Event,
        output::{Interest, Output},
        snapshot::Snapshot,
    },
    privileges::sandbox::{self, Needs},
    run::{self, Consumer, DRAIN, Live, Run},
    sensor::{
        Options, Sensor, Targets,
        targets::{network_of, own_network},
    },
    text::Untrusted,
};

/// Time between two looks at the kernel's figures.
const REFRESH: Duration = Duration::from_millis(250);
/// Words for what is watched.
const TARGET: &str = "an exercise's server";

/// State after a refresh.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) findings: Vec<FoundNow>,
    /// The process that listens on the port, in this network namespace.
    pub(super) server: Option<u32>,
    /// Exchanges that have ended so far.
    pub(super) exchanges: u64,
}

/// Attaches a sensor to the port, then tells of each refresh until nobody listens any more. The
/// calling thread must be in the exercise's network namespace, and gives up its rights.
///
/// # Errors
/// The sensor cannot watch.
pub(super) fn watch(
    port: u16,
    attached: &Sender<()>,
    states: &Sender<State>,
    end: &Receiver<()>,
) -> anyhow::Result<()> {
    let mut sensor = Sensor::attach(&Options {
        targets: Targets { ports: vec![port], follow: true, ..Targets::default() },
        exchanges: true,
        ..Options::default()
    })?;
    let needs = Needs::of_watch(sensor.needed(), sensor.attaches_again());
    sensor.sandbox = Some(sandbox::enter(needs)?);
    let (setup, _) = run::setup(&sensor, vec![TARGET.into()], false, true);
    let mut live = Live { sensor, run: Run::new(Model::new(setup), Deaf, None) };
    let mut ours = Ours { network: own_network(), pids: HashSet::new() };
    let mut sampled = Instant::now();
    sample(&mut live)?;
    // Nobody to hear of it is the end, too.
    let mut goes_on = attached.send(()).is_ok();
    while goes_on {
        thread::sleep(DRAIN);
        if sampled.elapsed() >= REFRESH {
            sampled = Instant::now();
            sample(&mut live)?;
            let state = ours.state(&live.run.model.brief(), port);
            goes_on = states.send(state).is_ok();
        } else {
            live.drain()?;
        }
        goes_on &= matches!(end.try_recv(), Err(TryRecvError::Empty));
    }
    // The kernel takes its time to detach, and nobody has to wait for it.
    thread::spawn(move || drop(live));
    Ok(())
}

/// Hears nothing: all that counts is the state after a refresh.
struct Deaf;

impl Consumer for Deaf {
    fn interest(&self) -> Interest {
        Interest { exchanges_from_us: u64::MAX, each: true, connections: false }
    }

    fn notices(&mut self, _: &[Untrusted]) {}

    fn report(&mut self, outputs: &mut Vec<Output>, _: &Model) -> io::Result<()> {
        run::clear(outputs);
        Ok(())
    }

    fn refresh(&mut self, _: &Model) -> io::Result<()> {
        Ok(())
    }

    fn before_summary(&mut self, _: &Model) -> io::Result<()> {
        Ok(())
    }
}

fn sample(live: &mut Live<Deaf>) -> anyhow::Result<()> {
    let mut sample = live.sensor.last_sample();
    live.take_connections(&mut sample)?;
    live.begin_batch()?;
    live.end_batch(&Event::Sample(sample))?;
    Ok(live.refresh()?)
}

/// The processes of the exercise. The port may be another's in another network namespace: only what
/// is in ours counts.
struct Ours {
    network: Option<u32>,
    /// Those that were seen in it. A finding may outlive its process.
    pids: HashSet<u32>,
}

/// Processes that are kept.
const MOST: usize = 4_096;

impl Ours {
    fn has(&mut self, pid: u32) -> bool {
        if self.network.is_some() && network_of(pid) == self.network {
            if self.pids.len() >= MOST {
                self.pids.clear();
            }
            self.pids.insert(pid);
        }
        self.pids.contains(&pid)
    }

    fn state(&mut self, snapshot: &Snapshot, port: u16) -> State {
        let mut server = None;
        for listener in &snapshot.listeners {
            if !listener.closed && listener.local.port() == port && self.has(listener.pid) {
                server = server.or(Some(listener.pid));
            }
        }
        let mut findings = Vec::new();
        for one in &snapshot.findings {
            if one.pid.is_none_or(|pid| self.has(pid)) {
                findings.push(FoundNow {
                    kind: one.kind,
                    severity: one.severity,
                    owner: one.owner,
                    headline: one.headline.clone(),
                    fix: one.fix.clone(),
                });
            }
        }
        State { findings, server, exchanges: snapshot.times.exchanges }
    }
}
