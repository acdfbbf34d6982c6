//! The head of the page and its summary: what is wrong, whose doing, what to do. It is made of
//! findings and of the run's sums.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::{
    chart, gaps, owners,
    parts::{Times, severity},
    words,
};
use crate::{
    digest::{Digest, FindingStory},
    html::{badge, letter},
    model::{
        output::Summary,
        snapshot::{Finding, Holder, Owner, Severity, chain},
    },
    text::{Untrusted, count, count_of, duration_us, percent},
};

/// Further findings that the summary names.
const MORE: usize = 4;

/// The title of the page: the worst there is.
pub(super) fn title(digest: &Digest) -> Markup {
    html! {
        @match digest.findings.worst_first().first() {
            Some(worst) => { (worst.finding.headline) " (" (worst.finding.subject) ")" }
            None => { (digest.target) }
        }
    }
}

/// The head of the page: whose run it was, and when.
pub(super) fn header(digest: &Digest, times: &Times) -> Markup {
    let attached = &digest.attached;
    html! {
        header.top {
            p.brand { strong { "backscope" } " report" }
            h1 { (digest.target) }
            p.facts {
                span { (times.wall(times.begin_ns)) }
                span { "watched for " (duration_us(times.length_us())) }
                span { "kernel " (attached.kernel) }
                span { (attached.tier) " tier" }
            }
        }
    }
}

/// The summary.
pub(super) fn body(digest: &Digest, times: &Times) -> Markup {
    let worst = digest.findings.worst_first();
    html! {
        @match worst.split_first() {
            Some((first, more)) => {
                @let all: Vec<&Finding> = worst.iter().map(|story| &story.finding).collect();
                @let chain = chain::followers(&all, &first.finding);
                (verdict(first, chain::consequences(&all, &first.finding), times))
                (others(&beside(more, &chain)))
            }
            None => { (nothing(digest)) }
        }
        @if let Some(summary) = &digest.summary { (figures(digest, summary)) }
        (gaps::short(digest))
    }
}

/// The worst finding: what is wrong, whose doing, what to do.
fn verdict(story: &FindingStory, so: Option<Untrusted>, times: &Times) -> Markup {
    let finding = &story.finding;
    let class = match finding.severity {
        Severity::Critical => "crit",
        Severity::Warning => "warn",
        Severity::Info => "info",
    };
    html! {
        div.verdict.(class) {
            p.sevline { (severity(finding.severity)) " at " b { (finding.subject) } }
            p.headline { (finding.headline) }
            dl {
                dt { "Whose doing" }
                dd.whose { (letter(finding.owner)) " " (doing(finding.owner))
                    @if finding.inferred { span.unknown { " (in part inferred)" } } }
                @if let Some(so) = so {
                    dt { "What follows" }
                    dd { (so) }
                }
                dt { "What to do" }
                dd { (sentence(&finding.fix)) }
                dt { "When" }
                dd { (when(story, times)) }
            }
            p.text { (finding.text) }
            p { a href="#findings" { "Its evidence" } }
        }
    }
}

/// Whose doing something is: "The application's".
pub(super) fn doing(owner: Owner) -> &'static str {
    match owner {
        Owner::App => "The application's",
        Owner::Kernel => "The kernel's",
        Owner::Network => "The network's",
        Owner::Peer => "The peer's",
        Owner::Unknown => "Not known: the evidence points to nobody",
    }
}

/// An advice, which begins in lower case, as a sentence.
pub(super) fn sentence(fix: &Untrusted) -> Markup {
    html! { span.fix { (fix) } }
}

/// Beginning and end of a finding, and how often it began in between.
pub(super) fn when(story: &FindingStory, times: &Times) -> String {
    let (begin, stood) = (times.at(story.from_ns()), &story.finding.stood);
    let mut when = if story.is_standing {
        format!("from {begin} on, and still at the end, {}", times.at(times.end_ns))
    } else {
        format!("from {begin} to {}", times.at(story.until_ns()))
    };
    if stood.times > 1 {
        let (times, total) = (count_of(stood.times, "time"), duration_us(stood.total_ns / 1_000));
        when += &format!(", {times}, {total} in all");
    }
    when
}

/// Returns the findings that are no part of a chain.
fn beside<'a>(stories: &[&'a FindingStory], chain: &[&Finding]) -> Vec<&'a FindingStory> {
    let is_in =
        |story: &FindingStory| chain.iter().any(|finding| std::ptr::eq(*finding, &story.finding));
    stories.iter().copied().filter(|story| !is_in(story)).collect()
}

/// The next findings, a line each.
fn others(stories: &[&FindingStory]) -> Markup {
    if stories.is_empty() {
        return html! {};
    }
    html! {
        h3 { "Also found" }
        ul.also {
            @for story in stories.iter().take(MORE) {
                li {
                    (severity(story.finding.severity)) " " (badge(story.finding.owner)) " "
                    (story.finding.headline) " " span.at { (story.finding.subject) }
                }
            }
            @if stories.len() > MORE {
                @let further = (stories.len() - MORE) as u64;
                li { a href="#findings" { (count_of(further, "further finding")) } }
            }
        }
    }
}

/// No finding: that is good news only as far as something was seen.
fn nothing(digest: &Digest) -> Markup {
    let is_partial = gaps::costs_findings(digest);
    let seen = digest.summary.as_ref().is_some_and(saw_anything);
    let headline = match (seen, is_partial) {
        (false, _) => "Nothing to judge: no connection came while this was watched.",
        (true, true) => "No finding in what was observed, and part of the run was not.",
        (true, false) => "Nothing to report.",
    };
    let class = if seen && !is_partial { "good" } else { "info" };
    html! {
        div.verdict.(class) {
            p.headline { (headline) }
            @if seen {
                p { "No rule for a finding was met. That is said of what was observed: "
                    a href="#gaps" { "what was not is listed below" } "." }
            }
        }
    }
}

fn saw_anything(summary: &Summary) -> bool {
    let datagrams = summary.datagrams.and_then(|totals| totals.arrived).unwrap_or(0);
    summary.connections > 0
        || summary.totals.queued > 0
        || summary.totals.accepted > 0
        || summary.times.exchanges > 0
        || summary.totals.overflows() > 0
        || datagrams > 0
}

/// The run in sentences, and its time by owner.
fn figures(digest: &Digest, summary: &Summary) -> Markup {
    let times = &summary.held;
    html! {
        h3 { "In figures" }
        ul.figures {
            li { (queues(summary)) }
            @if times.exchanges > 0 {
                li { (exchanges(summary)) }
                li { (held(times.sum_us(), summary)) }
            } @else if digest.summary.as_ref().is_some_and(|summary| summary.connects.is_none()) {
                li { "Exchanges were not watched (" code { "--detail queues" } ")." }
            }
        }
        @if times.exchanges > 0 {
            (chart::owner_bar(&owners::shares(times), &owners::sentence(times)))
            (owners::legend(times))
        }
    }
}

fn queues(summary: &Summary) -> String {
    let totals = &summary.totals;
    let mut refused = match totals.overflows() {
        0 => "none refused for a full accept queue".to_owned(),
        overflows => {
            let packets = count_of(overflows, "packet");
            format!("{packets} of clients dropped or ignored for a full accept queue")
        }
    };
    if let Some(dropped @ 1..) = totals.syn_dropped {
        refused += &format!(", {} dropped for another reason", count_of(dropped, "SYN"));
    }
    let wait = &summary.wait;
    let waited = match wait.count {
        0 => String::new(),
        _ => format!(
            "; half waited up to {} to be accepted, the longest {}",
            duration_us(wait.p50),
            duration_us(wait.max)
        ),
    };
    format!(
        "{}: {} queued, {} accepted, {refused}{waited}.",
        count_of(summary.listeners, "listener"),
        count_of(totals.queued, "connection"),
        count(totals.accepted)
    )
}

fn exchanges(summary: &Summary) -> String {
    let exchange = &summary.exchange;
    format!(
        "{} on {}: half took up to {}, one in a hundred more than {}, the longest {}.",
        count_of(summary.times.exchanges, "exchange"),
        count_of(summary.connections, "connection"),
        duration_us(exchange.p50),
        duration_us(exchange.p99),
        duration_us(exchange.max)
    )
}

/// Says who held most of the time. Two that are near each other are both named.
fn held(sum_us: u64, summary: &Summary) -> Markup {
    const NEAR: f64 = 0.1;
    let share = |holder: &Holder| summary.held.of(*holder) as f64 / sum_us.max(1) as f64;
    let mut owners = Holder::ALL;
    owners.sort_by_key(|holder| Reverse(summary.held.of(*holder)));
    let [most, second, ..] = owners;
    html! {
        "The largest part of their time was held by " (letter(most)) " " (words::owner(most))
        ": " (percent(share(&most))) " of " (duration_us(sum_us))
        @if share(&most) - share(&second) < NEAR {
            "; nearly as much, " (percent(share(&second))) ", by " (letter(second)) " "
            (words::owner(second))
        }
        "."
    }
}
