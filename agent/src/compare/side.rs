//! What is measured of one recording.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    mem,
};

use super::{
    About, ListenerRow,
    stretches::{Counted, Stretch, Stretches},
};
use crate::{
    digest::Digest,
    model::{
        event::{Cost, Ending, Event, SockId},
        output::{ConnectionOutput, ExchangeOutput, ListenerOutput, Output},
        snapshot::Totals,
    },
    record::{Header, Reader, RecordEntry},
    run::{PlayError, Visitor, play},
    text::Untrusted,
};

/// Listeners whose refusals are counted stretch by stretch; as many as the digest has.
const MAX_LISTENERS: usize = 1_024;

/// What is measured of one recording.
#[derive(Clone, Debug)]
pub struct Side {
    pub(super) header: Header,
    /// Findings, listeners, totals.
    pub(super) digest: Digest,
    pub(super) stretches: Stretches,
    pub(super) end_ns: u64,
    open: Open,
}

/// The stretch that is not over, and what it is measured from.
#[derive(Clone, Debug, Default)]
struct Open {
    stretch: Stretch,
    begun_ns: u64,
    /// A pause is on since then, or since the beginning of the stretch.
    paused_since_ns: Option<u64>,
    paused_ns: u64,
    cost: Option<Cost>,
    /// A sample at this time ends the stretch, once what the model reports on it is counted.
    sampled: Option<(u64, Cost)>,
    totals: BTreeMap<SockId, Totals>,
}

impl Side {
    /// Measures a recording. One that was cut off is measured to its last whole chunk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of<R: Read>(reader: &mut Reader<R>) -> Result<Self, PlayError> {
        let header = reader.header().clone();
        let begun_ns = header.setup.attached_ns;
        let mut side = Self {
            digest: Digest::new(header.attached.clone(), header.clock, 0),
            header,
            stretches: Stretches::default(),
            end_ns: begun_ns,
            open: Open { begun_ns, ..Open::default() },
        };
        side.end_ns = play(reader, &mut side)?;
        let end_ns = side.end_ns;
        side.close_sampled();
        side.close_stretch(end_ns, None);
        side.stretches.finish();
        side.digest.damages = (reader.damages().to_vec(), reader.damage_count());
        Ok(side)
    }

    /// Duration, ns.
    pub(super) fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.header.setup.attached_ns)
    }

    /// Time in which exchanges were not watched, ns.
    pub(super) fn paused_ns(&self) -> u64 {
        let whole = self.stretches.whole();
        whole.length_ns.saturating_sub(whole.watched_ns)
    }

    pub(super) fn about(&self) -> About {
        let attached = &self.header.attached;
        About {
            written_by: self.header.written_by.clone(),
            targets: attached.targets.clone(),
            kernel: attached.kernel.clone(),
            tier: attached.tier.clone(),
            exchanges: self.header.setup.exchanges,
            begun: self.header.clock.rfc3339(self.header.setup.attached_ns),
            duration_us: self.duration_ns() / 1_000,
            paused_us: self.paused_ns() / 1_000,
            lost: self.digest.lost.values().sum(),
            damages: self.digest.damages.1,
        }
    }

    /// Ends the stretch if a sample has.
    fn close_sampled(&mut self) {
        if let Some((ts_ns, cost)) = self.open.sampled.take() {
            self.close_stretch(ts_ns, Some(cost));
        }
    }

    /// A sample was taken, or the recording is over.
    fn close_stretch(&mut self, now_ns: u64, cost: Option<Cost>) {
        let open = &mut self.open;
        let length_ns = now_ns.saturating_sub(open.begun_ns);
        let mut stretch = mem::take(&mut open.stretch);
        if length_ns == 0 {
            open.stretch = stretch;
            return;
        }
        if let Some(since_ns) = open.paused_since_ns {
            open.paused_ns += now_ns.saturating_sub(since_ns);
            open.paused_since_ns = Some(now_ns);
        }
        stretch.length_ns = length_ns;
        stretch.watched_ns = length_ns.saturating_sub(mem::take(&mut open.paused_ns));
        stretch.cost_ns = match (open.cost, cost) {
            (Some(before), Some(now)) => Some(cost_between(&before, &now)),
            _ => None,
        };
        (open.begun_ns, open.cost) = (now_ns, cost.or(open.cost));
        self.stretches.push(&stretch);
    }

    fn listener(&mut self, output: &ListenerOutput) {
        let open = &mut self.open;
        let now = output.view.totals;
        if open.totals.len() >= MAX_LISTENERS && !open.totals.contains_key(&output.view.sock) {
            return;
        }
        let before = open.totals.insert(output.view.sock, now).unwrap_or_default();
        let since = |now: u64, before: u64| now.saturating_sub(before);
        open.stretch.add(Counted::Accepts, since(now.accepted, before.accepted));
        open.stretch.add(Counted::Refusals, since(now.overflows(), before.overflows()));
        open.stretch.add(Counted::Abandoned, since(now.abandoned, before.abandoned));
    }

    fn exchange(&mut self, output: &ExchangeOutput) {
        let view = &output.view;
        let slices = view.slices.iter().map(|slice| (slice.kind, slice.us));
        self.open.stretch.exchange(view.total_us, slices);
        self.open.stretch.add(Counted::Unanswered, view.unanswered.into());
    }

    fn connection(&mut self, output: &ConnectionOutput) {
        let view = &output.view;
        let is_abrupt = matches!(view.ended, Some((_, Ending::Reset | Ending::Timeout)));
        let is_reset = is_abrupt || view.end.reset_by.is_some();
        self.open.stretch.add(Counted::Resets, is_reset.into());
        self.open.stretch.add(Counted::Retransmits, view.retransmits);
    }
}

/// Returns the processor time of a watch between two samples, ns.
fn cost_between(before: &Cost, now: &Cost) -> u64 {
    let agent_ns = now.agent_cpu_us.saturating_sub(before.agent_cpu_us).saturating_mul(1_000);
    let probes_ns = match (before.probe_ns, now.probe_ns) {
        (Some(before), Some(now)) => now.saturating_sub(before),
        _ => 0,
    };
    agent_ns.saturating_add(probes_ns)
}

impl Visitor for Side {
    fn entry(&mut self, entry: &RecordEntry) -> io::Result<()> {
        self.close_sampled();
        match entry {
            RecordEntry::Event(Event::Sample(sample)) => {
                self.open.sampled = Some((sample.ts_ns, sample.cost));
            }
            RecordEntry::Event(Event::Pause(pause)) => {
                let open = &mut self.open;
                match (pause.begins, open.paused_since_ns) {
                    (true, None) => open.paused_since_ns = Some(pause.ts_ns),
                    (false, Some(since_ns)) => {
                        open.paused_ns += pause.ts_ns.saturating_sub(since_ns);
                        open.paused_since_ns = None;
                    }
                    // Told twice.
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn outputs(&mut self, outputs: &[Output]) -> io::Result<()> {
        for output in outputs {
            match output {
                Output::Listener(listener) => self.listener(listener),
                Output::Exchange(exchange) => self.exchange(exchange),
                Output::Connection(connection) => self.connection(connection),
                Output::Accept(accept) => {
                    if let Some(us) = accept.queued_us() {
                        self.open.stretch.accept_wait(us);
                    }
                }
                Output::Connect(_) => self.open.stretch.add(Counted::FailedConnects, 1),
                _ => {}
            }
        }
        self.digest.take_all(outputs);
        Ok(())
    }
}

/// Returns the listeners of both, by their addresses.
pub(super) fn listeners(before: &Side, after: &Side) -> Vec<ListenerRow> {
    let mut rows: BTreeMap<String, ListenerRow> = BTreeMap::new();
    for (side, is_after) in [(before, false), (after, true)] {
        for story in side.digest.listeners.stories().values() {
            let local = story.last.local.to_string();
            let row = rows.entry(local.clone()).or_insert_with(|| ListenerRow {
                local,
                before: None,
                after: None,
            });
            let state = if is_after { &mut row.after } else { &mut row.before };
            // Shards of one address are told as one.
            let state = state.get_or_insert_default();
            let points = story.points.points();
            state.limit = state.limit.max(story.last.limit);
            state.peak = state.peak.max(points.iter().map(|point| point.peak).max().unwrap_or(0));
            state.accepted += story.last.totals.accepted;
            state.overflows += story.last.totals.overflows();
        }
    }
    rows.into_values().collect()
}

/// Returns a subject without the number of a process, which is another one each time.
pub(super) fn without_pid(subject: &Untrusted) -> String {
    let shown = subject.for_terminal().to_string();
    match shown.rsplit_once(' ') {
        Some((name, pid)) if pid.parse::<u32>().is_ok() => name.to_owned(),
        _ => shown,
    }
}
