//! How a run came to its end: the targets that have ended, and a recording that ended early.

use std::io::{self, Write};

use super::Colour;
use crate::model::{RecordingStop, output::Summary};
use crate::text::{Untrusted, count, duration_us};

/// Most ends that the summary names: the newest.
const MOST: usize = 8;

/// Writes who ended, and how far the recording reaches; nothing where neither is to be said.
pub(super) fn summary(out: &mut dyn Write, colour: Colour, summary: &Summary) -> io::Result<()> {
    let ended = &summary.ended;
    let shown = ended.processes.len().min(MOST);
    let before = ended.count.saturating_sub(shown as u64);
    if before > 0 {
        writeln!(out, "  ended        {} targets before these:", count(before))?;
    }
    for process in &ended.processes[ended.processes.len() - shown..] {
        writeln!(out, "  ended        {}", process.words().for_terminal())?;
    }
    if let Some(stopped) = &summary.recording_stopped {
        let words = stopped_words(stopped, summary);
        let words = words.for_terminal().to_string();
        writeln!(out, "  recording    {}", colour.loss(true, &words))?;
    }
    Ok(())
}

/// "stopped 2.0 s before the end: No space left on device; it holds the first 10.2 s of the watch".
fn stopped_words(stopped: &RecordingStop, summary: &Summary) -> Untrusted {
    let before_us = summary.ts_ns.saturating_sub(stopped.ts_ns) / 1_000;
    let holds = match stopped.reaches_us(summary) {
        Some(us) => format!("it holds the first {} of the watch", duration_us(us)),
        None => "how far it reaches is not known".to_owned(),
    };
    compose!("stopped {} before the end: {}; {holds}", duration_us(before_us), stopped.reason)
}
