//! `backscope learn`: the lessons.

mod auto;
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
use serde::Serialize;

use super::{Usage, frontend::is_for_screens, look::Look};
use crate::{
    cli::{self, LearnArgs},
    kernel::preflight::Preflight,
    learn::{self, CatalogueEntry, Lesson, LessonFacts, Outcome, Progress, Scenario, live},
    privileges,
    sensor::SensorError,
    text::{count_of, to_json, were},
    tui::lesson::list_text,
};

pub(super) fn run(args: &LearnArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        return list(args.json);
    }
    if let Some(pid) = args.pid {
        return own::watch(pid, args.duration);
    }
    if let Some(recording) = &args.from {
        return own::play(recording);
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
        return lines::run(&lessons[at.unwrap_or(0)], progress);
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
        if let Some(feature) = self.entry.missing {
            let slug = self.entry.slug;
            bail!(
                "this program was built without the servers that the lesson runs \
                 (`cargo install --path agent --features {feature}` builds them in); \
                 to see the lesson from a recording: backscope learn {slug} --recorded"
            );
        }
        let mut again = RUNS;
        loop {
            let evidence = live::run(scenario, recording, tell)?;
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

#[derive(Serialize)]
struct LessonRow<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    lecture: u8,
    lectures: &'a [u8],
    title: &'a str,
    minutes: u8,
    questions: usize,
    done: usize,
    right: usize,
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
        let done = progress.of(&lesson.slug);
        let row = LessonRow {
            kind: "lesson",
            name: &lesson.slug,
            lecture: lesson.lectures[0],
            lectures: &lesson.lectures,
            title: &lesson.title,
            minutes: lesson.minutes,
            questions: lesson.rounds.len(),
            done: done.rounds,
            right: done.right,
        };
        out.write_all(&to_json(&row)?)?;
        writeln!(out)?;
    }
    Ok(ExitCode::SUCCESS)
}
