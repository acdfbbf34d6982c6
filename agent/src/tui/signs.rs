//! The signs of the screen and what they mean, for the help. A test finds signs of the views that
//! are neither here nor parts of a bar or frame.

/// A sign with its meaning.
pub(super) type Sign = (&'static str, &'static str);

/// Signs that belong together.
pub(super) struct Group {
    /// The title in the help.
    pub(super) title: &'static str,
    /// The signs.
    pub(super) signs: &'static [Sign],
}

/// Every sign but the owners' letters, which have colours.
pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "HOW BAD IT IS",
        signs: &[
            ("▲", "something is lost: a refused connection, a dropped datagram, a lost record"),
            ("◆", "a finding that costs time, or will"),
            ("●", "a finding worth knowing; a state that is neither good nor bad"),
            ("✔", "nothing is wrong here"),
            ("○", "nothing has happened here yet, or it has closed"),
            ("▌", "a finding: the edge has the colour of whose doing it is"),
            ("◀ slow", "an upstream that is much slower than the others"),
            ("← uneven", "a thread that serves far more than its share"),
        ],
    },
    Group {
        title: "QUEUES AND BARS",
        signs: &[
            (
                "██▌",
                "filled up to here; the end of the bar is the limit, or the longest of the list",
            ),
            ("·", "the empty part of a bar, where there is no colour; elsewhere it separates"),
            ("│", "in a bar: the peak since the last refresh"),
            ("⌃9", "the peak since the last refresh, where it was higher than now"),
            ("▁▄█", "history, the newest at the right; the scale and the time stand beside it"),
            ("most 64", "the highest figure in the history beside it: its scale"),
            ("OVER TIME", "the queue's depth at the latest 16 refreshes, against its limit"),
            ("RECENT ONES", "the latest exchanges, one a column: the higher, the longer it took"),
            ("_", "in a history: a time in which nothing happened"),
            ("╵10 s", "on a time axis: so long ago"),
            ("A▆▆▆K▆", "who held the time of an exchange, in shares of its whole time"),
            ("━━", "the wait for accept(), in shares of the longest in view"),
        ],
    },
    Group {
        title: "LISTS AND FIGURES",
        signs: &[
            ("▸", "the selected row"),
            ("▾ ▴", "sorted by this column; reversed"),
            ("–", "not observed: no figure is not 0"),
            ("×", "times: how often, or how many at once"),
            ("→", "from a client to a server"),
            ("…", "cut for want of room, or text goes on"),
            ("▏", "behind a filter: what is typed goes here"),
            ("← → ↑ ↓ ↵", "the arrow keys and Enter"),
        ],
    },
    Group {
        title: "EVENTS (LIVE)",
        signs: &[
            ("● accept", "a connection was accepted; how long it had waited"),
            ("▲ overflow", "a connection was refused since a queue was full"),
            ("◇ cookie", "a SYN was answered with a syncookie since the SYN queue was full"),
            ("+ listens", "a socket began to listen"),
            ("○ closed", "a socket stopped listening"),
        ],
    },
    Group {
        title: "STEPS OF AN EXCHANGE",
        signs: &[
            ("│", "the lanes of peer, kernel and application"),
            ("───▶ ◀───", "data or an acknowledgement goes from one lane to the next"),
            ("┊", "nobody moves: time passes, held by the owner whose letter stands there"),
        ],
    },
    Group {
        title: "ENDS AND RECORDINGS",
        signs: &[
            ("■", "the target has ended: the screen stands still"),
            ("● rec", "a recording is being written"),
            ("▲ rec ended", "the recording could not be written on"),
        ],
    },
    Group {
        title: "PAUSE AND REPLAY",
        signs: &[
            ("‖", "paused: the screen stands, or the replay does"),
            ("▶", "the replay plays"),
            ("━ ─", "on the time line: played, to come"),
            ("▲ ◆ ●", "on the time line: a finding begins"),
            ("═ ╡", "on the time line: a finding lasts, and ends"),
            ("┄", "on the time line: exchanges were not watched, to keep to a budget"),
            ("✗", "on the time line: a part of the recording is damaged"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Parts of bars, frames and scales, and what is plain typography.
    fn needs_no_words(c: char) -> bool {
        let is_block = ('▁'..='▏').contains(&c);
        let is_frame = "┌┐└┘─│├┤┬┴".contains(c);
        is_block || is_frame || "µ“”’".contains(c)
    }

    /// Returns the code of a file, without comments and tests.
    fn code(text: &str) -> String {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let uncommented = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        uncommented.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_sign_of_the_views_is_explained() {
        let mut explained = BTreeSet::new();
        for group in GROUPS {
            explained.extend(group.signs.iter().flat_map(|(sign, _)| sign.chars()));
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tui");
        let mut files = Vec::new();
        for folder in [here.clone(), here.join("view")] {
            for entry in fs::read_dir(folder).expect("the sources") {
                let path = entry.expect("the sources").path();
                if path.extension().is_some_and(|ending| ending == "rs") {
                    files.push(path);
                }
            }
        }
        assert!(files.len() > 20, "{files:?}");
        let mut seen = BTreeSet::new();
        for path in files.iter().filter(|path| !path.ends_with("signs.rs")) {
            let code = code(&fs::read_to_string(path).expect("a source"));
            for c in code.chars().filter(|c| !c.is_ascii() && !needs_no_words(*c)) {
                seen.insert(c);
                let file = path.display();
                assert!(explained.contains(&c), "{c:?} of {file} is not explained in signs.rs");
            }
        }
        assert!(seen.contains(&'⌃') && seen.contains(&'▲'), "{seen:?}");
    }
}
