//! `learn --again`: questions of earlier lessons, with other numbers, measured anew.

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
};

use anyhow::Context;

use super::{
    check_privileges,
    lines::{predict, println},
};
use crate::{
    learn::{
        self, CatalogueEntry, Lesson, Outcome, Progress,
        again::{Variation, offers, variations},
        live,
    },
    text::count_of,
    tui::lesson::LessonText,
};

/// Runs that are tried, until one shows the answer.
const RUNS: usize = 3;

/// Asks what is due, until the input ends.
pub(super) fn run(recorded: bool) -> anyhow::Result<ExitCode> {
    if !recorded {
        check_privileges(None)?;
    }
    let mut progress = Progress::load();
    let due = progress.due();
    let (mut input, mut out) = (io::stdin().lock(), io::stdout().lock());
    if due.is_empty() {
        writeln!(
            out,
            "Nothing is to be asked again today. A question comes again after a day, a week and a \
             month."
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let (mut asked, mut right) = (0, 0);
    for (slug, round) in &due {
        // A lesson of an older version may be gone, or have fewer questions.
        let Some(entry) = learn::find(slug) else { continue };
        let lesson = entry.lesson()?;
        if *round >= lesson.rounds.len() {
            continue;
        }
        let times = progress.of(slug).asked.get(round).map_or(0, |asked| asked.times as usize);
        let run = Run { entry, lesson: &lesson, round: *round, recorded };
        let Some(is_right) = run.ask(times, &mut input, &mut out)? else { break };
        asked += 1;
        right += usize::from(is_right);
        progress.note_again(slug, *round, is_right);
        if let Err(error) = progress.save() {
            note!("backscope: the progress could not be saved: {error}");
        }
    }
    let left = due.len().saturating_sub(asked) as u64;
    write!(out, "{right} of {asked} as you predicted.")?;
    if left > 0 {
        write!(out, " {} left for today.", count_of(left, "question"))?;
    }
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}

/// One question.
struct Run<'a> {
    entry: &'static CatalogueEntry,
    lesson: &'a Lesson,
    round: usize,
    recorded: bool,
}

impl Run<'_> {
    /// Runs it, asks, and tells. `None` at the end of the input.
    fn ask(
        &self,
        times: usize,
        input: &mut impl BufRead,
        out: &mut impl Write,
    ) -> anyhow::Result<Option<bool>> {
        let (change, outcome) = self.measure(times, out)?;
        let text = LessonText { lesson: self.lesson, round: self.round, recorded: self.recorded };
        writeln!(out)?;
        out.write_all(text.asked_again(&change).as_bytes())?;
        let (offered, right) =
            offers(self.lesson, self.round, &outcome).context("the run did not show the answer")?;
        for (letter, offered) in ('a'..).zip(&offered) {
            write!(out, "   {letter}) {offered}")?;
        }
        writeln!(out)?;
        let Some(guess) = predict(input, out, &offered)? else { return Ok(None) };
        if guess == right {
            writeln!(out, " ✓ {}, as you predicted", offered[right])?;
        } else {
            writeln!(out, " ✗ {}: it was {}", offered[guess], offered[right])?;
        }
        out.write_all(text.shown_again(&outcome).as_bytes())?;
        writeln!(out)?;
        Ok(Some(guess == right))
    }

    /// Measures with other numbers before it asks: the answers offered are made around what is
    /// measured. A recording has the numbers of the lesson.
    fn measure(&self, times: usize, out: &mut impl Write) -> anyhow::Result<(String, Outcome)> {
        if self.recorded {
            let recording =
                self.entry.recordings.get(self.round).context("there is no recording of it")?;
            let evidence = learn::recorded(*recording).context("cannot play the recording")?;
            let outcome = learn::judge(self.lesson, self.round, evidence, true, Vec::new());
            return Ok((String::new(), outcome));
        }
        let mut last = None;
        let variations = variations(self.lesson, self.round, times);
        let round_itself = variations.last().cloned();
        for Variation { change, bench } in variations.into_iter().take(RUNS).chain(round_itself) {
            let told = match change.as_str() {
                "" => "measuring".to_owned(),
                change => format!("measuring with other numbers: {change}"),
            };
            println(out, &told);
            match live::run(&bench.scenario(), None, &mut |_| {}) {
                Ok(evidence) => {
                    let outcome = bench.measure(evidence);
                    if offers(self.lesson, self.round, &outcome).is_some() {
                        return Ok((change, outcome));
                    }
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no run showed the answer")))
    }
}
