//! Several threads, processes or listeners share the accepts, and one gets far more than its part.

use super::{FamilyFacts, FindingVerdict, ListenerFacts, Text};
use crate::model::pattern::ReadsShared;
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, percent};

/// The parties that share the accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharers {
    /// Threads or processes that accept on one listener.
    Threads,
    /// Listeners of one SO_REUSEPORT group.
    Listeners,
}

/// Distribution of the accepts of a recent stretch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shares {
    /// The parties.
    pub(crate) sharers: Sharers,
    /// The number of parties.
    pub(crate) parties: u64,
    /// Accepts in all.
    pub(crate) accepts: u64,
    /// Accepts of the party with most.
    pub(crate) most: u64,
    /// Accepts that found the connection already queued when the call began, as an event loop's do.
    pub(crate) found_queued: u64,
    /// Whether threads that wait by epoll do so with `EPOLLEXCLUSIVE`; `None` if none was seen, or
    /// some do and others do not.
    pub(crate) exclusive: Option<bool>,
}

impl Shares {
    fn is_uneven(&self) -> bool {
        is_uneven(self.parties, self.accepts, self.most)
    }
}

/// Tells whether the party with `most` of `all` got far more than its part. Of two parties one can
/// get twice its part at most, so less is enough there.
pub(crate) fn is_uneven(parties: u64, all: u64, most: u64) -> bool {
    let skew = most as f64 * parties as f64 / all.max(1) as f64;
    parties >= 2 && skew >= if parties == 2 { 1.6 } else { 2.0 }
}

pub(super) fn check(facts: &ListenerFacts<'_>) -> Option<FindingVerdict> {
    let shares = facts.shares?;
    if !shares.is_uneven() {
        return None;
    }
    // Uneven sharing alone costs nothing. It does when connections wait while others are idle.
    let hurts = facts.waits_are_long() || facts.figures.overflows > 0;
    let part = shares.most as f64 / shares.accepts.max(1) as f64;
    let fair = 1.0 / shares.parties as f64;
    let loops = shares.found_queued.saturating_mul(2) >= shares.accepts;
    let threads = |exclusive: Option<bool>| {
        shares.sharers == Sharers::Threads && shares.exclusive == exclusive
    };
    let (who, owner, fix) = match (shares.sharers, shares.exclusive) {
        (Sharers::Listeners, _) => ("listeners", Owner::Kernel, SHARDS_FIX),
        (_, Some(true)) => ("acceptors", Owner::Kernel, LOOPS_FIX),
        (_, Some(false)) => ("acceptors", Owner::Unknown, LOOPS_FIX),
        (_, None) if loops => ("acceptors", Owner::Unknown, LOOPS_FIX),
        (_, None) => ("acceptors", Owner::Unknown, THREADS_FIX),
    };
    Some(FindingVerdict {
        severity: if hurts { Severity::Warning } else { Severity::Info },
        owner,
        headline: format!(
            "One of {} {who} takes {} of the accepts.",
            count(shares.parties),
            percent(part)
        ),
        text: Text::from(format!(
            "A fair share of the last {} accepts is {}.",
            count(shares.accepts),
            percent(fair)
        ))
        .rest_on("hurts", hurts)
        .say("shards", shares.sharers == Sharers::Listeners, || SHARDS.to_owned())
        .say("exclusive", threads(Some(true)), || EXCLUSIVE.to_owned())
        .say("woken-alike", threads(Some(false)), || WOKEN_ALIKE.to_owned())
        .say("loops", threads(None) && loops, || LOOPS.to_owned())
        .say("not-observed", threads(None) && !loops, || UNKNOWN.to_owned()),
        evidence: vec![
            ("max_share", part),
            ("fair_share", fair),
            ("parties", shares.parties as f64),
            ("accepts", shares.accepts as f64),
        ],
        fix: fix.into(),
    })
}

/// Checks how threads share the reads of connections that others accepted. One that does most of
/// the reads is no harm while it keeps up, so it is a warning only when it has no time left and
/// many connections.
pub(super) fn check_readers(facts: &FamilyFacts<'_>) -> Option<FindingVerdict> {
    let ReadsShared { readers, reads, most, busiest } = facts.family.reads?;
    if !facts.family.view.uneven.contains(&busiest) {
        return None;
    }
    let (mut connections, mut served) = (0, 0);
    for thread in &facts.family.view.threads {
        served += thread.connections;
        if thread.tid == busiest {
            connections = thread.connections;
        }
    }
    let busy = (facts.busy)(busiest);
    let part = most as f64 / reads.max(1) as f64;
    let worn = matches!(busy, Some(busy) if busy >= WORN) && connections >= MANY_CONNECTIONS;
    let on_cpu = match busy {
        Some(busy) => format!(" It was on a CPU for {} of the time.", percent(busy)),
        None => String::new(),
    };
    Some(FindingVerdict {
        severity: if worn { Severity::Warning } else { Severity::Info },
        owner: Owner::App,
        headline: format!("One of {} readers does {} of the reads.", count(readers), percent(part)),
        text: format!(
            "Thread {busiest} did {} of the last {} reads; a fair share is {}. It serves {} of \
             {}.{on_cpu}",
            count(most),
            count(reads),
            percent(1.0 / readers as f64),
            count(connections),
            count_of(served, "connection")
        )
        .into(),
        evidence: vec![
            ("max_share", part),
            ("fair_share", 1.0 / readers as f64),
            ("readers", readers as f64),
            ("reads", reads as f64),
            ("connections", connections as f64),
            ("of", served as f64),
        ],
        fix: READERS_FIX.into(),
    })
}

const SHARDS: &str = "SO_REUSEPORT picks a listener by a hash of addresses and ports: with few \
    clients or few ports, some listeners get little.";
const EXCLUSIVE: &str = "They wait in epoll with EPOLLEXCLUSIVE, which always wakes the same one \
    first as long as it is free.";
const WOKEN_ALIKE: &str = "They wait in epoll without EPOLLEXCLUSIVE: a connection wakes all that \
    sleep, and whoever is there first takes it. Why that is mostly the same one was not observed.";
const LOOPS: &str = "Most accepts found the connection already queued, as accepts in event loops \
    do. How the threads are woken, and why mostly the same one took it, was not observed.";
const UNKNOWN: &str = "Why the kernel handed them to this one was not observed.";
/// A thread this much on a CPU has no time left.
const WORN: f64 = 0.9;
/// So many connections are not on one thread by chance, as one or two busy ones may be.
const MANY_CONNECTIONS: u64 = 8;

const READERS_FIX: &str = "hand a new connection to the reader with the least work, or move busy \
    connections; with few heavy clients, have more readers than clients.";
const SHARDS_FIX: &str = "accept on one shared listener, or steer connections with \
                          SO_ATTACH_REUSEPORT_EBPF.";
const LOOPS_FIX: &str = "give each worker its own listener with SO_REUSEPORT (nginx: listen … \
                         reuseport).";
const THREADS_FIX: &str = "let every worker block in accept() (the kernel wakes them in turn), or \
    give each its own listener with SO_REUSEPORT.";
