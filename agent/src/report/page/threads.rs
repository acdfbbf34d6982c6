//! Threads, and the pattern in which they share the work.

use maud::{Markup, html};

use super::parts::{left_out, share};
use crate::{
    digest::{Digest, ThreadStory},
    html::{note, table},
    model::snapshot::{PatternThread, PatternView},
    text::{count, duration_us, percent},
};

/// Threads in one table.
const MOST: usize = 40;
/// Families of processes that are shown.
const FAMILIES: usize = 12;

/// The section; `None` where nothing is known.
pub(super) fn body(digest: &Digest) -> Option<Markup> {
    if digest.patterns.is_empty() && digest.threads.stories().is_empty() {
        return None;
    }
    Some(html! {
        @for view in digest.patterns.values().take(FAMILIES) { (family(view, digest)) }
        (left_out(digest.patterns.len(), FAMILIES, "further group of processes"))
        (busiest(digest))
    })
}

fn family(view: &PatternView, digest: &Digest) -> Markup {
    let handoff = &view.handoff;
    html! {
        h3 { (view.comm) " " (view.pid) ": " (view.name.words())
            @if let Some(units) = view.units { ", " (units.name()) }
            @if let Some(io) = view.io { ", " (io.name()) } }
        p { (view.headline) ". Confidence " (percent(view.confidence)) "." }
        @if !view.evidence.is_empty() { ul { @for line in &view.evidence { li { (line) } } } }
        @if handoff.count > 0 {
            p { "Hand-off from the thread that accepted to the one that read: half took up to "
                (duration_us(handoff.p50)) ", the longest " (duration_us(handoff.max)) "." }
        }
        @if !view.threads.is_empty() { (family_table(view, digest)) }
    }
}

fn family_table(view: &PatternView, digest: &Digest) -> Markup {
    let rows = html! {
        @for thread in view.threads.iter().take(MOST) { (row(thread, view, digest)) }
    };
    let head = [
        "thread",
        "accepts",
        "reads",
        "writes",
        "connections",
        "on a CPU",
        "waiting for one",
        "asleep",
    ];
    html! {
        (table(&format!("Threads of process {}", view.pid), &head, &rows))
        (left_out(view.threads.len(), MOST, "further thread"))
    }
}

fn row(thread: &PatternThread, view: &PatternView, digest: &Digest) -> Markup {
    let story = digest.threads.stories().get(&thread.tid);
    html! {
        tr {
            th scope="row" { (thread.comm) " " (thread.tid)
                @if view.uneven.contains(&thread.tid) { " " b.loss { "far more than its part" } } }
            @for number in [thread.accepts, thread.reads, thread.writes, thread.connections] {
                td.n { (count(number)) }
            }
            (shares(story))
        }
    }
}

fn shares(story: Option<&ThreadStory>) -> Markup {
    html! {
        td.n { (share(story.and_then(ThreadStory::busy))) }
        td.n { (share(story.and_then(ThreadStory::waits))) }
        td.n { (share(story.and_then(ThreadStory::asleep))) }
    }
}

/// Threads by their time on a CPU, whatever they did.
fn busiest(digest: &Digest) -> Markup {
    let mut stories: Vec<&ThreadStory> = digest.threads.stories().values().collect();
    stories.sort_by(|a, b| b.busy().unwrap_or(-1.0).total_cmp(&a.busy().unwrap_or(-1.0)));
    let rows = html! {
        @for story in stories.iter().take(MOST) {
            tr {
                th scope="row" { (story.comm) " " (story.tid) }
                td.n { (story.pid) }
                (shares(Some(story)))
            }
        }
    };
    let head = ["thread", "process", "on a CPU", "waiting for one", "asleep"];
    html! {
        @if !stories.is_empty() {
            details.quiet {
                summary { "The busiest threads" }
                (table("The busiest threads", &head, &rows))
                (note("Means over the samples of the run."))
                (left_out(stories.len(), MOST, "further thread"))
            }
        }
    }
}
