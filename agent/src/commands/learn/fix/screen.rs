//! An exercise on the screen.

use std::{io, path::PathBuf, process::ExitCode};

use ratatui::crossterm::event::Event;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, unbounded_channel};

use super::keep_score;
use crate::{
    commands::{event_loop, signals::Signals},
    learn::fix::{Exercise, Live, News, Order},
    tui::{
        Guard, Theme, events,
        fix::{FixAction, FixApp},
    },
};

/// Shows the exercise at this place, and those that follow, until the user has enough or a signal
/// comes.
pub(super) fn run(
    exercises: &[Exercise],
    mut at: usize,
    folder: Option<PathBuf>,
    theme: Theme,
) -> anyhow::Result<ExitCode> {
    event_loop()?.block_on(async {
        let mut signals = Signals::catch()?;
        let mut guard = Guard::enter(theme)?;
        let mut input = events()?;
        loop {
            let exercise = &exercises[at % exercises.len()];
            let (sender, mut news) = unbounded_channel();
            let live = Live::begin(exercise, folder.clone(), move |word| drop(sender.send(word)));
            let mut app = FixApp::new(guard.theme(), exercise.clone());
            let from = (&mut input, &mut news, &mut signals);
            let end = show(&mut app, &mut guard, from, &live).await;
            if !matches!(end, Ok(FixAction::Next)) {
                // The terminal is given back first: to end a server may take a moment.
                drop(guard);
                drop(live);
                return end.map(|_| ExitCode::SUCCESS);
            }
            drop(live);
            at += 1;
        }
    })
}

type Sources<'a> =
    (&'a mut Receiver<io::Result<Event>>, &'a mut UnboundedReceiver<News>, &'a mut Signals);

/// Shows one exercise; returns what ended it.
async fn show(
    app: &mut FixApp,
    guard: &mut Guard,
    (input, news, signals): Sources<'_>,
    live: &Live,
) -> anyhow::Result<FixAction> {
    // Its end is told once.
    let mut is_open = true;
    loop {
        app.set_theme(guard.theme());
        guard.draw_by(|frame| app.draw(frame))?;
        tokio::select! {
            () = guard.is_due() => {}
            () = signals.any() => return Ok(FixAction::Quit),
            event = input.recv() => {
                // A terminal that is gone asks for the end.
                let Some(event) = event else { return Ok(FixAction::Quit) };
                match app.on_event(&event?) {
                    end @ (FixAction::Quit | FixAction::Next) => return Ok(end),
                    FixAction::Suspend => guard.suspend()?,
                    FixAction::Restart => live.order(Order::Restart),
                    FixAction::None | FixAction::Redraw => {}
                }
            }
            word = news.recv(), if is_open => match word {
                Some(word) => {
                    if app.take(word).is_some() && let Err(error) = keep_score(app.game()) {
                        app.tell(format!("the score could not be saved: {error}"));
                    }
                }
                None => is_open = false,
            },
        }
    }
}
