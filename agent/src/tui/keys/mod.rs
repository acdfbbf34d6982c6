//! The table of keys. The footer, the help and `docs/keys.md` are made from it, so that they cannot
//! differ. `input.rs` and the replay's screen say what each key does.
//!
//! To add a key: a row in `table.rs`, and an arm in `input.rs`.
//! `UPDATE=1 cargo test -p backscope --lib tui::keys` writes the page anew.

mod table;

use ratatui::crossterm::event::KeyCode;

pub(super) use table::{KEYS, REPLAY_KEYS, TERMINAL_KEYS};

/// A view, as far as its keys differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The tabs.
    Queues,
    Connections,
    Threads,
    Findings,
    /// A listener that is open over a tab.
    Listener,
    /// A connection that is open over a tab.
    Connection,
    /// The few lines of a small terminal.
    Compact,
}

impl View {
    /// Returns the name in the help.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queues => "QUEUES",
            Self::Connections => "CONNECTIONS",
            Self::Threads => "THREADS",
            Self::Findings => "FINDINGS",
            Self::Listener => "an open listener",
            Self::Connection => "an open connection",
            Self::Compact => "a small terminal",
        }
    }
}

/// A kind of run that has the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    Both,
    Watch,
    Replay,
}

/// A part of a hint: what is shown, and the key that a click on it stands for.
pub(super) type Press = (&'static str, KeyCode);

/// A row of the table.
#[derive(Debug)]
pub(super) struct Key {
    /// The keys as the footer shows them, each with what it types.
    pub(super) presses: &'static [Press],
    /// The word behind them in the footer; empty keeps the row out of it.
    pub(super) hint: &'static str,
    /// Further keys for the same, and the mouse, as the help names them.
    also: &'static str,
    /// What it does, as the help says.
    does: &'static str,
    /// The views that have it.
    views: &'static [View],
    runs: Runs,
}

impl Key {
    /// True if it does something in this view of a watch, or of a replay.
    pub(super) fn is_for(&self, view: View, replay: bool) -> bool {
        let runs = match self.runs {
            Runs::Both => true,
            Runs::Watch => !replay,
            Runs::Replay => replay,
        };
        runs && self.views.contains(&view)
    }

    /// Returns the keys as the help names them: "← →".
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.presses.iter().map(|&(shown, _)| shown).collect();
        names.join(" ")
    }

    /// Returns the sentence in the help: what it does, and what else does so.
    pub(super) fn says(&self) -> String {
        match self.also {
            "" => self.does.to_owned(),
            also => format!("{}; also {also}", self.does),
        }
    }
}

/// True if a key does something in a view of a watch.
pub(super) fn has(view: View, code: KeyCode) -> bool {
    of(view, false).any(|key| key.presses.iter().any(|&(_, pressed)| pressed == code))
}

/// Returns the keys of a view in the order of the footer.
pub(super) fn of(view: View, replay: bool) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.is_for(view, replay))
}

/// Returns the keys that other views have and this one has not.
pub(super) fn elsewhere(view: View, replay: bool) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| {
        let is_elsewhere = key.views.iter().any(|&other| key.is_for(other, replay));
        is_elsewhere && !key.is_for(view, replay)
    })
}

/// Returns the views of a key, as a reader names them.
pub(super) fn views(key: &Key) -> String {
    if key.views == table::ALL || key.views == table::LARGE {
        return "everywhere".to_owned();
    }
    let names: Vec<&str> = key.views.iter().map(|view| view.name()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf};

    use ratatui::crossterm::event::KeyCode::Char;

    use super::table::ALL;
    use super::*;

    /// Returns `docs/keys.md`.
    fn page() -> String {
        let mut out = String::from(
            "# Keys\n\n\
             <!-- From agent/src/tui/keys/table.rs and signs.rs: \
             UPDATE=1 cargo test -p backscope --lib tui::keys -->\n\n\
             `?` shows the keys of the view in front and every sign; `/` searches there.\n\
             A click on a hint in the last line is its key.\n\n",
        );
        let row = |key: &Key| {
            let escaped = key.says().replace('|', "\\|");
            format!("| `{}` | {escaped} | {} |\n", key.names(), views(key))
        };
        let head = "| key | does | where |\n|---|---|---|\n";
        out.push_str(head);
        out.extend(KEYS.iter().filter(|key| key.runs != Runs::Replay).map(row));
        for (name, says) in TERMINAL_KEYS {
            out.push_str(&format!("| `{name}` | {says} | everywhere |\n"));
        }
        out.push_str("\n## In a replay\n\n");
        out.push_str(head);
        out.extend(REPLAY_KEYS.iter().map(row));
        out.extend(KEYS.iter().filter(|key| key.runs == Runs::Replay).map(row));
        out.push_str("\n## Signs\n\n| sign | means | where |\n|---|---|---|\n");
        for group in crate::tui::signs::GROUPS {
            for (sign, means) in group.signs {
                let title = group.title.to_lowercase();
                out.push_str(&format!("| `{sign}` | {means} | {title} |\n"));
            }
        }
        out
    }

    #[test]
    fn the_page_is_the_table() {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "docs", "keys.md"].iter().collect();
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, page()).expect("it can be written");
        }
        let committed = fs::read_to_string(&path).expect("it is there");
        assert!(committed == page(), "UPDATE=1 cargo test -p backscope --lib tui::keys writes it");
    }

    #[test]
    fn a_key_means_one_thing_in_a_view() {
        for &view in ALL {
            for replay in [false, true] {
                let mut seen = Vec::new();
                let own = REPLAY_KEYS.iter().filter(|_| replay);
                for key in of(view, replay).chain(own) {
                    for &(shown, code) in key.presses {
                        assert!(!seen.contains(&code), "{shown} has two meanings in {view:?}");
                        seen.push(code);
                    }
                }
                assert!(seen.contains(&Char('q')) && seen.contains(&Char('?')), "{view:?}");
            }
        }
    }
}
