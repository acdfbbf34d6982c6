//! The ways to show a run, behind one type.

use std::io::{self, BufWriter, IsTerminal, Write};

use ratatui::crossterm::event::Event as Input;
use tokio::sync::mpsc::Receiver;

use crate::{
    model::{
        Attached, Model, WallClock,
        output::{Interest, Output},
    },
    report::{
        Sink,
        json::Json,
        plain::{Colour, Plain},
    },
    run::{self, Consumer},
    text::escape_again,
    tui::{self, Action, App, Guard, Theme},
};

/// A way to show a run.
///
/// [`Frontend::attached`] comes first, once. The run then calls it as its [`Consumer`], and between
/// whiles [`Frontend::user_action`] waits for a key. A screen turns into lines before the summary.
pub(super) enum Frontend {
    /// The terminal screen.
    Screen(Box<Screen>),
    /// Lines on standard output.
    Text { sink: Box<dyn Sink>, out: BufWriter<io::Stdout>, announced: Vec<String>, json: bool },
    /// Nowhere; what is to be said of the run itself goes to standard error.
    Silent { announced: Vec<String> },
}

/// The terminal screen.
pub(super) struct Screen {
    guard: Guard,
    app: App,
    input: Receiver<io::Result<Input>>,
    clock: WallClock,
}

/// Action that the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserAction {
    Continue,
    Quit,
}

impl Frontend {
    pub(super) fn screen(clock: WallClock) -> io::Result<Self> {
        let guard = Guard::enter()?;
        Ok(Self::Screen(Box::new(Screen {
            guard,
            app: App::new(Theme::from_env()),
            input: tui::events()?,
            clock,
        })))
    }

    pub(super) fn silent() -> Self {
        Self::Silent { announced: Vec::new() }
    }

    pub(super) fn text(json: bool, clock: WallClock) -> Self {
        let coloured = io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let sink: Box<dyn Sink> = if json {
            Box::new(Json::new(clock))
        } else {
            Box::new(Plain::new(if coloured { Colour::Loss } else { Colour::Never }))
        };
        Self::Text { sink, out: BufWriter::new(io::stdout()), announced: Vec::new(), json }
    }

    pub(super) fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    pub(super) fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        match self {
            Self::Screen(_) | Self::Silent { .. } => Ok(()),
            Self::Text { sink, out, .. } => {
                sink.attached(out, attached)?;
                out.flush()
            }
        }
    }

    /// Waits for the user; for ever where there is no screen.
    pub(super) async fn user_action(&mut self) -> io::Result<UserAction> {
        let Self::Screen(screen) = self else { return std::future::pending().await };
        // A terminal that is gone asks for the end.
        let Some(input) = screen.input.recv().await else { return Ok(UserAction::Quit) };
        match screen.app.on_event(input?) {
            Action::Quit => return Ok(UserAction::Quit),
            Action::Suspend => screen.guard.suspend()?,
            Action::None => return Ok(UserAction::Continue),
            Action::Redraw => {}
        }
        screen.guard.draw(&mut screen.app)?;
        Ok(UserAction::Continue)
    }
}

impl Consumer for Frontend {
    /// A screen gives way to lines in the end, so it wants no more than they do.
    fn interest(&self) -> Interest {
        match self {
            Self::Text { sink, .. } => sink.interest(),
            Self::Screen(_) | Self::Silent { .. } => Plain::INTEREST,
        }
    }

    /// JSON has no object for notices: there they go to standard error.
    fn notices(&mut self, notices: &[String]) {
        let (Self::Text { announced, json: true, .. } | Self::Silent { announced }) = self else {
            return;
        };
        for notice in notices {
            if !announced.contains(notice) {
                eprintln!("backscope: {}", escape_again(notice));
            }
        }
        *announced = notices.to_vec();
    }

    fn report(&mut self, outputs: &mut Vec<Output>, model: &Model) -> io::Result<()> {
        if let Self::Text { sink, out, .. } = self
            && !outputs.is_empty()
        {
            let snapshot =
                if outputs.iter().any(needs_snapshot) { model.snapshot() } else { model.brief() };
            sink.write(out, outputs, &snapshot)?;
            out.flush()?;
        }
        run::clear(outputs);
        Ok(())
    }

    fn refresh(&mut self, model: &Model) -> io::Result<()> {
        match self {
            Self::Screen(screen) => {
                screen.app.update(model.snapshot());
                screen.guard.draw(&mut screen.app)
            }
            Self::Text { .. } | Self::Silent { .. } => Ok(()),
        }
    }

    /// Gives the terminal back. The screen goes, the summary stays.
    fn before_summary(&mut self, _: &Model) {
        if let Self::Screen(screen) = self {
            *self = Self::text(false, screen.clock);
        }
    }
}

/// True of outputs that come with a sample: what is written with them needs the whole state.
fn needs_snapshot(output: &Output) -> bool {
    matches!(output, Output::Listener(_) | Output::Summary(_))
}
