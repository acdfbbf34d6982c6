//! What has happened: the ring buffer's records, as events in their order.

use std::mem;

use super::{
    Sensor,
    attach::Loaded,
    clock::now_ns,
    decode::{self, Decoded},
    sample::{WAITED_NS, note_pending_accepts},
};
use crate::{
    model::event::{Event, Exchange, ProcessChange, ThreadUse},
    privileges,
};

impl Sensor {
    /// Records that were taken from the ring buffer. It begins anew from time to time.
    pub fn records(&self) -> usize {
        self.drained
    }

    /// Shows the events of the ring buffer's records, one by one: thousands of events at once would
    /// not stay in a cache, and an event is too large to be moved about.
    ///
    /// Returns at the first record that was written after the call: where records come faster than
    /// they are taken, the buffer is never empty, and the caller has more to do.
    ///
    /// # Errors
    /// The first of `take`. The event that it was given is gone.
    pub fn drain<E>(&mut self, mut take: impl FnMut(&Event) -> Result<(), E>) -> Result<(), E> {
        self.cost.stop_in_time(&self.loaded.programs);
        let Loaded { syscalls, states, .. } = &mut self.loaded;
        if self.accept_hooks.resume_if_wanted(&mut self.maps, syscalls, states) {
            note_pending_accepts(self.sampler.descriptors(), &mut self.maps);
        }
        if let Some(probe_log) = &mut self.probe_log {
            probe_log.print();
        }
        // Before the records, of which none is younger.
        if let Some(state) = self.quotas.look(now_ns()) {
            take(&Event::Cpu(state))?;
        }
        if let Some(part) = self.connections.next_part() {
            take(&part)?;
        }
        for event in mem::take(&mut self.found) {
            if let Event::Exchange(exchange) = &event {
                self.threads.count(exchange);
            }
            take(&event)?;
        }
        let begun_ns = now_ns();
        loop {
            let Some(record) = self.ring.next() else { break };
            self.drained += 1;
            match decode::decode(&record, self.context, &mut self.newest) {
                Some(Decoded::Event) => {
                    // The event has all of the record, whose room in the ring is free now.
                    drop(record);
                    self.note_event(&mut take)?;
                    take(self.newest.event())?;
                    if self.newest.event().is_younger(begun_ns) {
                        break;
                    }
                }
                Some(Decoded::FirstBytes) => {
                    let mut is_last = false;
                    for event in self.first.take(&record, &mut self.places) {
                        is_last |= event.is_younger(begun_ns);
                        take(&event)?;
                    }
                    if is_last {
                        break;
                    }
                }
                Some(Decoded::Adopt(pid)) => {
                    self.adopt.insert(pid);
                }
                None => {}
            }
        }
        for pid in mem::take(&mut self.adopt) {
            self.sampler.scan_process(&self.loaded.scan, pid);
        }
        Ok(())
    }

    /// Takes note of the newest event, and completes it, before it is shown.
    fn note_event<E>(&mut self, take: &mut impl FnMut(&Event) -> Result<(), E>) -> Result<(), E> {
        let mut met = None;
        let untold = self.newest.untold;
        match self.newest.event_mut() {
            Event::Accept(accept) => {
                if let Some(untold) = untold {
                    accept.stands_for = self.untold.stands_for(accept.listener, untold);
                }
                self.threads.accepted(accept);
                met = self.workloads.met(accept.pid);
            }
            Event::Exchange(exchange) => {
                self.threads.count(exchange);
                if let Some(pid) = waited(exchange) {
                    for state in self.quotas.waited(now_ns(), pid) {
                        take(&Event::Cpu(state))?;
                    }
                }
            }
            Event::Closed(closed) => {
                self.connections.forget(closed.sock);
                self.first.forget(closed.sock);
            }
            Event::Connect(connect) => {
                self.networks.complete(connect);
                met = self.workloads.met(connect.pid);
            }
            Event::Opened(opened) => met = self.workloads.met(opened.pid),
            Event::Process(process) => {
                let pid = process.pid;
                self.ends.note(process, &self.targets);
                // It may be another's program now.
                if self.targets.traceable_only && !privileges::may_trace(pid) {
                    self.maps.forget_target(pid);
                } else if let ProcessChange::Forked { parent } = process.change {
                    met = self.workloads.forked(pid, parent);
                }
            }
            _ => {}
        }
        match met {
            Some(met) => take(&Event::Workload(met)),
            None => Ok(()),
        }
    }
}

/// The process of an exchange whose thread was long without a processor.
fn waited(exchange: &Exchange) -> Option<u32> {
    let mut paused_ns = 0;
    let mut writer: Option<ThreadUse> = None;
    if let Some(outbound) = &exchange.outbound {
        writer = outbound.writer;
        if let Some(pauses) = &outbound.pauses {
            paused_ns = pauses.run_delay_ns;
        }
    }
    if let Some(writer) = writer
        && writer.run_delay_ns.max(paused_ns) >= WAITED_NS
    {
        return Some(writer.pid);
    }
    let reader = exchange.inbound.as_ref()?.reader?;
    if reader.run_delay_ns.max(paused_ns) >= WAITED_NS { Some(reader.pid) } else { None }
}
