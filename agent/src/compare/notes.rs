//! What makes two recordings hard to compare, in sentences.

use super::{Figure, Group, LEAST, Side, Verdict};
use crate::text::{count_of, duration_us, percent};

/// Returns the sentences.
pub(super) fn of(before: &Side, after: &Side, figures: &[Figure]) -> Vec<String> {
    let mut notes = Vec::new();
    let sides = [("A", before), ("B", after)];
    for (name, side) in sides {
        let stretches = side.stretches.all().len();
        if stretches < LEAST {
            notes.push(format!(
                "{name} lasted {} and has {}, too few to judge a figure by: at least {LEAST} are \
                 needed",
                duration_us(side.duration_ns() / 1_000),
                count_of(stretches as u64, "sample")
            ));
        }
        if !side.header.setup.exchanges {
            notes.push(format!(
                "{name} was recorded with --detail queues: exchanges and connections cannot be \
                 compared"
            ));
        }
        if side.paused_ns() > 0 {
            let share = side.paused_ns() as f64 / side.duration_ns().max(1) as f64;
            notes.push(format!(
                "exchanges were not watched in {} of {name}, to keep to its budget; their figures \
                 are of the rest",
                percent(share)
            ));
        }
        let lost: u64 = side.digest.lost.values().sum();
        if lost > 0 {
            notes.push(format!(
                "{name} lost {}: sums over exchanges are of the rest",
                count_of(lost, "record")
            ));
        }
        if side.digest.damages.1 > 0 {
            notes.push(format!("{name} is damaged or breaks off; what can be read is compared"));
        }
    }
    if before.header.setup.tier != after.header.setup.tier {
        notes.push(
            "the tiers of the hooks differ, so who held the time is not judged: one tier sees what \
             the other does not"
                .to_owned(),
        );
    }
    let (one, other) = (before.duration_ns(), after.duration_ns());
    if one.max(other) > one.min(other).saturating_mul(2) {
        notes.push(format!(
            "A lasted {} and B {}: rates and percentiles can be compared, but what is rare may be \
             in the longer one alone",
            duration_us(one / 1_000),
            duration_us(other / 1_000)
        ));
    }
    of_load(figures, &mut notes);
    notes
}

/// A server with less to do is better in everything.
fn of_load(figures: &[Figure], notes: &mut Vec<String>) {
    for figure in figures {
        let is_load = figure.group == Group::Load && figure.verdict == Verdict::Changed;
        let (Some(before), Some(after)) = (figure.before, figure.after) else { continue };
        if is_load {
            let times = if after > before { after / before } else { before / after };
            let more = if after > before { "more" } else { "fewer" };
            let factor =
                if times.is_finite() { format!(", {times:.1} times") } else { String::new() };
            notes.push(format!(
                "the load differs: B had {more} {} a second{factor}. What depends on the load is no \
                 difference of the server",
                figure.name
            ));
        }
    }
}
