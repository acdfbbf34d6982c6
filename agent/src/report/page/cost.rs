//! Cost of the watch itself.

use maud::{Markup, html};

use crate::{
    digest::Digest,
    html::note,
    text::{bytes, count, duration_us, percent},
};

/// The section.
pub(super) fn body(digest: &Digest) -> Markup {
    let cost = digest.summary.as_ref().and_then(|summary| summary.cost);
    let Some(cost) = cost else {
        return html! { p { span.unknown { "Not observed: no sample was taken." } } };
    };
    let elapsed_us = digest.summary.as_ref().map_or(1, |summary| summary.duration_us).max(1);
    let probes = match (cost.probe_ns, cost.probe_runs) {
        (Some(ns), Some(runs)) if runs > 0 => Some((ns, runs)),
        _ => None,
    };
    html! {
        dl.pairs {
            dt { "processor time of the agent" }
            dd { (duration_us(cost.agent_cpu_us)) ", "
                (percent(cost.agent_cpu_us as f64 / elapsed_us as f64)) " of one processor" }
            dt { "memory of the agent" } dd { (bytes(cost.agent_rss_bytes)) }
            dt { "probes" }
            dd { @match probes {
                Some((ns, runs)) => {
                    (count(runs)) " runs of " (count(ns / runs)) " ns each, "
                    (percent(ns as f64 / 1e3 / elapsed_us as f64)) " of one processor"
                }
                None => { span.unknown { "not observed: the kernel kept no statistics" } }
            } }
            dt { "attach" } dd { (duration_us(digest.attached.attach_us)) }
            @if let Some(summary) = &digest.summary {
                dt { "records" } dd { (count(summary.seen)) " wanted by probes, "
                    (count(summary.delivered)) " delivered, " (count(summary.lost)) " lost" }
            }
        }
        (rights(digest))
    }
}

fn rights(digest: &Digest) -> Markup {
    let Some(sandbox) = &digest.attached.sandbox else {
        return note("Which rights the watch kept is not known.");
    };
    let kept = match sandbox.capabilities.is_empty() {
        true => "no capability".to_owned(),
        false => sandbox.capabilities.join(", "),
    };
    let filter =
        if sandbox.seccomp { "a filter of system calls" } else { "no filter of system calls" };
    html! { p.note { "Rights that the watch kept: " (kept) "; " (filter) "." } }
}
