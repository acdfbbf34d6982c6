//! The loop: drain the ring by timer, sample at each refresh, end on time, on a signal, or with the
//! target.

use std::{
    collections::VecDeque,
    mem,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::awaited::Awaited;
use super::destination::Destinations;
use super::reported::Reported;
use crate::{
    cli::{Detail, RunArgs},
    commands::{
        frontend::{Frontend, UserAction},
        signals::Signals,
        take::Keeper,
    },
    digest::Digest,
    model::{
        Attached, Model, RecordingStop,
        event::{EndedProcess, Event, TargetEnd, WaitStatus},
    },
    record::RecordEntry,
    report::page::WORST,
    run::{self, DRAIN, Live, Run},
    sensor::{Sensor, StoppedCommand, now_ns},
    text::Untrusted,
};

/// Time between two looks at what became of files, while the screen stands still.
const NEWS: Duration = Duration::from_millis(100);

/// Default refresh of the screen.
const SCREEN_REFRESH: Duration = Duration::from_millis(500);
/// Where nobody looks at single events: after so long without any, the ring buffer is drained less
/// often, or waking up for nothing would be most of what an idle watch costs.
const QUIET_AFTER: Duration = Duration::from_secs(1);
/// Time between two looks at it then.
const QUIET_DRAIN: Duration = Duration::from_millis(100);
/// Default period of the figures in text.
const TEXT_REFRESH: Duration = Duration::from_secs(1);

/// Sentences on targets that have ended, while others are watched.
const MAX_PARTINGS: usize = 4;

/// Notice from the first time on that the tracepoints were suspended since nothing came.
const QUIET: &str = "no connection for 10 s: the accept tracepoints are suspended until one \
                      comes, because they slow down every system call; for an accept at that \
                      moment, the descriptor is not known, nor perhaps the wait of the first \
                      connection of all";
/// Likewise, since very much came.
const RUSH: &str = "thousands of connections a second: the accept tracepoints are suspended nine \
                    seconds in ten, because they would slow the server down; accepts meanwhile have \
                    no descriptor and no time blocked in accept, and calls of accept that fail are \
                    not counted";
/// What the user is told once exchanges are thinned.
const SAMPLED: &str = "sampled: one in eight ordinary exchanges (and short connections) is told, and \
                       stands for those before it, since tens of thousands come a second; each slow \
                       or unusual one is told";

/// One run of `watch` or `record`.
///
/// [`Session::run`] begins it, loops in [`Session::watch`], and finishes it. The loop drains the
/// ring and takes samples ([`Session::sample`]) until the time is over, a signal comes, the user
/// leaves, or the target has ended.
pub(super) struct Session {
    pub(super) live: Live<Reported>,
    attached: Attached,
    command: Option<StoppedCommand>,
    notices: Vec<Untrusted>,
    awaited: Awaited,
    refresh: Duration,
    duration: Option<Duration>,
    ended: Option<ExitStatus>,
    /// Sentences on targets that have ended, the newest; the watch goes on.
    partings: VecDeque<Untrusted>,
    /// Time of the last sample, once nobody is left to watch and the screen stands still.
    pub(super) closed_ns: Option<u64>,
    /// Sentences on the recording that was ended then.
    told: Vec<String>,
    /// A recording was asked for on the command line.
    asked: bool,
    /// What keys of the screen ask for, where there is one.
    pub(super) keeper: Option<Keeper>,
    /// The target's description and the notices that the model has.
    announced: (Untrusted, Vec<Untrusted>),
}

impl Session {
    pub(super) fn new(
        sensor: Sensor,
        frontend: Frontend,
        command: Option<StoppedCommand>,
        words: Vec<Untrusted>,
        (notices, awaited): (Vec<Untrusted>, Awaited),
        args: &RunArgs,
        destinations: Destinations,
    ) -> anyhow::Result<Self> {
        let (detail_events, exchanges) =
            (args.detail == Detail::Events, args.detail != Detail::Queues);
        let (setup, attached) = run::setup(&sensor, words, detail_events, exchanges);
        let refresh = args.interval.unwrap_or(if frontend.is_screen() {
            SCREEN_REFRESH
        } else {
            TEXT_REFRESH
        });
        let Destinations { recording, into, report, keeper, clock } = destinations;
        let header = run::header(setup.clone(), attached.clone(), clock, refresh);
        let recorder = match recording {
            Some(destination) => Some(destination.recorder(&header)?),
            None => None,
        };
        // A run that is only recorded ends with its recording.
        let outlives = recorder.is_some() && (!frontend.is_silent() || report.is_some());
        let asked = recorder.is_some();
        let takes_files = keeper.as_ref().is_some_and(Keeper::can_write);
        // Its memory is bounded. Since everything is reported to it, the model takes up to a quarter
        // longer over an exchange.
        let digest =
            (report.is_some() || takes_files).then(|| Digest::new(attached.clone(), clock, WORST));
        let consumer = Reported::new(frontend, digest, report);
        let announced = (setup.target.clone(), Vec::new());
        let mut run = Run::new(Model::new(setup), consumer, recorder);
        if outlives {
            run.outlive_recording(into);
        }
        if takes_files {
            run.record_on_demand(header);
        }
        Ok(Self {
            announced,
            live: Live { sensor, run },
            attached,
            command,
            notices,
            awaited,
            refresh,
            duration: args.duration,
            ended: None,
            partings: VecDeque::new(),
            closed_ns: None,
            told: Vec::new(),
            asked,
            keeper,
        })
    }

    /// Runs to the end, and returns the status to exit with. `caught` are the signals that are
    /// caught already.
    pub(super) async fn run(mut self, caught: Option<Signals>) -> anyhow::Result<ExitCode> {
        // Caught before anybody can know that we run: a signal that comes right after `attached`
        // ends us cleanly.
        let mut signals = match caught {
            Some(signals) => signals,
            None => Signals::catch()?,
        };
        if let Some(command) = &self.command {
            command.go().context("the command exited before it was started")?;
        }
        let outcome = self.begin_to_end(&mut signals).await;
        // Whatever ended it, the recording is whole.
        let recorded = self.live.run.end_recording();
        let reported = self.live.run.consumer.write_report();
        // Nobody writes into its files any more.
        let kept = self.keeper.take().map(Keeper::end).transpose();
        outcome?;
        for told in recorded? {
            note!("backscope: {told}");
        }
        for told in kept?.unwrap_or_default() {
            note!("backscope: {}", told);
        }
        self.live.run.consumer.frontend.finish(&mut signals).await?;
        reported?;
        if let (true, Some(stopped)) = (self.asked, self.live.run.recording_stopped()) {
            note!("backscope: the recording ended early: {}", stopped.reason);
            return Ok(ExitCode::FAILURE);
        }
        Ok(match self.ended {
            Some(status) => status_of(status),
            None => ExitCode::SUCCESS,
        })
    }

    async fn begin_to_end(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        self.live.begin_batch()?;
        self.announce()?;
        self.live.run.consumer.frontend.attached(&self.attached)?;
        self.sample()?;
        self.watch(signals).await?;
        self.finish(signals).await
    }

    async fn watch(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let mut drain = interval(DRAIN);
        drain.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refresh = interval(self.refresh);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        refresh.tick().await;
        let begin = Instant::now();
        let mut busy = begin;
        let end = self.duration.map(|duration| begin + duration);
        loop {
            tokio::select! {
                _ = drain.tick() => {
                    let before = self.live.sensor.records();
                    self.live.drain()?;
                    if self.live.sensor.records() != before {
                        busy = Instant::now();
                    } else if self.is_quiet(busy) {
                        drain.reset_after(QUIET_DRAIN);
                    }
                }
                _ = refresh.tick() => {
                    self.sample()?;
                    if self.is_over()? {
                        return self.look_back(signals, end).await;
                    }
                }
                action = self.live.run.consumer.frontend.user_action() => match action? {
                    UserAction::Continue => {}
                    UserAction::Look => {
                        let run = &mut self.live.run;
                        run.consumer.frontend.look(&run.model)?;
                    }
                    UserAction::Quit => return Ok(()),
                    UserAction::Take(take) => self.take(take)?,
                },
                () = sleep_until(end.unwrap_or(begin)), if end.is_some() => return Ok(()),
                () = signals.any() => return Ok(()),
            }
        }
    }

    /// Nobody is left to watch. A screen stands still until the user leaves, a signal comes or the
    /// time is over; whatever else shows the run ends.
    async fn look_back(
        &mut self,
        signals: &mut Signals,
        end: Option<Instant>,
    ) -> anyhow::Result<()> {
        if !self.live.run.consumer.frontend.is_screen() {
            return Ok(());
        }
        let closed_ns = self.close()?;
        // It is whole while somebody looks.
        self.told = self.live.run.close_recording(closed_ns)?;
        if let Some(keeper) = &mut self.keeper {
            keeper.recorded();
        }
        self.live.refresh()?;
        let mut news = interval(NEWS);
        loop {
            tokio::select! {
                _ = news.tick() => self.tell_news()?,
                action = self.live.run.consumer.frontend.user_action() => match action? {
                    UserAction::Quit => return Ok(()),
                    UserAction::Continue => {}
                    UserAction::Look => {
                        let run = &mut self.live.run;
                        run.consumer.frontend.look(&run.model)?;
                    }
                    UserAction::Take(take) => self.take(take)?,
                },
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => return Ok(()),
                () = signals.any() => return Ok(()),
            }
        }
    }

    /// Takes the last sample, once. Returns its time.
    fn close(&mut self) -> anyhow::Result<u64> {
        if let Some(closed_ns) = self.closed_ns {
            return Ok(closed_ns);
        }
        let mut sample = self.live.sensor.last_sample();
        self.live.take_connections(&mut sample)?;
        self.live.begin_batch()?;
        self.live.end_batch(&Event::Sample(sample))?;
        Ok(*self.closed_ns.insert(now_ns()))
    }

    /// True where nobody looks at single events as they come, and none has come for a while.
    fn is_quiet(&self, busy: Instant) -> bool {
        self.live.run.consumer.frontend.is_patient() && busy.elapsed() >= QUIET_AFTER
    }

    /// Takes a sample: one refresh.
    fn sample(&mut self) -> anyhow::Result<()> {
        let mut sample = self.live.sensor.sample();
        self.awaited.look(&sample, self.live.sensor.processes());
        self.live.take_connections(&mut sample)?;
        self.live.begin_batch()?;
        self.announce()?;
        let event = Event::Sample(sample);
        self.live.end_batch(&event)?;
        if let (true, Event::Sample(sample)) = (mem::take(&mut self.live.run.records_next), &event)
        {
            self.begin_recording(sample)?;
        }
        self.tell_news()?;
        Ok(self.live.refresh()?)
    }

    /// Tells the model what is watched, and the notices on the watch itself, if they have changed.
    fn announce(&mut self) -> anyhow::Result<()> {
        let target = self.target();
        let mut notices = self.notices.clone();
        notices.extend(self.awaited.notices());
        notices.extend(super::without_listener(&self.live.sensor, &self.awaited));
        notices.extend(super::gone(&self.live.sensor));
        notices.extend(super::left_out(&self.live.sensor));
        notices.extend(super::beside(&self.live.sensor));
        notices.extend(self.partings.iter().cloned());
        notices.extend(self.live.run.recording_stopped().map(recording_notice));
        let suspensions = self.live.sensor.suspensions();
        if suspensions.quiet {
            notices.push(QUIET.into());
        }
        if suspensions.rush {
            notices.push(RUSH.into());
        }
        if self.live.sensor.has_thinned() {
            notices.push(SAMPLED.into());
        }
        if self.announced.0 != target {
            self.announced.0.clone_from(&target);
            self.live.run.take(RecordEntry::Target(target))?;
        }
        if self.announced.1 != notices {
            self.announced.1.clone_from(&notices);
            self.live.run.take(RecordEntry::Notices(notices))?;
        }
        Ok(())
    }

    fn target(&self) -> Untrusted {
        let sensor = &self.live.sensor;
        let more = sensor.processes().saturating_sub(sensor.named_processes());
        let children = match more {
            _ if !sensor.groups().is_empty() => match sensor.processes() {
                1 => " (1 process)".to_owned(),
                all => format!(" ({all} processes)"),
            },
            0 => String::new(),
            1 => " (+1 child)".to_owned(),
            more => format!(" (+{more} children)"),
        };
        let mut target = Untrusted::join(&self.attached.targets, ", ");
        target.push(children);
        target
    }

    /// True once there is nobody left to watch. Tells of the targets that have ended.
    fn is_over(&mut self) -> anyhow::Result<bool> {
        if let Some(command) = &mut self.command {
            self.ended = command.ended()?;
        }
        let all_ended = self.live.sensor.all_ended();
        if all_ended {
            // Their records may be younger than the sample.
            self.live.drain()?;
        }
        let sensor = &self.live.sensor;
        // A command that has exited, and is no child to wait for yet.
        let awaited =
            |command: &StoppedCommand| self.ended.is_none() && sensor.saw_end_of(command.pid());
        let over = all_ended && !self.command.as_ref().is_some_and(awaited);
        let sensor = &mut self.live.sensor;
        let mut processes = if over { sensor.ended_at_last() } else { sensor.ended() };
        if let (Some(command), Some(status)) = (&self.command, self.ended) {
            for process in &mut processes {
                if process.pid == command.pid() {
                    process.status = Some(WaitStatus(status.into_raw() as u32));
                }
            }
        }
        if over || !processes.is_empty() {
            self.tell_ends(processes, over)?;
        }
        Ok(over)
    }

    fn tell_ends(&mut self, processes: Vec<EndedProcess>, over: bool) -> anyhow::Result<()> {
        if !over {
            for process in &processes {
                if self.partings.len() == MAX_PARTINGS {
                    self.partings.pop_front();
                }
                self.partings.push_back(compose!("{}; the watch goes on", process.words()));
            }
        }
        let end = TargetEnd { ts_ns: now_ns(), processes, over };
        self.live.begin_batch()?;
        self.live.run.take_event(&Event::TargetEnd(end))?;
        self.live.run.show()
    }

    async fn finish(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        if let Some(command) = &mut self.command
            && self.ended.is_none()
        {
            // What we started ends with us; and since we were told to end, its status is not ours.
            command.signal(Signal::TERM);
            command.wait_for(Duration::from_secs(5))?;
        }
        let closed_ns = self.close()?;
        let run = &mut self.live.run;
        let mut ending = run.begin_finish(closed_ns)?;
        // Whole before the reader of the lines is waited for.
        self.told.extend(run.end_recording()?);
        for told in self.told.drain(..) {
            note!("backscope: {told}");
        }
        while run.finish_on(&mut ending)? {
            run.consumer.frontend.room_at_end(signals).await;
        }
        Ok(())
    }
}

/// Sentence on a recording that ended early. It has no figure that changes.
fn recording_notice(stopped: &RecordingStop) -> Untrusted {
    compose!(
        "the recording has ended: {}; what was written before can be read, and the watch goes on",
        stopped.reason
    )
}

/// Status of a command, as a shell gives it.
fn status_of(status: ExitStatus) -> ExitCode {
    let code = match status.code() {
        Some(code) => code,
        None => 128 + status.signal().unwrap_or(0),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
