//! `backscope learn`: the lessons.

mod auto;
mod lines;
mod screen;

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, bail};
use serde::Serialize;

use super::Usage;
use crate::{
    cli::LearnArgs,
    kernel::preflight::Preflight,
    learn::{self, Entry, Lesson, LessonError, Outcome, Progress, live},
    sensor::SensorError,
    text::escape,
    tui::lesson::list_text,
};

pub(super) fn run(args: &LearnArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        return list(args.json);
    }
    let named = args.lesson.as_deref().map(find).transpose()?;
    if !args.recorded {
        check_privileges(named)?;
    }
    if args.auto {
        return auto::run(args, named);
    }
    let runs = learn::all()
        .iter()
        .map(|entry| LessonRun::of(entry, args))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let progress = Progress::load();
    let at = named.and_then(|named| runs.iter().position(|run| run.entry.slug == named.slug));
    let next = || runs.iter().position(|run| !progress.is_done(&run.lesson));
    let at = at.or_else(next);
    if args.plain || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return lines::run(&runs[at.unwrap_or(0)], progress);
    }
    screen::run(runs, progress, at, args.recorded)
}

fn find(name: &str) -> anyhow::Result<&'static Entry> {
    learn::find(name).ok_or_else(|| {
        let names: Vec<_> = learn::all().iter().map(|entry| entry.slug).collect();
        Usage(format!("there is no lesson {}; there are: {}", escape(name), names.join(", ")))
            .into()
    })
}

/// Says now what would be said after the first prediction.
fn check_privileges(named: Option<&Entry>) -> anyhow::Result<()> {
    let Some(blocker) = Preflight::of_this_machine().blocker() else { return Ok(()) };
    let lesson = named.map_or(String::new(), |entry| format!(" {}", entry.slug));
    let why = "a lesson runs a real server and watches what the kernel does with it, and this cannot be watched here";
    let way =
        format!("To see the lesson without, from a recording: backscope learn{lesson} --recorded");
    Err(SensorError::Blocked(format!("{why}: {blocker}.\n{way}")).into())
}

/// How often a round is run until all of it was seen.
const RUNS: u32 = 4;

/// A lesson with where its runs come from.
struct LessonRun {
    entry: &'static Entry,
    lesson: Lesson,
    recorded: bool,
}

impl LessonRun {
    fn of(entry: &'static Entry, args: &LearnArgs) -> anyhow::Result<Self> {
        let named = args
            .lesson
            .as_deref()
            .is_some_and(|name| find(name).is_ok_and(|named| named.slug == entry.slug));
        let lesson = match &args.text {
            Some(path) if named => {
                let shown = escape(&path.to_string_lossy()).into_owned();
                let text =
                    fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
                Lesson::parse(entry.slug, &text, entry.check)
                    .map_err(|error: LessonError| Usage(error.to_string()))?
            }
            _ => entry.lesson()?,
        };
        Ok(Self { entry, lesson, recorded: args.recorded })
    }

    /// Runs a round, or plays its recording. A run that is not as the text says is run again if
    /// part of it went unseen: a kernel that preempts a task within a probe skips that probe for
    /// others.
    fn outcome(
        &self,
        round: usize,
        recording: Option<&Path>,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Outcome> {
        let plan = &self.lesson.rounds[round].plan;
        if self.recorded {
            let Some(recording) = self.entry.recordings.get(round) else {
                bail!("there is no recording of it")
            };
            let evidence = learn::recorded(*recording).context("cannot play the recording")?;
            return Ok(learn::judge(&self.lesson, round, evidence, true));
        }
        if let Some(feature) = self.entry.missing {
            let slug = self.entry.slug;
            bail!(
                "this program was built without what the lesson runs (`cargo install --path agent --features {feature}`); \
                 to see it from a recording: backscope learn {slug} --recorded"
            );
        }
        let scenario = (self.lesson.check.scenario)(&plan.knobs);
        let mut again = RUNS;
        loop {
            let outcome =
                learn::judge(&self.lesson, round, live::run(&scenario, recording, tell)?, false);
            again -= 1;
            let unseen = outcome.evidence.snapshot.lost;
            if outcome.broken.is_empty() || unseen == 0 || again == 0 {
                return Ok(outcome);
            }
            tell(&format!("{unseen} events went unseen, so it runs again"));
        }
    }
}

#[derive(Serialize)]
struct Row<'a> {
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

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let progress = Progress::load();
    let lessons = learn::all().iter().map(Entry::lesson).collect::<Result<Vec<_>, _>>()?;
    let mut out = io::stdout().lock();
    if !json {
        out.write_all(list_text(&lessons, &progress).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    for lesson in &lessons {
        let done = progress.of(&lesson.slug);
        let row = Row {
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
        writeln!(out, "{}", serde_json::to_string(&row)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
