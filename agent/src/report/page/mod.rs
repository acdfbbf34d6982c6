//! `report`: a run on one page of HTML, which asks for nothing else and opens from disk.
//!
//! [`write`] lays out what a [`Digest`] holds, one file a section. Without its script the page is
//! whole but for the animation of accept queues, which then stand still at their deepest moment.

mod chart;
mod connects;
mod cost;
mod exchanges;
mod findings;
mod gaps;
mod listeners;
mod owners;
mod parts;
mod protocols;
mod queue;
mod still;
mod summary;
#[cfg(test)]
mod tests;
mod threads;
mod upstreams;
mod words;

use std::io;

use maud::{DOCTYPE, Markup, html};

use self::parts::Times;
use crate::{
    digest::Digest,
    html::{self, Page},
    text::Untrusted,
};

/// Exchanges that [`write`] shows: the worst.
pub const WORST: usize = 40;

const STYLE: &str = concat!(
    include_str!("../../html/base.css"),
    include_str!("player.css"),
    include_str!("style.css"),
    include_str!("../../html/print.css"),
);
const SCRIPT: &str = concat!(include_str!("player.js"), include_str!("../../html/print.js"));

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, digest: &Digest) -> io::Result<()> {
    out.write_all(page(digest).into_string().as_bytes())?;
    out.flush()
}

/// Writes a page that says why there is no report.
///
/// # Errors
/// Those of `out`.
pub fn write_failure(out: &mut dyn io::Write, reason: &str) -> io::Result<()> {
    let reason = Untrusted::from(reason);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "backscope: no report" } }
            body { main { h1 { "No report" } p { "The recording cannot be read: " (reason) } } }
        }
    };
    out.write_all(page.into_string().as_bytes())?;
    out.flush()
}

/// Returns the animation of the deepest accept queue of a run, for a page of another kind: one that
/// has `player.css` and `player.js`. Its data has this id, and `came` is as for [`queue::player`].
#[cfg(feature = "lessons")]
pub(super) fn queue_film(digest: &Digest, id: &str, came: &[u64]) -> Markup {
    let deepest = digest.listeners.stories().values().max_by_key(|story| listeners::peak(story));
    match deepest {
        Some(story) => queue::player(story, &Times::of(digest), id, came),
        None => html! {},
    }
}

/// A section of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

fn page(digest: &Digest) -> Markup {
    let times = Times::of(digest);
    let sections = sections(digest, &times);
    html::document(&Page {
        title: html! { "backscope: " (summary::title(digest)) },
        style: STYLE,
        script: SCRIPT,
        skip: ("summary", "To the summary"),
        body: html! {
            (summary::header(digest, &times))
            (contents(&sections))
            main { @for section in &sections { (shown(section)) } }
            (footer(digest))
        },
    })
}

fn sections(digest: &Digest, times: &Times) -> Vec<Section> {
    let all = [
        ("summary", "Summary", Some(summary::body(digest, times))),
        ("findings", "Findings", findings::body(digest, times)),
        ("listeners", "Listeners", Some(listeners::body(digest, times))),
        ("time", "Time by owner", Some(owners::body(digest, times))),
        ("exchanges", "Worst exchanges", Some(exchanges::body(digest, times))),
        ("threads", "Threads and pattern", threads::body(digest)),
        ("upstreams", "Upstreams", upstreams::body(digest)),
        ("protocols", "Protocols", protocols::body(digest)),
        ("connects", "Failed connects", Some(connects::body(digest, times))),
        ("cost", "What the watch cost", Some(cost::body(digest))),
        ("gaps", "What was not observed", Some(gaps::body(digest, times))),
    ];
    let mut sections = Vec::new();
    for (id, title, body) in all {
        if let Some(body) = body {
            sections.push(Section { id, title, body });
        }
    }
    sections
}

fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Sections" {
            ul {
                @for section in sections {
                    li { a href={ "#" (section.id) } { (section.title) } }
                }
            }
        }
    }
}

fn shown(section: &Section) -> Markup {
    let heading = format!("{}-h", section.id);
    html! {
        section id=(section.id) aria-labelledby=(heading) tabindex="-1" {
            h2 id=(heading) { (section.title) }
            (section.body)
        }
    }
}

fn footer(digest: &Digest) -> Markup {
    html! {
        footer {
            p {
                "Made by backscope " (env!("CARGO_PKG_VERSION")) " "
                @match &digest.written_by {
                    Some(program) => { "from a recording of " (program) }
                    None if digest.so_far => { "while a watch went on" }
                    None => { "at the end of a watch" }
                }
                ". The page holds addresses, names of processes, sizes and times, and no payload. "
                "It asks for nothing from the network."
            }
        }
    }
}
