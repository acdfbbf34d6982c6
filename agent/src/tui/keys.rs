//! The table of keys. The footer, the help and `docs/keys.md` are made from it, so that they cannot
//! differ. `input.rs` and the replay's screen say what each key does.
//!
//! To add a key: a row in [`KEYS`], and an arm in `input.rs`.
//! `UPDATE=1 cargo test -p backscope --lib tui::keys` writes the page anew.

use ratatui::crossterm::event::KeyCode;

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

const LISTS: &[View] = &[View::Queues, View::Connections, View::Threads];
const TABS: &[View] = &[View::Queues, View::Connections, View::Threads, View::Findings];
const OPEN: &[View] = &[View::Listener, View::Connection];
const LARGE: &[View] = &[
    View::Queues,
    View::Connections,
    View::Threads,
    View::Findings,
    View::Listener,
    View::Connection,
];
const ALL: &[View] = &[
    View::Queues,
    View::Connections,
    View::Threads,
    View::Findings,
    View::Listener,
    View::Connection,
    View::Compact,
];

use KeyCode::{Char, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up};

/// Every key, in the order of the footer: where there is little room, the last give way.
pub(super) const KEYS: &[Key] = &[
    Key {
        presses: &[("Esc", Esc)],
        hint: "back",
        also: "",
        does: "back to the list",
        views: OPEN,
        runs: Runs::Both,
    },
    Key {
        presses: &[("↵", Enter)],
        hint: "call",
        also: "",
        does: "the upstream call that the exchange waited for, or the request that a call is for; \
               Esc goes back",
        views: &[View::Connection],
        runs: Runs::Both,
    },
    Key {
        presses: &[("←", Left), ("→", Right)],
        hint: "exchange",
        also: "h l",
        does: "the exchange before, the next one",
        views: &[View::Connection],
        runs: Runs::Watch,
    },
    Key {
        presses: &[("h", Char('h')), ("l", Char('l'))],
        hint: "exchange",
        also: "",
        does: "the exchange before, the next one; the arrows move in time",
        views: &[View::Connection],
        runs: Runs::Replay,
    },
    Key {
        presses: &[("W", Char('W'))],
        hint: "worst",
        also: "",
        does: "the worst exchange",
        views: &[View::Connection],
        runs: Runs::Both,
    },
    Key {
        presses: &[("↵", Enter)],
        hint: "open",
        also: "a click on the selected row",
        does: "open what is selected, or what the finding is about",
        views: &[View::Queues, View::Connections, View::Findings],
        runs: Runs::Both,
    },
    Key {
        presses: &[("↵", Enter)],
        hint: "connections",
        also: "a click on the selected row",
        does: "the connections that the thread serves",
        views: &[View::Threads],
        runs: Runs::Both,
    },
    Key {
        presses: &[("Tab", Tab)],
        hint: "views",
        also: "Shift+Tab, 1 2 3 4 and a click",
        does: "the next of queues, connections, threads, findings",
        views: TABS,
        runs: Runs::Both,
    },
    Key {
        presses: &[("s", Char('s'))],
        hint: "sort",
        also: "a click on a title",
        does: "sort by the next column",
        views: TABS,
        runs: Runs::Both,
    },
    Key {
        presses: &[("/", Char('/'))],
        hint: "filter",
        also: "",
        does: "show only rows with an address, name, pid, state …; Esc ends it",
        views: LISTS,
        runs: Runs::Both,
    },
    Key {
        presses: &[("p", Char('p'))],
        hint: "pause",
        also: "",
        does: "pause the screen; the watch itself goes on",
        views: ALL,
        runs: Runs::Watch,
    },
    Key {
        presses: &[("?", Char('?'))],
        hint: "help",
        also: "",
        does: "this help",
        views: ALL,
        runs: Runs::Both,
    },
    Key {
        presses: &[("q", Char('q'))],
        hint: "quit",
        also: "Ctrl-C",
        does: "quit",
        views: ALL,
        runs: Runs::Both,
    },
    Key {
        presses: &[("S", Char('S'))],
        hint: "flip",
        also: "another click on the title",
        does: "reverse the order",
        views: TABS,
        runs: Runs::Both,
    },
    Key {
        presses: &[("↑", Up), ("↓", Down)],
        hint: "select",
        also: "k j and a click",
        does: "select a row",
        views: TABS,
        runs: Runs::Both,
    },
    Key {
        presses: &[("y", Char('y'))],
        hint: "copy",
        also: "",
        does: "copy what is selected to the clipboard, as text",
        views: LARGE,
        runs: Runs::Both,
    },
    Key {
        presses: &[("w", Char('w'))],
        hint: "write",
        also: "",
        does: "write what is selected into files, as JSON and as text",
        views: LARGE,
        runs: Runs::Both,
    },
    Key {
        presses: &[("r", Char('r'))],
        hint: "record",
        also: "",
        does: "begin a recording, end it",
        views: LARGE,
        runs: Runs::Watch,
    },
    Key {
        presses: &[("R", Char('R'))],
        hint: "report",
        also: "",
        does: "write the report of the run so far, as a page of HTML",
        views: LARGE,
        runs: Runs::Both,
    },
    Key {
        presses: &[("↑", Up), ("↓", Down)],
        hint: "scroll",
        also: "k j and the wheel",
        does: "scroll",
        views: OPEN,
        runs: Runs::Both,
    },
    Key {
        presses: &[("PgUp", PageUp), ("PgDn", PageDown)],
        hint: "",
        also: "the wheel",
        does: "a page up, a page down",
        views: LARGE,
        runs: Runs::Both,
    },
    Key {
        presses: &[("<", Char('<')), (">", Char('>'))],
        hint: "",
        also: "",
        does: "newer events, older ones",
        views: &[View::Queues],
        runs: Runs::Both,
    },
    Key {
        presses: &[("Home", Home), ("End", End)],
        hint: "",
        also: "g G",
        does: "the first row, the last one",
        views: LARGE,
        runs: Runs::Watch,
    },
    Key {
        presses: &[("g", Char('g')), ("G", Char('G'))],
        hint: "",
        also: "",
        does: "the first row, the last one",
        views: LARGE,
        runs: Runs::Replay,
    },
];

/// Keys that move in time, in the order of the line under the time line.
pub(super) const REPLAY_KEYS: &[Key] = &[
    Key {
        presses: &[("space", Char(' '))],
        hint: "play/pause",
        also: "p",
        does: "pause, go on; at the end, from the beginning",
        views: ALL,
        runs: Runs::Replay,
    },
    Key {
        presses: &[("←", Left), ("→", Right)],
        hint: "5 s",
        also: "",
        does: "5 s back, 5 s on",
        views: ALL,
        runs: Runs::Replay,
    },
    Key {
        presses: &[("f", Char('f')), ("F", Char('F'))],
        hint: "finding",
        also: "",
        does: "to where the next finding begins, the previous one",
        views: ALL,
        runs: Runs::Replay,
    },
    Key {
        presses: &[("+", Char('+')), ("-", Char('-'))],
        hint: "speed",
        also: "=",
        does: "faster, slower",
        views: ALL,
        runs: Runs::Replay,
    },
    Key {
        presses: &[("[", Char('[')), ("]", Char(']'))],
        hint: "30 s",
        also: "",
        does: "30 s back, 30 s on",
        views: ALL,
        runs: Runs::Replay,
    },
    Key {
        presses: &[("Home", Home), ("End", End)],
        hint: "ends",
        also: "a click on the time line, for any moment",
        does: "to the beginning, to the end",
        views: ALL,
        runs: Runs::Replay,
    },
];

/// What the terminal itself, or the shell, does with a key; these are in no footer.
pub(super) const TERMINAL_KEYS: &[(&str, &str)] = &[
    ("Ctrl-Z", "back to the shell; fg returns here"),
    ("Ctrl-L", "draw the screen again"),
    ("Shift + drag", "select text, in most terminals"),
];

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
    if key.views == ALL || key.views == LARGE {
        return "everywhere".to_owned();
    }
    let names: Vec<&str> = key.views.iter().map(|view| view.name()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf};

    use super::*;

    /// Returns `docs/keys.md`.
    fn page() -> String {
        let mut out = String::from(
            "# Keys\n\n\
             <!-- From agent/src/tui/keys.rs and signs.rs: \
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
