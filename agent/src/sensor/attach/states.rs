//! The hook of state changes, which is taken off in a rush: it runs ten times for each connection.
//! Nobody counts then what is queued: it is what was accepted, or waits. With exchanges, how
//! connections began and ended is taken from their sockets (`probes/src/unstated.rs`).
//!
//! Should accepts go unseen meanwhile, no figure of the listeners shows it. The kernel's own count
//! of all connections that came does (`TcpPassiveOpens`), if no other listener of the network
//! namespace is busy. So the hook is off only while both counts agree.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    mem,
};

use super::pause::Pausable;
use crate::{
    model::event::{ListenerSample, SockId},
    sensor::procfs,
};

/// The hook, and what it would have counted.
#[derive(Default)]
pub(in crate::sensor) struct States {
    /// Empty if it may not be taken off.
    pub(super) hook: Pausable,
    is_off: bool,
    /// It is on again, and its counts have to be brought up to date.
    was_off: bool,
    listeners: HashMap<SockId, Known>,
    /// The totals at the refresh before.
    last: Option<Totals>,
    /// Connects that watched processes had asked for by then.
    connects: u64,
    agrees: bool,
}

/// What is known of a listener; both may be below 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    /// Connections that the hook did not count.
    uncounted: i64,
    /// Connections that came and are told of in no other figure.
    missing: i64,
}

/// Connections that are always between two figures which are not read at once.
const A_FEW: u64 = 64;

/// Connections that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Totals {
    /// To watched listeners.
    queued: u64,
    /// By the kernel's count, of each network namespace.
    opened: BTreeMap<u32, u64>,
}

impl Totals {
    /// `None` if a namespace cannot be asked.
    fn of(listeners: &[ListenerSample]) -> Option<Self> {
        let mut totals = Self::default();
        for listener in listeners {
            totals.queued = totals.queued.wrapping_add(listener.queued);
            if let Entry::Vacant(entry) = totals.opened.entry(listener.netns) {
                entry.insert(procfs::passive_opens(listener.netns, listener.pid)?);
            }
        }
        Some(totals)
    }

    /// True if no more came since than the listeners had. A few are always between the two counts.
    fn agrees_since(&self, before: &Self) -> bool {
        let mut opened: u64 = 0;
        for (netns, now) in &self.opened {
            let Some(then) = before.opened.get(netns) else { return false };
            opened = now.wrapping_sub(*then).saturating_add(opened);
        }
        let queued = self.queued.wrapping_sub(before.queued);
        opened.abs_diff(queued) <= queued / 16 + 4
    }
}

impl States {
    /// True if it may be taken off at all.
    pub(in crate::sensor) fn can_rest(&self) -> bool {
        !self.hook.is_empty()
    }

    /// True if nobody would miss the hook.
    pub(super) fn may_rest(&self) -> bool {
        self.can_rest() && self.agrees
    }

    /// Takes it off, if it is on.
    pub(super) fn detach(&mut self) {
        if !mem::replace(&mut self.is_off, true) {
            self.hook.detach();
        }
    }

    /// Puts it on, if it is off. False if the kernel refuses.
    pub(super) fn attach_again(&mut self) -> bool {
        if self.is_off && self.hook.attach_again().is_ok() {
            (self.is_off, self.was_off) = (false, true);
        }
        !self.is_off
    }

    /// At a refresh: brings the listeners' counts up to date, and compares them with the kernel's.
    /// `connects` were asked for by watched processes so far: while they ask, the hook stays on.
    pub(in crate::sensor) fn complete(&mut self, listeners: &mut [ListenerSample], connects: u64) {
        if !self.can_rest() {
            return;
        }
        self.count(listeners);
        let now = Totals::of(listeners);
        let before = mem::replace(&mut self.last, now);
        let asks = mem::replace(&mut self.connects, connects) != connects;
        self.agrees = match (&self.last, &before) {
            (Some(now), Some(before)) => !asks && now.agrees_since(before),
            _ => false,
        };
    }

    fn count(&mut self, listeners: &mut [ListenerSample]) {
        let counts = !self.is_off && !mem::take(&mut self.was_off);
        let before = mem::take(&mut self.listeners);
        for listener in listeners {
            let mut known = before.get(&listener.sock).copied().unwrap_or_default();
            let told = u64::from(listener.depth)
                .saturating_add(listener.abandoned)
                .saturating_add(listener.accepted);
            let untold = told.wrapping_sub(listener.queued).cast_signed();
            if counts {
                known.missing = known.uncounted.wrapping_sub(untold);
                if known.missing.unsigned_abs() <= A_FEW {
                    known.missing = 0;
                }
            } else {
                known.uncounted = untold.wrapping_add(known.missing);
            }
            listener.queued = listener.queued.wrapping_add_signed(known.uncounted);
            self.listeners.insert(listener.sock, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{States, Totals};
    use crate::model::event::ListenerSample;
    use crate::model::tests::world::listener;

    fn totals(queued: u64, opened: u64) -> Totals {
        Totals { queued, opened: BTreeMap::from([(7, opened)]) }
    }

    #[test]
    fn others_are_told_from_what_came() {
        let before = totals(100, 1_000);
        assert!(totals(8_100, 9_000).agrees_since(&before));
        assert!(totals(8_100, 9_360).agrees_since(&before), "some are on their way");
        assert!(!totals(8_100, 10_000).agrees_since(&before), "another listener has a thousand");
        assert!(!totals(4_100, 9_000).agrees_since(&before), "half of the accepts went unseen");
        let mut two = totals(8_100, 9_000);
        two.opened.insert(8, 3);
        assert!(!two.agrees_since(&before), "a namespace came, and what it had before is unknown");
    }

    #[test]
    fn what_the_hook_did_not_count_is_what_was_accepted_and_what_waits() {
        let sample = |queued, accepted, depth| {
            vec![ListenerSample { queued, accepted, depth, ..listener(1, 128) }]
        };
        let mut states = States::default();
        let count = |states: &mut States, mut listeners: Vec<ListenerSample>| {
            states.count(&mut listeners);
            listeners[0].queued
        };
        assert_eq!(count(&mut states, sample(12, 9, 2)), 12, "one left it");
        states.is_off = true;
        assert_eq!(count(&mut states, sample(12, 5_009, 3)), 5_012);
        (states.is_off, states.was_off) = (false, true);
        assert_eq!(count(&mut states, sample(40, 9_000, 4)), 9_004);
        assert_eq!(count(&mut states, sample(45, 9_006, 3)), 9_009, "five more came");
        assert_eq!(count(&mut states, sample(1_045, 9_006, 3)), 10_009, "a thousand are missing");
        states.is_off = true;
        assert_eq!(count(&mut states, sample(1_045, 9_106, 3)), 10_109, "and are not forgotten");
    }
}
