//! Listeners over time, and what came to their queues around the deepest moment.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use super::series::{Point, Series};
use crate::model::{
    event::{Accept, SockId, Stage},
    output::{ListenerOutput, OverflowOutput},
    snapshot::{ListenerView, Totals},
};

/// Listeners whose story is kept; further ones are counted.
const MAX: usize = 128;
/// Accepts and refusals that are kept of each from before its deepest moment.
const BEFORE: usize = 1_500;
/// The same with those after it.
const IN_ALL: usize = 4_000;

/// A listener's figures over a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerPoint {
    /// End of the stretch, ns of `CLOCK_MONOTONIC`.
    pub ts_ns: u64,
    /// Deepest accept queue in it.
    pub peak: u32,
    /// Limit of the accept queue at its end.
    pub limit: u32,
    /// Deepest SYN queue in it.
    pub syn_peak: u32,
    /// Connections queued in it.
    pub queued: u64,
    /// Connections accepted in it.
    pub accepted: u64,
    /// SYNs dropped and final ACKs ignored in it, since the accept queue was full.
    pub overflows: u64,
    /// Connections that left the queue unaccepted in it.
    pub abandoned: u64,
}

impl Point for ListenerPoint {
    fn merge(&mut self, later: &Self) {
        self.ts_ns = later.ts_ns;
        self.peak = self.peak.max(later.peak);
        self.limit = later.limit;
        self.syn_peak = self.syn_peak.max(later.syn_peak);
        self.queued = self.queued.saturating_add(later.queued);
        self.accepted = self.accepted.saturating_add(later.accepted);
        self.overflows = self.overflows.saturating_add(later.overflows);
        self.abandoned = self.abandoned.saturating_add(later.abandoned);
    }
}

/// Kind of a [`Moment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MomentKind {
    /// A connection was accepted.
    Accepted {
        /// Time at which it was queued, ns of `CLOCK_MONOTONIC`; `None` where not observed.
        queued_ns: Option<u64>,
        /// Thread that took it.
        tid: u32,
        /// Depth of the queue behind it.
        depth: u32,
    },
    /// Connections were refused.
    Refused {
        /// Stage of the handshake; `None` where this kernel does not tell.
        stage: Option<Stage>,
        /// Their number.
        count: u64,
        /// Depth of the queue.
        depth: u32,
        /// Its limit.
        limit: u32,
    },
    /// A sample read the depth. Connections that nobody ever takes show in no other way.
    Counted {
        /// Depth of the queue.
        depth: u32,
        /// Its limit.
        limit: u32,
    },
}

/// Something that happened at an accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Its time, ns of `CLOCK_MONOTONIC`.
    pub ts_ns: u64,
    /// The peer; `None` where not observed.
    pub peer: Option<SocketAddr>,
    /// What it was.
    pub kind: MomentKind,
}

impl Moment {
    /// Returns the depth of the queue after it.
    pub fn depth(&self) -> u32 {
        match self.kind {
            MomentKind::Accepted { depth, .. }
            | MomentKind::Refused { depth, .. }
            | MomentKind::Counted { depth, .. } => depth,
        }
    }
}

/// What happened around the deepest moment of a queue: some before it, more after it.
#[derive(Clone, Debug, Default)]
struct Moments {
    recent: VecDeque<Moment>,
    around: Vec<Moment>,
    deepest: Option<u32>,
}

impl Moments {
    fn push(&mut self, moment: Moment) {
        if self.recent.len() == BEFORE {
            self.recent.pop_front();
        }
        self.recent.push_back(moment);
        if self.deepest.is_none_or(|deepest| moment.depth() > deepest) {
            self.deepest = Some(moment.depth());
            self.around = self.recent.iter().copied().collect();
        } else if self.around.len() < IN_ALL {
            self.around.push(moment);
        }
    }
}

/// The story of a listener.
#[derive(Clone, Debug)]
pub struct ListenerStory {
    /// Its figures at the last sample; the histories are left empty.
    pub last: ListenerView,
    /// Its figures over time.
    pub points: Series<ListenerPoint>,
    /// Totals at the sample before.
    before: Totals,
    moments: Moments,
}

impl ListenerStory {
    /// Returns accepts and refusals around its deepest moment, in their order.
    pub fn moments(&self) -> &[Moment] {
        &self.moments.around
    }
}

/// The listeners of a run.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    stories: BTreeMap<SockId, ListenerStory>,
    /// Accepts and refusals come before the first sample of their listener.
    early: BTreeMap<SockId, Moments>,
    leaves_out: bool,
}

impl Listeners {
    pub(super) fn sampled(&mut self, output: &ListenerOutput) {
        let view = &output.view;
        if !self.stories.contains_key(&view.sock) {
            if self.stories.len() == MAX {
                self.leaves_out = true;
                return;
            }
            let story = ListenerStory {
                last: view.clone(),
                points: Series::default(),
                before: Totals::default(),
                moments: self.early.remove(&view.sock).unwrap_or_default(),
            };
            self.stories.insert(view.sock, story);
        }
        let Some(story) = self.stories.get_mut(&view.sock) else { return };
        let (now, before) = (&view.totals, &story.before);
        story.points.push(ListenerPoint {
            ts_ns: output.ts_ns,
            peak: view.peak.max(view.depth),
            limit: view.limit,
            syn_peak: view.syn_peak.max(view.syn_depth),
            queued: now.queued.saturating_sub(before.queued),
            accepted: now.accepted.saturating_sub(before.accepted),
            overflows: now.overflows().saturating_sub(before.overflows()),
            abandoned: now.abandoned.saturating_sub(before.abandoned),
        });
        if view.depth > 0 || story.last.depth > 0 {
            let kind = MomentKind::Counted { depth: view.depth, limit: view.limit };
            story.moments.push(Moment { ts_ns: output.ts_ns, peer: None, kind });
        }
        story.before = *now;
        story.last.clone_from(view);
    }

    pub(super) fn accepted(&mut self, accept: &Accept) {
        let kind = MomentKind::Accepted {
            queued_ns: accept.queued_ns,
            tid: accept.tid,
            depth: accept.depth,
        };
        self.push(accept.listener, Moment { ts_ns: accept.ts_ns, peer: Some(accept.peer), kind });
    }

    pub(super) fn refused(&mut self, refused: &OverflowOutput) {
        let kind = MomentKind::Refused {
            stage: refused.stage_certain.then_some(refused.stage),
            count: refused.count,
            depth: refused.depth,
            limit: refused.limit,
        };
        self.push(refused.listener, Moment { ts_ns: refused.ts_ns, peer: refused.peer, kind });
    }

    fn push(&mut self, listener: SockId, moment: Moment) {
        if let Some(story) = self.stories.get_mut(&listener) {
            story.moments.push(moment);
        } else if self.early.len() + self.stories.len() < MAX || self.early.contains_key(&listener)
        {
            self.early.entry(listener).or_default().push(moment);
        }
    }

    /// Returns the stories by socket.
    pub fn stories(&self) -> &BTreeMap<SockId, ListenerStory> {
        &self.stories
    }

    /// True if there were more listeners than stories.
    pub fn leaves_out(&self) -> bool {
        self.leaves_out
    }
}
