//! `backscope learn`: the lessons.

mod again;
mod auto;
mod fix;
mod html;
pub(crate) mod json;
mod lines;
mod own;
mod screen;

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, bail};

use json::LessonRow;

use super::{Usage, frontend::is_for_screens, look::Look};
use crate::{
    cli::{self, LearnArgs},
    kernel::preflight::Preflight,
    learn::{self, Bench, CatalogueEntry, Lesson, LessonFacts, Outcome, Progress, Scenario, live},
    privileges,
    sensor::SensorError,
    text::{count_of, were},
    tui::lesson::list_text,
};

pub(super) fn run(args: &LearnArgs) -> anyhow::Result<ExitCode> {
    if let Some(name) = &args.fix.fix {
        return fix::run(args, name.as_deref());
    }
    if args.list {
        return list(args.json);
    }
    if let Some(pid) = args.pid {
        return own::watch(pid, args.duration);
    }
    if let Some(recording) = &args.from {
        return own::play(recording);
    }
    if let Some(folder) = &args.html {
        return html::run(args, folder);
    }
    if args.again {
        return again::run(args.recorded);
    }
    if args.json && !args.auto {
        let lesson = args.lesson.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
        let message = format!(
            "--json is for what nobody is asked: learn --list --json has the lessons, learn --auto \
             --json{lesson} what the runs of a lesson show"
        );
        return Err(Usage(message).into());
    }
    let named = match &args.lesson {
        Some(name) => Some(find(name)?),
        None => None,
    };
    if !args.recorded {
        check_privileges(named)?;
    }
    if args.auto {
        return auto::run(args, named);
    }
    let mut lessons = Vec::new();
    for entry in learn::all() {
        lessons.push(LessonRun::of(entry, args)?);
    }
    let progress = Progress::load();
    let at = match named {
        Some(named) => lessons.iter().position(|run| run.entry.slug == named.slug),
        None => lessons.iter().position(|run| !progress.is_done(&run.lesson)),
    };
    if args.plain || !io::stdin().is_terminal() || !is_for_screens() {
        let at = at.unwrap_or(0);
        return lines::run(&lessons[at], lessons.get(at + 1), progress);
    }
    let look = Look::read(args.theme, true)?;
    screen::run(lessons, progress, at, args.recorded, look.theme())
}

fn find(name: &str) -> anyhow::Result<&'static CatalogueEntry> {
    match cli::lesson_of(name) {
        Some(entry) => Ok(entry),
        None => Err(Usage(cli::no_lesson(name)).into()),
    }
}

/// Fails now with what would be said after the first prediction.
fn check_privileges(named: Option<&CatalogueEntry>) -> anyhow::Result<()> {
    let network = privileges::network_blocker("it runs");
    let Some(blocker) = network.or_else(|| Preflight::of_this_machine().blocker()) else {
        return Ok(());
    };
    let lesson = match named {
        Some(entry) => format!(" {}", entry.slug),
        None => String::new(),
    };
    let why = "a lesson runs a real server and watches what the kernel does with it, and here it \
               cannot";
    let way =
        format!("To see the lesson from a recording instead: backscope learn{lesson} --recorded");
    Err(SensorError::Blocked(format!("{why}: {blocker}. {way}")).into())
}

/// Runs of a round at most, until all of it was seen.
const RUNS: u32 = 4;

/// A lesson, the source of its runs (live, or recordings), and what they have shown so far.
struct LessonRun {
    entry: &'static CatalogueEntry,
    lesson: Lesson,
    recorded: bool,
    /// Facts of each round that was run.
    shown: Mutex<Vec<Option<LessonFacts>>>,
}

impl LessonRun {
    fn of(entry: &'static CatalogueEntry, args: &LearnArgs) -> anyhow::Result<Self> {
        let is_named = match &args.lesson {
            Some(name) => matches!(find(name), Ok(named) if named.slug == entry.slug),
            None => false,
        };
        let lesson = match &args.text {
            Some(path) if is_named => read(path, entry)?,
            _ => entry.lesson()?,
        };
        let shown = Mutex::new(vec![None; lesson.rounds.len()]);
        Ok(Self { entry, lesson, recorded: args.recorded, shown })
    }

    /// Runs a round, or plays its recording; before that the rounds that it compares itself with,
    /// if they were not run yet.
    fn outcome(
        &self,
        round: usize,
        recording: Option<&Path>,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Outcome> {
        for before in self.lesson.compared(round) {
            if self.facts_before(round).get(before).is_some_and(Option::is_none) {
                tell(&format!("question {} first, to compare with it", before + 1));
                self.outcome(before, None, tell)?;
            }
        }
        let outcome = if self.recorded {
            let Some(recording) = self.entry.recordings.get(round) else {
                bail!("there is no recording of it")
            };
            let evidence = learn::recorded(*recording).context("cannot play the recording")?;
            learn::judge(&self.lesson, round, evidence, true, self.facts_before(round))
        } else {
            let plan = &self.lesson.rounds[round].plan;
            let scenario = (self.lesson.check.scenario)(&plan.knobs);
            self.live(round, &scenario, recording, tell)?
        };
        if let Some(shown) = self.shown().get_mut(round) {
            *shown = Some(outcome.facts.clone());
        }
        Ok(outcome)
    }

    /// The round's claims, held against a run with one thing changed under it.
    fn counter(&self, tell: &mut dyn FnMut(&str)) -> anyhow::Result<(usize, Outcome)> {
        let Some((round, scenario)) = self.lesson.counter_scenario() else {
            bail!("the lesson {} has no counter-run", self.entry.slug)
        };
        for before in self.lesson.compared(round) {
            self.outcome(before, None, tell)?;
        }
        Ok((round, self.live(round, &scenario, None, tell)?))
    }

    /// Runs what a bench says, and measures.
    fn bench(&self, bench: &Bench, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Outcome> {
        Ok(bench.measure(live::run(&bench.scenario(), None, tell)?))
    }

    fn shown(&self) -> MutexGuard<'_, Vec<Option<LessonFacts>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn facts_before(&self, round: usize) -> Vec<Option<LessonFacts>> {
        self.shown().iter().take(round).cloned().collect()
    }

    /// Runs a round. A run that is not as the text says is run again if part of it went unseen: a
    /// kernel that preempts a task within a probe skips that probe for others.
    fn live(
        &self,
        round: usize,
        scenario: &Scenario,
        recording: Option<&Path>,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Outcome> {
        let mut again = RUNS;
        loop {
            let evidence = live::run(scenario, recording, tell)
                .with_context(|| format!("lesson {}, question {}", self.entry.slug, round + 1))?;
            let earlier = self.facts_before(round);
            let outcome = learn::judge(&self.lesson, round, evidence, false, earlier);
            again -= 1;
            let snapshot = &outcome.evidence.snapshot;
            let unseen = snapshot.lost.saturating_add(snapshot.not_kept);
            if outcome.broken.is_empty() || unseen == 0 || again == 0 {
                return Ok(outcome);
            }
            tell(&format!(
                "{} {} missed, so the round runs again",
                count_of(unseen, "event"),
                were(unseen)
            ));
        }
    }
}

/// The lesson of a file, for its author.
fn read(path: &Path, entry: &CatalogueEntry) -> anyhow::Result<Lesson> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    match Lesson::parse(entry.slug, &text, entry.check) {
        Ok(lesson) => Ok(lesson),
        Err(error) => Err(Usage(error.to_string()).into()),
    }
}

/// Returns the columns of the terminal, if that is where standard output goes.
fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (columns, _) = ratatui::crossterm::terminal::size().ok()?;
    Some(usize::from(columns)).filter(|columns| *columns > 0)
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let progress = Progress::load();
    let mut lessons = Vec::new();
    for entry in learn::all() {
        lessons.push(entry.lesson()?);
    }
    let mut out = io::stdout().lock();
    if !json {
        out.write_all(list_text(&lessons, &progress, columns()).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    for lesson in &lessons {
        json::write(&mut out, &LessonRow::new(lesson, &progress.of(&lesson.slug)))?;
    }
    Ok(ExitCode::SUCCESS)
}
