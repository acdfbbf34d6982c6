//! The animation of an accept queue: what came, waited, was taken and was refused, in time. The
//! script draws it; without the script its deepest moment stands still.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Serialize;

use super::{parts::Times, still};
use crate::{
    digest::{ListenerStory, Moment, MomentKind},
    html::{data_block, note},
    text::{Untrusted, count, count_of, duration_us},
};

/// Threads that have a place of their own; the others share one.
const THREADS: usize = 12;

/// An event of the animation: time since its beginning in µs, kind, and what the kind needs.
///
/// - `[t, 0, id]`: connection `id` is queued
/// - `[t, 1, id, thread, depth]`: it is taken by a thread, and so many are behind it; an `id` of -1
///   was queued at a time that was not observed
/// - `[t, 2, count, depth]`: so many packets are refused
/// - `[t, 3, depth]`: a sample reads the depth
type Tuple = Vec<i64>;

/// Everything that the script needs.
#[derive(Debug, Serialize)]
pub(super) struct Film {
    /// Beginning, µs since the attach.
    begin_us: u64,
    /// Duration, µs.
    length_us: u64,
    limit: u32,
    threads: Vec<Untrusted>,
    events: Vec<Tuple>,
}

/// Returns the animation of a listener where somebody waited or was refused.
///
/// `id` is that of its data, and unique on the page. `came` has the times at which connections came
/// that nobody took, ns of `CLOCK_MONOTONIC`, if who made them has noted that.
pub(super) fn player(story: &ListenerStory, times: &Times, id: &str, came: &[u64]) -> Markup {
    let moments = story.moments();
    if !is_worth_it(moments) {
        return html! {};
    }
    let film = film(story, times, came);
    let (begin, end) = (film.begin_us, film.begin_us.saturating_add(film.length_us));
    html! {
        h4 { "The accept queue, connection by connection" }
        figure.player data-film=(id) {
            div.stage { (still::deepest(story)) }
            p.status aria-live="off" {
                "The deepest moment. " noscript { "The animation needs scripts." }
            }
            div.controls hidden role="group" aria-label={ "Animation of " (story.last.local) } {
                button type="button" data-do="play" { "Play" }
                button type="button" data-do="back" aria-label="One event back" { "◂ Step" }
                button type="button" data-do="step" aria-label="One event on" { "Step ▸" }
                label { span { "Time" }
                    input type="range" min="0" max="1000" step="1" value="0" data-do="seek"; }
                label { span { "Speed" }
                    select data-do="speed" {
                        option value="1" { "as recorded" }
                        option value="0.5" { "1/2" }
                        option value="0.2" { "1/5" }
                        option value="0.1" { "1/10" }
                        option value="0.02" { "1/50" }
                        option value="0.01" { "1/100" }
                        option value="0.001" { "1/1000" }
                    }
                }
            }
            figcaption {
                "From " (duration_us(begin)) " to " (duration_us(end))
                    " after the attach, around the "
                "deepest moment: " (events_words(moments)) ". "
                span.needs-script hidden {
                    "Keys: " kbd { "Space" } " plays and pauses, " kbd { "←" } " " kbd { "→" }
                    " step, " kbd { "+" } " " kbd { "−" } " change the speed, " kbd { "Home" }
                    " goes to the beginning."
                }
            }
            (data_block(id, &film))
        }
        @if !came.is_empty() {
            (note("The clients noted when each of these connections came: at the end of connect()."))
        } @else if moments.iter().any(|moment| matches!(moment.kind, MomentKind::Counted { .. })) {
            (note("Connections that nobody took within the recording show from the first sample or \
                   refusal that counted them: when each of them came was not observed."))
        }
    }
}

/// True if somebody waited while something happened, or was refused.
fn is_worth_it(moments: &[Moment]) -> bool {
    moments.iter().any(|moment| match moment.kind {
        MomentKind::Accepted { depth, .. } | MomentKind::Counted { depth, .. } => depth > 0,
        MomentKind::Refused { .. } => true,
    })
}

fn events_words(moments: &[Moment]) -> String {
    let (mut taken, mut refused) = (0, 0_u64);
    for moment in moments {
        match moment.kind {
            MomentKind::Accepted { .. } => taken += 1,
            MomentKind::Refused { count, .. } => refused = refused.saturating_add(count),
            MomentKind::Counted { .. } => {}
        }
    }
    format!("{} taken, {} refused", count(taken), count_of(refused, "packet"))
}

fn film(story: &ListenerStory, times: &Times, came: &[u64]) -> Film {
    let places = thread_places(story);
    let first_ns = story.moments().iter().map(|moment| match moment.kind {
        MomentKind::Accepted { queued_ns, .. } => queued_ns.unwrap_or(moment.ts_ns),
        _ => moment.ts_ns,
    });
    let first_ns = first_ns.chain(came.iter().copied()).min();
    let begin_us = times.since(first_ns.unwrap_or(times.begin_ns));
    let at = |ts_ns: u64| signed(times.since(ts_ns).saturating_sub(begin_us));
    let (mut events, mut known) = (Vec::new(), None);
    for (id, came_ns) in (story.moments().len()..).zip(came) {
        events.push(vec![at(*came_ns), 0, signed(id as u64)]);
    }
    for (id, moment) in story.moments().iter().enumerate() {
        let (t, id) = (at(moment.ts_ns), signed(id as u64));
        match moment.kind {
            MomentKind::Accepted { queued_ns, tid, depth } => {
                let place = places.get(&tid).copied().unwrap_or(THREADS);
                if let Some(queued_ns) = queued_ns {
                    events.push(vec![at(queued_ns), 0, id]);
                }
                let id = if queued_ns.is_some() { id } else { -1 };
                events.push(vec![t, 1, id, signed(place as u64), depth.into()]);
            }
            MomentKind::Refused { count, depth, .. } => {
                events.push(vec![t, 2, signed(count), depth.into()]);
            }
            // A sample that reads what was known is no event.
            MomentKind::Counted { depth, .. } if known == Some(depth) => {}
            MomentKind::Counted { depth, .. } => events.push(vec![t, 3, depth.into()]),
        }
        known = Some(moment.depth());
    }
    events.sort_by_key(|event| (event.first().copied(), event.get(1).copied()));
    let length_us = events.last().and_then(|event| event.first().copied()).unwrap_or(0);
    Film {
        begin_us,
        length_us: length_us.unsigned_abs(),
        limit: story.last.limit,
        threads: thread_names(story, &places),
        events,
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Places of the threads that took connections, those that took most first.
pub(super) fn thread_places(story: &ListenerStory) -> BTreeMap<u32, usize> {
    let mut taken: BTreeMap<u32, u64> = BTreeMap::new();
    for moment in story.moments() {
        if let MomentKind::Accepted { tid, .. } = moment.kind {
            *taken.entry(tid).or_default() += 1;
        }
    }
    let mut order: Vec<(u32, u64)> = taken.into_iter().collect();
    order.sort_by_key(|(tid, taken)| (std::cmp::Reverse(*taken), *tid));
    let mut places = BTreeMap::new();
    for (place, (tid, _)) in order.into_iter().enumerate() {
        places.insert(tid, place.min(THREADS));
    }
    places
}

/// Names of these places.
pub(super) fn thread_names(story: &ListenerStory, places: &BTreeMap<u32, usize>) -> Vec<Untrusted> {
    let mut names = vec![Untrusted::default(); places.len().min(THREADS + 1)];
    for (tid, place) in places {
        let Some(name) = names.get_mut(*place) else { continue };
        *name = match story.last.acceptors.iter().find(|acceptor| acceptor.tid == *tid) {
            _ if *place == THREADS => "other threads".into(),
            Some(acceptor) => compose!("{} {tid}", acceptor.comm),
            None => format!("thread {tid}").into(),
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::tests::overflowing;

    #[test]
    fn a_film_has_each_moment_in_its_order() {
        let digest = overflowing();
        let story = digest.listeners.stories().values().next().expect("a listener");
        let film = film(story, &Times::of(&digest), &[]);
        let of_kind = |kind: i64| film.events.iter().filter(|event| event[1] == kind).count();
        let moments = story.moments();
        let accepted =
            moments.iter().filter(|moment| matches!(moment.kind, MomentKind::Accepted { .. }));
        assert_eq!(of_kind(1), accepted.count());
        assert_eq!(of_kind(0), of_kind(1), "each was queued at a known time");
        assert!(of_kind(2) > 0, "some were refused");
        assert!(film.events.windows(2).all(|pair| pair[0][0] <= pair[1][0]), "in order");
        assert!(film.events.iter().all(|event| event[0] >= 0));
        assert!(!film.threads.is_empty());
    }
}
