//! Slices that are laid: what they come to, and what is cut out of them.

use crate::model::event::Outcome;
use crate::model::snapshot::{ConnectFailure, ExchangeVerdict, Slice, SliceKind};

/// The delayed ACK at the end of an exchange, µs: nothing was behind it, so it held nobody.
pub(in crate::model) fn trailing_us(slices: &[Slice]) -> Option<u64> {
    match slices.last() {
        Some(last) if last.kind == SliceKind::DelayedAck => Some(last.us),
        _ => None,
    }
}

/// Time by kind, without the trailing delayed ACK.
pub(in crate::model) fn counted(slices: &[Slice]) -> impl Iterator<Item = (SliceKind, u64)> {
    let counted = slices.len() - usize::from(trailing_us(slices).is_some());
    slices[..counted].iter().map(|slice| (slice.kind, slice.us))
}

/// The kind that took most of the time.
pub(in crate::model) fn verdict(slices: &[Slice]) -> Option<ExchangeVerdict> {
    let (mut by_kind, mut total) = ([0_u64; SliceKind::ALL.len()], 0_u64);
    for (kind, us) in counted(slices) {
        by_kind[kind as usize] = by_kind[kind as usize].saturating_add(us);
        total = total.saturating_add(us);
    }
    let mut most: Option<(SliceKind, u64)> = None;
    for (kind, _) in counted(slices) {
        let us = by_kind[kind as usize];
        // The earlier kind of equals wins, so that the answer does not depend on order.
        if most.is_none_or(|(most, most_us)| us > most_us || us == most_us && kind < most) {
            most = Some((kind, us));
        }
    }
    let (kind, us) = most?;
    if us == 0 {
        return None;
    }
    Some(ExchangeVerdict { kind, share: us as f64 / total as f64, us })
}

/// Cuts the waits for connects that failed out of the application's time.
pub(in crate::model) fn take_out(slices: &mut Vec<Slice>, failures: &[ConnectFailure]) {
    if failures.is_empty() {
        return;
    }
    let whole = std::mem::take(slices);
    for slice in whole {
        if slice.kind == SliceKind::App {
            take_out_of(slice, failures, slices);
        } else {
            slices.push(slice);
        }
    }
}

/// Adds an `App` slice to `slices`, with the waits for connects in it as slices of their own.
fn take_out_of(slice: Slice, failures: &[ConnectFailure], slices: &mut Vec<Slice>) {
    let mut rest = slice;
    for failure in failures {
        // A connect that never left this host was no wait for anybody else.
        if matches!(failure.outcome, Outcome::NoPort | Outcome::NoRoute) {
            continue;
        }
        let after_us = |ns: u64| (ns.saturating_sub(rest.start_ns) / 1_000).min(rest.us);
        let end_ns = failure.start_ns.saturating_add(failure.us.saturating_mul(1_000));
        let (from_us, to_us) = (after_us(failure.start_ns), after_us(end_ns));
        if from_us < to_us {
            let (before, waited) = (rest.cut(from_us), rest.cut(to_us - from_us));
            if before.us > 0 {
                slices.push(before);
            }
            slices.push(Slice { kind: failure.kind(), cpu_us: None, ..waited });
        }
    }
    if rest.us > 0 {
        slices.push(rest);
    }
}

impl Slice {
    /// Cuts its first `us` off, with as much of its time on a CPU as fits into them.
    pub(in crate::model) fn cut(&mut self, us: u64) -> Self {
        let mut head = Self { us, ..*self };
        if let Some(cpu_us) = &mut self.cpu_us {
            let taken_us = (*cpu_us).min(us);
            head.cpu_us = Some(taken_us);
            *cpu_us -= taken_us;
        }
        self.start_ns = self.start_ns.saturating_add(us.saturating_mul(1_000));
        self.us -= us;
        head
    }
}
