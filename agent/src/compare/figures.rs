//! Figures of two recordings, and whether they differ.

use super::{
    Figure, Group, LEAST, LEAST_SHARE, LEAST_US, Sense, Side, Unit, Verdict,
    noise::Series,
    stretches::{Counted, Durations, Stretch},
};
use crate::model::snapshot::{Owner, SliceKind};

/// Smallest mean of a kind that is told, as a share of the mean of all.
const LEAST_PART: f64 = 0.01;
/// Exchanges that a mean of a stretch needs.
const FOR_MEAN: u64 = 5;
/// Percentiles: their names, and the samples that a stretch needs for each.
const PERCENTILES: [(&str, f64, u64); 3] = [("p50", 0.5, 5), ("p90", 0.9, 30), ("p99", 0.99, 300)];

const NO_EXCHANGES: &str = "a recording has no exchanges (--detail queues)";
const TOO_LITTLE: &str = "too few of them for a judgement";
const OTHER_TIER: &str = "the tiers differ: what only one of them sees is no difference";
const NOT_SEEN: &str = "a recording has none";

/// One figure of one recording: over all of it, and stretch by stretch.
#[derive(Clone, Debug)]
struct Measured {
    whole: Option<f64>,
    stretches: Vec<f64>,
    /// Least variance of the mean.
    floor: f64,
}

/// What a figure is.
#[derive(Clone, Debug)]
struct What {
    group: Group,
    name: String,
    unit: Unit,
    sense: Sense,
    /// It cannot be compared, for this reason.
    reason: Option<&'static str>,
}

/// Compares all figures.
pub(super) fn compare(before: &Side, after: &Side) -> Vec<Figure> {
    let mut figures = Vec::new();
    let has_exchanges = before.header.setup.exchanges && after.header.setup.exchanges;
    let of_exchanges = (!has_exchanges).then_some(NO_EXCHANGES);
    for (group, name, counted, sense, reason) in [
        (Group::Load, "accepted connections", Counted::Accepts, Sense::Neutral, None),
        (Group::Failures, "refusals", Counted::Refusals, Sense::LessIsBetter, None),
        (Group::Failures, "left unaccepted", Counted::Abandoned, Sense::LessIsBetter, None),
        (
            Group::Failures,
            "failed connects",
            Counted::FailedConnects,
            Sense::LessIsBetter,
            of_exchanges,
        ),
        (
            Group::Failures,
            "resets and timeouts",
            Counted::Resets,
            Sense::LessIsBetter,
            of_exchanges,
        ),
        (
            Group::Failures,
            "segments sent again",
            Counted::Retransmits,
            Sense::LessIsBetter,
            of_exchanges,
        ),
        (
            Group::Failures,
            "requests without an answer",
            Counted::Unanswered,
            Sense::LessIsBetter,
            of_exchanges,
        ),
    ] {
        let what = What { group, name: name.to_owned(), unit: Unit::PerSecond, sense, reason };
        let of = |stretch: &Stretch| stretch.count(counted);
        let in_pauses = group == Group::Load || counted <= Counted::Abandoned;
        figures.push(judge(what, &rate(before, of, in_pauses), &rate(after, of, in_pauses)));
    }
    let what = What {
        group: Group::Load,
        name: "exchanges".to_owned(),
        unit: Unit::PerSecond,
        sense: Sense::Neutral,
        reason: of_exchanges,
    };
    let of = |stretch: &Stretch| stretch.exchanges.count();
    figures.push(judge(what, &rate(before, of, false), &rate(after, of, false)));

    type Of = fn(&Stretch) -> &Durations;
    let durations: [(Group, Of, _); 2] = [
        (Group::AcceptWait, |stretch| &stretch.accept_waits, None),
        (Group::Exchanges, |stretch| &stretch.exchanges, of_exchanges),
    ];
    for (group, of, reason) in durations {
        for (name, quantile, needed) in PERCENTILES {
            let what = What {
                group,
                name: name.to_owned(),
                unit: Unit::Us,
                sense: Sense::LessIsBetter,
                reason,
            };
            let measured = |side| percentile(side, of, quantile, needed);
            figures.push(judge(what, &measured(before), &measured(after)));
        }
    }
    means(before, after, of_exchanges, &mut figures);
    let what = What {
        group: Group::Cost,
        name: "of the watch".to_owned(),
        unit: Unit::Processors,
        sense: Sense::Neutral,
        reason: None,
    };
    figures.push(judge(what, &cost(before), &cost(after)));
    figures.sort_by_key(|figure| figure.group as u8);
    figures
}

/// Compares the time of an exchange by owner and by kind.
fn means(
    before: &Side,
    after: &Side,
    of_exchanges: Option<&'static str>,
    figures: &mut Vec<Figure>,
) {
    let other_tier = before.header.setup.tier != after.header.setup.tier;
    let reason = of_exchanges.or(other_tier.then_some(OTHER_TIER));
    let what = |group, name: &str, sense| What {
        group,
        name: name.to_owned(),
        unit: Unit::Us,
        sense,
        reason,
    };
    for owner in Owner::ALL {
        let of = |stretch: &Stretch| stretch.owner_us(owner);
        let what = what(Group::Owners, owner.name(), Sense::LessIsBetter);
        figures.push(judge(what, &mean(before, of), &mean(after, of)));
    }
    let (old, new) = (before.stretches.whole(), after.stretches.whole());
    for kind in SliceKind::ALL {
        let of = |stretch: &Stretch| stretch.kinds_us.get(&kind).copied().unwrap_or(0);
        let is_part = |whole: &Stretch| {
            let all: u64 = whole.kinds_us.values().sum();
            of(whole) as f64 > LEAST_PART * all as f64
        };
        if !is_part(&old) && !is_part(&new) {
            continue;
        }
        let name = match kind {
            SliceKind::ConnectRefused => "connect refused",
            _ => kind.name(),
        };
        let what = what(Group::Kinds, name, sense_of(kind));
        figures.push(judge(what, &mean(before, of), &mean(after, of)));
    }
}

/// Time of these kinds is as long as somebody wants it to be.
fn sense_of(kind: SliceKind) -> Sense {
    match kind {
        SliceKind::Streaming | SliceKind::Request => Sense::Neutral,
        _ => Sense::LessIsBetter,
    }
}

/// Returns a rate, a second; of what is seen in pauses, too, or of the time between them.
fn rate(side: &Side, of: impl Fn(&Stretch) -> u64, in_pauses: bool) -> Measured {
    let seconds = |stretch: &Stretch| match in_pauses {
        true => stretch.length_ns as f64 / 1e9,
        false => stretch.watched_ns as f64 / 1e9,
    };
    let whole = side.stretches.whole();
    let (all, all_s) = (of(&whole) as f64, seconds(&whole));
    let mut stretches = Vec::new();
    for stretch in side.stretches.all() {
        // A part of a stretch says little on a second.
        if seconds(stretch) * 2.0 >= stretch.length_ns as f64 / 1e9 {
            stretches.push(of(stretch) as f64 / seconds(stretch));
        }
    }
    if all_s <= 0.0 {
        return Measured { whole: None, stretches: Vec::new(), floor: 0.0 };
    }
    // As if one more had come: nothing seen does not prove that nothing can come.
    Measured { whole: Some(all / all_s), stretches, floor: (all + 1.0) / all_s.powi(2) }
}

fn percentile(
    side: &Side,
    of: impl Fn(&Stretch) -> &Durations,
    quantile: f64,
    needed: u64,
) -> Measured {
    let whole = of(&side.stretches.whole()).quantile(quantile);
    let mut stretches = Vec::new();
    for stretch in side.stretches.with_samples(needed, |stretch| of(stretch).count()) {
        let durations = of(&stretch);
        if durations.count() * 2 >= needed {
            stretches.extend(durations.quantile(quantile));
        }
    }
    Measured { whole, stretches, floor: 0.0 }
}

/// Returns the mean of an exchange.
fn mean(side: &Side, of: impl Fn(&Stretch) -> u64) -> Measured {
    let per_exchange = |stretch: &Stretch| of(stretch) as f64 / stretch.exchanges.count() as f64;
    let whole = side.stretches.whole();
    let mut stretches = Vec::new();
    for stretch in side.stretches.with_samples(FOR_MEAN, |stretch| stretch.exchanges.count()) {
        if stretch.exchanges.count() * 2 >= FOR_MEAN {
            stretches.push(per_exchange(&stretch));
        }
    }
    let whole = (whole.exchanges.count() > 0).then(|| per_exchange(&whole));
    Measured { whole, stretches, floor: 0.0 }
}

fn cost(side: &Side) -> Measured {
    let (mut all_ns, mut length_ns, mut stretches) = (0, 0, Vec::new());
    for stretch in side.stretches.all() {
        if let Some(cost_ns) = stretch.cost_ns {
            (all_ns, length_ns) = (all_ns + cost_ns, length_ns + stretch.length_ns);
            stretches.push(cost_ns as f64 / stretch.length_ns.max(1) as f64);
        }
    }
    let whole = (length_ns > 0).then(|| all_ns as f64 / length_ns as f64);
    Measured { whole, stretches, floor: 0.0 }
}

/// Judges one figure.
fn judge(what: What, before: &Measured, after: &Measured) -> Figure {
    let What { group, name, unit, sense, reason } = what;
    let figure = |verdict, resolution, reason| Figure {
        group,
        name: name.clone(),
        unit,
        before: before.whole,
        after: after.whole,
        verdict,
        resolution,
        reason,
    };
    if let Some(reason) = reason {
        return figure(Verdict::Unknown, None, Some(reason));
    }
    let (Some(old), Some(new)) = (before.whole, after.whole) else {
        return figure(Verdict::Unknown, None, Some(NOT_SEEN));
    };
    if before.stretches.len() < LEAST || after.stretches.len() < LEAST {
        return figure(Verdict::Unknown, None, Some(TOO_LITTLE));
    }
    let series =
        (Series::of(&before.stretches, before.floor), Series::of(&after.stretches, after.floor));
    let (Some(one), Some(other)) = series else {
        return figure(Verdict::Unknown, None, Some(TOO_LITTLE));
    };
    let least = LEAST_SHARE * old.max(new);
    let least = if unit == Unit::Us { least.max(LEAST_US) } else { least };
    let resolution = one.resolution(&other).max(least);
    let (difference, by_stretch) = (new - old, one.until(&other));
    // Both the whole and its stretches must say so.
    let differs = by_stretch.abs() > one.resolution(&other)
        && difference.abs() > least
        && difference.signum() == by_stretch.signum();
    let verdict = match (differs, sense) {
        (false, _) => Verdict::Same,
        (true, Sense::Neutral) => Verdict::Changed,
        (true, Sense::LessIsBetter) if difference < 0.0 => Verdict::Better,
        (true, Sense::LessIsBetter) => Verdict::Worse,
    };
    figure(verdict, Some(resolution), None)
}
