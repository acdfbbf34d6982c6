//! Recordings that begin in the middle of a watch.
//!
//! A flight recorder throws away what is old. So that a model understands the rest, it begins with
//! what has to be known of the time before: the connections that are open, and the totals so far,
//! which the reader subtracts from those that follow. The model is told a watch that was attached
//! at that moment.

use std::borrow::Borrow;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::{
    encoder::{Body, Encoder},
    format::RecordEntry,
    writer::WriteError,
};
use crate::{
    bounded::Bounded,
    model::event::{
        Accept, AcceptFails, Census, Cost, CpuState, DatagramFlow, DatagramSample, Event,
        LeftQueue, ListenerSample, Opened, Pause, ProcessWorkload, Recognised, Role, Sample,
        SockId,
    },
    text::{Untrusted, duration_us},
};

/// Open connections that are known at the beginning of a recording, at most. Of further ones the
/// oldest are left out, as a model would.
const MAX_CONNECTIONS: usize = 100_000;
/// Processes whose cgroup, container, pod and unit are known at the beginning of a recording, at
/// most. Of further ones those that were told first are left out.
const MAX_WORKLOADS: usize = 4_096;
/// Signs of a connection's protocol that are kept.
const MAX_SIGNS: usize = 4;

/// The beginning of a recording that does not begin with the watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumption {
    /// The attach, ns of `CLOCK_MONOTONIC`.
    pub attached_ns: u64,
    /// The sample with which the recording begins. Totals that follow count from there.
    pub base: Sample,
}

impl Resumption {
    /// Says that there was something before.
    pub(super) fn notice(&self) -> Untrusted {
        let before_us = self.base.ts_ns.saturating_sub(self.attached_ns) / 1_000;
        let told = format!(
            "this recording begins {} into the watch: what was before was not kept, and totals \
             count from there",
            duration_us(before_us)
        );
        told.into()
    }

    /// Subtracts from a sample's totals what they were at the beginning.
    pub(super) fn rebase(&self, sample: &mut Sample) {
        let base = &self.base;
        sample.seen = sample.seen.saturating_sub(base.seen);
        sample.cost = cost_since(sample.cost, base.cost);
        for (name, total) in &mut sample.lost {
            let before = base.lost.iter().find(|(lost, _)| lost == name);
            *total = total.saturating_sub(before.map_or(0, |(_, before)| *before));
        }
        sample.lost.retain(|(_, total)| *total != 0);
        let listeners: FxHashMap<SockId, &ListenerSample> =
            base.listeners.iter().map(|listener| (listener.sock, listener)).collect();
        for listener in &mut sample.listeners {
            if let Some(before) = listeners.get(&listener.sock) {
                listener_since(listener, before, base.ts_ns);
            }
        }
        for unix in &mut sample.unix {
            let before = base.unix.iter().find(|before| before.sock == unix.sock);
            unix.refused = less(unix.refused, before.and_then(|before| before.refused));
        }
        let sockets: FxHashMap<SockId, &DatagramSample> =
            base.datagrams.iter().map(|socket| (socket.sock, socket)).collect();
        for socket in &mut sample.datagrams {
            if let Some(before) = sockets.get(&socket.sock) {
                datagrams_since(socket, before, base.ts_ns);
            }
        }
    }
}

fn cost_since(now: Cost, before: Cost) -> Cost {
    Cost {
        probe_runs: less(now.probe_runs, before.probe_runs),
        probe_ns: less(now.probe_ns, before.probe_ns),
        agent_cpu_us: now.agent_cpu_us.saturating_sub(before.agent_cpu_us),
        agent_rss_bytes: now.agent_rss_bytes,
    }
}

/// A figure that is not known stays so.
fn less(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(before.unwrap_or(0)))
}

fn listener_since(listener: &mut ListenerSample, before: &ListenerSample, base_ns: u64) {
    listener.since_ns = listener.since_ns.max(base_ns);
    listener.syns = less(listener.syns, before.syns);
    listener.overflow_ack = less(listener.overflow_ack, before.overflow_ack);
    listener.syn_dropped = less(listener.syn_dropped, before.syn_dropped);
    listener.cookies_sent = less(listener.cookies_sent, before.cookies_sent);
    listener.synack_acked = less(listener.synack_acked, before.synack_acked);
    for (now, before) in [
        (&mut listener.queued, before.queued),
        (&mut listener.accepted, before.accepted),
        (&mut listener.overflow_syn, before.overflow_syn),
        (&mut listener.synack_retransmits, before.synack_retransmits),
        (&mut listener.eagain, before.eagain),
        (&mut listener.abandoned, before.abandoned),
    ] {
        *now = now.saturating_sub(before);
    }
    if let Some(fails) = &mut listener.fails {
        let failed: &[AcceptFails] = before.fails.as_deref().unwrap_or_default();
        for fail in &mut *fails {
            if let Some(before) = failed.iter().find(|before| before.errno == fail.errno) {
                fail.count = fail.count.saturating_sub(before.count);
                fail.first_ns = fail.first_ns.max(base_ns);
            }
        }
        fails.retain(|fail| fail.count != 0);
    }
    if let (Some(left), Some(before)) = (&mut listener.left, before.left) {
        *left = LeftQueue {
            closed: left.closed.saturating_sub(before.closed),
            reset: left.reset.saturating_sub(before.reset),
            late: left.late.saturating_sub(before.late),
            late_us: left.late_us.saturating_sub(before.late_us),
            cut: left.cut.saturating_sub(before.cut),
        };
    }
}

fn datagrams_since(socket: &mut DatagramSample, before: &DatagramSample, base_ns: u64) {
    socket.since_ns = socket.since_ns.max(base_ns);
    // What is in the queue was there when it became known.
    socket.arrived = flow_since(socket.arrived, before.arrived);
    socket.read = flow_since(socket.read, before.read);
    socket.written = flow_since(socket.written, before.written);
    socket.drops_before = before.drops;
    socket.at_least = socket.at_least.saturating_sub(before.at_least);
    // A longest wait of before says nothing of the time since.
    if socket.longest_us == before.longest_us {
        socket.longest_us = socket.longest_recent_us;
    }
}

fn flow_since(now: Option<DatagramFlow>, before: Option<DatagramFlow>) -> Option<DatagramFlow> {
    let (now, before) = (now?, before.unwrap_or_default());
    Some(DatagramFlow {
        datagrams: now.datagrams.saturating_sub(before.datagrams),
        bytes: less(now.bytes, before.bytes),
    })
}

/// What a recording that begins now has to know.
#[derive(Debug)]
pub(super) struct Known {
    attached_ns: u64,
    target: Option<Untrusted>,
    notices: Vec<Untrusted>,
    connections: Bounded<SockId, (Opened, Vec<Recognised>)>,
    /// Cgroup, container, pod and unit of the processes that have not ended.
    workloads: Bounded<u32, ProcessWorkload>,
    cpu: Option<CpuState>,
    pause: Option<Pause>,
    /// Connections that a census has found so far, and its beginning.
    census: (u64, FxHashSet<SockId>),
}

impl Known {
    pub(super) fn new(attached_ns: u64) -> Self {
        Self {
            attached_ns,
            target: None,
            notices: Vec::new(),
            connections: Bounded::new(MAX_CONNECTIONS),
            workloads: Bounded::new(MAX_WORKLOADS),
            cpu: None,
            pause: None,
            census: (0, FxHashSet::default()),
        }
    }

    pub(super) fn take<E: Borrow<Event>>(&mut self, entry: &RecordEntry<E>) {
        match entry {
            RecordEntry::Target(target) => self.target = Some(target.clone()),
            RecordEntry::Notices(notices) => self.notices.clone_from(notices),
            RecordEntry::Event(event) => self.take_event(event.borrow()),
            RecordEntry::Batch(_) | RecordEntry::Finish(_) | RecordEntry::Resumed(_) => {}
        }
    }

    fn take_event(&mut self, event: &Event) {
        match event {
            Event::Accept(accept) => self.open(accepted(accept)),
            Event::Opened(opened) => self.open(Opened { preexisting: true, ..opened.clone() }),
            Event::Closed(closed) => {
                self.connections.remove(closed.sock);
            }
            Event::Recognised(recognised) => {
                if let Some((_, signs)) = self.connections.get_mut(recognised.sock)
                    && signs.len() < MAX_SIGNS
                {
                    signs.push(recognised.clone());
                }
            }
            Event::Cpu(state) if state.refresh.is_some() => self.cpu = Some(state.clone()),
            Event::Pause(pause) => self.pause = Some(*pause).filter(|pause| pause.begins),
            Event::Census(census) => self.count(census),
            Event::Workload(process) => {
                self.workloads.insert(process.pid, process.clone());
            }
            Event::Process(process) if process.change.is_end() => {
                self.workloads.remove(process.pid);
            }
            _ => {}
        }
    }

    fn open(&mut self, opened: Opened) {
        self.connections.insert(opened.sock, (opened, Vec::new()));
    }

    /// What ended unseen is forgotten.
    fn count(&mut self, census: &Census) {
        if self.census.0 != census.since_ns {
            self.census = (census.since_ns, FxHashSet::default());
        }
        self.census.1.extend(&census.socks);
        if census.complete {
            let (since_ns, present) = std::mem::take(&mut self.census);
            self.connections
                .retain(|(opened, _)| opened.ts_ns >= since_ns || present.contains(&opened.sock));
        }
    }

    /// Returns the beginning of a recording that begins with this sample.
    ///
    /// # Errors
    /// It cannot be serialised.
    pub(super) fn beginning(&self, sample: &Sample) -> Result<Vec<Body>, WriteError> {
        let resumption = Resumption {
            attached_ns: self.attached_ns,
            base: Sample {
                in_accept: Vec::new(),
                connections: Vec::new(),
                threads: Vec::new(),
                waiting: Vec::new(),
                ..sample.clone()
            },
        };
        let mut entries = Entries::default();
        entries.write(RecordEntry::Resumed(Box::new(resumption)))?;
        entries.write(RecordEntry::Batch(sample.ts_ns))?;
        if let Some(target) = &self.target {
            entries.write(RecordEntry::Target(target.clone()))?;
        }
        entries.write(RecordEntry::Notices(self.notices.clone()))?;
        if let Some(pause) = self.pause {
            entries.write(RecordEntry::Event(Event::Pause(pause)))?;
        }
        if let Some(cpu) = &self.cpu {
            entries.write(RecordEntry::Event(Event::Cpu(cpu.clone())))?;
        }
        let mut workloads: Vec<_> = self.workloads.values().collect();
        workloads.sort_by_key(|process| (process.ts_ns, process.pid));
        for process in workloads {
            entries.write(RecordEntry::Event(Event::Workload(process.clone())))?;
        }
        let mut open: Vec<_> = self.connections.values().collect();
        open.sort_by_key(|(opened, _)| (opened.ts_ns, opened.sock));
        for (opened, signs) in open {
            entries.write(RecordEntry::Event(Event::Opened(opened.clone())))?;
            for sign in signs {
                entries.write(RecordEntry::Event(Event::Recognised(sign.clone())))?;
            }
        }
        entries.write(RecordEntry::Event(Event::Sample(sample.clone())))?;
        entries.end()
    }
}

/// Chunks of entries.
#[derive(Default)]
struct Entries {
    encoder: Encoder,
    bodies: Vec<Body>,
}

impl Entries {
    fn write(&mut self, entry: RecordEntry) -> Result<(), WriteError> {
        self.bodies.extend(self.encoder.write(&entry)?);
        Ok(())
    }

    fn end(mut self) -> Result<Vec<Body>, WriteError> {
        self.bodies.extend(self.encoder.flush()?);
        Ok(self.bodies)
    }
}

/// An accepted connection as one that is there already.
fn accepted(accept: &Accept) -> Opened {
    Opened {
        ts_ns: accept.ts_ns,
        sock: accept.sock,
        role: Role::Server,
        listener: Some(accept.listener),
        local: accept.local,
        peer: accept.peer,
        pid: accept.pid,
        comm: accept.comm.clone(),
        handshake_us: accept.handshake_us,
        preexisting: true,
        asked_ns: None,
        syns_again: 0,
    }
}
