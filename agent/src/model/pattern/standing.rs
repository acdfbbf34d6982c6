//! The pattern that stands for a family: a judgement that lasts, so that nothing flaps.

use crate::model::snapshot::{Io, PatternName, PatternView, Units};

/// Another pattern must have been judged this long before it replaces one that stands, ns.
const CHANGE_NS: u64 = 2_000_000_000;
/// The first is believed from this confidence on, at the second sample that judges so.
const LEAST_CONFIDENCE: f64 = 0.5;

type Kind = (PatternName, Option<Units>, Option<Io>);

fn kind(view: &PatternView) -> Kind {
    (view.name, view.units, view.io)
}

/// One family.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) view: PatternView,
    pub(super) seen_ns: u64,
    reported: bool,
    /// The pattern that is judged now, and since when.
    candidate: (Kind, u64),
}

impl Standing {
    pub(super) fn new(view: &PatternView) -> Self {
        let unknown = PatternView {
            name: PatternName::Unknown,
            units: None,
            io: None,
            confidence: 0.0,
            ..view.clone()
        };
        Self { candidate: (kind(&unknown), 0), view: unknown, seen_ns: 0, reported: false }
    }

    /// Takes the newest judgement; true if it is to be reported.
    pub(super) fn take(&mut self, now_ns: u64, view: &PatternView) -> bool {
        self.seen_ns = now_ns;
        let (new, old) = (kind(view), kind(&self.view));
        let lasts = self.candidate.0 == new;
        if !lasts {
            self.candidate = (new, now_ns);
        }
        if new == old {
            self.view.clone_from(view);
            return false;
        }
        let age_ns = now_ns.saturating_sub(self.candidate.1);
        let is_first = !self.reported && view.name != PatternName::Unknown;
        // How they wait shows later than who serves.
        let is_finer = self.reported && (new.0, new.1) == (old.0, old.1) && old.2.is_none();
        let is_due = match () {
            () if is_first => lasts && view.confidence >= LEAST_CONFIDENCE,
            () if is_finer => true,
            () => self.reported && lasts && age_ns >= CHANGE_NS,
        };
        if is_due {
            self.view.clone_from(view);
            self.reported = true;
        } else if !self.reported {
            // The reason why nothing is known yet is kept up to date.
            let (name, units, io) = old;
            self.view = PatternView { name, units, io, confidence: 0.0, ..view.clone() };
        }
        is_due
    }
}
