//! Charts in SVG. The plot stretches with the page, its labels do not.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use super::parts::Times;
use crate::{
    html::{owner_class, short},
    {digest::Point, model::snapshot::Holder, text::duration_us},
};

/// Width and height of a plot in its own units.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 100.0;

/// A share of the run as a coordinate, in percent.
pub(super) fn across(times: &Times, ts_ns: u64) -> f64 {
    let length = times.end_ns.saturating_sub(times.begin_ns).max(1) as f64;
    (ts_ns.saturating_sub(times.begin_ns) as f64 / length * 100.0).min(100.0)
}

/// Points to be drawn: x in percent, y as a share of the height.
pub(super) type Points = [(f64, f64)];

/// A line of steps: each value holds for the stretch that ends at its x.
pub(super) fn steps(class: &str, points: &Points) -> Markup {
    html! { path class=(class) d=(step_path(points)) vector-effect="non-scaling-stroke" {} }
}

/// The area below such a line.
pub(super) fn area(class: &str, points: &Points) -> Markup {
    let Some((last, _)) = points.last() else { return html! {} };
    let mut path = step_path(points);
    let _ = write!(path, "V{HEIGHT}H0V{HEIGHT}Z");
    if *last <= 0.0 {
        return html! {};
    }
    html! { path class=(class) d=(path) {} }
}

fn step_path(points: &Points) -> String {
    let mut path = String::new();
    for (place, (x, y)) in points.iter().enumerate() {
        let y = short(HEIGHT * (1.0 - y.clamp(0.0, 1.0)));
        let x = short(x * WIDTH / 100.0);
        let _ = match place {
            0 => write!(path, "M0 {y}H{x}"),
            _ => write!(path, "V{y}H{x}"),
        };
    }
    path
}

/// A plot with its labels: the highest value at the top, and time at the bottom.
pub(super) fn plot(label: &str, top: &str, times: &Times, height: u32, inner: &Markup) -> Markup {
    html! {
        figure.chart {
            svg role="img" aria-label=(label) width="100%" height=(height + 22) {
                svg y="4" width="100%" height=(height) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) }
                    preserveAspectRatio="none" {
                    path.grid d="M0 0H1000M0 50H1000M0 100H1000"
                        vector-effect="non-scaling-stroke" {}
                    (inner)
                }
                text.axis x="2" y="16" { (top) }
                (time_axis(times, height))
            }
        }
    }
}

/// Labels of the time since the attach, below a plot.
pub(super) fn time_axis(times: &Times, height: u32) -> Markup {
    html! {
        @for (x, share, anchor) in [("0%", 0, "start"), ("50%", 1, "middle"), ("100%", 2, "end")] {
            text.axis x=(x) y=(height + 18) text-anchor=(anchor) {
                @if share == 0 { "0 s" } @else { (duration_us(times.length_us() / 2 * share)) }
            }
        }
    }
}

/// Crosses at these places (percent), each with its height in a lane of its own.
pub(super) fn crosses(places: &[f64], y: u32) -> Markup {
    let mut out = String::new();
    for place in places {
        let _ = write!(
            out,
            "<svg x=\"{}%\" y=\"{y}\" overflow=\"visible\"><path class=\"cross\" \
             d=\"M-3.5 -3.5L3.5 3.5M-3.5 3.5L3.5 -3.5\"/></svg>",
            short(*place)
        );
    }
    html! { (PreEscaped(out)) }
}

/// A bar of one line: shares of owners in their order.
pub(super) fn owner_bar(parts: &[(Holder, f64)], label: &str) -> Markup {
    let mut x = 0.0;
    let mut placed = Vec::new();
    for (owner, share) in parts {
        if *share > 0.0 {
            placed.push((*owner, x, *share));
        }
        x += share;
    }
    html! {
        svg.bar role="img" aria-label=(label) width="100%" height="22" {
            @for (owner, x, share) in placed {
                rect.{ "fill-" (owner_class(owner)) } x={ (short(x * 100.0)) "%" } y="0"
                    width={ (short(share * 100.0)) "%" } height="22" {}
                @if share > 0.06 {
                    svg x={ (short(x * 100.0)) "%" } y="0" overflow="visible" {
                        rect.letterbox.(owner_class(owner)) x="3" y="3" width="16" height="16"
                            rx="3" {}
                        text.letterin x="11" y="15" text-anchor="middle" { (owner.letter()) }
                    }
                }
            }
        }
    }
}

/// Merges neighbours, so that there are `most` points at most.
pub(super) fn columns<P: Point + Clone>(points: &[P], most: usize) -> Vec<P> {
    let stride = points.len().div_ceil(most.max(1)).max(1);
    let mut columns: Vec<P> = Vec::with_capacity(most);
    for (place, point) in points.iter().enumerate() {
        match columns.last_mut() {
            Some(last) if place % stride != 0 => last.merge(point),
            _ => columns.push(point.clone()),
        }
    }
    columns
}
