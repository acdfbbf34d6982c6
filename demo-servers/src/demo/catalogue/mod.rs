//! The registry of demos.

mod communication;
mod execution;
mod https;
mod protocols;
mod proxying;

use super::{Demo, Expect};

const fn threads(pattern: &'static str, io: &'static str) -> Option<Expect> {
    Some(Expect { pattern, units: "threads", io })
}

const fn processes(pattern: &'static str, io: &'static str) -> Option<Expect> {
    Some(Expect { pattern, units: "processes", io })
}

/// All demos, in the order of the course.
pub fn demos() -> impl Iterator<Item = &'static Demo> {
    let parts =
        [communication::DEMOS, protocols::DEMOS, https::DEMOS, execution::DEMOS, proxying::DEMOS];
    parts.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{communication, demos, execution, https, proxying};

    /// As the contract of the event stream spells them.
    const PATTERNS: &[&str] = &[
        "single-thread",
        "acceptor-plus-readers",
        "message-load-balancing",
        "multiple-acceptors",
        "socket-sharding",
        "thread-per-connection",
        "process-per-connection",
    ];

    #[test]
    fn names_are_unique_and_patterns_are_known() {
        let names: BTreeSet<_> = demos().map(|demo| demo.name).collect();
        assert_eq!(names.len(), demos().count());
        for expect in demos().filter_map(|demo| demo.expect) {
            assert!(PATTERNS.contains(&expect.pattern), "{expect}");
            assert!(["threads", "processes"].contains(&expect.units), "{expect}");
            assert!(["blocking", "event-loop"].contains(&expect.io), "{expect}");
        }
    }

    #[test]
    fn the_manual_has_all() {
        let manual = include_str!("../../../../docs/demos.md");
        for demo in demos() {
            let row = manual.lines().find(|line| line.starts_with(&format!("| `{}` |", demo.name)));
            let expect = demo.expect.map_or("–".to_owned(), |expect| expect.to_string());
            assert!(
                row.is_some_and(|row| row.contains(&format!("| {expect} |"))),
                "{}: {row:?}",
                demo.name
            );
            assert!(
                demo.variations.iter().all(|(knobs, _)| manual.contains(knobs)),
                "{}",
                demo.name
            );
        }
    }

    #[test]
    fn every_lecture_has_a_demo() {
        let parts = [
            (communication::DEMOS, 5..=15),
            (https::DEMOS, 29..=35),
            (execution::DEMOS, 37..=47),
            (proxying::DEMOS, 48..=49),
        ];
        for (part, lectures) in parts {
            let found: BTreeSet<_> = part.iter().flat_map(|demo| demo.lectures).copied().collect();
            assert_eq!(found, lectures.collect());
        }
    }
}
