//! Small sums of which those over exchanges are made.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::MAX_PEERS;

/// Number, sum and maximum of waits, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Tally {
    pub(in crate::model) count: u64,
    pub(in crate::model) us: u64,
    pub(in crate::model) worst_us: u64,
}

impl Tally {
    pub(in crate::model) fn add(&mut self, us: u64) {
        self.merge(&Self { count: 1, us, worst_us: us });
    }

    pub(in crate::model) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.us = self.us.saturating_add(other.us);
        self.worst_us = self.worst_us.max(other.worst_us);
    }

    pub(in crate::model) fn mean_us(&self) -> u64 {
        self.us.checked_div(self.count).unwrap_or(0)
    }
}

/// Waits of which it is known whether threads of their process were without a CPU for as long, and
/// those of them in which a thread may have been, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Lack {
    pub(in crate::model) seen_us: u64,
    pub(in crate::model) starved_us: u64,
}

impl Lack {
    pub(super) fn merge(&mut self, other: &Self) {
        self.seen_us = self.seen_us.saturating_add(other.seen_us);
        self.starved_us = self.starved_us.saturating_add(other.starved_us);
    }

    /// Tells whether most of them may have been for want of a CPU; `None` if that is not known.
    pub(in crate::model) fn starved(&self) -> Option<bool> {
        if self.seen_us == 0 {
            return None;
        }
        Some(self.starved_us * 2 >= self.seen_us)
    }
}

/// Sums by the address of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Upstreams(BTreeMap<SocketAddr, u64>);

impl Upstreams {
    pub(super) fn add(&mut self, peer: SocketAddr, more: u64) {
        if self.0.len() < MAX_PEERS || self.0.contains_key(&peer) {
            *self.0.entry(peer).or_default() += more;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (&peer, &more) in &other.0 {
            self.add(peer, more);
        }
    }

    /// The upstream with the largest sum, and this sum.
    pub(in crate::model) fn most(&self) -> Option<(SocketAddr, u64)> {
        let (&peer, &sum) = self.0.iter().max_by_key(|&(_, &sum)| sum)?;
        Some((peer, sum))
    }
}
