//! Which listener comes first, and what is known beside one look.

use std::{cmp::Reverse, collections::HashMap};

use crate::{
    model::event::{ListenerSample, SockId, UnixListener},
    sensor::{Look, NetNamespaces},
};

/// What is known beside one look: names of network namespaces, and the look before.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) namespaces: NetNamespaces,
    /// With `--watch`: time of this look.
    pub(super) ts_ns: Option<u64>,
    /// Drops of each listener at the look before.
    pub(super) drops: HashMap<SockId, u64>,
}

impl Seen {
    /// Returns the packets dropped since the look before; `None` if the listener was not in it.
    pub(super) fn drops_since(&self, listener: &ListenerSample) -> Option<u64> {
        Some(listener.drops.saturating_sub(*self.drops.get(&listener.sock)?))
    }

    /// Keeps what the next look is compared with: of those that are there, and no others.
    pub(super) fn note(&mut self, listeners: &[ListenerSample]) {
        self.drops.clear();
        self.drops.extend(listeners.iter().map(|listener| (listener.sock, listener.drops)));
    }

    /// Puts those in trouble first: a full queue, then new drops, then drops, then a deep queue.
    /// Others stay in the order of their network namespaces, and of their addresses.
    pub(super) fn sort(&self, look: &mut Look) {
        look.sample.listeners.sort_by_key(|listener| {
            (
                Reverse(is_full(listener)),
                Reverse(self.drops_since(listener).unwrap_or(0)),
                Reverse(listener.drops),
                Reverse(listener.depth),
                (self.namespaces.is_own(listener.netns) != Some(true), listener.netns),
                listener.local,
                listener.sock,
            )
        });
        look.sample.unix.sort_by_cached_key(|listener: &UnixListener| {
            (
                Reverse(listener.is_full()),
                Reverse(listener.depth),
                (self.namespaces.is_own(listener.netns) != Some(true), listener.netns),
                listener.path.clone(),
                listener.sock,
            )
        });
    }
}

/// There is no room for a further connection (`sk_acceptq_is_full`).
pub(super) fn is_full(listener: &ListenerSample) -> bool {
    listener.depth > listener.limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{event::Sample, tests::world::listener};

    fn order(seen: &Seen, listeners: Vec<ListenerSample>) -> Vec<SockId> {
        let sample = Sample { listeners, ..Sample::default() };
        let mut look = Look { sample, ..Look::default() };
        seen.sort(&mut look);
        look.sample.listeners.iter().map(|listener| listener.sock).collect()
    }

    #[test]
    fn trouble_comes_first() {
        let full = ListenerSample { depth: 9, ..listener(1, 8) };
        let dropped = ListenerSample { drops: 700, ..listener(2, 8) };
        let deep = ListenerSample { depth: 8, ..listener(3, 8) };
        let idle = listener(4, 8);
        let all = || vec![idle.clone(), deep.clone(), dropped.clone(), full.clone()];
        assert_eq!(order(&Seen::default(), all()), [1, 2, 3, 4]);
        // What it dropped long ago weighs less than what another drops now.
        let mut seen = Seen::default();
        seen.note(&all());
        let now = ListenerSample { drops: 3, ..deep.clone() };
        assert_eq!(order(&seen, vec![idle, dropped, now]), [3, 2, 4]);
    }

    #[test]
    fn drops_are_compared_with_the_look_before() {
        let mut seen = Seen::default();
        let before = ListenerSample { drops: 5, ..listener(1, 8) };
        assert_eq!(seen.drops_since(&before), None);
        seen.note(std::slice::from_ref(&before));
        assert_eq!(seen.drops_since(&ListenerSample { drops: 12, ..before.clone() }), Some(7));
        seen.note(&[]);
        assert_eq!(seen.drops_since(&before), None, "it was gone");
    }
}
