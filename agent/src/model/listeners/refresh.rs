//! A refresh: listeners appear, change and close, and what is over is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::{HISTORY_POINTS, LEAST_HISTORY, Listeners, MAX_CLOSED, MAX_HISTORY, views};
use crate::model::event::{InAccept, ListenerSample, Place, Sample, SockId, Stage};
use crate::model::output::OverflowOutput;
use crate::model::sharing::Sharing;
use crate::model::snapshot::{LogEntry, StreamKind};

impl Listeners {
    /// Takes a sample; returns the listeners that appeared or closed. `delays_ns` returns the time
    /// that a thread was ready without a CPU since the sample before.
    pub(in crate::model) fn sampled(
        &mut self,
        sample: &Sample,
        delays_ns: impl Fn(u32) -> Option<u64>,
    ) -> Vec<LogEntry> {
        self.somaxconn = sample.somaxconn.iter().copied().collect();
        self.settings.clear();
        for settings in &sample.settings {
            self.settings.insert(settings.netns, *settings);
        }
        self.ignored.expire(sample.ts_ns);
        let mut inside: BTreeMap<SockId, Vec<&InAccept>> = BTreeMap::new();
        for call in &sample.in_accept {
            inside.entry(call.listener).or_default().push(call);
        }
        let mut changes = Vec::new();
        let mut refused = 0;
        for waiting in &sample.waiting {
            if let Some(listener) = self.table.get_mut(&waiting.listener) {
                listener.awaited(sample.ts_ns, waiting.exclusive);
            }
        }
        for listener in &sample.listeners {
            let calls = inside.remove(&listener.sock).unwrap_or_default();
            if !self.sample_one(sample.ts_ns, listener, &calls, &delays_ns, &mut changes) {
                refused += 1;
            }
        }
        self.refused = self.refused.max(refused);
        let present: BTreeSet<SockId> =
            sample.listeners.iter().map(|listener| listener.sock).collect();
        self.close_absent(sample.ts_ns, &present, &mut changes);
        self.share_in_groups(sample.ts_ns);
        self.period_ns = sample.ts_ns;
        changes
    }

    /// Takes a listener's sample. False when there is no room for it.
    fn sample_one(
        &mut self,
        now_ns: u64,
        sample: &ListenerSample,
        inside: &[&InAccept],
        delays_ns: impl Fn(u32) -> Option<u64>,
        changes: &mut Vec<LogEntry>,
    ) -> bool {
        let history = (HISTORY_POINTS / self.table.len().max(1)).clamp(LEAST_HISTORY, MAX_HISTORY);
        let Some(listener) = self.entry(sample.sock) else { return false };
        let (is_new, was_closed) = (listener.sample.is_none(), listener.closed);
        listener.sampled(now_ns, sample, inside.iter().copied(), delays_ns, history);
        // The backlog is known only of listeners whose call of `listen` was seen.
        if is_new && sample.backlog.is_some() {
            let what = StreamKind::Listening { local: sample.local };
            changes.push(LogEntry { ts_ns: sample.since_ns, listener: sample.sock, what });
        }
        self.known += u64::from(is_new);
        match sample.closed_ns {
            Some(closed_ns) if !was_closed => self.close(sample.sock, closed_ns, changes),
            None if was_closed => self.closed.retain(|&sock| sock != sample.sock),
            _ => {}
        }
        true
    }

    fn close(&mut self, sock: SockId, closed_ns: u64, changes: &mut Vec<LogEntry>) {
        let Some(listener) = self.table.get_mut(&sock) else { return };
        listener.close();
        self.ignored.closed(sock);
        self.closed.push_back(sock);
        if let Some(sample) = &listener.sample {
            let what = StreamKind::Closed { local: sample.local };
            changes.push(LogEntry { ts_ns: closed_ns, listener: sock, what });
        }
    }

    /// Closes the listeners that the kernel no longer lists. Those that only events named get one
    /// more sample to appear in.
    fn close_absent(
        &mut self,
        now_ns: u64,
        present: &BTreeSet<SockId>,
        changes: &mut Vec<LogEntry>,
    ) {
        let mut gone = Vec::new();
        for (&sock, listener) in &mut self.table {
            if present.contains(&sock) {
                continue;
            }
            listener.missed += 1;
            if !listener.closed && (listener.sample.is_some() || listener.missed > 1) {
                gone.push(sock);
            }
        }
        for sock in gone {
            self.close(sock, now_ns, changes);
        }
    }

    fn share_in_groups(&mut self, now_ns: u64) {
        let mut members: BTreeMap<Place, Vec<(SockId, u64)>> = BTreeMap::new();
        for (&sock, listener) in &self.table {
            if let Some(sample) = &listener.sample
                && !listener.closed
            {
                let group = members.entry(sample.place()).or_default();
                group.push((sock, sample.accepted));
            }
        }
        self.sizes =
            members.iter().map(|(group, sockets)| (*group, sockets.len() as u64)).collect();
        members.retain(|_, sockets| sockets.len() > 1);
        self.groups.retain(|group, _| members.contains_key(group));
        for (group, sockets) in members {
            let sharing = self.groups.entry(group).or_insert_with(|| Sharing::new(now_ns));
            sharing.update(now_ns, sockets.into_iter());
        }
    }

    /// Takes the refusals that nothing named, of all listeners.
    pub(in crate::model) fn unnamed(
        &mut self,
        now_ns: u64,
        patient: impl Fn(Stage) -> bool,
    ) -> Vec<OverflowOutput> {
        let mut unnamed = Vec::new();
        for listener in self.table.values_mut() {
            unnamed.extend(listener.unnamed(now_ns, &patient));
        }
        unnamed
    }

    /// Notes that everything reportable has been reported; forgets the oldest closed listeners.
    pub(in crate::model) fn reported(&mut self) {
        for listener in self.table.values_mut() {
            listener.close_reported = listener.closed;
        }
        while self.closed.len() > MAX_CLOSED
            && let Some(sock) = self.closed.pop_front()
        {
            let Some(old) = self.table.remove(&sock) else { continue };
            self.forgotten = views::add(&self.forgotten, &old.totals());
            self.forgotten_untold += old.left_untold();
            if let Some(wait) = old.wait {
                self.histograms -= 1;
                self.forgotten_wait.merge(&wait);
            }
        }
    }
}
