//! The demos: each with what to try, and the lessons of its lectures.

use demo_servers::demo::{Demo, demos};
use maud::{Markup, html};

use super::{INDEX, lesson::command, links::file};
use crate::learn::Lesson;

/// Returns what is on the page.
pub(super) fn body(lessons: &[&Lesson]) -> Markup {
    html! {
        header.top {
            p.brand { a href=(file(INDEX)) { "All lessons" } " · " strong { "backscope" } " demos" }
            h1 { "Servers to play with" }
        }
        main id="main" tabindex="-1" {
            div.intro {
                p {
                    "Each demo is a small server with its client, and shows one thing. It needs no "
                    "root. With root, " code { "--watch" } " shows what backscope makes of it."
                }
            }
            @for demo in demos() { (one(demo, lessons)) }
        }
        (super::footer())
    }
}

fn one(demo: &Demo, lessons: &[&Lesson]) -> Markup {
    let heading = format!("{}-h", demo.name);
    let of_lectures = lessons
        .iter()
        .filter(|lesson| lesson.lectures.iter().any(|lecture| demo.lectures.contains(lecture)));
    html! {
        section.demo id=(demo.name) aria-labelledby=(heading) tabindex="-1" {
            h2 id=(heading) { (demo.title) }
            p { (command(&format!("backscope demo {}", demo.name))) }
            p { (demo.about) }
            @if !demo.variations.is_empty() {
                ul.commands {
                    @for (knobs, change) in demo.variations {
                        li { (change) ":" (command(&format!("backscope demo {} {knobs}", demo.name))) }
                    }
                }
            }
            @if let Some(expect) = demo.expect {
                p.note { "The pattern that backscope reports: " (expect.to_string()) "." }
            }
            ul.of-lectures {
                @for lesson in of_lectures {
                    li { a href=(file(&lesson.slug)) { "Lecture " (lesson.lecture()) ": " (lesson.title) } }
                }
            }
        }
    }
}
