//! A lesson on the screen.

use std::{io, process::ExitCode, sync::Arc, thread, time::Duration};

use ratatui::crossterm::event::Event;
use tokio::{
    sync::mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender},
    time::sleep,
};

use super::LessonRun;
use crate::{
    commands::{event_loop, signals::Signals},
    learn::{Bench, Outcome, Progress},
    text::Untrusted,
    tui::{
        Guard, Theme, events,
        lesson::{LessonAction, LessonApp},
    },
};

/// Time that a picture stands while it moves to the next.
const FRAME: Duration = Duration::from_millis(45);

/// What a run is of.
enum Job {
    /// A round.
    Round(usize),
    /// A bench, with its knobs as they are turned.
    Bench(Box<Bench>),
}

/// News of a run.
enum Word {
    Told(Untrusted),
    Over(Box<Result<Outcome, Untrusted>>),
}

/// Shows the lesson at this place, else the list, until the user has enough.
pub(super) fn run(
    runs: Vec<LessonRun>,
    progress: Progress,
    at: Option<usize>,
    recorded: bool,
    theme: Theme,
) -> anyhow::Result<ExitCode> {
    let lessons = runs.iter().map(|run| run.lesson.clone()).collect();
    let mut app = LessonApp::new(theme, lessons, progress, at, recorded);
    let event_loop = event_loop()?;
    // Caught before the terminal is taken: it is given back whatever ends the lesson.
    let mut signals = event_loop.block_on(async { Signals::catch() })?;
    let mut guard = Guard::enter(theme)?;
    let (sender, mut words) = mpsc::unbounded_channel();
    let runs = Arc::new(runs);
    // Not waited for: who leaves amid a run leaves at once, and what it started ends with this
    // process.
    let mut start = |lesson: usize, job: Job| {
        let (runs, sender) = (runs.clone(), sender.clone());
        thread::spawn(move || work(&runs[lesson], &job, &sender));
    };
    // It reads on while the terminal is given back, which may have an answer to come.
    let mut input = events()?;
    event_loop.block_on(async {
        tokio::select! {
            outcome = show(&mut app, &mut guard, &mut input, &mut words, &mut start) => outcome,
            () = signals.any() => Ok(()),
        }
    })?;
    drop(guard);
    Ok(ExitCode::SUCCESS)
}

async fn show(
    app: &mut LessonApp,
    guard: &mut Guard,
    input: &mut Receiver<io::Result<Event>>,
    words: &mut UnboundedReceiver<Word>,
    start: &mut dyn FnMut(usize, Job),
) -> anyhow::Result<()> {
    loop {
        app.set_theme(guard.theme());
        guard.draw_by(|frame| app.draw(frame))?;
        let action = tokio::select! {
            () = guard.is_due() => LessonAction::None,
            () = sleep(FRAME), if app.moves() => {
                app.next_frame();
                LessonAction::Redraw
            }
            event = input.recv() => {
                // A terminal that is gone asks for the end.
                let Some(event) = event else { return Ok(()) };
                app.on_event(&event?)
            }
            word = words.recv() => match word {
                Some(Word::Told(text)) => {
                    app.told(text);
                    LessonAction::Redraw
                }
                Some(Word::Over(outcome)) => app.ran(*outcome),
                None => LessonAction::None,
            },
        };
        match action {
            LessonAction::Quit => return Ok(()),
            LessonAction::Suspend => guard.suspend()?,
            LessonAction::Run { lesson, round } => start(lesson, Job::Round(round)),
            LessonAction::Turn { lesson } => {
                if let Some(bench) = app.bench() {
                    start(lesson, Job::Bench(Box::new(bench.clone())));
                }
            }
            LessonAction::None | LessonAction::Redraw => {}
        }
        if let Some(Err(error)) = app.take_progress().map(Progress::save) {
            app.hint(format!("the progress could not be saved: {error}"));
        }
    }
}

fn work(run: &LessonRun, job: &Job, sender: &UnboundedSender<Word>) {
    let mut tell = |text: &str| drop(sender.send(Word::Told(text.into())));
    let outcome = match job {
        Job::Round(round) => run.outcome(*round, None, &mut tell),
        Job::Bench(bench) => run.bench(bench, &mut tell),
    };
    let outcome = outcome.map_err(|error| format!("{error:#}").into());
    // The screen may be gone.
    let _ = sender.send(Word::Over(Box::new(outcome)));
}
