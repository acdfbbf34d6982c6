//! The ways to show a run, behind one type.

use std::io::{self, IsTerminal};
use std::time::Duration;

use ratatui::crossterm::event::Event as Input;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep};

use super::{look::Look, signals::Signals, take};
#[cfg(feature = "export")]
use crate::export::Exporter;
use crate::{
    model::{
        Attached, Model, WallClock,
        output::{Interest, Lost, Output},
    },
    outlet::Outlet,
    report::{Sink, json::Json, plain::Plain},
    run::{self, Consumer},
    text::{Untrusted, count_of},
    tui::{self, Action, App, Guard, Selected, Take},
};

/// A way to show a run.
///
/// [`Frontend::attached`] comes first, once. The run then calls it as its [`Consumer`], and between
/// whiles [`Frontend::user_action`] waits for a key. A screen turns into lines before the summary.
pub(super) enum Frontend {
    /// The terminal screen.
    Screen(Box<Screen>),
    /// Lines on standard output.
    Text { sink: Box<dyn Sink>, lines: Lines, announced: Vec<Untrusted>, json: bool },
    /// Nowhere; what is to be said of the run itself goes to standard error.
    Silent { announced: Vec<Untrusted> },
    /// Metrics, for others to read. Likewise.
    #[cfg(feature = "export")]
    Export(Box<Exporter>),
}

/// The terminal screen.
pub(super) struct Screen {
    guard: Guard,
    app: App,
    input: Receiver<io::Result<Input>>,
    clock: WallClock,
    look: Look,
}

/// Lines on their way to standard output.
pub(super) struct Lines {
    outlet: Outlet,
    pace: Pace,
    /// Lines that were dropped, since nobody read them.
    dropped: u64,
    /// The end of the run is what comes next.
    is_last: bool,
    /// What is left of [`PATIENCE`].
    patience: Duration,
    /// Reports at the end that nobody will read; `None` while the reader has time.
    given_up: Option<u64>,
}

/// What happens when the reader is slower than the lines come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Time goes on: what does not fit is dropped, and counted.
    Live,
    /// They wait for the reader ([`Frontend::caught_up`]).
    Reader,
}

/// Bytes that may be ahead of the reader where lines wait for it.
const AHEAD: usize = 1 << 16;
/// The same between two parts of the end of a run.
const AHEAD_AT_END: usize = 1 << 20;
/// Time in all for which a reader is waited for, once a signal has ended the run.
const PATIENCE: Duration = Duration::from_secs(1);

impl Screen {
    fn copy(&mut self) {
        take::copy(&mut self.app, &self.guard);
    }
}

impl Lines {
    fn new(pace: Pace) -> io::Result<Self> {
        let outlet = Outlet::stdout()?;
        let (patience, given_up) = (PATIENCE, None);
        Ok(Self { outlet, pace, dropped: 0, is_last: false, patience, given_up })
    }

    /// Waits until the reader has everything but for so many bytes, or has gone. A signal, which may
    /// have come already, ends that once the reader has had [`PATIENCE`]: false then.
    async fn caught_up(&mut self, ahead: usize, signals: &mut Signals) -> bool {
        let (mut begin, patience) = (Instant::now(), self.patience);
        let late = async {
            if !signals.have_come() {
                signals.any().await;
                begin = Instant::now();
            }
            sleep(patience).await;
        };
        let in_time = tokio::select! {
            biased;
            () = self.outlet.caught_up(ahead) => true,
            () = late => false,
        };
        if signals.have_come() {
            self.patience = patience.saturating_sub(begin.elapsed());
        }
        in_time
    }

    /// Returns what tells of the lines that were dropped since the last call.
    fn lost(&mut self, ts_ns: u64) -> Option<Output> {
        let count = self.outlet.take_dropped();
        self.dropped += count;
        if count == 0 {
            return None;
        }
        Some(Output::Lost(Lost { ts_ns, probe: DROPPED.into(), count, total: self.dropped }))
    }

    fn send(&self, text: Vec<u8>) {
        let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        match self.pace {
            Pace::Live if !self.is_last => self.outlet.send(text, lines),
            Pace::Live | Pace::Reader => self.outlet.send_anyway(text, lines),
        }
    }
}

/// The name under which dropped lines are counted as lost.
const DROPPED: &str = "output";

/// Returns whether standard output is a terminal that can show the screen, and says so if it is one
/// that cannot.
pub(super) fn is_for_screens() -> bool {
    let is_terminal = io::stdout().is_terminal();
    if is_terminal && tui::is_dumb() {
        note!("backscope: this terminal cannot show a screen (TERM=dumb): lines, as with --plain");
    }
    is_terminal && !tui::is_dumb()
}

/// Action that the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserAction {
    Continue,
    /// Show another part of the list of connections ([`Frontend::look`]).
    Look,
    Quit,
    /// To take something along; [`Frontend::tell`] says what came of it.
    Take(Take),
}

impl Frontend {
    pub(super) fn screen(clock: WallClock, look: &Look) -> io::Result<Self> {
        let guard = Guard::enter(look.theme())?;
        Ok(Self::Screen(Box::new(Screen {
            guard,
            app: look.app(clock),
            input: tui::events()?,
            clock,
            look: look.clone(),
        })))
    }

    /// Returns lines of a watch, whose reader may fall behind.
    pub(super) fn live_text(json: bool, clock: WallClock, look: &Look) -> io::Result<Self> {
        Self::text(json, clock, look, Pace::Live)
    }

    pub(super) fn silent() -> Self {
        Self::Silent { announced: Vec::new() }
    }

    #[cfg(feature = "export")]
    pub(super) fn export(exporter: Exporter) -> Self {
        Self::Export(Box::new(exporter))
    }

    pub(super) fn text(json: bool, clock: WallClock, look: &Look, pace: Pace) -> io::Result<Self> {
        let sink: Box<dyn Sink> = if json {
            Box::new(Json::new(clock))
        } else {
            Box::new(Plain::new(look.colour()).with_times(look.times(clock)))
        };
        Ok(Self::Text { sink, lines: Lines::new(pace)?, announced: Vec::new(), json })
    }

    pub(super) fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    /// True where nothing is shown.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }

    /// True where nobody looks at single events as they come.
    pub(super) fn is_patient(&self) -> bool {
        match self {
            #[cfg(feature = "export")]
            Self::Export(_) => true,
            Self::Screen(_) | Self::Text { .. } | Self::Silent { .. } => false,
        }
    }

    pub(super) fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        match self {
            Self::Screen(_) | Self::Silent { .. } => Ok(()),
            #[cfg(feature = "export")]
            Self::Export(exporter) => {
                exporter.attached(attached);
                Ok(())
            }
            Self::Text { sink, lines, .. } => {
                let mut text = Vec::new();
                sink.attached(&mut text, attached)?;
                lines.send(text);
                Ok(())
            }
        }
    }

    /// Waits for the user. Who closes the terminal, or the pipe that takes the lines, asks for the
    /// end. Waits for ever where nothing is shown.
    pub(super) async fn user_action(&mut self) -> io::Result<UserAction> {
        let screen = match self {
            Self::Screen(screen) => screen,
            Self::Text { lines, .. } => {
                lines.outlet.gone().await;
                return Ok(UserAction::Quit);
            }
            Self::Silent { .. } => return std::future::pending().await,
            #[cfg(feature = "export")]
            Self::Export(_) => return std::future::pending().await,
        };
        let input = tokio::select! {
            input = screen.input.recv() => input,
            () = screen.guard.is_due() => {
                screen.guard.draw(&mut screen.app)?;
                return Ok(UserAction::Continue);
            }
        };
        let Some(Ok(input)) = input else { return Ok(UserAction::Quit) };
        match screen.app.on_event(input) {
            Action::Quit => return Ok(UserAction::Quit),
            Action::Suspend => screen.guard.suspend()?,
            Action::Take(Take::Copy) => screen.copy(),
            Action::Take(take) => return Ok(UserAction::Take(take)),
            // A watch has no time line.
            Action::None | Action::Seek(_) => return Ok(UserAction::Continue),
            Action::Redraw => {}
        }
        if screen.app.query_due().is_some() {
            return Ok(UserAction::Look);
        }
        screen.guard.draw(&mut screen.app)?;
        Ok(UserAction::Continue)
    }

    /// Shows the part of the list of connections that the user went to.
    pub(super) fn look(&mut self, model: &Model) -> io::Result<()> {
        let Self::Screen(screen) = self else { return Ok(()) };
        if let Some(query) = screen.app.query_due() {
            screen.app.show_found(model.find(&query));
        }
        screen.guard.draw(&mut screen.app)
    }

    /// Shows a line of feedback on a key.
    pub(super) fn tell(&mut self, told: Untrusted) -> io::Result<()> {
        let Self::Screen(screen) = self else { return Ok(()) };
        screen.app.tell(told);
        screen.guard.draw(&mut screen.app)
    }

    /// Returns what is selected on a screen, and its view as text if it has one.
    pub(super) fn selected(&self) -> Option<(Selected, Option<String>)> {
        let Self::Screen(screen) = self else { return None };
        let selected = screen.app.selected()?;
        let view = screen.app.view_of(&selected);
        Some((selected, view))
    }

    /// Waits until the reader has nearly everything, or has gone: false then.
    pub(super) async fn caught_up(&self) -> bool {
        let Self::Text { lines, .. } = self else { return true };
        lines.outlet.caught_up(AHEAD).await;
        !lines.outlet.is_gone()
    }

    /// Waits until there is room for the next part of the end. Where the reader has had its time,
    /// what is still to come is only counted.
    pub(super) async fn room_at_end(&mut self, signals: &mut Signals) {
        let Self::Text { lines, .. } = self else { return };
        if lines.given_up.is_none() && !lines.caught_up(AHEAD_AT_END, signals).await {
            lines.given_up = Some(0);
        }
    }

    /// Waits until the reader has everything. A signal, which may have come already, ends that
    /// within [`PATIENCE`].
    ///
    /// # Errors
    /// The lines could not be written, and not since the reader has left.
    pub(super) async fn finish(&mut self, signals: &mut Signals) -> io::Result<()> {
        #[cfg(feature = "export")]
        if let Self::Export(exporter) = self {
            exporter.finish().await;
            return Ok(());
        }
        let Self::Text { lines, .. } = self else { return Ok(()) };
        if lines.given_up.is_some() || !lines.caught_up(0, signals).await {
            let left = lines.outlet.give_up() + lines.given_up.unwrap_or(0);
            let left = count_of(left, "line");
            note!("backscope: the end of the output is lost, {left}: nobody read it");
        }
        match lines.outlet.failure() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Consumer for Frontend {
    /// A screen gives way to lines in the end, so it wants no more than they do.
    fn interest(&self) -> Interest {
        match self {
            Self::Text { sink, .. } => sink.interest(),
            Self::Screen(_) | Self::Silent { .. } => Plain::INTEREST,
            #[cfg(feature = "export")]
            Self::Export(exporter) => exporter.interest(),
        }
    }

    /// Beside JSON they also go to standard error: whoever starts a script sees them there.
    fn notices(&mut self, notices: &[Untrusted]) {
        let announced = match self {
            Self::Text { announced, json: true, .. } | Self::Silent { announced } => announced,
            #[cfg(feature = "export")]
            Self::Export(exporter) => &mut exporter.announced,
            Self::Text { .. } | Self::Screen(_) => return,
        };
        for notice in notices {
            if !announced.contains(notice) {
                note!("backscope: {}", notice);
            }
        }
        *announced = notices.to_vec();
    }

    fn report(&mut self, outputs: &mut Vec<Output>, model: &Model) -> io::Result<()> {
        if let Self::Text { sink, lines, .. } = self
            && !outputs.is_empty()
        {
            if let Some(reports) = &mut lines.given_up {
                *reports += outputs.len() as u64;
                run::clear(outputs);
                return Ok(());
            }
            let snapshot =
                if outputs.iter().any(needs_snapshot) { model.snapshot() } else { model.brief() };
            let mut text = Vec::new();
            if let Some(lost) = lines.lost(snapshot.now_ns) {
                sink.write(&mut text, &[lost], &snapshot)?;
            }
            sink.write(&mut text, outputs, &snapshot)?;
            lines.send(text);
        }
        #[cfg(feature = "export")]
        if let Self::Export(exporter) = self {
            exporter.report(outputs, model);
        }
        run::clear(outputs);
        Ok(())
    }

    fn refresh(&mut self, model: &Model) -> io::Result<()> {
        match self {
            Self::Screen(screen) => {
                screen.app.update(model.view(&screen.app.query()));
                screen.guard.draw(&mut screen.app)
            }
            #[cfg(feature = "export")]
            Self::Export(exporter) => {
                exporter.refresh(model);
                Ok(())
            }
            Self::Text { sink, lines, .. } => {
                // What is to be said of the run itself does not wait for something to report.
                let mut text = Vec::new();
                sink.notices(&mut text, &model.brief())?;
                if !text.is_empty() {
                    lines.send(text);
                }
                Ok(())
            }
            Self::Silent { .. } => Ok(()),
        }
    }

    /// Gives the terminal back. The screen goes, the summary stays.
    fn before_summary(&mut self, _: &Model) -> io::Result<()> {
        if let Self::Screen(screen) = self {
            *self = Self::live_text(false, screen.clock, &screen.look)?;
        }
        if let Self::Text { lines, .. } = self {
            lines.is_last = true;
        }
        Ok(())
    }
}

/// True of outputs that come with a sample: what is written with them needs the whole state.
fn needs_snapshot(output: &Output) -> bool {
    matches!(output, Output::Listener(_) | Output::Summary(_))
}
