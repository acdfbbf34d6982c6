//! The figures of one listener, from the maps' totals.

use backscope_abi::Listener;

use super::Sampler;
use crate::sensor::sample::{epolls, scan::Holders};
use crate::{
    model::event::{LeftQueue, ListenerSample, NetSettings, SockId},
    sensor::decode::{address, comm, known},
};

impl Sampler {
    pub(super) fn settings(&self, listener: &Listener) -> NetSettings {
        NetSettings {
            netns: listener.netns,
            here: self.own_netns.map(|own| own == listener.netns),
            syncookies: listener.syncookies,
            syn_retries: listener.syn_retries,
            syn_linear_timeouts: listener.syn_linear_timeouts,
            abort_on_overflow: listener.abort_on_overflow != 0,
        }
    }

    pub(super) fn listener(&mut self, id: SockId, raw: &Listener, ended: u32) -> ListenerSample {
        let slot = (ended & 1) as usize;
        let (peak, syn_peak) = if raw.peak_epoch[slot] == ended {
            (raw.peak[slot], raw.syn_peak[slot])
        } else {
            (0, 0)
        };
        let before = self.depths.insert(id, (raw.depth, raw.syn_depth)).unwrap_or_default();
        let (mut overflow_syn, mut syn_dropped) = (raw.overflow_syn, raw.syn_dropped);
        if !self.seen.syns {
            let refused = self.refused.of(id);
            (overflow_syn, syn_dropped) = (refused.overflow, refused.dropped);
        }
        // Connections wait for longer than a moment: none was accepted since the last sample, or
        // some waited then, too, or the queue is full.
        let none_accepted =
            raw.depth > 0 && self.accepted.insert(id, raw.accepted) == Some(raw.accepted);
        let stands = none_accepted || raw.depth > 0 && (before.0 > 0 || raw.depth > raw.limit);
        let (pid, holders) = self.owner(id, raw);
        let (unnamed_holders, unwatched) = match self.holders.get(&id) {
            Some(held) => (held.unnamed(), stands && self.is_unwatched(id, held)),
            None => (0, false),
        };
        let comm = match self.names.get(&pid) {
            Some(name) => name.clone(),
            None => comm(&raw.comm),
        };
        let seen = &self.seen;
        ListenerSample {
            sock: id,
            local: address(raw.local),
            pid,
            comm,
            holders,
            netns: raw.netns,
            since_ns: raw.since_ns,
            closed_ns: known(raw.closed_ns),
            backlog: u32::try_from(raw.backlog).ok(),
            limit: raw.limit,
            depth: raw.depth,
            peak: peak.max(before.0).max(raw.depth),
            syn_depth: raw.syn_depth,
            syn_peak: syn_peak.max(before.1).max(raw.syn_depth),
            syns: if seen.syns { Some(raw.syns) } else { None },
            queued: raw.queued,
            accepted: raw.accepted,
            overflow_syn,
            overflow_ack: if seen.acks { Some(raw.overflow_ack) } else { None },
            syn_dropped: Some(syn_dropped),
            cookies_sent: if seen.cookies { Some(raw.cookies_sent) } else { None },
            drops: raw.drops.into(),
            synack_retransmits: raw.synack_retransmits,
            eagain: raw.eagain,
            abandoned: raw.abandoned,
            fails: if seen.fails { Some(self.fails.of(id)) } else { None },
            left: if seen.queues { Some(left_queue(raw)) } else { None },
            others: self.beside.of(raw),
            synack_acked: if seen.acked { Some(raw.synack_acked) } else { None },
            defer_accept: Some(raw.defer_accept),
            unwatched,
            unnamed_holders,
            calls_missed: false,
            netns_cookie: known(raw.netns_cookie),
            untold: raw.untold,
        }
    }

    fn is_unwatched(&self, id: SockId, held: &Holders) -> bool {
        // Somebody who is not named may wait for it.
        held.is_complete() && epolls::is_unwatched(id, &held.descriptors, &self.descriptors)
    }
}

fn left_queue(raw: &Listener) -> LeftQueue {
    LeftQueue {
        closed: raw.peer_closed,
        reset: raw.peer_reset,
        late: raw.left_late,
        late_us: raw.left_late_ns / 1_000,
        cut: raw.cut,
    }
}
