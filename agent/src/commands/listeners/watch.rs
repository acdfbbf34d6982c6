//! `listeners --watch`: a look at each interval, until a signal or the end of the duration.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use ratatui::crossterm::terminal;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use unicode_width::UnicodeWidthChar;

use super::{Seen, write};
use crate::{
    cli::ListenersArgs,
    commands::{event_loop, signals::Signals},
    model::WallClock,
    outlet::Outlet,
    sensor::{Looker, NetNamespaces, now_ns},
    text::count_of,
    tui,
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time that the reader has for what is left at the end.
const PATIENCE: Duration = Duration::from_secs(1);
/// Puts the cursor at the top, and clears what is below.
const FROM_THE_TOP: &str = "\x1b[H\x1b[J";

pub(super) fn run(args: &ListenersArgs, looker: Looker) -> anyhow::Result<ExitCode> {
    let outlet = Outlet::stdout()?;
    let in_place = !args.json && io::stdout().is_terminal() && !tui::is_dumb();
    let every = args.interval.unwrap_or(INTERVAL);
    let watch = Watch {
        looker,
        seen: Seen::default(),
        clock: WallClock { mono_ns: now_ns(), wall: SystemTime::now() },
        json: args.json,
        in_place,
        every,
        looks: 0,
    };
    event_loop()?.block_on(watch.run(&outlet, args.duration))?;
    outlet.finish(PATIENCE);
    match outlet.failure() {
        Some(error) => Err(error.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

struct Watch {
    looker: Looker,
    seen: Seen,
    clock: WallClock,
    json: bool,
    in_place: bool,
    every: Duration,
    looks: u64,
}

impl Watch {
    async fn run(mut self, outlet: &Outlet, duration: Option<Duration>) -> anyhow::Result<()> {
        let mut signals = Signals::catch()?;
        let mut due = interval(self.every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begin = Instant::now();
        let end = duration.map(|duration| begin + duration);
        loop {
            tokio::select! {
                _ = due.tick() => {
                    let text = self.look()?;
                    // Nobody misses a look that a reader who is slow does not get.
                    outlet.send(text, 1);
                }
                () = sleep_until(end.unwrap_or(begin)), if end.is_some() => return Ok(()),
                () = signals.any() => return Ok(()),
                () = outlet.gone() => return Ok(()),
            }
        }
    }

    /// Returns what is to be shown of one look.
    fn look(&mut self) -> io::Result<Vec<u8>> {
        let mut look = self.looker.look();
        let now_ns = now_ns();
        self.seen.ts_ns = Some(now_ns);
        self.seen.namespaces = NetNamespaces::read();
        self.seen.sort(&mut look);
        let mut text = Vec::new();
        if !self.json {
            let listeners = (look.sample.listeners.len() + look.sample.unix.len()) as u64;
            let (time, count) = (self.clock.rfc3339(now_ns), count_of(listeners, "listener"));
            let time = time.split('.').next().unwrap_or(&time).replace('T', " ");
            let every = humantime::format_duration(self.every);
            let apart = if self.looks > 0 && !self.in_place { "\n" } else { "" };
            writeln!(text, "{apart}{time} UTC, every {every}: {count}, trouble first\n")?;
        }
        write(&mut text, self.json, &look, &self.seen)?;
        self.seen.note(&look.sample.listeners);
        self.looks += 1;
        if !self.in_place {
            return Ok(text);
        }
        let (columns, lines) = terminal::size().unwrap_or((80, 24));
        let text = String::from_utf8_lossy(&text);
        Ok(fit(&text, columns.into(), lines.into()).into_bytes())
    }
}

/// Cuts a text to a terminal, so that the next one takes its place. Says how much is left out.
fn fit(text: &str, columns: usize, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let room = lines.saturating_sub(1).max(1);
    let shown = if all.len() > room { room - 1 } else { all.len() };
    let mut out = FROM_THE_TOP.to_owned();
    for line in &all[..shown] {
        let mut width = 0;
        for sign in line.chars() {
            width += sign.width().unwrap_or(0);
            if width > columns {
                break;
            }
            out.push(sign);
        }
        out.push('\n');
    }
    if shown < all.len() {
        let left_out = count_of((all.len() - shown) as u64, "more line");
        out.push_str(&format!("… {left_out}: this terminal is too low\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_the_terminal() {
        let text = "one\ntwo-and-more\n三三三\nfour\n";
        let whole = fit(text, 20, 24);
        assert_eq!(whole, format!("{FROM_THE_TOP}{text}"));
        assert_eq!(fit(text, 5, 24), format!("{FROM_THE_TOP}one\ntwo-a\n三三\nfour\n"));
        let low = fit(text, 20, 4);
        assert_eq!(low.lines().count(), 3, "the last line stays free: {low:?}");
        assert!(low.ends_with("… 2 more lines: this terminal is too low\n"), "{low:?}");
    }
}
