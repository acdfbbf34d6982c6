//! The keys.

use ratatui::crossterm::event::KeyCode::{
    Char, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up,
};

use super::{Key, Runs, View};

const LISTS: &[View] = &[View::Queues, View::Connections, View::Threads];

const TABS: &[View] = &[View::Queues, View::Connections, View::Threads, View::Findings];

const OPEN: &[View] = &[View::Listener, View::Connection];

pub(super) const LARGE: &[View] = &[
    View::Queues,
    View::Connections,
    View::Threads,
    View::Findings,
    View::Listener,
    View::Connection,
];

pub(super) const ALL: &[View] = &[
    View::Queues,
    View::Connections,
    View::Threads,
    View::Findings,
    View::Listener,
    View::Connection,
    View::Compact,
];

/// Every key, in the order of the footer: where there is little room, the last give way.
pub(in crate::tui) const KEYS: &[Key] = &[
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
pub(in crate::tui) const REPLAY_KEYS: &[Key] = &[
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
pub(in crate::tui) const TERMINAL_KEYS: &[(&str, &str)] = &[
    ("Ctrl-Z", "back to the shell; fg returns here"),
    ("Ctrl-L", "draw the screen again"),
    ("Shift + drag", "select text, in most terminals"),
];
