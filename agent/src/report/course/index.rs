//! The list of lectures with their lessons.

use maud::{Markup, html};

use super::{DEMOS, lesson::command, links::file};
use crate::{
    html::letter,
    learn::Lesson,
    model::snapshot::Owner,
    text::{count_of, noun},
};

/// The parts of the course by their first and last lecture.
const PARTS: [(u8, u8, &str); 4] = [
    (5, 15, "Communication patterns"),
    (16, 35, "Protocols"),
    (36, 47, "Execution patterns"),
    (48, 49, "Proxies and load balancers"),
];

/// Returns what is on the page.
pub(super) fn body(lessons: &[&Lesson]) -> Markup {
    html! {
        header.top {
            p.brand { strong { "backscope" } " lessons" }
            h1 { "What is the kernel's job, and what the application's?" }
        }
        main id="main" tabindex="-1" {
            (intro(lessons))
            @for (first, last, title) in PARTS { (part(lessons, first, last, title)) }
        }
        (super::footer())
    }
}

fn intro(lessons: &[&Lesson]) -> Markup {
    let minutes: u64 = lessons.iter().map(|lesson| u64::from(lesson.minutes)).sum();
    html! {
        div.intro {
            p {
                (count_of(lessons.len() as u64, "lesson")) ", " (count_of(minutes, "minute"))
                " in all. Each asks a question, takes your prediction, and shows what a real server did "
                "when it ran. A wrong guess teaches the most."
            }
            p.owners {
                "Every step is somebody's doing: "
                @for (owner, name) in [
                    (Owner::Kernel, "the kernel's"), (Owner::App, "the application's"),
                    (Owner::Peer, "the peer's"), (Owner::Network, "the network's"),
                ] {
                    span.badge { (letter(owner)) " " (name) } " "
                }
            }
            p.score.needs-script hidden {}
            p {
                "On Linux they run live, and the servers are there "
                a href=(file(DEMOS)) { "to play with" } ":"
            }
            (command("sudo backscope learn"))
        }
    }
}

fn part(lessons: &[&Lesson], first: u8, last: u8, title: &str) -> Markup {
    let id = format!("part-{first}");
    let of_part: Vec<_> =
        lessons.iter().filter(|lesson| (first..=last).contains(&lesson.lectures[0])).collect();
    let missing: Vec<String> = (first..=last)
        .filter(|lecture| !lessons.iter().any(|lesson| lesson.lectures.contains(lecture)))
        .map(|lecture| lecture.to_string())
        .collect();
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) span.at { " " (noun(2, "lecture")) " " (first) "–" (last) } }
            ul.lessons {
                @for lesson in of_part {
                    li data-lesson=(lesson.slug) {
                        a href=(file(&lesson.slug)) {
                            span.lecture { span.vh { "Lecture " } (lesson.lecture()) }
                            span.title { (lesson.title) }
                            span.minutes {
                                (lesson.minutes) " min · " (count_of(lesson.rounds.len() as u64, "question"))
                            }
                            span.done {}
                        }
                    }
                }
            }
            @if !missing.is_empty() {
                p.note {
                    "There is no lesson for " (noun(missing.len() as u64, "lecture")) " "
                    (missing.join(", ")) "."
                }
            }
        }
    }
}
