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

use base64::{Engine, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use self::parts::Times;
use crate::{digest::Digest, text::Untrusted};

/// Exchanges that [`write`] shows: the worst.
pub const WORST: usize = 40;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

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

/// A section of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

fn page(digest: &Digest) -> Markup {
    let times = Times::of(digest);
    let sections = sections(digest, &times);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(concat!("backscope ", env!("CARGO_PKG_VERSION")));
                title { "backscope: " (summary::title(digest)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#summary" { "To the summary" }
                (chart::patterns())
                (summary::header(digest, &times))
                (contents(&sections))
                main { @for section in &sections { (shown(section)) } }
                (footer(digest))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
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

/// Returns the policy of the page: its own style and script run, and nothing is asked for.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}
