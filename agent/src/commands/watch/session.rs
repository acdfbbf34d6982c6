//! The loop: drain the ring by timer, sample at each refresh, end on time, on a signal, or with the target.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;
use tokio::{
    signal::unix::{Signal as Caught, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::front::{Front, Wish};
use crate::{
    cli::{Detail, OutputArgs},
    model::{Model, Setup, event::Event, output::Output},
    report::Attached,
    sensor::{Sensor, StoppedCommand, now_ns},
};

/// How often the ring buffer is emptied: no record wakes us.
const DRAIN: Duration = Duration::from_millis(20);
/// Default refresh of the screen.
const SCREEN_REFRESH: Duration = Duration::from_millis(500);
/// Default period of the figures in text.
const TEXT_REFRESH: Duration = Duration::from_secs(1);

/// One run of `watch`.
pub(super) struct Session {
    sensor: Sensor,
    model: Model,
    front: Front,
    command: Option<StoppedCommand>,
    words: Vec<String>,
    notices: Vec<String>,
    refresh: Duration,
    duration: Option<Duration>,
    events: Vec<Event>,
    outputs: Vec<Output>,
    ended: Option<ExitStatus>,
}

impl Session {
    pub(super) fn new(
        sensor: Sensor,
        front: Front,
        command: Option<StoppedCommand>,
        words: Vec<String>,
        notices: Vec<String>,
        output: &OutputArgs,
    ) -> Self {
        let default = if front.is_screen() { SCREEN_REFRESH } else { TEXT_REFRESH };
        let model = Model::new(Setup {
            attached_ns: sensor.attached_ns,
            target: words.join(", "),
            tier: sensor.chosen().tier().to_string(),
            detail_events: output.detail == Detail::Events,
        });
        Self {
            sensor,
            model,
            front,
            command,
            words,
            notices,
            refresh: output.interval.unwrap_or(default),
            duration: output.duration,
            events: Vec::new(),
            outputs: Vec::new(),
            ended: None,
        }
    }

    /// Runs to the end, and gives the status to exit with.
    pub(super) async fn run(mut self) -> anyhow::Result<ExitCode> {
        let attached = Attached {
            ts_ns: self.sensor.attached_ns,
            kernel: self.sensor.preflight.release.clone(),
            tier: self.sensor.chosen().tier().to_string(),
            hooks: self.sensor.chosen().hooks(),
            targets: self.words.clone(),
            attach_us: self.sensor.attach_us,
            gaps: self.sensor.chosen().gaps(),
        };
        // Caught before anybody can know that we run: a signal that comes right after `attached` ends us cleanly.
        let signals = Signals::catch()?;
        self.tell();
        self.front.attached(&attached)?;
        self.sample()?;
        self.watch(signals).await?;
        self.finish()?;
        Ok(self.ended.map_or(ExitCode::SUCCESS, status_of))
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
                wish = self.front.wish() => if wish? == Wish::Quit {
                    return Ok(());
                },
                () = sleep_until(end.unwrap_or(begin)), if end.is_some() => return Ok(()),
                () = signals.any() => return Ok(()),
            }
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        self.sensor.drain(&mut self.events);
        self.apply()
    }

    fn apply(&mut self) -> io::Result<()> {
        for event in self.events.drain(..) {
            if std::env::var_os("DBGE").is_some() {
                match &event {
                    Event::Exchange(_) | Event::Opened(_) | Event::Closed(_) | Event::Accept(_) => {
                        eprintln!("{event:?}")
                    }
                    Event::Sample(s) => {
                        for c in &s.connections {
                            eprintln!("{c:?}");
                        }
                    }
                    _ => {}
                }
            }
            self.model.apply(&event, &mut self.outputs);
        }
        self.front.report(&self.outputs, &self.model)?;
        self.outputs.clear();
        Ok(())
    }

    /// One refresh. The ring is emptied behind the totals' reading, so that they never tell more than the records.
    fn sample(&mut self) -> io::Result<()> {
        let sample = self.sensor.sample();
        self.sensor.drain(&mut self.events);
        self.events.push(Event::Sample(sample));
        self.model.set_target(self.target());
        self.tell();
        self.apply()?;
        self.front.refresh(&self.model)
    }

    /// What is to be said of the watch itself.
    fn tell(&mut self) {
        let mut notices = self.notices.clone();
        notices.extend(super::without_listener(&self.sensor));
        self.front.notices(&notices);
        self.model.set_notices(notices);
    }

    fn target(&self) -> String {
        let named = self.sensor.named_processes();
        let more = self.sensor.processes().saturating_sub(named);
        let children = match more {
            0 => String::new(),
            1 => " (+1 child)".to_owned(),
            more => format!(" (+{more} children)"),
        };
        self.words.join(", ") + &children
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
        let sample = self.sensor.last_sample();
        self.sensor.drain(&mut self.events);
        self.events.push(Event::Sample(sample));
        self.apply()?;
        self.model.finish(now_ns(), &mut self.outputs);
        // The last sample has just reported every listener.
        self.outputs.retain(|output| !matches!(output, Output::Listener(_)));
        // The screen goes, the summary stays.
        self.front.leave_screen();
        self.front.report(&self.outputs, &self.model)?;
        Ok(())
    }
}

/// The signals that end a watch.
struct Signals {
    interrupt: Caught,
    terminate: Caught,
    hangup: Caught,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// A command's own status, as a shell gives it.
fn status_of(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
