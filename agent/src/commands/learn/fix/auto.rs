//! `learn --fix EXERCISE --auto`: the fault must show, and the cure must cure it. With `--wrong`
//! the change must not.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{
    cli::LearnArgs,
    commands::Usage,
    learn::fix::{Change, Exercise, Game, Live, News, Order},
};

/// Time that the fault has to show.
const SHOWS_WITHIN: Duration = Duration::from_secs(90);
/// Time that a cure has to work, beyond the time for which the finding must be gone.
const WORKS_WITHIN: Duration = Duration::from_secs(90);
/// Time for which a wrong change is watched, beyond that time. A finding stands for some seconds
/// after its last sign.
const WRONG_FOR: Duration = Duration::from_secs(20);
/// Longest time without news.
const SILENCE: Duration = Duration::from_secs(30);

pub(super) fn run(args: &LearnArgs, exercise: &Exercise) -> anyhow::Result<ExitCode> {
    let (order, what, wrong) = order(args, exercise)?;
    let (sender, news) = mpsc::channel();
    let live = Live::begin(exercise, args.fix.dir.clone(), move |word| drop(sender.send(word)));
    let mut game = Game::new(exercise.clone());
    let begun = Instant::now();
    let mut out = io::stdout();
    if !play(&mut game, &news, SHOWS_WITHIN, Game::is_shown)? {
        bail!("{}: the fault did not show: {}", exercise.name, game.words());
    }
    let shown = begun.elapsed().as_secs_f64();
    let kind = game.found().map_or("a finding", |finding| finding.kind);
    writeln!(out, "{}: {kind} stands after {shown:.0} s; then: {what}", exercise.name)?;
    out.flush()?;
    live.order(order);
    let hold = Duration::from_secs(exercise.plan.hold.into());
    let most = if wrong { hold + WRONG_FOR } else { hold + WORKS_WITHIN };
    let begun = Instant::now();
    let won = play(&mut game, &news, most, Game::is_won)?;
    let took = begun.elapsed().as_secs_f64();
    let state = if won { "cured" } else { "not cured" };
    writeln!(out, "{}: {state} after {took:.0} s; {}", exercise.name, game.words())?;
    if let Some(finding) = game.found() {
        writeln!(out, "  {}: {}", finding.kind, finding.headline.for_terminal())?;
    }
    Ok(if won == wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Returns the order, what it is in words, and whether it must not cure.
fn order(args: &LearnArgs, exercise: &Exercise) -> anyhow::Result<(Order, String, bool)> {
    let plan = &exercise.plan;
    let numbered = |changes: &[Change], number: usize| -> anyhow::Result<Change> {
        let at = number.checked_sub(1).and_then(|at| changes.get(at)).cloned();
        at.ok_or_else(|| Usage(format!("there are {} of them", changes.len())).into())
    };
    let change = match args.fix.wrong.as_deref() {
        Some("stop") => return Ok((Order::StopServer, "the server is ended".to_owned(), true)),
        Some("nothing") => return Ok((Order::Restart, "a restart".to_owned(), true)),
        Some(number) => {
            let number = number.parse().ok().context("--wrong takes a number, stop or nothing")?;
            numbered(&plan.wrong, number)?
        }
        None => numbered(&plan.cures, args.fix.cure.unwrap_or(1))?,
    };
    let name = change.name.clone();
    Ok((Order::Change(change), name, args.fix.wrong.is_some()))
}

/// Takes the news until something is so; false if it is not in time.
fn play(
    game: &mut Game,
    news: &Receiver<News>,
    most: Duration,
    done: impl Fn(&Game) -> bool,
) -> anyhow::Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < most {
        match news.recv_timeout(SILENCE).context("nothing was heard of the exercise")? {
            News::Second(second) => drop(game.take(*second)),
            News::ServerSaid(line) => game.server_said(line),
            News::Failed(error) => bail!("{}", error.for_terminal()),
            News::Told(_) | News::Begun { .. } => {}
        }
        if done(game) {
            return Ok(true);
        }
    }
    Ok(false)
}
