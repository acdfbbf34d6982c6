//! The loop: drain the ring by timer, sample at each refresh, end on time, on a signal, or with the
//! target.

use std::{
    fs::File,
    io, mem,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{
    cli::{Detail, RunArgs},
    commands::{
        front::{Front, Wish},
        run::Run,
        signals::Signals,
    },
    model::{
        Attached, Model, Setup, WallClock,
        event::{ConnectionPart, Event, Sample},
    },
    record::{Entry, Header, Writer},
    sensor::{Sensor, StoppedCommand, now_ns},
};

/// How often the ring buffer is emptied: no record wakes us.
const DRAIN: Duration = Duration::from_millis(20);
/// Default refresh of the screen.
const SCREEN_REFRESH: Duration = Duration::from_millis(500);
/// Default period of the figures in text.
const TEXT_REFRESH: Duration = Duration::from_secs(1);
/// Connections of a sample that make a batch of their own.
const MANY: usize = 1_024;

/// Said from the first time on.
const RESTED: &str = "no connection for 10 s: the tracepoints of accept rest until one comes, since they slow every system \
                      call; of an accept in that moment the descriptor is not known";

/// One run of `watch` or `record`.
pub(super) struct Session {
    sensor: Sensor,
    run: Run,
    attached: Attached,
    command: Option<StoppedCommand>,
    notices: Vec<String>,
    refresh: Duration,
    duration: Option<Duration>,
    ended: Option<ExitStatus>,
    /// What the model was told last: the target's description, and the notices.
    told: (String, Vec<String>),
}

impl Session {
    pub(super) fn new(
        sensor: Sensor,
        front: Front,
        command: Option<StoppedCommand>,
        words: Vec<String>,
        notices: Vec<String>,
        args: &RunArgs,
        recording: Option<(File, WallClock)>,
    ) -> anyhow::Result<Self> {
        let setup = Setup {
            attached_ns: sensor.attached_ns,
            target: words.join(", "),
            tier: sensor.chosen().tier().to_string(),
            detail_events: args.detail == Detail::Events,
            exchanges: args.detail != Detail::Queues,
        };
        let attached = Attached {
            ts_ns: sensor.attached_ns,
            kernel: sensor.preflight.release.clone(),
            tier: setup.tier.clone(),
            hooks: sensor.chosen().hooks(),
            targets: words,
            attach_us: sensor.attach_us,
            gaps: sensor.chosen().gaps(),
        };
        let refresh =
            args.interval.unwrap_or(if front.is_screen() { SCREEN_REFRESH } else { TEXT_REFRESH });
        let recorder = match recording {
            Some((file, clock)) => {
                let written_by = concat!("backscope ", env!("CARGO_PKG_VERSION")).to_owned();
                let (attached, setup) = (attached.clone(), setup.clone());
                Some(Writer::new(file, &Header { written_by, attached, setup, clock, refresh })?)
            }
            None => None,
        };
        Ok(Self {
            sensor,
            told: (setup.target.clone(), Vec::new()),
            run: Run::new(Model::new(setup), front, recorder),
            attached,
            command,
            notices,
            refresh,
            duration: args.duration,
            ended: None,
        })
    }

    /// Runs to the end, and gives the status to exit with.
    pub(super) async fn run(mut self) -> anyhow::Result<ExitCode> {
        let outcome = self.begin_to_end().await;
        // Whatever ended it, the recording is whole.
        let recorded = self.run.end_recording();
        outcome?;
        recorded?;
        Ok(self.ended.map_or(ExitCode::SUCCESS, status_of))
    }

    async fn begin_to_end(&mut self) -> anyhow::Result<()> {
        // Caught before anybody can know that we run: a signal that comes right after `attached`
        // ends us cleanly.
        let signals = Signals::catch()?;
        self.begin_batch()?;
        self.tell()?;
        self.run.front.attached(&self.attached)?;
        self.sample()?;
        self.watch(signals).await?;
        self.finish()
    }

    async fn watch(&mut self, mut signals: Signals) -> anyhow::Result<()> {
        let mut drain = interval(DRAIN);
        drain.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refresh = interval(self.refresh);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        refresh.tick().await;
        let begin = Instant::now();
        let end = self.duration.map(|duration| begin + duration);
        loop {
            tokio::select! {
                _ = drain.tick() => self.drain()?,
                _ = refresh.tick() => {
                    self.sample()?;
                    if self.is_over()? {
                        return Ok(());
                    }
                }
                wish = self.run.front.wish() => if wish? == Wish::Quit {
                    return Ok(());
                },
                () = sleep_until(end.unwrap_or(begin)), if end.is_some() => return Ok(()),
                () = signals.any() => return Ok(()),
            }
        }
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        let (run, mut begun) = (&mut self.run, false);
        self.sensor.drain(|event| {
            if !mem::replace(&mut begun, true) {
                run.take(Entry::Batch(now_ns()))?;
            }
            run.take_event(event)
        })?;
        Ok(run.show()?)
    }

    fn begin_batch(&mut self) -> anyhow::Result<()> {
        self.run.take(Entry::Batch(now_ns()))
    }

    /// Ends a batch: with the records that are there, and with this, which tells of them all.
    fn end_batch(&mut self, event: Event) -> anyhow::Result<()> {
        let run = &mut self.run;
        self.sensor.drain(|event| run.take_event(event))?;
        run.take_event(&event)?;
        Ok(run.show()?)
    }

    /// One refresh.
    fn sample(&mut self) -> anyhow::Result<()> {
        let mut sample = self.sensor.sample();
        self.take_connections(&mut sample)?;
        self.begin_batch()?;
        self.tell()?;
        self.end_batch(Event::Sample(sample))?;
        Ok(self.run.front.refresh(&self.run.model)?)
    }

    /// Completes a sample. The ring is emptied behind the totals' reading, so that they never tell
    /// more than the records; and behind each look at connections, so that these are known. Many
    /// connections come in batches of their own.
    fn take_connections(&mut self, sample: &mut Sample) -> anyhow::Result<()> {
        while self.sensor.scan_on(sample) {
            if sample.connections.len() >= MANY {
                let connections = mem::take(&mut sample.connections);
                self.begin_batch()?;
                self.end_batch(Event::Connections(ConnectionPart {
                    ts_ns: sample.ts_ns,
                    connections,
                }))?;
            } else {
                // It may have found many exchanges that are over.
                self.drain()?;
            }
        }
        Ok(())
    }

    /// What is watched, and what is to be said of the watch itself, if that has changed.
    fn tell(&mut self) -> anyhow::Result<()> {
        let target = self.target();
        let mut notices = self.notices.clone();
        notices.extend(super::without_listener(&self.sensor));
        notices.extend(super::beside(&self.sensor));
        notices.extend(self.sensor.has_rested().then(|| RESTED.to_owned()));
        if self.told.0 != target {
            self.told.0.clone_from(&target);
            self.run.take(Entry::Target(target))?;
        }
        if self.told.1 != notices {
            self.told.1.clone_from(&notices);
            self.run.take(Entry::Notices(notices))?;
        }
        Ok(())
    }

    fn target(&self) -> String {
        let named = self.sensor.named_processes();
        let more = self.sensor.processes().saturating_sub(named);
        let children = match more {
            0 => String::new(),
            1 => " (+1 child)".to_owned(),
            more => format!(" (+{more} children)"),
        };
        self.attached.targets.join(", ") + &children
    }

    /// True once there is nobody left to watch.
    fn is_over(&mut self) -> io::Result<bool> {
        if let Some(command) = &mut self.command {
            self.ended = command.ended()?;
        }
        Ok(self.sensor.all_ended())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        if let Some(command) = &mut self.command
            && self.ended.is_none()
        {
            // What we started ends with us; and since we were told to end, its status is not ours.
            command.signal(Signal::TERM);
            command.wait_for(Duration::from_secs(5))?;
        }
        let mut sample = self.sensor.last_sample();
        self.take_connections(&mut sample)?;
        self.begin_batch()?;
        self.end_batch(Event::Sample(sample))?;
        self.run.take(Entry::Finish(now_ns()))
    }
}

/// A command's own status, as a shell gives it.
fn status_of(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
