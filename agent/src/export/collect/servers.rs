//! Series by server: an address on which watched processes listen, or that they call.

use std::{net::SocketAddr, sync::Arc};

use rustc_hash::FxHashMap;

use super::{
    home::{HOME_BYTES, Home},
    minute::LastMinute,
};
use crate::{
    export::{
        family::{self, Family},
        histogram::{Exemplar, Histogram},
        labels::{Labels, Value, labels},
        page::Page,
    },
    model::{
        event::Role,
        snapshot::{ExchangeView, ListenerView, SliceKind, Totals},
    },
    text::Untrusted,
};

/// Servers that have series of their own, with the two that stand for all others.
pub(crate) const MAX_SERVERS: usize = 256;
/// One at which nothing happened for so long may give way, ns.
const STALE_NS: u64 = 600_000_000_000;
/// Stands for all servers that have no series of their own.
const OTHER: &str = "other";

/// Who a series is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    /// The side of the watched process.
    pub(super) role: Role,
    /// Where it listens, or whom it calls; `None` stands for all others.
    pub(super) address: Option<SocketAddr>,
    /// The watched process.
    pub(super) comm: Untrusted,
    /// Where that is at home.
    pub(super) home: Arc<Home>,
}

impl Server {
    /// Stands for all that have no series of their own.
    pub(super) fn other(role: Role) -> Self {
        Self { role, address: None, comm: Untrusted::default(), home: Arc::default() }
    }

    fn labels(&self) -> Labels {
        let mut labels = match self.address {
            Some(address) => labels([
                ("server.address", Value::Address(address.ip())),
                ("server.port", Value::Number(address.port().into())),
                ("comm", Value::Text(self.comm.clone())),
            ]),
            None => labels([
                ("server.address", Value::Word(OTHER)),
                ("server.port", Value::Word(OTHER)),
                ("comm", Value::Word(OTHER)),
            ]),
        };
        self.home.add_to(&mut labels);
        labels
    }

    fn labels_with_role(&self) -> Labels {
        let mut labels = self.labels();
        labels.push(("role", Value::Word(super::role_name(self.role))));
        labels
    }
}

/// Place of a server in the table. It is good until the next refresh.
pub(super) type Place = usize;

/// The servers, at most [`MAX_SERVERS`].
#[derive(Debug)]
pub(super) struct Servers {
    places: FxHashMap<Server, Place>,
    all: Vec<ServerSeries>,
    /// Observations that were counted under `other`.
    pub(super) folded: u64,
}

#[derive(Debug)]
struct ServerSeries {
    server: Server,
    /// Something happened last.
    seen_ns: u64,
    listening: Option<Box<Listening>>,
    exchanges: Option<Box<Exchanges>>,
}

/// The series of a place at which watched processes listen.
#[derive(Debug, Default)]
struct Listening {
    /// Sums over the sockets that share the address, of the sample at this time.
    now_ns: u64,
    depth: u64,
    limit: u64,
    syn_depth: u64,
    peak: u64,
    /// Of the fullest.
    fill: f64,
    minute_peak: LastMinute,
    minute_fill: LastMinute,
    totals: Counted,
    wait: Histogram,
}

/// Totals that were counted; `None` of what this kernel does not show.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    accepted: u64,
    queued: u64,
    abandoned: u64,
    synack_retransmits: u64,
    refused_syn: Option<u64>,
    refused_ack: Option<u64>,
    refused_either: Option<u64>,
    refused_syn_queue: Option<u64>,
    cookies: Option<u64>,
    accept_fails: Option<u64>,
}

/// The series of exchanges with a server.
#[derive(Debug, Default)]
struct Exchanges {
    time: Histogram,
    kinds_us: [u64; SliceKind::ALL.len()],
    request_bytes: u64,
    response_bytes: u64,
    unanswered: u64,
}

/// Bytes that the series of one server take at most.
pub(super) const SERVER_BYTES: usize = size_of::<ServerSeries>()
    + size_of::<Listening>()
    + size_of::<Exchanges>()
    + 2 * crate::export::histogram::BYTES
    // The key in the table, and a name that is too long to be stored in place.
    + 2 * size_of::<Server>()
    + 32
    + HOME_BYTES;

impl Default for Servers {
    fn default() -> Self {
        let mut servers = Self { places: FxHashMap::default(), all: Vec::new(), folded: 0 };
        for role in [Role::Server, Role::Client] {
            servers.insert(Server::other(role), 0);
        }
        servers
    }
}

impl Servers {
    /// Returns the place of a server, which is that of `other` if there is no room.
    pub(super) fn place(&mut self, server: Server, now_ns: u64) -> Place {
        if let Some(&place) = self.places.get(&server) {
            self.all[place].seen_ns = now_ns;
            return place;
        }
        if self.all.len() < MAX_SERVERS {
            return self.insert(server, now_ns);
        }
        self.folded += 1;
        match server.role {
            Role::Server => 0,
            Role::Client => 1,
        }
    }

    fn insert(&mut self, server: Server, now_ns: u64) -> Place {
        let place = self.all.len();
        self.places.insert(server.clone(), place);
        self.all.push(ServerSeries { server, seen_ns: now_ns, listening: None, exchanges: None });
        place
    }

    /// Finds the server that listens on all addresses or on this one.
    pub(super) fn listening_at(&self, local: SocketAddr) -> Option<Server> {
        let is_it = |one: &&ServerSeries| {
            let Some(address) = one.server.address else { return false };
            let here = address.ip().is_unspecified() || address.ip() == local.ip();
            one.listening.is_some() && here && address.port() == local.port()
        };
        self.all.iter().find(is_it).map(|one| one.server.clone())
    }

    /// Lets those go at which nothing happened for long, if there is no room any more. Returns true
    /// if any did: no place is good then.
    pub(super) fn make_room(&mut self, now_ns: u64) -> bool {
        if self.all.len() < MAX_SERVERS {
            return false;
        }
        let before = self.all.len();
        self.all.retain(|one| {
            one.server.address.is_none() || now_ns.saturating_sub(one.seen_ns) < STALE_NS
        });
        self.places = FxHashMap::default();
        for (place, one) in self.all.iter().enumerate() {
            self.places.insert(one.server.clone(), place);
        }
        self.all.len() < before
    }

    /// Takes a listener's figures, and what it counted since `before`.
    pub(super) fn listener(
        &mut self,
        place: Place,
        ts_ns: u64,
        view: &ListenerView,
        before: &Totals,
    ) {
        let listening = self.all[place].listening.get_or_insert_default();
        listening.totals.add(&view.totals, before);
        if view.closed {
            return;
        }
        if listening.now_ns != ts_ns {
            listening.now_ns = ts_ns;
            (listening.depth, listening.limit, listening.syn_depth) = (0, 0, 0);
            (listening.peak, listening.fill) = (0, 0.0);
        }
        let peak = view.peak.max(view.depth);
        listening.depth += u64::from(view.depth);
        listening.limit += u64::from(view.limit);
        listening.syn_depth += u64::from(view.syn_depth);
        listening.peak += u64::from(peak);
        listening.fill = listening.fill.max(f64::from(peak) / f64::from(view.limit.max(1)));
    }

    /// A sample is complete: notes the peaks.
    pub(super) fn sampled(&mut self, ts_ns: u64) {
        for one in &mut self.all {
            if let Some(listening) = &mut one.listening
                && listening.now_ns == ts_ns
            {
                listening.minute_peak.note(ts_ns, listening.peak as f64);
                listening.minute_fill.note(ts_ns, listening.fill);
            }
        }
    }

    /// Counts so many waits of one length in an accept queue.
    pub(super) fn waited(&mut self, place: Place, us: u64, count: u64) {
        self.all[place].listening.get_or_insert_default().wait.record(us, count);
    }

    /// Counts an exchange.
    pub(super) fn exchanged(&mut self, place: Place, view: &ExchangeView) {
        let exchanges = self.all[place].exchanges.get_or_insert_default();
        let (mut sum_us, count) = (0_u64, view.stands_for);
        let add = |sum: &mut u64, more: u64| {
            *sum = more.saturating_mul(count).saturating_add(*sum);
        };
        for (kind, us) in view.counted() {
            add(&mut exchanges.kinds_us[kind as usize], us);
            sum_us = sum_us.saturating_add(us);
        }
        exchanges.time.record(sum_us, count);
        add(&mut exchanges.request_bytes, view.request_bytes);
        add(&mut exchanges.response_bytes, view.response_bytes);
        exchanges.unanswered += u64::from(view.unanswered);
    }

    /// Links an exchange that was counted with its span.
    pub(super) fn link(&mut self, place: Place, exemplar: Exemplar) {
        if let Some(exchanges) = &mut self.all[place].exchanges {
            exchanges.time.link(exemplar);
        }
    }

    /// Shows the series. Gauges are those of the sample at this time.
    pub(super) fn show<'a>(&'a self, sampled_ns: u64, page: &mut Page<'a>) {
        for one in &self.all {
            if let Some(listening) = &one.listening {
                listening.show(&one.server.labels(), sampled_ns, page);
            }
            if let Some(exchanges) = &one.exchanges {
                exchanges.show(&one.server.labels_with_role(), page);
            }
        }
    }
}

impl Counted {
    fn add(&mut self, now: &Totals, before: &Totals) {
        self.accepted += now.accepted.saturating_sub(before.accepted);
        self.queued += now.queued.saturating_sub(before.queued);
        self.abandoned += now.abandoned.saturating_sub(before.abandoned);
        self.synack_retransmits += now.synack_retransmits.saturating_sub(before.synack_retransmits);
        // Without the one the kernel does not tell it from the other.
        let syns = if now.overflow_ack.is_some() {
            &mut self.refused_syn
        } else {
            &mut self.refused_either
        };
        add(syns, Some(now.overflow_syn), Some(before.overflow_syn));
        add(&mut self.refused_ack, now.overflow_ack, before.overflow_ack);
        add(&mut self.refused_syn_queue, now.syn_dropped, before.syn_dropped);
        add(&mut self.cookies, now.cookies_sent, before.cookies_sent);
        add(&mut self.accept_fails, now.accept_fails, before.accept_fails);
    }
}

fn add(sum: &mut Option<u64>, now: Option<u64>, before: Option<u64>) {
    if let Some(now) = now {
        let since = now.saturating_sub(before.unwrap_or(0));
        *sum = Some(sum.unwrap_or(0).saturating_add(since));
    }
}

impl Listening {
    fn show<'a>(&'a self, labels: &Labels, sampled_ns: u64, page: &mut Page<'a>) {
        if self.now_ns == sampled_ns && self.limit > 0 {
            let gauges: [(Family, f64); 5] = [
                (family::QUEUE_DEPTH, self.depth as f64),
                (family::QUEUE_LIMIT, self.limit as f64),
                (family::QUEUE_PEAK, self.minute_peak.highest()),
                (family::QUEUE_UTILIZATION, self.minute_fill.highest()),
                (family::SYN_QUEUE_DEPTH, self.syn_depth as f64),
            ];
            for (family, value) in gauges {
                page.add(family, labels.clone(), value);
            }
        }
        let Counted { accepted, queued, abandoned, synack_retransmits, .. } = self.totals;
        for (family, value) in [
            (family::ACCEPTED, Some(accepted)),
            (family::QUEUED, Some(queued)),
            (family::ABANDONED, Some(abandoned)),
            (family::SYNACK_RETRANSMITS, Some(synack_retransmits)),
            (family::COOKIES, self.totals.cookies),
            (family::ACCEPT_FAILS, self.totals.accept_fails),
        ] {
            page.add_known(family, labels, value);
        }
        for (stage, value) in [
            ("syn", self.totals.refused_syn),
            ("ack", self.totals.refused_ack),
            ("syn_or_ack", self.totals.refused_either),
            ("syn_queue", self.totals.refused_syn_queue),
        ] {
            let mut labels = labels.clone();
            labels.push(("stage", Value::Word(stage)));
            page.add_known(family::REFUSED, &labels, value);
        }
        page.add_histogram(family::ACCEPT_WAIT, labels, &self.wait);
    }
}

impl Exchanges {
    fn show<'a>(&'a self, labels: &Labels, page: &mut Page<'a>) {
        page.add_histogram(family::EXCHANGE, labels, &self.time);
        for kind in SliceKind::ALL {
            let us = self.kinds_us[kind as usize];
            if us == 0 {
                continue;
            }
            let mut labels = labels.clone();
            labels.push(("owner", Value::Word(kind.owner().name())));
            labels.push(("kind", Value::Word(kind.name())));
            page.add(family::EXCHANGE_TIME, labels, us as f64 / 1e6);
        }
        for (direction, bytes) in
            [("request", self.request_bytes), ("response", self.response_bytes)]
        {
            let mut labels = labels.clone();
            labels.push(("direction", Value::Word(direction)));
            page.add(family::EXCHANGE_IO, labels, bytes as f64);
        }
        page.add_known(family::UNANSWERED, labels, Some(self.unanswered));
    }
}
