//! `learn --auto`: runs every round, and compares the text's claims with what was measured.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, bail};

use super::{LessonRun, json};
use crate::{
    cli::LearnArgs,
    learn::{self, Bench, CatalogueEntry, Outcome},
};

/// Runs the lesson that was named, else all; fails if a claim does not hold.
pub(super) fn run(
    args: &LearnArgs,
    named: Option<&'static CatalogueEntry>,
) -> anyhow::Result<ExitCode> {
    let mut entries = Vec::new();
    match named {
        Some(entry) => entries.push(entry),
        None => entries.extend(learn::all()),
    }
    let mut broken = 0;
    for entry in entries {
        let run = LessonRun::of(entry, args)?;
        if args.counter {
            broken += counter(&run)?;
            continue;
        }
        if args.bench {
            bench(&run)?;
            continue;
        }
        for round in 0..run.lesson.rounds.len() {
            broken += check(&run, round, args)?;
        }
    }
    if broken > 0 {
        note!("backscope: {broken} of the lessons' claims do not hold here");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a round, and says how many of its claims do not hold.
fn check(run: &LessonRun, round: usize, args: &LearnArgs) -> anyhow::Result<usize> {
    let LessonRun { entry, lesson, .. } = run;
    let file = format!("{}-{}.bsrec", entry.slug, round + 1);
    let recording = args.record.as_ref().map(|folder| folder.join(file));
    let mut out = io::stdout();
    let begun = Instant::now();
    let outcome = run.outcome(round, recording.as_deref(), &mut |_| {})?;
    if args.json {
        json::write_round(&mut out, run, round, &outcome, begun.elapsed())?;
        return Ok(outcome.broken.len());
    }
    let plan = &lesson.rounds[round].plan;
    let took = if run.recorded {
        String::new()
    } else {
        format!(", took {:.1} s", begun.elapsed().as_secs_f64())
    };
    writeln!(
        out,
        "{} {}, {} of {}: {} {} = {}; {} of {} claims hold (kernel {}, {} tier{took})",
        lesson.lecture(),
        entry.slug,
        round + 1,
        lesson.rounds.len(),
        plan.knobs,
        plan.answer,
        outcome.facts.shown(&plan.answer),
        plan.claims.len() - outcome.broken.len(),
        plan.claims.len(),
        outcome.evidence.kernel.for_terminal(),
        outcome.evidence.tier.for_terminal(),
    )?;
    tell_broken(&outcome)?;
    if !outcome.broken.is_empty() {
        for line in &outcome.evidence.reports {
            writeln!(out, "  {}", line.for_terminal())?;
        }
    }
    Ok(outcome.broken.len())
}

/// Runs each value of each knob of the first round, one turned at a time. Fails with the first that
/// cannot run.
fn bench(run: &LessonRun) -> anyhow::Result<()> {
    let (lesson, mut out) = (&run.lesson, io::stdout());
    let answer = &lesson.rounds[0].plan.answer;
    for (words, turned) in Bench::of(lesson, 0).turned_once() {
        let begun = Instant::now();
        let outcome = run.bench(&turned, &mut |_| {});
        let outcome = outcome.with_context(|| format!("{}, {words}", lesson.slug))?;
        let (shown, took) = (outcome.facts.shown(answer), begun.elapsed().as_secs_f64());
        writeln!(out, "{}, {words}: {answer} = {shown} (took {took:.1} s)", lesson.slug)?;
    }
    Ok(())
}

fn tell_broken(outcome: &Outcome) -> anyhow::Result<()> {
    let mut out = io::stdout();
    for broken in &outcome.broken {
        writeln!(out, "  does not hold: {broken}")?;
    }
    Ok(())
}

/// Runs the lesson's counter-run, and says how many claims do not hold in it.
fn counter(run: &LessonRun) -> anyhow::Result<usize> {
    let Some(counter) = &run.lesson.counter else {
        bail!("the lesson {} has no counter-run", run.entry.slug)
    };
    let (_, outcome) = run.counter(&mut |_| {})?;
    let mut out = io::stdout();
    writeln!(
        out,
        "{} {}, counter-run of {}: {}; {} of {} claims do not hold",
        run.lesson.lecture(),
        run.entry.slug,
        counter.round,
        counter.change,
        outcome.broken.len(),
        run.lesson.rounds[counter.round - 1].plan.claims.len(),
    )?;
    tell_broken(&outcome)?;
    for name in &counter.breaks {
        if !outcome.broken.iter().any(|broken| broken.fact == *name) {
            writeln!(out, "  holds all the same: {name}")?;
        }
    }
    Ok(outcome.broken.len())
}
