//! `cargo xtask reliability`: runs what holds the promises of reliability, and writes their table
//! into `docs/reliability.md`.

use std::fs;
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step::{self, Step};
use crate::{fuzz, soak};

const DOCUMENT: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- table: begin -->\n";
const END: &str = "<!-- table: end -->";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the soak runs
    #[arg(long, default_value_t = 10.0, value_name = "MINUTES")]
    minutes: f64,
    /// How long each target is fuzzed
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Run the soak without optimisation
    #[arg(long)]
    debug: bool,
}

/// A promise, under which load it was tested, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) test: String,
    pub(crate) load: String,
    pub(crate) result: String,
    pub(crate) held: bool,
}

impl Row {
    /// Reads rows, an object a line.
    pub(crate) fn read(text: &str) -> Result<Vec<Self>> {
        let mut rows = Vec::new();
        for line in text.lines() {
            let object: Value = serde_json::from_str(line).context(line.to_owned())?;
            let word = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
            let held = object["held"] == true;
            rows.push(Self {
                test: word("test"),
                load: word("load"),
                result: word("result"),
                held,
            });
        }
        Ok(rows)
    }

    fn line(&self) -> String {
        let doubt = if self.held { "" } else { " (**does not hold**)" };
        format!("| {} | {} | {}{doubt} |\n", self.test, self.load, self.result)
    }
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let mut rows = soak::run_all(&soak::Args::of(args.minutes, !args.debug))?;
    rows.extend(fuzz::run_all(None, args.seconds)?);
    write(&rows, args.debug)?;
    Ok(rows.iter().all(|row| row.held))
}

fn write(rows: &[Row], debug: bool) -> Result<()> {
    let step = Step::start(format_args!("writing the table of {DOCUMENT}"));
    let path = step::root().join(DOCUMENT);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("no osrelease")?;
    // The version; what follows it is the distribution's.
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let processors = thread::available_parallelism()?;
    let build = if debug { "without optimisation" } else { "with optimisation" };
    let head = format!("Linux {kernel}, {processors} processors; the agent is built {build}.\n\n");
    fs::write(&path, replaced(&text, &(head + &table(rows)))?)?;
    step.done("written");
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut table = "| test | load | result |\n|---|---|---|\n".to_owned();
    for row in rows {
        table += &row.line();
    }
    table
}

/// Returns the document with this between its marks.
pub(crate) fn replaced(document: &str, table: &str) -> Result<String> {
    let Some((head, rest)) = document.split_once(BEGIN) else { bail!("no {BEGIN}") };
    let Some((_, tail)) = rest.split_once(END) else { bail!("no {END}") };
    Ok(format!("{head}{BEGIN}{table}{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_written_between_the_marks() {
        let said = r#"{"test":"t","load":"l","result":"r","held":false}"#;
        let rows = Row::read(said).expect("a row");
        let document = format!("# A\n{BEGIN}stale\n{END}\nend\n");
        let written = replaced(&document, &table(&rows)).expect("marks");
        assert!(written.contains("| t | l | r (**does not hold**) |\n<!-- table: end -->\nend\n"));
        assert!(!written.contains("stale"), "{written}");
        assert!(replaced("no marks", "").is_err());
    }

    #[test]
    fn the_document_has_the_marks_and_a_table() {
        let text = fs::read_to_string(step::root().join(DOCUMENT)).expect("the document");
        let (_, rest) = text.split_once(BEGIN).expect("the beginning");
        let (table, _) = rest.split_once(END).expect("the end");
        assert!(table.lines().filter(|line| line.starts_with("| ")).count() > 10, "{table}");
    }
}
