//! Responses whose rest came late after their first byte. A response in many pieces is a stream and
//! waits by design. One with a single pause is no stream. Writes less than a second apart are one
//! exchange, others two.

use rustc_hash::FxHashMap;

use super::greetings::greets;
use super::slices::us_before;
use super::{SLOW_US, Scope, Tally};
use crate::model::event::{Exchange, SockId};
use crate::model::snapshot::{ExchangeView, SliceKind};

/// Connections that are remembered because their server went on writing after more than a second.
const MAX_RUNS: usize = 4_096;
/// A late write was the last one if no other follows within so long, ns.
const LAST_NS: u64 = 3_000_000_000;

/// Sums over responses whose rest came late.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Rests {
    /// From the first byte to the last.
    pub(in crate::model) late: Tally,
    /// Time on a CPU in it, and of how much that is known, µs.
    pub(in crate::model) cpu_us: u64,
    pub(in crate::model) known_us: u64,
}

impl Rests {
    pub(super) fn add(&mut self, us: u64, cpu_us: Option<u64>) {
        self.late.add(us);
        if let Some(cpu_us) = cpu_us {
            self.cpu_us = self.cpu_us.saturating_add(cpu_us.min(us));
            self.known_us = self.known_us.saturating_add(us);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.late.merge(&other.late);
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        self.known_us = self.known_us.saturating_add(other.known_us);
    }
}

/// The application's time of an exchange, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AppTime {
    /// Up to the first byte of the response.
    pub(super) answer_us: u64,
    /// From there on; in an exchange without a request all of it.
    pub(super) rest_us: u64,
    /// Time of the rest on a CPU, where that is known.
    pub(super) rest_cpu_us: Option<u64>,
}

impl AppTime {
    pub(super) fn of(exchange: &Exchange, view: &ExchangeView) -> Self {
        let written_ns = match &exchange.outbound {
            _ if exchange.inbound.is_none() && !greets(exchange) => 0,
            Some(outbound) => outbound.first_ns,
            None => u64::MAX,
        };
        let mut time = Self::default();
        for slice in &view.slices {
            if slice.kind != SliceKind::App {
                continue;
            }
            let before_us = us_before(slice, written_ns);
            time.answer_us = time.answer_us.saturating_add(before_us);
            time.rest_us = time.rest_us.saturating_add(slice.us - before_us);
            // Of a slice that is mostly one of the two, all the CPU time is that one's.
            if before_us * 10 <= slice.us {
                time.rest_cpu_us =
                    slice.cpu_us.map(|cpu_us| time.rest_cpu_us.unwrap_or(0) + cpu_us);
            }
        }
        if greets(exchange) {
            // Nobody has asked.
            time.answer_us = 0;
        }
        time
    }
}

/// Writes of a server, each more than a second after the one before it, without a request in
/// between.
#[derive(Clone, Copy, Debug)]
struct Run {
    scope: Scope,
    count: u32,
    /// From the response to the first of them, µs.
    after_us: u64,
    newest_ns: u64,
}

/// Connections on which a server went on writing.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(FxHashMap<SockId, Run>);

impl Runs {
    /// Notes that a server wrote without a request, so long after its last write, where that is
    /// known. If it computed meanwhile, the exchange itself counts as a late rest.
    pub(super) fn pushed(
        &mut self,
        now_ns: u64,
        scope: Scope,
        exchange: &Exchange,
        view: &ExchangeView,
    ) {
        if let Some(run) = self.0.get_mut(&exchange.sock) {
            run.count += 1;
            run.newest_ns = now_ns;
            return;
        }
        let computed = matches!(view.slices.first(), Some(slice) if slice.kind == SliceKind::App);
        if let Some(after_us) = view.pushed_after_us
            && after_us >= SLOW_US
            && !computed
            && self.0.len() < MAX_RUNS
        {
            self.0.insert(exchange.sock, Run { scope, count: 1, after_us, newest_ns: now_ns });
        }
    }

    /// Notes the next request or the end of the connection. Returns the time of a late write, if
    /// there was exactly one.
    pub(super) fn ended(&mut self, sock: SockId) -> Option<u64> {
        if self.0.is_empty() {
            return None;
        }
        let run = self.0.remove(&sock)?;
        if run.count != 1 {
            return None;
        }
        Some(run.after_us)
    }

    /// Takes out connections with nothing new for a while. Returns those with exactly one late
    /// write, and its time.
    pub(super) fn over(&mut self, now_ns: u64) -> Vec<(Scope, u64)> {
        let mut over = Vec::new();
        self.0.retain(|_, run| {
            let quiet_ns = LAST_NS.max(run.after_us.saturating_mul(2_000));
            let goes_on = now_ns.saturating_sub(run.newest_ns) < quiet_ns;
            if !goes_on && run.count == 1 {
                over.push((run.scope, run.after_us));
            }
            goes_on
        });
        over
    }
}
