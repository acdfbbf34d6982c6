//! The exchanges that took longest.

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr};

use rustc_hash::FxHashMap;

use crate::{
    model::{
        event::SockId,
        output::{ConnectionOutput, ExchangeOutput},
        snapshot::{Protocol, TlsView},
    },
    text::Untrusted,
};

/// What is told of a connection beside one of its exchanges.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionBrief {
    /// The listener it came from.
    pub listener: Option<SockId>,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub peer: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Its command name: escape before printing.
    pub comm: Untrusted,
    /// Facts from its hellos, if it is TLS.
    pub tls: Option<TlsView>,
    /// Its protocol, as it was known in the end.
    pub protocol: Option<Protocol>,
}

/// One of the exchanges that took longest.
#[derive(Clone, Debug, PartialEq)]
pub struct WorstExchange {
    /// The exchange.
    pub output: ExchangeOutput,
    /// Its connection; `None` if that was not reported.
    pub connection: Option<ConnectionBrief>,
}

/// The exchanges that took longest, by the time of the kind that took most of each: an exchange
/// that waits by design is not bad for being long.
#[derive(Clone, Debug)]
pub struct Worst {
    room: usize,
    /// The time and the number of each that is kept, the least on top.
    order: BinaryHeap<Reverse<(u64, u64)>>,
    kept: FxHashMap<u64, WorstExchange>,
    /// Numbers of the exchanges that are kept, by connection.
    of_connection: FxHashMap<SockId, Vec<u64>>,
    taken: u64,
}

impl Worst {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            order: BinaryHeap::new(),
            kept: FxHashMap::default(),
            of_connection: FxHashMap::default(),
            taken: 0,
        }
    }

    pub(super) fn take(&mut self, output: &ExchangeOutput) {
        let Some(verdict) = output.view.verdict else { return };
        if self.order.len() == self.room {
            match self.order.peek() {
                Some(Reverse((least_us, _))) if verdict.us > *least_us => self.drop_least(),
                _ => return,
            }
        }
        self.taken += 1;
        self.order.push(Reverse((verdict.us, self.taken)));
        self.kept.insert(self.taken, WorstExchange { output: output.clone(), connection: None });
        self.of_connection.entry(output.sock).or_default().push(self.taken);
    }

    fn drop_least(&mut self) {
        let Some(Reverse((_, number))) = self.order.pop() else { return };
        let Some(gone) = self.kept.remove(&number) else { return };
        if let Some(numbers) = self.of_connection.get_mut(&gone.output.sock) {
            numbers.retain(|kept| *kept != number);
            if numbers.is_empty() {
                self.of_connection.remove(&gone.output.sock);
            }
        }
    }

    /// A connection was reported: what is kept of its exchanges gets its facts.
    pub(super) fn connection(&mut self, output: &ConnectionOutput) {
        let view = &output.view;
        let Some(numbers) = self.of_connection.get(&view.sock) else { return };
        for number in numbers {
            if let Some(worst) = self.kept.get_mut(number) {
                worst.connection = Some(ConnectionBrief {
                    listener: view.listener,
                    local: view.local,
                    peer: view.peer,
                    pid: view.pid,
                    comm: view.comm.clone(),
                    tls: view.tls.clone(),
                    protocol: view.protocol,
                });
            }
        }
    }

    /// Returns them, the worst first.
    pub fn exchanges(&self) -> Vec<&WorstExchange> {
        let mut order: Vec<_> = self.order.iter().map(|Reverse(entry)| *entry).collect();
        order.sort_unstable_by_key(|(us, number)| (Reverse(*us), *number));
        order.iter().filter_map(|(_, number)| self.kept.get(number)).collect()
    }
}
