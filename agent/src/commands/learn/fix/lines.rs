//! An exercise line by line, where there is no terminal to draw on.

use std::{
    io::{self, BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    thread,
};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{keep_score, list};
use crate::{
    commands::{event_loop, signals::Signals},
    learn::fix::{Exercise, Game, Live, News, Order, Piece, Standing},
    text::{duration_us, wrap},
};

/// Seconds between two lines while nothing changes.
const EVERY: u64 = 5;
const WIDTH: usize = 80;

/// Plays until it is won, the user has enough, or a signal comes.
pub(super) fn run(exercise: Exercise, folder: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    event_loop()?.block_on(async {
        let mut signals = Signals::catch()?;
        let (sender, mut news) = unbounded_channel();
        let live = Live::begin(&exercise, folder, move |word| drop(sender.send(word)));
        let mut play = Play { game: Game::new(exercise), before: None };
        play.introduce()?;
        let mut keys = keys();
        loop {
            tokio::select! {
                () = signals.any() => return Ok(ExitCode::SUCCESS),
                word = news.recv() => match word {
                    Some(word) => if play.take(word)? { return Ok(ExitCode::SUCCESS) },
                    None => return Ok(ExitCode::FAILURE),
                },
                Some(key) = keys.recv() => match key.trim() {
                    "q" => return Ok(ExitCode::SUCCESS),
                    "r" => live.order(Order::Restart),
                    other => play.answer(other)?,
                },
            }
        }
    })
}

/// Lines of standard input. Its end is no end of the play.
fn keys() -> UnboundedReceiver<String> {
    let (sender, keys) = unbounded_channel();
    // Not waited for: it ends with this process.
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        // The channel stays open.
        thread::park();
        drop(sender);
    });
    keys
}

struct Play {
    game: Game,
    /// The standing of the last line, without its figures.
    before: Option<std::mem::Discriminant<Standing>>,
}

impl Play {
    fn introduce(&self) -> io::Result<()> {
        let exercise = self.game.exercise();
        println(&[&format!("{} (learn --fix {})", exercise.plan.title, exercise.name)])?;
        pieces(&exercise.symptom)?;
        println(&[
            "Type a letter and Enter: h for a hint, r to restart the shop, g to be shown the \
                   cure, q to quit.",
        ])
    }

    /// Takes news; true once it is over.
    fn take(&mut self, word: News) -> anyhow::Result<bool> {
        match word {
            News::Told(text) => println(&[&format!("… {}", text.for_terminal())])?,
            News::ServerSaid(line) => println(&[&format!("shop: {}", line.for_terminal())])?,
            News::Begun { folder, kept } => {
                println(&[
                    &format!("Edit    {}", folder.join("start.sh").display()),
                    "Look    sudo backscope watch --port 8080",
                    "Enter   sudo backscope learn --fix --shell",
                ])?;
                if let Some(kept) = kept {
                    println(&[&format!("Your earlier script is now {}", kept.display())])?;
                }
            }
            News::Failed(error) => anyhow::bail!("{}", error.for_terminal()),
            News::Second(second) => {
                let won = self.game.take(*second);
                self.tell()?;
                if won {
                    self.close()?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn tell(&mut self) -> io::Result<()> {
        let now = std::mem::discriminant(self.game.standing());
        let Some(second) = self.game.now() else { return Ok(()) };
        if self.before == Some(now) && !self.game.seconds().is_multiple_of(EVERY) {
            return Ok(());
        }
        self.before = Some(now);
        let tick = &second.tick;
        let time = |us: Option<u64>| us.map_or("–".to_owned(), duration_us);
        println(&[&format!(
            "{:>4} s  {} answered, {} failed, median {}, 99 % within {}: {}",
            self.game.seconds(),
            tick.answered,
            tick.failed,
            time(tick.p50_us),
            time(tick.p99_us),
            self.game.words()
        )])
    }

    fn answer(&mut self, key: &str) -> io::Result<()> {
        match key {
            "h" if self.game.show_hint() => {
                let at = self.game.hints();
                println(&[&format!("Hint {at} of {}:", self.game.exercise().hints.len())])?;
                pieces(&self.game.exercise().hints[at - 1])?;
                match self.game.found() {
                    Some(found) => println(&[&format!(
                        "What stands now: {} ({})",
                        found.headline.for_terminal(),
                        found.kind
                    )]),
                    None => Ok(()),
                }
            }
            "h" => println(&["There is no further hint; g shows the cure."]),
            "g" => {
                self.game.give_up();
                pieces(&self.game.exercise().cure)
            }
            _ => println(&["h: a hint, r: restart the shop, g: show the cure, q: quit"]),
        }
    }

    fn close(&self) -> io::Result<()> {
        if let Some(score) = self.game.score() {
            println(&[&format!("Cured in {}.", list::words(&score))])?;
        }
        pieces(&self.game.exercise().why)?;
        println(&["A cure:"])?;
        pieces(&self.game.exercise().cure)?;
        if let Err(error) = keep_score(&self.game) {
            note!("backscope: the score could not be saved: {error}");
        }
        println(&["For the next one: sudo backscope learn --fix"])
    }
}

fn pieces(pieces: &[Piece]) -> io::Result<()> {
    for piece in pieces {
        let whose = match piece.owner {
            Some(owner) => format!("{}: ", owner.letter()),
            None => String::new(),
        };
        for line in wrap(&format!("{whose}{}", piece.text), WIDTH - 2) {
            println(&[&format!("  {line}")])?;
        }
    }
    Ok(())
}

fn println(lines: &[&str]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
