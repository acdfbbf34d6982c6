//! The time of exchanges by owner: in sum, by kind, and over time.

use maud::{Markup, html};

use super::{
    chart::{self, across},
    parts::Times,
    words,
};
use crate::{
    digest::{Digest, FlowPoint},
    html::{badge, letter, note, owner_class, short, table},
    model::snapshot::{Holder, HolderTimes, Owner, OwnerTimes, SliceKind},
    text::{count, duration_us, percent, percent_short},
};

/// Columns of the chart over time.
const COLUMNS: usize = 96;

/// The section.
pub(super) fn body(digest: &Digest, times: &Times) -> Markup {
    let Some(summary) = digest.summary.as_ref().filter(|summary| summary.times.exchanges > 0)
    else {
        return html! { p { "No exchange ended in this run, so there is no time to divide." } };
    };
    html! {
        (chart::owner_bar(&shares(&summary.held), &sentence(&summary.held)))
        (legend(&summary.held))
        @if digest.flow.points().len() > 1 {
            h3 { "Over time" }
            (over_time(digest.flow.points(), times))
        }
        h3 { "By kind" }
        (kinds(&summary.phases_us, &summary.times))
    }
}

/// Shares of the holders, in their order.
pub(super) fn shares(times: &HolderTimes) -> Vec<(Holder, f64)> {
    let sum = times.sum_us().max(1) as f64;
    let mut shares = Holder::ALL.map(|holder| (holder, times.of(holder) as f64 / sum)).to_vec();
    // Most programs wait for no other.
    shares.retain(|&(holder, share)| holder != Holder::Upstream || share > 0.0);
    shares
}

/// "app 73 %, kernel 9.0 %, …".
pub(super) fn sentence(times: &HolderTimes) -> String {
    let parts: Vec<String> = shares(times)
        .into_iter()
        .map(|(owner, share)| format!("{} {}", owner.name(), percent(share)))
        .collect();
    format!("Time by owner: {}", parts.join(", "))
}

/// The owners with their letters, shares and times.
pub(super) fn legend(times: &HolderTimes) -> Markup {
    html! {
        ul.legend {
            @for (owner, share) in shares(times) {
                li { (letter(owner)) " " (owner.name()) " " b { (percent_short(share)) }
                    " " span.at { (duration_us(times.of(owner))) } }
            }
        }
    }
}

/// Height of the columns, in pixels.
const HEIGHT: f64 = 140.0;

fn over_time(points: &[FlowPoint], times: &Times) -> Markup {
    let columns = chart::columns(points, COLUMNS);
    let most_us = columns.iter().map(|point| point.times.sum_us()).max().unwrap_or(0).max(1);
    let label = format!(
        "Time of the exchanges that ended in each stretch of the run, by owner. The most in one \
         stretch is {}.",
        duration_us(most_us)
    );
    html! {
        figure.chart {
            svg role="img" aria-label=(label) width="100%" height="162" {
                line.base x1="0" x2="100%" y1="140.5" y2="140.5" {}
                @for rect in rects(&columns, times, HEIGHT / most_us as f64) {
                    rect.{ "fill-" (owner_class(rect.owner)) } x={ (short(rect.x)) "%" }
                        y=(short(rect.y)) width={ (short(rect.width)) "%" }
                        height=(short(rect.height)) {}
                }
                text.axis x="2" y="12" { (duration_us(most_us)) }
                (chart::time_axis(times, 140))
            }
            figcaption {
                "Each column is a stretch of the run: the time of the exchanges that ended in it, "
                "stacked from the bottom as app, kernel, network, peer, unknown."
            }
        }
        (columns_table(&columns, times))
    }
}

/// A part of a column: x and width in percent, y and height in pixels.
struct Rect {
    owner: Owner,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

fn rects(columns: &[FlowPoint], times: &Times, scale: f64) -> Vec<Rect> {
    let (mut rects, mut x) = (Vec::new(), 0.0);
    for point in columns {
        let (end, mut y) = (across(times, point.ts_ns), HEIGHT);
        // A gap between two columns tells them apart.
        let width = (end - x).max(0.1) * 0.92;
        for owner in Owner::ALL {
            let height = point.times.of(owner) as f64 * scale;
            if height >= 0.05 {
                y -= height;
                rects.push(Rect { owner, x, y, width, height });
            }
        }
        x = end;
    }
    rects
}

fn columns_table(columns: &[FlowPoint], times: &Times) -> Markup {
    let rows = html! {
        @for point in columns {
            tr {
                th scope="row" { (times.at(point.ts_ns)) }
                td.n { (count(point.times.exchanges)) }
                @for owner in Owner::ALL { td.n { (duration_us(point.times.of(owner))) } }
                td.n { (duration_us(point.longest_us)) }
            }
        }
    };
    let head = ["until", "exchanges", "app", "kernel", "network", "peer", "unknown", "longest"];
    html! {
        details.quiet {
            summary { "The same as a table" }
            (table("Time by owner over time", &head, &rows))
        }
    }
}

fn kinds(phases_us: &[(SliceKind, u64)], times: &OwnerTimes) -> Markup {
    let mut kinds = phases_us.to_vec();
    kinds.sort_by_key(|(_, us)| std::cmp::Reverse(*us));
    let longest_us = kinds.first().map_or(1, |(_, us)| *us).max(1);
    let sum_us = times.sum_us().max(1);
    let rows = html! {
        @for (kind, us) in &kinds {
            tr {
                td { (badge(kind.owner())) }
                th scope="row" { (words::kind(*kind)) }
                td.wide { (words::meaning(*kind)) }
                td.n { (duration_us(*us)) }
                td.n { (percent_short(*us as f64 / sum_us as f64)) }
                td.barcell aria-hidden="true" { svg width="100%" height="12" {
                    rect.{ "fill-" (owner_class(kind.owner())) } height="12"
                        width={ (short(*us as f64 / longest_us as f64 * 100.0)) "%" } {}
                } }
            }
        }
    };
    html! {
        (table("Time by kind", &["owner", "kind", "meaning", "time", "of all", ""], &rows))
        @if kinds.iter().any(|(kind, _)| *kind == SliceKind::DelayedAck) {
            (note("A delayed ACK that came after the last byte of an answer held nobody. It is in \
                   this table, and in no owner's sum."))
        }
    }
}
