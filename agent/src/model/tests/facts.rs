//! Facts of exchanges, by hand.

use super::world::{MS, START};
use crate::model::event::{Exchange, Inbound, Outbound, Progress, Role, ThreadUse};

const US: u64 = 1_000;

/// So long after the beginning.
pub(crate) fn at(ns: u64) -> u64 {
    START + ns
}

fn thread() -> Option<ThreadUse> {
    Some(ThreadUse { pid: 4242, tid: 11, ..ThreadUse::default() })
}

/// A request read after 50 µs, answered after 900 µs more, acknowledged after a round trip of 30
/// µs.
pub(crate) fn server() -> Exchange {
    let inbound = Inbound {
        first_ns: at(0),
        last_ns: at(0),
        read_first_ns: Some(at(50 * US)),
        read_last_ns: Some(at(50 * US)),
        bytes: 100,
        reads: 1,
        reader: thread(),
        ..Inbound::default()
    };
    let outbound = Outbound {
        first_ns: at(950 * US),
        last_ns: at(950 * US),
        sent_ns: Some(at(950 * US)),
        acked_ns: Some(at(980 * US)),
        bytes: 200,
        writes: 1,
        last_sizes: [0, 200],
        writer: thread(),
        ..Outbound::default()
    };
    Exchange {
        ts_ns: at(1_000 * MS),
        sock: 1,
        seq: 1,
        role: Role::Server,
        preexisting: false,
        progress: Progress::Followed,
        inbound: Some(inbound),
        outbound: Some(outbound),
        min_rtt_us: Some(20),
        delayed_acks: None,
        end: None,
        untold: None,
    }
}

/// A request answered by the peer after 5 ms, read 100 µs later.
pub(crate) fn client() -> Exchange {
    let mut exchange = Exchange { role: Role::Client, ..server() };
    let outbound = exchange.outbound();
    (outbound.first_ns, outbound.last_ns, outbound.sent_ns) = (at(0), at(0), Some(at(0)));
    outbound.acked_ns = Some(at(30 * US));
    let inbound = exchange.inbound();
    (inbound.first_ns, inbound.last_ns) = (at(5 * MS), at(5 * MS));
    (inbound.read_first_ns, inbound.read_last_ns) = (Some(at(5_100 * US)), Some(at(5_100 * US)));
    exchange
}

/// Changes to an exchange that has both bursts.
pub(crate) trait Build: Sized {
    fn inbound(&mut self) -> &mut Inbound;
    fn outbound(&mut self) -> &mut Outbound;

    /// Read at this time, everything after it as much later.
    fn reading(self, ns: u64) -> Self;
    /// Written at this time, everything after it as much later.
    fn writing(self, ns: u64) -> Self;
    fn acked(self, ns: u64) -> Self;
    fn by_reader(self, reader: ThreadUse) -> Self;
    /// The whole of it so much later.
    fn later(self, ns: u64) -> Self;
}

impl Build for Exchange {
    fn inbound(&mut self) -> &mut Inbound {
        self.inbound.as_mut().expect("an inbound burst")
    }

    fn outbound(&mut self) -> &mut Outbound {
        self.outbound.as_mut().expect("an outbound burst")
    }

    fn reading(mut self, ns: u64) -> Self {
        let inbound = self.inbound();
        let later = ns - inbound.read_first_ns.expect("a read");
        (inbound.read_first_ns, inbound.read_last_ns) = (Some(ns), Some(ns));
        let written_ns = self.outbound().first_ns + later;
        self.writing(written_ns)
    }

    fn writing(mut self, ns: u64) -> Self {
        let outbound = self.outbound();
        let later = ns - outbound.first_ns;
        (outbound.first_ns, outbound.last_ns) = (ns, outbound.last_ns + later);
        outbound.sent_ns = outbound.sent_ns.map(|sent_ns| sent_ns + later);
        outbound.acked_ns = outbound.acked_ns.map(|acked_ns| acked_ns + later);
        self
    }

    fn acked(mut self, ns: u64) -> Self {
        self.outbound().acked_ns = Some(ns);
        self
    }

    fn by_reader(mut self, reader: ThreadUse) -> Self {
        self.inbound().reader = Some(ThreadUse { tid: 11, ..reader });
        self
    }

    fn later(mut self, ns: u64) -> Self {
        self.ts_ns += ns;
        if let Some(inbound) = &mut self.inbound {
            inbound.first_ns += ns;
            inbound.last_ns += ns;
            inbound.read_first_ns = inbound.read_first_ns.map(|time| time + ns);
            inbound.read_last_ns = inbound.read_last_ns.map(|time| time + ns);
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.first_ns += ns;
            outbound.last_ns += ns;
            outbound.sent_ns = outbound.sent_ns.map(|time| time + ns);
            outbound.acked_ns = outbound.acked_ns.map(|time| time + ns);
        }
        self
    }
}
