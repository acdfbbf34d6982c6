//! The ways to show a run, behind one face.

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
    text::escape_again,
    tui::{self, Action, App, Guard, Theme},
};

/// Where a run is shown.
pub(super) enum Front {
    /// The terminal screen.
    Screen(Box<Screen>),
    /// Lines on standard output.
    Text { sink: Box<dyn Sink>, out: BufWriter<io::Stdout>, told: Vec<String>, json: bool },
    /// Nowhere; what is to be said of the run itself goes to standard error.
    Silent { told: Vec<String> },
}

/// The terminal screen.
pub(super) struct Screen {
    guard: Guard,
    app: App,
    input: Receiver<io::Result<Input>>,
    clock: WallClock,
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Continue,
    Quit,
}

impl Front {
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
        Self::Silent { told: Vec::new() }
    }

    pub(super) fn text(json: bool, clock: WallClock) -> Self {
        let coloured = io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let sink: Box<dyn Sink> = if json {
            Box::new(Json::new(clock))
        } else {
            Box::new(Plain::new(if coloured { Colour::Loss } else { Colour::Never }))
        };
        Self::Text { sink, out: BufWriter::new(io::stdout()), told: Vec::new(), json }
    }

    /// Gives the terminal back; from now on there are lines.
    pub(super) fn leave_screen(&mut self) {
        if let Self::Screen(screen) = self {
            *self = Self::text(false, screen.clock);
        }
    }

    /// What it has a use for. What comes behind a screen are lines.
    pub(super) fn interest(&self) -> Interest {
        match self {
            Self::Text { sink, .. } => sink.interest(),
            Self::Screen(_) | Self::Silent { .. } => Plain::INTEREST,
        }
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

    /// Tells of the run itself. JSON has no object for that: there it goes to standard error.
    pub(super) fn notices(&mut self, notices: &[String]) {
        let (Self::Text { told, json: true, .. } | Self::Silent { told }) = self else { return };
        for notice in notices.iter().filter(|notice| !told.contains(notice)) {
            eprintln!("backscope: {}", escape_again(notice));
        }
        *told = notices.to_vec();
    }

    /// Shows what the model reported.
    pub(super) fn report(&mut self, outputs: &[Output], model: &Model) -> io::Result<()> {
        match self {
            Self::Text { sink, out, .. } if !outputs.is_empty() => {
                let sampled = outputs
                    .iter()
                    .any(|output| matches!(output, Output::Listener(_) | Output::Summary(_)));
                sink.write(out, outputs, &if sampled { model.snapshot() } else { model.brief() })?;
                out.flush()
            }
            _ => Ok(()),
        }
    }

    /// Shows the state after a refresh.
    pub(super) fn refresh(&mut self, model: &Model) -> io::Result<()> {
        match self {
            Self::Screen(screen) => {
                screen.app.update(model.snapshot());
                screen.guard.draw(&mut screen.app)
            }
            Self::Text { .. } | Self::Silent { .. } => Ok(()),
        }
    }

    /// Waits for the user; for ever where there is no screen.
    pub(super) async fn wish(&mut self) -> io::Result<Wish> {
        let Self::Screen(screen) = self else { return std::future::pending().await };
        // A terminal that is gone asks for the end.
        let Some(input) = screen.input.recv().await else { return Ok(Wish::Quit) };
        match screen.app.on_event(input?) {
            Action::Quit => return Ok(Wish::Quit),
            Action::Suspend => screen.guard.suspend()?,
            Action::None => return Ok(Wish::Continue),
            Action::Redraw => {}
        }
        screen.guard.draw(&mut screen.app)?;
        Ok(Wish::Continue)
    }
}
