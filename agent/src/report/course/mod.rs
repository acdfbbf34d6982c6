//! `learn --html`: the course as pages of HTML, which need no Linux, no root and no network.
//!
//! A lesson is a page ([`lesson`]), made of its text and of what its recordings show; beside them
//! are the list of lectures ([`index`]) and the demos ([`demos`]). Without its script a page is
//! whole: what a question's run has shown is then behind a click, and nothing is kept back on paper.

mod demos;
mod evidence;
mod index;
mod lesson;
mod links;
mod picture;
mod round;
#[cfg(test)]
mod tests;
mod words;

use maud::{Markup, html};

pub use links::Neighbours;

use crate::{
    digest::Digest,
    html::{self, Page},
    learn::{Lesson, Outcome},
};

/// Name of the page with the list of lectures, without its ending.
pub const INDEX: &str = "index";
/// Name of the page with the demos, likewise.
pub const DEMOS: &str = "demos";

const STYLE: &str = concat!(
    include_str!("../../html/base.css"),
    include_str!("../page/player.css"),
    include_str!("course.css"),
    include_str!("../../html/print.css"),
);
const LESSON_SCRIPT: &str = concat!(
    include_str!("progress.js"),
    include_str!("copy.js"),
    include_str!("lesson.js"),
    include_str!("../../html/print.js")
);
/// The script of a lesson with the animation of an accept queue.
const PLAYER_SCRIPT: &str = concat!(
    include_str!("progress.js"),
    include_str!("copy.js"),
    include_str!("lesson.js"),
    include_str!("../page/player.js"),
    include_str!("../../html/print.js"),
);
const INDEX_SCRIPT: &str =
    concat!(include_str!("progress.js"), include_str!("copy.js"), include_str!("index.js"));
const DEMOS_SCRIPT: &str = concat!(include_str!("copy.js"), include_str!("../../html/print.js"));

/// A lesson with what its recordings show.
#[derive(Debug)]
pub struct Told<'a> {
    /// The lesson.
    pub lesson: &'a Lesson,
    /// What each of its rounds has shown.
    pub outcomes: Vec<Outcome>,
    /// The runs of those rounds, for a lesson that [`shows_a_queue`]; else none.
    pub runs: Vec<Digest>,
}

/// Tells whether the lesson is about the depth of an accept queue, which is then shown as it filled.
pub fn shows_a_queue(lesson: &Lesson) -> bool {
    let has = |name: &str| lesson.check.facts.iter().any(|spec| spec.name == name);
    has("depth") && has("limit")
}

/// Returns the page of a lesson.
pub fn lesson_page(told: &Told<'_>, neighbours: &Neighbours<'_>) -> String {
    let script = if told.runs.is_empty() { LESSON_SCRIPT } else { PLAYER_SCRIPT };
    page(&Page {
        title: html! { (told.lesson.title) " · backscope" },
        style: STYLE,
        script,
        skip: ("main", "To the lesson"),
        body: lesson::body(told, neighbours),
    })
}

/// Returns the page with the list of lectures.
pub fn index_page(lessons: &[&Lesson]) -> String {
    page(&Page {
        title: html! { "Lessons · backscope" },
        style: STYLE,
        script: INDEX_SCRIPT,
        skip: ("main", "To the lectures"),
        body: index::body(lessons),
    })
}

/// Returns the page with the demos, which leads to the lessons of their lectures.
pub fn demos_page(lessons: &[&Lesson]) -> String {
    page(&Page {
        title: html! { "Demos · backscope" },
        style: STYLE,
        script: DEMOS_SCRIPT,
        skip: ("main", "To the demos"),
        body: demos::body(lessons),
    })
}

fn page(page: &Page<'_>) -> String {
    html::document(page).into_string()
}

/// The foot of each page.
fn footer() -> Markup {
    html! {
        footer {
            p {
                "Made by backscope " (env!("CARGO_PKG_VERSION")) ". "
                "Every figure was measured on a real run, and none of it needs the network. "
                "To see the same on a kernel of your own: "
                code { "sudo backscope learn" } "."
            }
        }
    }
}
