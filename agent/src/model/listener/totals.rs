//! A listener's totals, and what grew since the sample before.

use super::Listener;
use crate::model::event::{AcceptFails, ListenerSample, Stage};
use crate::model::output::OverflowOutput;
use crate::model::recent::Figures;
use crate::model::snapshot::Totals;

impl Listener {
    /// Its totals; all 0 before the first sample.
    pub(in crate::model) fn totals(&self) -> Totals {
        self.sample.as_ref().map(totals_of).unwrap_or_default()
    }

    /// Takes the refusals that the kernel counted up to the newest sample and never named.
    /// `patient` as in [`Refusals::unnamed`].
    pub(in crate::model) fn unnamed(
        &mut self,
        now_ns: u64,
        patient: impl Fn(Stage) -> bool,
    ) -> Vec<OverflowOutput> {
        let Some(sample) = &self.sample else { return Vec::new() };
        let totals = [
            (Stage::Syn, Some(sample.overflow_syn)),
            (Stage::Ack, sample.overflow_ack),
            (Stage::SynQueue, sample.syn_dropped),
            (Stage::Cookie, sample.cookies_sent),
        ];
        let mut unnamed = Vec::new();
        for (stage, total) in totals {
            let Some(total) = total else { continue };
            let count = self.refusals[slot(stage)].unnamed(total, patient(stage));
            if count > 0 {
                unnamed.push(OverflowOutput {
                    ts_ns: now_ns,
                    listener: sample.sock,
                    peer: None,
                    stage,
                    depth: sample.depth,
                    limit: sample.limit,
                    count,
                    stage_certain: stage != Stage::Syn || sample.overflow_ack.is_some(),
                });
            }
        }
        unnamed
    }

    pub(super) fn figures_since(&self, before: &Totals, now: &ListenerSample) -> Figures {
        let since = |now: Option<u64>, before: Option<u64>| {
            now.unwrap_or(0).saturating_sub(before.unwrap_or(0))
        };
        let left = now.left.unwrap_or_default();
        let left_before = before.left.unwrap_or_default();
        Figures {
            accepts: now.accepted.saturating_sub(before.accepted),
            arrivals: now.queued.saturating_sub(before.queued),
            overflows: totals_of(now).overflows().saturating_sub(before.overflows()),
            overflow_ack: since(now.overflow_ack, before.overflow_ack),
            cookies: since(now.cookies_sent, before.cookies_sent),
            syn_dropped: since(now.syn_dropped, before.syn_dropped),
            synack_retransmits: now.synack_retransmits.saturating_sub(before.synack_retransmits),
            fails: since(fails(&now.fails), before.accept_fails),
            left_late: left.late.saturating_sub(left_before.late),
            left_late_us: left.late_us.saturating_sub(left_before.late_us),
            cut: left.cut.saturating_sub(left_before.cut),
            synack_acked: since(now.synack_acked, before.synack_acked),
            depth_peak: now.peak.max(now.depth),
            syn_peak: now.syn_peak.max(now.syn_depth),
            ..self.period
        }
    }
}

/// Place of a stage among the counters of refusals.
pub(super) fn slot(stage: Stage) -> usize {
    match stage {
        Stage::Syn => 0,
        Stage::Ack => 1,
        Stage::SynQueue => 2,
        Stage::Cookie => 3,
    }
}

pub(super) fn totals_of(sample: &ListenerSample) -> Totals {
    Totals {
        syns: sample.syns,
        queued: sample.queued,
        accepted: sample.accepted,
        overflow_syn: sample.overflow_syn,
        overflow_ack: sample.overflow_ack,
        syn_dropped: sample.syn_dropped,
        cookies_sent: sample.cookies_sent,
        synack_retransmits: sample.synack_retransmits,
        synack_acked: sample.synack_acked,
        eagain: sample.eagain,
        abandoned: sample.abandoned,
        accept_fails: fails(&sample.fails),
        left: sample.left,
    }
}

/// Counts the calls of `accept` that failed, whatever the error.
pub(super) fn fails(fails: &Option<Vec<AcceptFails>>) -> Option<u64> {
    let mut sum = 0;
    for fails in fails.as_ref()? {
        sum = fails.count.saturating_add(sum);
    }
    Some(sum)
}
