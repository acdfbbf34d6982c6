//! Evidence of a pattern: the threads that accepted each connection, read it and wrote it.

use crate::model::event::{Accept, Closed, Exchange, Side};
use crate::model::exchange::is_ordinary;
use crate::model::threads;

/// A thread: process and thread id.
pub(super) type Id = (u32, u32);

/// The threads that read, or wrote.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Users {
    pub(super) first: Option<Id>,
    /// Another one did later.
    pub(super) several: bool,
}

impl Users {
    fn note(&mut self, id: Option<Id>) {
        let Some(id) = id else { return };
        let first = *self.first.get_or_insert(id);
        self.several |= id != first;
    }
}

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct ServiceHistory {
    /// `None` of one found open at the attach, until that is known.
    pub(super) listener: Option<u64>,
    /// `None` of one found open at the attach.
    pub(super) acceptor: Option<Id>,
    pub(super) accepted_ns: u64,
    pub(super) queued_ns: Option<u64>,
    /// The accept call waited for it; `None` when not observed.
    pub(super) blocked: Option<bool>,
    pub(super) readers: Users,
    pub(super) writers: Users,
    pub(super) exchanges: u32,
    pub(super) ended_ns: Option<u64>,
    /// The thread that serves it began after it was accepted; `None` while not known.
    pub(super) begun_for_it: Option<bool>,
    /// The exchange counted last, and its reads and writes counted.
    counted: (u32, u32, u32),
    /// Exchanges that were left untold so far, the low bits of their number.
    untold: u8,
    /// Connections that it stands for, itself one of them.
    pub(super) stands_for: u64,
    /// Time from a request read to its answer: of the exchanges before that one, and of it, ns.
    answered_ns: u64,
    answer_ns: u64,
}

/// Growth of a history by the facts of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Added {
    pub(super) reader: Option<Id>,
    pub(super) reads: u64,
    pub(super) writer: Option<Id>,
    pub(super) writes: u64,
    /// If this is the first read of the connection, and another thread than the acceptor made it:
    /// the time since the connection could have been read, ns.
    pub(super) handed_ns: Option<u64>,
    /// The thread that serves the connection, if it has just become known.
    pub(super) serves: Option<Id>,
    /// Connections that this one stands for, itself one of them.
    pub(super) connections: u64,
}

impl ServiceHistory {
    pub(super) fn accepted(accept: &Accept) -> Self {
        Self {
            listener: Some(accept.listener),
            acceptor: Some((accept.pid, accept.tid)),
            queued_ns: accept.queued_ns,
            blocked: accept.blocked_us().map(|us| us > 0),
            stands_for: accept.stands_for,
            ..Self::found_open(accept.ts_ns)
        }
    }

    pub(super) fn found_open(ts_ns: u64) -> Self {
        Self {
            listener: None,
            acceptor: None,
            accepted_ns: ts_ns,
            queued_ns: None,
            blocked: None,
            readers: Users::default(),
            writers: Users::default(),
            exchanges: 0,
            ended_ns: None,
            begun_for_it: None,
            counted: (0, 0, 0),
            untold: 0,
            stands_for: 1,
            answered_ns: 0,
            answer_ns: 0,
        }
    }

    /// Returns the time in which a request was read and its answer not begun, ns.
    pub(super) fn answering_ns(&self) -> u64 {
        self.answered_ns.saturating_add(self.answer_ns)
    }

    /// Returns the thread that serves it: the first to read or, where the server never reads, to
    /// write.
    pub(super) fn server(&self) -> Option<Id> {
        self.readers.first.or(self.writers.first)
    }

    /// Takes the facts of an exchange, which may come several times while it goes on.
    pub(super) fn note(&mut self, exchange: &Exchange) -> Added {
        let unserved = self.server().is_none();
        let first_read = self.readers.first.is_none();
        let reader = threads::reader(exchange).map(|reader| (reader.pid, reader.tid));
        let writer = threads::writer(exchange).map(|writer| (writer.pid, writer.tid));
        self.readers.note(reader);
        self.writers.note(writer);
        let reads = exchange.inbound.as_ref().map_or(0, |inbound| inbound.reads);
        let writes = exchange.outbound.as_ref().map_or(0, |outbound| outbound.writes);
        let (seq, reads_before, writes_before) = self.counted;
        let before = match exchange.seq.cmp(&seq) {
            std::cmp::Ordering::Less => return Added::default(),
            std::cmp::Ordering::Equal => (reads_before, writes_before),
            std::cmp::Ordering::Greater => {
                self.exchanges += 1;
                (self.answered_ns, self.answer_ns) = (self.answering_ns(), 0);
                (0, 0)
            }
        };
        self.counted = (exchange.seq, reads.max(before.0), writes.max(before.1));
        self.answer_ns = answer_ns(exchange).unwrap_or(self.answer_ns);
        let others = self.untold_since(exchange);
        if is_ordinary(exchange) {
            let of_others_ns = self.answer_ns.saturating_mul(others);
            self.answered_ns = self.answered_ns.saturating_add(of_others_ns);
        }
        // Whichever it stands for had one exchange each.
        let times = if exchange.seq == 1 { self.stands_for } else { 1 };
        let new = |count: u32, before: u32| {
            u64::from(count.saturating_sub(before)) * times + u64::from(count) * others
        };
        Added {
            reader,
            reads: new(reads, before.0),
            writer,
            writes: new(writes, before.1),
            handed_ns: if first_read && reader.is_some() { self.handed_ns(exchange) } else { None },
            serves: if unserved { self.server() } else { None },
            connections: self.stands_for,
        }
    }

    /// Returns how many exchanges have been left untold since the last that said so. It must not be
    /// older than the one counted last.
    fn untold_since(&mut self, exchange: &Exchange) -> u64 {
        let Some(untold) = exchange.untold else { return 0 };
        let new = untold.wrapping_sub(self.untold);
        self.untold = untold;
        self.exchanges = self.exchanges.saturating_add(new.into());
        new.into()
    }

    /// Time from when it could have been read to its first read, ns, if another thread than the
    /// acceptor read it.
    fn handed_ns(&self, exchange: &Exchange) -> Option<u64> {
        let (acceptor, inbound) = (self.acceptor?, exchange.inbound.as_ref()?);
        if self.readers.first == Some(acceptor) {
            return None;
        }
        let ready_ns = self.accepted_ns.max(inbound.first_ns);
        inbound.read_first_ns?.checked_sub(ready_ns)
    }

    /// Notes the end: when the application closed it, or the kernel destroyed it because the peer
    /// had.
    pub(super) fn closed(&mut self, closed: &Closed) {
        self.ended_ns = match closed.since_ns {
            Some(since_ns) if closed.by == Some(Side::Local) => Some(since_ns),
            _ => Some(closed.ts_ns),
        };
    }
}

/// Returns the time from the last read of a request to the first write of its answer, ns.
fn answer_ns(exchange: &Exchange) -> Option<u64> {
    let (inbound, outbound) = (exchange.inbound.as_ref()?, exchange.outbound.as_ref()?);
    outbound.first_ns.checked_sub(inbound.read_last_ns?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::facts::{Build, at, server};
    use crate::model::tests::world::MS;

    #[test]
    fn what_was_left_untold_was_served_as_well() {
        let mut history = ServiceHistory::found_open(at(0));
        let told = |seq, untold: u8| Exchange { seq, untold: Some(untold), ..server() };
        assert_eq!(history.note(&told(1, 0)).reads, 1);
        let slow = server().writing(at(30 * MS));
        history.note(&Exchange { seq: 5, untold: Some(3), ..slow });
        let added = history.note(&told(9, 6));
        assert_eq!((added.reads, added.writes), (4, 4), "three of the six came before");
        history.note(&told(8, 5));
        assert_eq!(history.exchanges, 9, "an older record that came later tells nothing new");
        let (quick_ns, slow_ns) = (MS / 10 * 9, 30 * MS - MS / 20);
        // Three stand for nobody: the slow one is not like them.
        assert_eq!(history.answering_ns(), slow_ns + 5 * quick_ns);
    }
}
