//! The choice of a process for a bare `watch`.

use std::env;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::terminal;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::{
    commands::{event_loop, signals::Signals, table},
    model::event::ListenerSample,
    sensor::{self, Targets},
    text::Untrusted,
    tui::{
        Guard, Theme, is_hung_up,
        picker::{Candidate, Choice, Picker},
    },
};

/// Columns of the lines, where the terminal does not say how many it has.
const COLUMNS: usize = 80;
/// Time within which a signal is noticed.
const PATIENCE: Duration = Duration::from_millis(50);
/// Time in which the event loop sees whether one has come.
const LOOK: Duration = Duration::from_millis(1);
/// Processes that are listed as lines at a time.
const LISTED: usize = 20;

/// What came of the choice.
pub(super) struct Picked {
    /// The process; `None` if the user leaves.
    pub pid: Option<u32>,
    /// The signals that end a run, if they were caught while the screen stood. Whoever goes on
    /// takes them over: one that comes now would be lost otherwise.
    pub signals: Option<Signals>,
}

/// Shows who listens and asks for one of them.
pub(super) fn pick(theme: Theme) -> anyhow::Result<Picked> {
    let listeners = sensor::look(&Targets { all: true, ..Targets::default() })?.sample.listeners;
    if listeners.is_empty() {
        let nobody =
            "Nothing listens on this machine. Start a server, or run: backscope watch -- CMD";
        writeln!(io::stdout(), "{nobody}")?;
        return Ok(Picked { pid: None, signals: None });
    }
    let mut picker = Picker::new(theme, candidates(&listeners));
    if draws(|name| env::var(name).unwrap_or_default()) {
        return on_screen(theme, &mut picker);
    }
    let columns = terminal::size().map_or(COLUMNS, |(columns, _)| columns.into());
    let pid = in_lines(&picker, &mut io::stdin().lock(), &mut io::stdout().lock(), columns)?;
    Ok(Picked { pid, signals: None })
}

/// Whether the terminal can move its cursor, and shows UTF-8.
fn draws(variable: impl Fn(&str) -> String) -> bool {
    let terminal = variable("TERM");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable);
    let locale = locale.into_iter().find(|locale| !locale.is_empty()).unwrap_or_default();
    let charset = locale.to_lowercase().replace('-', "");
    !matches!(terminal.as_str(), "" | "dumb") && charset.contains("utf8")
}

/// Asks on a screen of its own, until a signal ends it. No thread reads the terminal: rights are a
/// thread's, and those that began before the watch would keep them.
fn on_screen(theme: Theme, picker: &mut Picker) -> anyhow::Result<Picked> {
    let event_loop = event_loop()?;
    let mut signals = event_loop.block_on(async { Signals::catch() })?;
    let mut guard = Guard::enter(theme)?;
    let pid = loop {
        guard.draw_by(|frame| picker.draw(frame))?;
        let Some(event) = next_event(&event_loop, &mut signals)? else { break None };
        match picker.on_event(&event) {
            Choice::Open => {}
            Choice::Process(pid) => break Some(pid),
            Choice::Left => break None,
        }
    };
    Ok(Picked { pid, signals: Some(signals) })
}

/// Waits for the terminal; `None` if a signal comes first.
fn next_event(event_loop: &Runtime, signals: &mut Signals) -> anyhow::Result<Option<Event>> {
    loop {
        if event::poll(PATIENCE)? {
            return Ok(Some(event::read()?));
        }
        if is_hung_up(io::stdin()) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        let any = async { timeout(LOOK, signals.any()).await.is_ok() };
        if event_loop.block_on(any) {
            return Ok(None);
        }
    }
}

/// Asks line by line: a number chooses, any other text filters.
fn in_lines(
    picker: &Picker,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    columns: usize,
) -> anyhow::Result<Option<u32>> {
    let mut filter = String::new();
    loop {
        let matching = picker.matching(&filter);
        list(out, &matching, columns)?;
        writeln!(out, "Type a number to watch that process, a name or port to filter, q to quit.")?;
        write!(out, "> ")?;
        out.flush()?;
        let mut answer = String::new();
        if input.read_line(&mut answer)? == 0 {
            return Ok(None);
        }
        match answer.trim() {
            "q" => return Ok(None),
            "" if filter.is_empty() => return Ok(None),
            text => match chosen(text, &matching) {
                Some(pid) => return Ok(Some(pid)),
                None if picker.matching(text).is_empty() => {
                    let text = Untrusted::from(text);
                    writeln!(out, "{} is none of them, and nothing matches.", text.for_terminal())?;
                }
                None => text.clone_into(&mut filter),
            },
        }
    }
}

fn list(out: &mut dyn Write, matching: &[&Candidate], columns: usize) -> io::Result<()> {
    let mut rows = Vec::new();
    for (at, one) in matching.iter().take(LISTED).enumerate() {
        let why = match one.reason() {
            why if why.is_empty() => "-".to_owned(),
            why => why,
        };
        rows.push(vec![(at + 1).to_string(), why, one.name(), String::new()]);
    }
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let least = [1, "WHY".len(), "PROCESS".len()];
    let taken: usize = (0..3).map(|at| widest(at).unwrap_or(0).max(least[at]) + 2).sum();
    for (row, one) in rows.iter_mut().zip(matching) {
        row[3] = one.places(columns.saturating_sub(taken)).replace('…', "...");
    }
    table::write(out, &[">#", "WHY", "PROCESS", "LISTENS ON"], &rows)?;
    let more = matching.len().saturating_sub(LISTED);
    if more > 0 {
        writeln!(out, "... and {more} more: filter to see them")?;
    }
    Ok(())
}

/// The process of that number; they are counted from 1.
fn chosen(text: &str, listed: &[&Candidate]) -> Option<u32> {
    let number: usize = text.parse().ok()?;
    Some(listed.get(number.checked_sub(1)?)?.pid)
}

/// Sums up the listeners of each process.
fn candidates(listeners: &[ListenerSample]) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for listener in listeners {
        let at = match all.iter().position(|one| one.pid == listener.pid) {
            Some(at) => at,
            None => {
                all.push(Candidate {
                    pid: listener.pid,
                    comm: listener.comm.clone(),
                    listens: Vec::new(),
                    waiting: 0,
                    limit: 0,
                    full: false,
                    drops: 0,
                });
                all.len() - 1
            }
        };
        let one = &mut all[at];
        one.listens.push(listener.local);
        one.drops = one.drops.saturating_add(listener.drops);
        if listener.depth > 0 {
            one.waiting += u64::from(listener.depth);
            one.limit += u64::from(listener.limit);
            // The kernel lets one more in than the limit.
            one.full |= listener.depth > listener.limit;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::model::tests::world::{address, listener};

    fn picker() -> Picker {
        let mut listeners = Vec::new();
        for port in 0..200 {
            let local = address(&format!("0.0.0.0:{}", 20_000 + port));
            listeners.push(ListenerSample { local, pid: 7, ..listener(100 + port, 128) });
        }
        let local = address("10.0.0.1:8080");
        listeners.push(ListenerSample { local, depth: 3, drops: 9, ..listener(7, 2) });
        Picker::new(Theme::plain(), candidates(&listeners))
    }

    fn asked(answers: &str) -> (Option<u32>, String) {
        let mut out = Vec::new();
        let picked = in_lines(&picker(), &mut answers.as_bytes(), &mut out, 80).unwrap();
        (picked, String::from_utf8(out).unwrap())
    }

    #[test]
    fn lines_fit_the_width_one_a_process_and_trouble_first() {
        let (picked, text) = asked("1\n");
        assert_eq!(picked, Some(4242));
        assert!(text.is_ascii(), "for any terminal: {text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("full, 3 of 2, 9 dropped"), "{text}");
        assert!(lines[2].contains("server 7 ") && lines[2].contains(" +19"), "{text}");
        assert_eq!(asked("2\n").0, Some(7));
    }

    #[test]
    fn text_filters_and_nothing_leaves() {
        assert_eq!(asked("20150\n1\n").0, Some(7), "it is a port, and the only row then");
        let (picked, text) = asked("nobody\u{1b}\nq\n");
        assert_eq!(picked, None);
        assert!(text.contains(r"nobody\u{1b} is none of them"), "{text}");
        for answers in ["", "\n", "q\n"] {
            assert_eq!(asked(answers).0, None);
        }
    }

    #[test]
    fn a_screen_needs_a_cursor_and_utf_8() {
        let draws = |all: &[(&str, &str)]| {
            let all: HashMap<_, _> = all.iter().copied().collect();
            draws(|name| all.get(name).copied().unwrap_or_default().to_owned())
        };
        assert!(draws(&[("TERM", "xterm"), ("LANG", "en_GB.UTF-8")]));
        assert!(draws(&[("TERM", "linux"), ("LC_ALL", "C.utf8"), ("LANG", "C")]));
        assert!(!draws(&[("TERM", "dumb"), ("LANG", "en_GB.UTF-8")]));
        assert!(!draws(&[("TERM", "xterm"), ("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
        assert!(!draws(&[("TERM", "xterm")]));
    }
}
