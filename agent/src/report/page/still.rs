//! The deepest moment of an accept queue as a picture.

use maud::{Markup, html};

use super::{listeners, queue};
use crate::{
    digest::{ListenerStory, MomentKind},
    text::{count, count_of},
};

/// Places that are drawn; a longer queue is drawn to scale.
const PLACES: u32 = 40;
/// Places in a row.
const ROW: u32 = 10;
/// Threads that are drawn.
const THREADS: usize = 5;

/// Returns the picture.
pub(super) fn deepest(story: &ListenerStory) -> Markup {
    let limit = story.last.limit;
    let peak = listeners::peak(story);
    let refused: u64 = story
        .moments()
        .iter()
        .map(|moment| match moment.kind {
            MomentKind::Refused { count, .. } => count,
            _ => 0,
        })
        .fold(0, u64::saturating_add);
    // One more than the limit fits in.
    let room = limit.saturating_add(1).max(peak);
    let places = room.min(PLACES);
    let filled = u64::from(peak) * u64::from(places);
    let filled = filled.div_ceil(u64::from(room.max(1)));
    let label = format!(
        "The accept queue at its deepest: {} waiting at a limit of {limit}. Around then {} refused.",
        count_of(peak.into(), "connection"),
        count_of(refused, "packet")
    );
    let rows = places.div_ceil(ROW).max(1);
    html! {
        svg.still role="img" aria-label=(label) viewBox={ "0 0 440 " (90 + rows * 18) } {
            text.lab x="4" y="14" { "peers" }
            path.arrow d="M6 44H74M68 38L75 44L68 50" {}
            rect.queuebox x="84" y="24" width="186" height=(rows * 18 + 8) rx="5" {}
            text.lab x="86" y="16" {
                "accept queue: " (count(peak.into())) ", limit " (count(limit.into()))
            }
            @for place in 0..places {
                circle.conn[u64::from(place) < filled].free[u64::from(place) >= filled]
                    cx=(97 + (place % ROW) * 18) cy=(37 + (place / ROW) * 18) r="6" {}
            }
            text.lab x="286" y="16" { "taken by" }
            @let names = queue::thread_names(story, &queue::thread_places(story));
            @if names.is_empty() {
                text.lab x="286" y="42" { "nobody" }
            }
            @for (place, name) in names.iter().take(THREADS).enumerate() {
                circle.taker cx="291" cy=(37 + place * 16) r="4" {}
                text.small x="300" y=(41 + place * 16) { (name) }
            }
            @if refused > 0 {
                path.bounce d={ "M40 60Q60 " (50 + rows * 18) " 96 " (60 + rows * 18) } {}
                svg x="106" y=(61 + rows * 18) overflow="visible" {
                    path.cross d="M-5 -5L5 5M-5 5L5 -5" {}
                }
                text.lab.loss x="118" y=(66 + rows * 18) {
                    (count_of(refused, "packet")) " refused"
                }
            }
        }
    }
}
