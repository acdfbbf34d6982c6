//! UDP sockets: what they dropped lately.

use std::collections::{BTreeMap, VecDeque};

use super::event::{DatagramSample, Sample, SockId};

/// UDP sockets judged; further ones are not.
const MAX_SOCKETS: usize = 1_024;
/// How far back "lately" goes, ns.
const SPAN_NS: u64 = 5_000_000_000;
/// Samples closer together than this count as one, ns. With [`SPAN_NS`] it bounds their number.
const GRAIN_NS: u64 = 250_000_000;

#[derive(Clone, Debug)]
pub(super) struct Datagrams {
    pub(super) sample: DatagramSample,
    /// When it was sampled, and its drops then.
    history: VecDeque<(u64, u64)>,
}

impl Datagrams {
    /// Dropped in the last few seconds.
    pub(super) fn dropped(&self) -> u64 {
        self.history.front().map_or(0, |&(_, drops)| self.sample.drops.saturating_sub(drops))
    }

    /// The same, a second.
    pub(super) fn rate(&self) -> f64 {
        let ends = self.history.front().zip(self.history.back());
        super::rate(self.dropped(), ends.map_or(0, |(first, last)| last.0.saturating_sub(first.0)))
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    table: BTreeMap<SockId, Datagrams>,
}

impl Sockets {
    pub(super) fn sampled(&mut self, sample: &Sample) {
        let mut before = std::mem::take(&mut self.table);
        for socket in sample.datagrams.iter().take(MAX_SOCKETS) {
            let old = before.remove(&socket.sock).map(|old| old.history);
            let mut history = old.unwrap_or_default();
            let is_new = history.len() < 2
                || history.back().is_none_or(|last| sample.ts_ns - last.0.min(sample.ts_ns) >= GRAIN_NS);
            if !is_new {
                history.pop_back();
            }
            history.push_back((sample.ts_ns, socket.drops));
            let from_ns = sample.ts_ns.saturating_sub(SPAN_NS);
            while history.len() > 2 && history[1].0 <= from_ns {
                history.pop_front();
            }
            self.table.insert(socket.sock, Datagrams { sample: socket.clone(), history });
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Datagrams> {
        self.table.values()
    }
}
