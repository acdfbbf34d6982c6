//! Facts at random: whatever they are, the slices tile.

use super::assert_tiles;
use crate::model::event::{
    Exchange, Hold, HoldReason, Inbound, Outbound, Pauses, Progress, Role, ThreadUse,
};
use crate::model::exchange::{First, view};
use crate::model::snapshot::SliceKind;
use crate::model::tests::world::{MS, START};

/// A small generator, so that a failure can be repeated: xorshift.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn time(&mut self) -> u64 {
        match self.next() % 12 {
            0 => 0,
            1 => u64::MAX - self.next() % 3,
            2 => self.next(),
            _ => START + self.next() % (100 * MS),
        }
    }

    fn span(&mut self) -> u64 {
        match self.next() % 8 {
            0 => u64::MAX,
            1..4 => 0,
            _ => self.next() % (60 * MS),
        }
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.next().is_multiple_of(3) { None } else { Some(value(self)) }
    }

    fn thread(&mut self) -> ThreadUse {
        let since_ns = self.maybe(Self::time);
        ThreadUse { pid: 1, tid: 2, since_ns, run_delay_ns: self.span(), cpu_ns: self.span() }
    }

    fn inbound(&mut self) -> Inbound {
        Inbound {
            first_ns: self.time(),
            last_ns: self.time(),
            read_first_ns: self.maybe(Self::time),
            read_last_ns: self.maybe(Self::time),
            starved_ns: self.span(),
            unread_bytes: self.next() % 2,
            reads: 1,
            reader: self.maybe(Self::thread),
            ..Inbound::default()
        }
    }

    fn outbound(&mut self) -> Outbound {
        use HoldReason::{Congestion, Cork, Nagle, Pacing, ReceiveWindow};
        let reasons = [Nagle, Cork, Congestion, ReceiveWindow, Pacing];
        let holds = (0..self.next() % 6).map(|at| reasons[at as usize % 5]).collect::<Vec<_>>();
        Outbound {
            first_ns: self.time(),
            last_ns: self.time(),
            sent_ns: self.maybe(Self::time),
            acked_ns: self.maybe(Self::time),
            unsent_bytes: self.next() % 2,
            unacked_bytes: self.next() % 2,
            holds: holds
                .into_iter()
                .map(|reason| Hold { reason, count: 1, held_ns: self.span() })
                .collect(),
            blocked_ns: self.span(),
            window_limited_ns: self.span(),
            retransmits: (self.next() % 2) as u32,
            writer: self.maybe(Self::thread),
            pauses: self.maybe(|garbage| Pauses {
                run_delay_ns: garbage.span(),
                cpu_ns: garbage.span(),
                complete: garbage.next().is_multiple_of(2),
            }),
            held_last: self.maybe(|garbage| reasons[garbage.next() as usize % 5]),
            spurious: (self.next() % 2) as u32,
            ..Outbound::default()
        }
    }

    fn exchange(&mut self) -> Exchange {
        let progress =
            [Progress::Open, Progress::Followed, Progress::Closed][self.next() as usize % 3];
        Exchange {
            ts_ns: self.time(),
            sock: 1,
            seq: 1,
            role: if self.next().is_multiple_of(2) { Role::Server } else { Role::Client },
            preexisting: self.next().is_multiple_of(4),
            progress,
            inbound: self.maybe(Self::inbound),
            outbound: self.maybe(Self::outbound),
            min_rtt_us: self.maybe(|garbage| garbage.next() as u32 >> (garbage.next() % 32)),
            delayed_acks: None,
            end: None,
            untold: None,
        }
    }
}

#[test]
fn whatever_the_facts_are_the_slices_tile() {
    let mut garbage = Garbage(0x9e37_79b9_7f4a_7c15);
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..50_000 {
        let exchange = garbage.exchange();
        let first = First {
            handshake_us: garbage.maybe(Garbage::span),
            deferred: false,
            queued_ns: garbage.time(),
            accepted_ns: garbage.time(),
            ignored: None,
            acceptor: garbage.next() as u32 % 3,
        };
        let view = view(&exchange, garbage.next().is_multiple_of(2).then_some(&first));
        assert_tiles(&exchange, &view);
        kinds.extend(view.slices.iter().map(|slice| slice.kind));
    }
    // These follow from more than the facts of one exchange.
    let beyond = [
        SliceKind::Connect,
        SliceKind::ConnectRefused,
        SliceKind::Ignored,
        SliceKind::Throttled,
        SliceKind::Streaming,
    ];
    let missing: Vec<_> = SliceKind::ALL
        .into_iter()
        .filter(|kind| !kinds.contains(kind) && !beyond.contains(kind))
        .collect();
    assert_eq!(missing, [], "every kind came up");
}
