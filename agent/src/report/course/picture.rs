//! The picture of a round: steps between three lanes, or bars. The drawing is SVG; the words beside
//! it are text, which wraps where the page is narrow and is read aloud.

use maud::{Markup, html};

use crate::{
    html::{badge, letter, owner_class, short},
    learn::{Bar, Picture, Who},
    model::{
        snapshot::Holder,
        timeline::{Lane, Step},
    },
    text::duration_fine,
};

/// Heights of a step that is shown as long, in steps of the style.
const TALLEST: u64 = 12;
/// Width of a field that holds a letter, in pixels.
const FIELD: i32 = 26;

/// Returns the lines of the three lanes, which every step has.
pub(super) fn rails() -> Markup {
    html! {
        svg.defs width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                g id="rails" {
                    @for at in [Lane::Peer, Lane::Kernel, Lane::App] {
                        @let x = format!("{}%", short(lane(at)));
                        line.rail x1=(x) x2=(x) y1="0" y2="100%" {}
                    }
                }
            }
        }
    }
}

/// Returns a picture with its legend.
pub(super) fn svg(picture: &Picture) -> Markup {
    html! {
        figure.picture {
            @match picture {
                Picture::Lanes { app, steps } => (lanes(*app, steps)),
                Picture::Bars { title, bars } => (self::bars(title, bars)),
                Picture::Nested { title, shells } => {
                    figcaption { (title) }
                    (nested(shells))
                }
            }
        }
    }
}

/// The center of a lane, in percent.
fn lane(lane: Lane) -> f64 {
    match lane {
        Lane::Peer => 12.0,
        Lane::Kernel => 50.0,
        Lane::App => 88.0,
    }
}

/// The place of a holder. The network's is between the lanes that it joins.
fn place(holder: Holder) -> f64 {
    match holder {
        Holder::Peer => lane(Lane::Peer),
        Holder::Network => f64::midpoint(lane(Lane::Peer), lane(Lane::Kernel)),
        Holder::Kernel | Holder::Unknown => lane(Lane::Kernel),
        Holder::App | Holder::Upstream => lane(Lane::App),
    }
}

fn lanes(app: Who, steps: &[Step]) -> Markup {
    let (peer, app) = match app {
        Who::Client => ("server", "client"),
        _ => ("client", "server"),
    };
    let held = steps.iter().map(held_us).fold(0, u64::saturating_add);
    let mut last = None;
    html! {
        figcaption.legend { (legend(steps)) }
        ol.lanes.timeless[steps.iter().all(|step| began(step).is_none())] {
            li.titles aria-hidden="true" {
                span.time {}
                svg.lane width="100%" height="24" {
                    (lane_name(Lane::Peer, Holder::Peer, peer))
                    (lane_name(Lane::Kernel, Holder::Kernel, "kernel"))
                    (lane_name(Lane::App, Holder::App, app))
                }
                span.what {}
            }
            @for step in steps {
                // A time that stands on the line above already is not repeated.
                @let at = began(step).filter(|at| last.replace(*at) != Some(*at));
                li.step.{ "tall-" (tallness(step, held)) } {
                    span.time { @if let Some(us) = at { (clock(us)) } }
                    span.rails aria-hidden="true" { svg.lane { (drawn(step)) } }
                    span.what { (told(step)) }
                }
            }
        }
    }
}

/// The name of a lane, with the letter of whose doing it is what happens in it.
fn lane_name(at: Lane, holder: Holder, name: &str) -> Markup {
    html! {
        text.lanename.{ "ink-" (owner_class(holder)) } x={ (short(lane(at))) "%" } y="16"
            text-anchor="middle" { tspan.of-holder { (holder.letter()) " " } (name) }
    }
}

/// Boxes, one within the other.
fn nested(shells: &[Bar]) -> Markup {
    let Some((outer, inner)) = shells.split_first() else { return html! {} };
    html! {
        div.shell.{ "edge-" (owner_class(outer.owner)) } {
            p { (letter(outer.owner)) span.vh { (outer.owner.name()) ":" } " " (outer.label)
                b.figure { (outer.figure) } }
            (nested(inner))
        }
    }
}

fn legend(steps: &[Step]) -> Markup {
    let holders = [
        Holder::Kernel,
        Holder::App,
        Holder::Network,
        Holder::Peer,
        Holder::Upstream,
        Holder::Unknown,
    ];
    let holds = |holder: Holder| {
        steps
            .iter()
            .any(|step| matches!(step, Step::Held { owner, counts: true, .. } if *owner == holder))
    };
    html! {
        @for holder in holders {
            @if holds(holder) { (badge(holder)) " " }
        }
    }
}

fn began(step: &Step) -> Option<u64> {
    match step {
        Step::Arrow { at, .. } | Step::Held { at, .. } => *at,
        Step::Gap { .. } => None,
    }
}

fn clock(us: u64) -> String {
    if us == 0 { "0".to_owned() } else { duration_fine(us) }
}

fn held_us(step: &Step) -> u64 {
    match step {
        Step::Held { us, counts: true, .. } => *us,
        _ => 0,
    }
}

/// What is long is seen to be long: the share of a step in all that was held.
fn tallness(step: &Step, all: u64) -> u64 {
    let share = held_us(step) as f64 / all.max(1) as f64;
    ((share * TALLEST as f64) as u64).min(TALLEST)
}

fn drawn(step: &Step) -> Markup {
    let is_idle = matches!(step, Step::Gap { .. } | Step::Held { counts: false, .. });
    html! {
        use.idle[is_idle] href="#rails" {}
        @match step {
            Step::Arrow { from, to, .. } => (arrow(*from, *to)),
            Step::Held { owner, counts: true, .. } => (field(*owner)),
            Step::Held { .. } | Step::Gap { .. } => {},
        }
    }
}

fn arrow(from: Lane, to: Lane) -> Markup {
    let head = if from < to { "M-11 -5L-2 0L-11 5Z" } else { "M11 -5L2 0L11 5Z" };
    html! {
        line.arrow x1={ (short(lane(from))) "%" } x2={ (short(lane(to))) "%" } y1="14" y2="14" {}
        svg x={ (short(lane(to))) "%" } y="14" overflow="visible" { path.arrowhead d=(head) {} }
        svg x={ (short(lane(from))) "%" } y="14" overflow="visible" { circle.arrowhead r="3" {} }
    }
}

fn field(owner: Holder) -> Markup {
    let class = owner_class(owner);
    html! {
        svg x={ (short(place(owner))) "%" } overflow="visible" {
            rect.held.{ "fill-" (class) } x=(-FIELD / 2) width=(FIELD) y="0" height="100%" rx="4" {}
            rect.letterbox.(class) x="-8" y="5" width="16" height="16" rx="3" {}
            text.letterin x="0" y="17" text-anchor="middle" { (owner.letter()) }
        }
    }
}

fn told(step: &Step) -> Markup {
    html! {
        @match step {
            Step::Arrow { from, to, text, .. } => {
                span.vh { (name(*from)) " to " (name(*to)) ": " } (text)
            }
            Step::Held { us, owner, counts, text, .. } => {
                @if *us > 0 { b.took { (duration_fine(*us)) } " " }
                @if *counts { (letter(*owner)) span.vh { (owner.name()) ":" } " " }
                (text)
            }
            Step::Gap { text } => span.gap { (text) },
        }
    }
}

fn name(lane: Lane) -> &'static str {
    match lane {
        Lane::Peer => "peer",
        Lane::Kernel => "kernel",
        Lane::App => "app",
    }
}

/// Characters of a figure that fits beside its bar.
const SHORT_FIGURE: usize = 10;

fn bars(title: &str, bars: &[Bar]) -> Markup {
    let longest = bars.iter().map(|bar| bar.length).fold(0.0, f64::max);
    let worded = bars.iter().any(|bar| bar.figure.chars().count() > SHORT_FIGURE);
    html! {
        figcaption { (title) }
        ul.bars.worded[worded] {
            @for bar in bars {
                @let share = if longest > 0.0 { bar.length / longest * 100.0 } else { 0.0 };
                li {
                    span.label { (letter(bar.owner)) span.vh { (bar.owner.name()) ":" } " " (bar.label) }
                    svg.bar width="100%" height="20" aria-hidden="true" {
                        rect.{ "fill-" (owner_class(bar.owner)) } height="20" rx="3"
                            width={ (short(share)) "%" } {}
                    }
                    b.figure { (bar.figure) }
                }
            }
        }
    }
}
