//! What belongs to a lesson: the lessons beside it, demos of its lectures, and pages of the manual.

use demo_servers::demo::{Demo, demos};

use crate::learn::Lesson;

/// The lessons before and after one, where their pages are beside its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Neighbours<'a> {
    /// The one before.
    pub before: Option<&'a Lesson>,
    /// The one after.
    pub after: Option<&'a Lesson>,
    /// The whole course is there, with the list of lectures and the demos.
    pub course: bool,
}

/// Pages of the manual by the first and the last lecture that they go with.
const MANUAL: &[(u8, u8, &str, &str)] = &[
    (5, 15, "docs/guide.md", "what backscope shows of a server"),
    (16, 35, "docs/protocols.md", "how protocols are recognised"),
    (36, 47, "docs/patterns.md", "who accepts, who reads, who answers"),
    (38, 38, "docs/events/accept.md", "the accept queue, event by event"),
    (39, 39, "docs/events/receive.md", "from the receive queue to the read"),
    (47, 47, "docs/events/send.md", "from the write to the wire"),
    (48, 49, "docs/events/connect.md", "the calls that a proxy makes"),
];

/// Returns the demos of the lesson's lectures.
pub(super) fn demos_of(lesson: &Lesson) -> impl Iterator<Item = &'static Demo> {
    let lectures = lesson.lectures.clone();
    demos().filter(move |demo| demo.lectures.iter().any(|lecture| lectures.contains(lecture)))
}

/// Returns the pages of the manual that go with the lesson: path and subject.
pub(super) fn manual_of(lesson: &Lesson) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = |&(first, last, path, about): &'static (u8, u8, &'static str, &'static str)| {
        let goes = lesson.lectures.iter().any(|lecture| (first..=last).contains(lecture));
        goes.then_some((path, about))
    };
    MANUAL.iter().filter_map(of)
}

/// Returns the file of a page.
pub(super) fn file(name: &str) -> String {
    format!("{name}.html")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::MANUAL;

    #[test]
    fn the_manual_has_these_pages() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (first, last, path, _) in MANUAL {
            assert!(root.join(path).is_file(), "{path}");
            assert!(first <= last, "{path}");
        }
    }
}
