//! A run that a sensor feeds: the ring buffer drained by timer, samples at each refresh.

use std::{collections::BTreeMap, io, mem, time::Duration};

use super::{Consumer, Run};
use crate::{
    model::{
        Attached, Setup, WallClock,
        event::{Closing, ConnectionPart, Event, Sample},
    },
    record::{Header, RecordEntry},
    sensor::{Sensor, now_ns},
    text::Untrusted,
};

/// Time between two looks at the ring buffer: no record wakes us.
pub(crate) const DRAIN: Duration = Duration::from_millis(20);
/// Connections of a sample that make a batch of their own.
const MANY: usize = 1_024;

/// A sensor and the run that it feeds.
///
/// [`Live::drain`] comes every [`DRAIN`]. A refresh takes a sample from the sensor, completes it
/// ([`Live::take_connections`]), ends a batch with it ([`Live::begin_batch`], [`Live::end_batch`]),
/// and shows the state ([`Live::refresh`]).
pub(crate) struct Live<C> {
    pub(crate) sensor: Sensor,
    pub(crate) run: Run<C>,
}

impl<C: Consumer> Live<C> {
    /// Takes what the ring buffer holds, as a batch.
    pub(crate) fn drain(&mut self) -> anyhow::Result<()> {
        let (run, mut begun) = (&mut self.run, false);
        self.sensor.drain(|event| {
            if !mem::replace(&mut begun, true) {
                run.take(RecordEntry::Batch(now_ns()))?;
            }
            run.take_event(event)
        })?;
        run.show()
    }

    pub(crate) fn begin_batch(&mut self) -> anyhow::Result<()> {
        self.run.take(RecordEntry::Batch(now_ns()))
    }

    /// Ends a batch: with the records that are there, and with this, which tells of them all.
    pub(crate) fn end_batch(&mut self, event: &Event) -> anyhow::Result<()> {
        let run = &mut self.run;
        self.sensor.drain(|event| run.take_event(event))?;
        run.take_event(event)?;
        run.show()
    }

    /// Shows the state after a sample.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        self.run.consumer.refresh(&self.run.model)
    }

    /// Completes a sample. The ring is emptied behind the totals' reading, so that they never tell
    /// more than the records; and behind each look at connections, so that these are known. Many
    /// connections come in batches of their own.
    pub(crate) fn take_connections(&mut self, sample: &mut Sample) -> anyhow::Result<()> {
        self.sensor.thin(self.run.may_be_thinned());
        if self.sensor.has_turned() {
            self.drain()?;
        }
        while self.sensor.scan_on(sample) {
            if sample.connections.len() >= MANY {
                let connections = mem::take(&mut sample.connections);
                let part = ConnectionPart { ts_ns: sample.ts_ns, connections };
                self.begin_batch()?;
                self.end_batch(&Event::Connections(part))?;
            } else {
                // It may have found many exchanges that are over.
                self.drain()?;
            }
        }
        // To find them the kernel walks its table of all connections, which takes milliseconds on a
        // host with much memory.
        if sample.connections_open > 0 {
            self.take_closing(sample.ts_ns)?;
        }
        Ok(())
    }

    /// Takes the states of connections that this host has closed. The kernel lists those of all
    /// processes; only those that are watched go further.
    fn take_closing(&mut self, ts_ns: u64) -> anyhow::Result<()> {
        let mut sockets = self.sensor.closing();
        sockets.retain(|one| self.run.model.knows(one.sock));
        if sockets.is_empty() {
            return Ok(());
        }
        self.begin_batch()?;
        self.end_batch(&Event::Closing(Closing { ts_ns, sockets }))
    }
}

/// Returns what the model and the front-ends are told first of a watch with this sensor.
pub(crate) fn setup(
    sensor: &Sensor,
    targets: Vec<Untrusted>,
    detail_events: bool,
    exchanges: bool,
) -> (Setup, Attached) {
    let setup = Setup {
        attached_ns: sensor.attached_ns,
        target: Untrusted::join(&targets, ", "),
        tier: sensor.chosen().tier().to_string().into(),
        detail_events,
        exchanges,
    };
    let mut hooks = BTreeMap::new();
    for (signal, hook) in sensor.chosen().hooks() {
        hooks.insert(signal.into(), hook.map(Untrusted::from));
    }
    let attached = Attached {
        ts_ns: sensor.attached_ns,
        kernel: sensor.preflight.release.clone().into(),
        tier: setup.tier.clone(),
        hooks,
        targets,
        attach_us: sensor.attach_us,
        gaps: sensor.chosen().gaps().into_iter().map(Untrusted::from).collect(),
        sandbox: sensor.sandbox.clone(),
    };
    (setup, attached)
}

/// Returns the header of a recording.
pub(crate) fn header(
    setup: Setup,
    attached: Attached,
    clock: WallClock,
    refresh: Duration,
) -> Header {
    let written_by = concat!("backscope ", env!("CARGO_PKG_VERSION")).into();
    Header { written_by, attached, setup, clock, refresh }
}
