//! Listeners over time: depth against limit, refusals, arrivals and accepts.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::{
    chart::{self, across},
    parts::{Times, known, listener_id, wait_cells},
    queue,
};
use crate::{
    digest::{Digest, ListenerPoint, ListenerStory, UnixStory},
    html::{note, short, table},
    model::snapshot::Totals,
    text::{count, count_of, duration_us, noun},
};

/// Listeners with charts; the others are in the table.
const CHARTS: usize = 16;
/// Points of a chart.
const POINTS: usize = 240;
/// Points of the table below a chart.
const ROWS: usize = 60;

/// The section.
pub(super) fn body(digest: &Digest, times: &Times) -> Markup {
    let stories = worst_first(digest);
    let without = stories.len().saturating_sub(CHARTS);
    html! {
        @if stories.is_empty() && digest.sockets.unix_stories().is_empty() {
            p { "No listening socket was seen." }
        }
        @if !stories.is_empty() { (overview(&stories)) }
        @if digest.listeners.leaves_out() {
            (note("There were more listeners than the report keeps; the first are here."))
        }
        @for story in stories.iter().take(CHARTS) { (one(story, times)) }
        @if without > 0 {
            (note(&format!("{} without a chart: nothing was worse there.",
                count_of(without as u64, "further listener"))))
        }
        @for story in digest.sockets.unix_stories().values() { (unix(story, times)) }
    }
}

/// The stories, those with refusals first, then by depth.
fn worst_first(digest: &Digest) -> Vec<&ListenerStory> {
    let mut stories: Vec<&ListenerStory> = digest.listeners.stories().values().collect();
    stories.sort_by_key(|story| {
        (Reverse(story.last.totals.overflows()), Reverse(peak(story)), story.last.local)
    });
    stories
}

/// Deepest accept queue of a listener.
pub(super) fn peak(story: &ListenerStory) -> u32 {
    story.points.points().iter().map(|point| point.peak).max().unwrap_or(story.last.depth)
}

fn overview(stories: &[&ListenerStory]) -> Markup {
    let rows = html! {
        @for (place, story) in stories.iter().enumerate() {
            @let view = &story.last;
            tr {
                th scope="row" {
                    @if place < CHARTS {
                        a href={ "#" (listener_id(view.sock)) } { (view.local) }
                    } @else { (view.local) }
                }
                td { (view.comm) " " (view.pid) }
                td.n { (count(peak(story).into())) " of " (count(view.limit.into())) }
                td.n.loss[view.totals.overflows() > 0] { (count(view.totals.overflows())) }
                td.n { (count(view.totals.accepted)) }
                (wait_cells(&view.wait))
            }
        }
    };
    let head = [
        "listener",
        "process",
        "deepest, of limit",
        "refused packets",
        "accepted",
        "wait p50",
        "p90",
        "p99",
        "max",
    ];
    table("Listeners", &head, &rows)
}

fn one(story: &ListenerStory, times: &Times) -> Markup {
    let view = &story.last;
    html! {
        article.listener id=(listener_id(view.sock)) {
            h3 { (view.local) " " span.at { (view.comm) " " (view.pid) } }
            p { (words(story)) }
            (depth_chart(story, times))
            (flow_chart(story, times))
            (points_table(story, times))
            (queue::player(story, times, &format!("film-{}", story.last.sock), &[]))
            (more(story))
        }
    }
}

/// The listener in sentences.
fn words(story: &ListenerStory) -> String {
    let (view, totals) = (&story.last, &story.last.totals);
    let peak = peak(story);
    // The kernel refuses once the depth is above the limit.
    let full = match peak > view.limit {
        true => ", so it was full",
        false => "",
    };
    let refused = refused(totals);
    let waiting = match view.depth {
        0 => String::new(),
        depth => format!(" {} in it at the end.", count_of(depth.into(), "connection")),
    };
    format!(
        "The accept queue held up to {} at a limit of {}{full}. {refused}{waiting}",
        count_of(peak.into(), "connection"),
        count(view.limit.into())
    )
}

/// Who was refused, in a sentence or two.
fn refused(totals: &Totals) -> String {
    let dropped = count_of(totals.overflow_syn, "SYN");
    let for_room = match (totals.overflows(), totals.overflow_ack) {
        (0, _) => "Nobody was refused for want of room in it.".to_owned(),
        (_, Some(0)) => format!("{dropped} dropped since it was full."),
        (_, Some(acks)) => {
            let ignored = count_of(acks, "final ACK");
            format!("{dropped} dropped and {ignored} ignored since it was full.")
        }
        (_, None) => format!(
            "{} dropped or ignored since it was full (SYNs or final ACKs: this kernel does not \
             tell them apart).",
            count_of(totals.overflow_syn, "packet")
        ),
    };
    match totals.syn_dropped {
        Some(dropped) if dropped > 0 => {
            format!("{for_room} {} dropped though it had room.", count_of(dropped, "SYN"))
        }
        _ => for_room,
    }
}

fn depth_chart(story: &ListenerStory, times: &Times) -> Markup {
    let points = chart::columns(story.points.points(), POINTS);
    let limit = points.iter().map(|point| point.limit).max().unwrap_or(story.last.limit);
    let (limit, peak) = (f64::from(limit), f64::from(peak(story)));
    // With a limit far above the depth the line of the depth would lie on the ground.
    let far = peak * 8.0 < limit;
    let top = if far { (peak * 1.6).max(4.0) } else { (limit.max(peak) * 1.15).max(2.0) }.ceil();
    let at = |value: u32| f64::from(value) / top;
    let depth: Vec<(f64, f64)> =
        points.iter().map(|point| (across(times, point.ts_ns), at(point.peak))).collect();
    let limits: Vec<(f64, f64)> =
        points.iter().map(|point| (across(times, point.ts_ns), at(point.limit))).collect();
    let shows_limit = !far;
    let inner = html! {
        (chart::area("depth-area", &depth))
        (chart::steps("depth", &depth))
        @if shows_limit { (chart::steps("limit", &limits)) }
    };
    let label = format!(
        "Depth of the accept queue over time: up to {peak}, with a limit of {limit}. {}",
        refused(&story.last.totals)
    );
    html! {
        (chart::plot(&label, &format!("{} {}", short(top), noun(top as u64, "connection")), times, 150, &inner))
        (refusal_lane(&points, times))
        ul.key {
            (key("depth", "M0 5H22", "deepest accept queue in each stretch"))
            @let far = if shows_limit { "" } else { " (far above the chart)" };
            (key("limit", "M0 5H22", &format!("limit, {}{far}", count(story.last.limit.into()))))
            @if story.last.totals.overflows() > 0 {
                (key("cross", "M7.5 1.5L14.5 8.5M7.5 8.5L14.5 1.5", "refused in this stretch"))
            }
        }
    }
}

/// What a line or a mark of a chart stands for.
fn key(class: &str, path: &str, words: &str) -> Markup {
    html! {
        li {
            svg.keyline width="22" height="10" aria-hidden="true" { path class=(class) d=(path) {} }
            " " (words)
        }
    }
}

/// Marks where packets were refused, below the chart of the depth.
fn refusal_lane(points: &[ListenerPoint], times: &Times) -> Markup {
    let mut places = Vec::new();
    let (mut begin, mut refused) = (0.0, 0_u64);
    for point in points {
        let end = across(times, point.ts_ns);
        if point.overflows > 0 {
            places.push((begin + end) / 2.0);
            refused = refused.saturating_add(point.overflows);
        }
        begin = end;
    }
    if places.is_empty() {
        return html! {};
    }
    let label = format!("Stretches in which packets were refused: {}", count(places.len() as u64));
    html! {
        svg.lane role="img" aria-label=(label) width="100%" height="18" {
            rect.track width="100%" height="16" y="1" rx="3" {}
            (chart::crosses(&places, 9))
        }
        p.lanelabel { span.loss { (count(refused)) " refused" } }
    }
}

fn flow_chart(story: &ListenerStory, times: &Times) -> Markup {
    let points = chart::columns(story.points.points(), POINTS);
    let mut begin_ns = times.begin_ns;
    let (mut arrivals, mut accepts) = (Vec::new(), Vec::new());
    for point in &points {
        let seconds = point.ts_ns.saturating_sub(begin_ns).max(1) as f64 / 1e9;
        let x = across(times, point.ts_ns);
        arrivals.push((x, point.queued as f64 / seconds));
        accepts.push((x, point.accepted as f64 / seconds));
        begin_ns = point.ts_ns;
    }
    let most = arrivals.iter().chain(&accepts).map(|(_, rate)| *rate).fold(0.0, f64::max);
    if most <= 0.0 {
        return html! {};
    }
    let scaled = |rates: &[(f64, f64)]| -> Vec<(f64, f64)> {
        rates.iter().map(|(x, rate)| (*x, rate / (most * 1.3))).collect()
    };
    let inner = html! {
        (chart::steps("arrivals", &scaled(&arrivals)))
        (chart::steps("accepts", &scaled(&accepts)))
    };
    let label =
        format!("Connections queued and accepted, up to {} a second.", crate::text::rate(most));
    let top = format!("{} a second", crate::text::rate(most * 1.3));
    html! {
        (chart::plot(&label, &top, times, 80, &inner))
        ul.key {
            (key("arrivals", "M0 5H22", "queued"))
            (key("accepts", "M0 5H22", "accepted"))
        }
    }
}

fn points_table(story: &ListenerStory, times: &Times) -> Markup {
    let points = chart::columns(story.points.points(), ROWS);
    let rows = html! {
        @for point in &points {
            tr {
                th scope="row" { (times.at(point.ts_ns)) }
                td.n { (count(point.peak.into())) }
                td.n { (count(point.limit.into())) }
                td.n { (count(point.queued)) }
                td.n { (count(point.accepted)) }
                td.n.loss[point.overflows > 0] { (count(point.overflows)) }
                td.n { (count(point.abandoned)) }
            }
        }
    };
    let head = ["until", "deepest", "limit", "queued", "accepted", "refused", "left unaccepted"];
    let label = format!("Figures of {} over time", story.last.local);
    html! {
        details.quiet { summary { "The same as a table" } (table(&label, &head, &rows)) }
    }
}

/// What there is to say of a listener beside its queue.
fn more(story: &ListenerStory) -> Markup {
    let view = &story.last;
    let totals = &view.totals;
    html! {
        details.quiet {
            summary { "More on this listener" }
            dl.pairs {
                dt { "backlog asked for" }
                dd { @match view.backlog { Some(backlog) => { (count(backlog.into())) }
                     None => { span.unknown { "not observed: listen() ran before the watch" } } } }
                dt { "net.core.somaxconn" } dd { (known(view.somaxconn.map(u64::from))) }
                dt { "SYNs dropped with room in the accept queue" }
                dd { (known(totals.syn_dropped)) }
                dt { "syncookies sent" } dd { (known(totals.cookies_sent)) }
                dt { "SYN-ACKs sent again" } dd { (count(totals.synack_retransmits)) }
                dt { "left the queue unaccepted" } dd { (count(totals.abandoned)) }
                dt { "calls of accept that found nothing" } dd { (count(totals.eagain)) }
                dt { "calls of accept that failed" } dd { (known(totals.accept_fails)) }
                @if view.wait.count > 0 {
                    dt { "longest wait to be accepted" } dd { (duration_us(view.wait.max)) }
                }
            }
            @if !view.accept_errors.is_empty() {
                p { "Errors of accept: " @for (error, number) in &view.accept_errors {
                    (error) " " (count(*number)) " " } }
            }
            @for other in &view.others {
                p { (other.comm) " " (other.pid) " listens at " (other.local)
                    " on a socket of its own, which was not watched." }
            }
        }
    }
}

fn unix(story: &UnixStory, times: &Times) -> Markup {
    let view = &story.last;
    let points = chart::columns(story.points.points(), POINTS);
    let peak = points.iter().map(|point| point.depth).max().unwrap_or(view.depth);
    let top = (f64::from(peak) * 1.6).max(4.0).ceil();
    let depth: Vec<(f64, f64)> = points
        .iter()
        .map(|point| (across(times, point.ts_ns), f64::from(point.depth) / top))
        .collect();
    let inner = html! { (chart::area("depth-area", &depth)) (chart::steps("depth", &depth)) };
    let label = format!(
        "Depth of the accept queue at each sample: up to {peak}, with a limit of {}.",
        view.limit
    );
    html! {
        article.listener {
            h3 { (view.path) " " span.at { (view.comm) " " (view.pid) ", Unix-domain socket" } }
            p { (label) " Connects that found it full: " (known(view.refused)) "." }
            (chart::plot(&label, &format!("{} {}", short(top), noun(top as u64, "connection")), times, 80, &inner))
        }
    }
}
