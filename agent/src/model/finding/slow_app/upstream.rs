//! The upstream that holds a slow application's time.

use std::net::SocketAddr;

use crate::model::finding::ConnectionFacts;
use crate::model::snapshot::SliceKind;
use crate::text::{count, percent};

/// The upstream whose calls hold most of the time.
pub(super) struct Upstream {
    /// Its address.
    pub(super) peer: SocketAddr,
    /// Exchanges that waited for calls, and their share of the time.
    pub(super) exchanges: u64,
    pub(super) share: f64,
}

impl Upstream {
    pub(super) fn text(&self) -> String {
        format!(
            "{} of them waited for calls that the application made for them: {} of the time, most \
             of it for {}.",
            count(self.exchanges),
            percent(self.share.min(1.0)),
            self.peer
        )
    }

    pub(super) fn of(facts: &ConnectionFacts<'_>, many: bool) -> Option<Self> {
        let (stats, stuck) = (facts.stats, facts.stuck);
        if !many {
            let exchanges = stuck.on_calls.waits.count;
            let peer = stuck.on_calls.peer?;
            if exchanges * 2 < stuck.unanswered.count.max(1) {
                return None;
            }
            return Some(Self { peer, exchanges, share: 1.0 });
        }
        let slow = stats.slow(SliceKind::App);
        let share = stats.app.upstream_us as f64 / slow.us.max(1) as f64;
        if share < 0.5 || stats.app.joined * 2 < slow.count {
            return None;
        }
        let (peer, _) = stats.app.upstreams.most()?;
        Some(Self { peer, exchanges: stats.app.joined, share })
    }
}
