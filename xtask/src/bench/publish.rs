//! Writes what was measured into the documentation: the tables, the chart, and on which machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::report::Report;
use super::{Extent, chart};
use crate::reliability::replaced;
use crate::step::{self, Step};

const DOCUMENT: &str = "docs/benchmarks.md";
const CHART: &str = "docs/benchmarks.svg";

/// The files that a measurement leaves for [`write`], in a folder.
const TEXT_FILE: &str = "benchmarks.md";
const CHART_FILE: &str = "benchmarks.svg";

/// Leaves what was measured in the folder. The bench, which runs as root, writes nothing into the
/// checkout.
pub(super) fn leave(report: &Report, extent: &Extent, folder: &Path) -> Result<()> {
    let picture = if report.panels.is_empty() {
        String::new()
    } else {
        fs::write(folder.join(CHART_FILE), chart::svg(&report.panels))?;
        "![Requests a second lost with each program beside nginx](benchmarks.svg)\n\n".to_owned()
    };
    let machine = machine()?;
    let Extent { rounds, seconds, .. } = extent;
    let text = format!(
        "{machine}\n{rounds} rounds, {seconds} s for each count.\n\n{picture}{}",
        report.markdown()
    );
    fs::write(folder.join(TEXT_FILE), text)?;
    Ok(())
}

/// Writes what the measurement left in the folder into the documentation.
pub(super) fn write(folder: &Path) -> Result<()> {
    let step = Step::start(format_args!("writing {DOCUMENT}"));
    let path = step::root().join(DOCUMENT);
    let document = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = fs::read_to_string(folder.join(TEXT_FILE)).context("nothing was measured")?;
    fs::write(&path, replaced(&document, &text)?)?;
    if let Ok(chart) = fs::read(folder.join(CHART_FILE)) {
        fs::write(step::root().join(CHART), chart)?;
    }
    step.done("written");
    Ok(())
}

/// Returns a line on when and where it was measured.
fn machine() -> Result<String> {
    let date = step::output(Command::new("date").env("LC_ALL", "C").arg("+%-d %B %Y"))?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("no osrelease")?;
    let (cpu, memory) =
        (fs::read_to_string("/proc/cpuinfo")?, fs::read_to_string("/proc/meminfo")?);
    Ok(described(&date, &kernel, &cpu, &memory))
}

fn described(date: &str, kernel: &str, cpu: &str, memory: &str) -> String {
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let model = value(cpu, "model name").unwrap_or_else(|| "processor unknown".to_owned());
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let is_guest = value(cpu, "flags").is_some_and(|flags| flags.contains("hypervisor"));
    let kind = if is_guest { "virtual machine" } else { "machine" };
    let kb = value(memory, "MemTotal").and_then(|value| value.strip_suffix(" kB")?.parse().ok());
    let gb = kb.unwrap_or(0.0f64) / 1024.0 / 1024.0;
    // The version; what follows it is the distribution's.
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!("{}, {kind}: {model}, {count} processors, {gb:.0} GiB, Linux {kernel}.", date.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let cpu = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu hypervisor\n\n\
                   processor\t: 1\nmodel name\t: Some CPU\nflags\t\t: fpu hypervisor\n";
        let memory = "MemTotal:       24664964 kB\nMemFree: 1 kB\n";
        assert_eq!(
            described("1 May 2026\n", "6.18.44-fc-v657\n", cpu, memory),
            "1 May 2026, virtual machine: Some CPU, 2 processors, 24 GiB, Linux 6.18.44."
        );
    }

    #[test]
    fn the_document_has_the_marks() {
        let text = fs::read_to_string(step::root().join(DOCUMENT)).expect("the document");
        assert!(replaced(&text, "").is_ok());
    }
}
