//! Findings from beginning to end, with their evidence.

use maud::{Markup, html};

use super::{
    chart::across,
    parts::{Times, severity},
    summary::{doing, sentence, when},
    words,
};
use crate::{
    digest::{Digest, FindingStory},
    html::{badge, note, short},
    model::snapshot::Severity,
    text::count,
};

/// Findings that are shown; of the rest the number is said.
const MOST: usize = 100;
/// Findings that are open from the start.
const OPEN: usize = 1;

/// The findings; `None` where there were none.
pub(super) fn body(digest: &Digest, times: &Times) -> Option<Markup> {
    let stories = digest.findings.worst_first();
    if stories.is_empty() {
        return None;
    }
    let beyond =
        (stories.len().saturating_sub(MOST) as u64).saturating_add(digest.findings.left_out());
    Some(html! {
        (note("The gravest first; below a cause, indented, what follows from it. The bar shows when each held."))
        @for (place, story) in stories.iter().take(MOST).enumerate() {
            (one(story, times, place < OPEN))
        }
        @if beyond > 0 { (note(&format!("{} more are not shown.", count(beyond)))) }
    })
}

fn one(story: &FindingStory, times: &Times, is_open: bool) -> Markup {
    let finding = &story.finding;
    html! {
        details.finding.crit[finding.severity == Severity::Critical]
            .follows[finding.explained_by.is_some()] open[is_open] {
            summary {
                span.line {
                    (severity(finding.severity)) " " (badge(finding.owner)) " "
                    b { (finding.headline) } " " span.at { (finding.subject) }
                }
                (span_bar(story, times))
            }
            div.inside {
                p { (finding.text) }
                dl {
                    dt { "Whose doing" }
                    dd { (doing(finding.owner)) @if finding.inferred { " (in part inferred)" } }
                    @if let Some(cause) = &finding.explained_by {
                        dt { "Follows from" }
                        dd { code { (cause.kind) } " at " (cause.subject) }
                    }
                    dt { "What to do" }
                    dd { (sentence(&finding.fix)) }
                    dt { "When" }
                    dd { (when(story, times))
                        "; the figures are those of " (times.at(story.until_ns())) }
                    dt { "Kind" }
                    dd { code { (finding.kind) } }
                }
                @if !finding.evidence.is_empty() {
                    h3 { "Evidence" }
                    ul.evidence {
                        @for (name, value) in &finding.evidence {
                            li {
                                span { (words::figure_name(name)) } " "
                                b { (words::figure(name, *value)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The parts of the run in which it held.
fn span_bar(story: &FindingStory, times: &Times) -> Markup {
    html! {
        svg.span role="img" aria-label=(when(story, times)) width="120" height="10" {
            rect.track width="100%" height="4" y="3" rx="2" {}
            @for stretch in &story.finding.stood.stretches {
                @let begin = across(times, stretch.from_ns);
                @let width = (across(times, stretch.until_ns) - begin).max(1.0);
                rect.held x={ (short(begin)) "%" } width={ (short(width)) "%" } y="1" height="8"
                    rx="2" {}
            }
        }
    }
}
