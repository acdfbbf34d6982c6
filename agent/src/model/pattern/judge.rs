//! Names the pattern that the facts show, and says how sure that is.
//!
//! Each connection of which the server is known speaks for one way of sharing: its acceptor serves
//! it, it was handed to a thread that does not accept, or to one that began for it. The way that
//! most of them speak for gives the name, and their share is its fit. Confidence is `fit × n / (n +
//! 5)`, up to 0.99, where n counts a connection once and once more for each of its exchanges, up to
//! seven: five connections with one exchange each give 0.67 at best, fifty 0.95.

use super::facts::PatternFacts;
use crate::model::snapshot::{PatternName, Units};

/// Fewer connections than this show nothing.
const LEAST_CONNECTIONS: u64 = 3;
/// A way that fits less than this is no name.
const LEAST_FIT: f64 = 0.6;
/// Observations at which half of the confidence is reached.
const DOUBT: f64 = 5.0;
/// Upper bound of confidence: the facts are of the connections seen, not of all to come.
const MOST_CONFIDENCE: f64 = 0.99;

/// Threads beside those that read, of the same processes, and how busy they are with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Helpers {
    /// Threads that were put on a CPU at every tenth read or oftener.
    pub(super) threads: u64,
    /// Times that they were, in all, for each read.
    pub(super) runs_per_read: f64,
}

impl Helpers {
    /// Whether they are woken about as often as messages come.
    pub(super) fn are_handed_messages(&self) -> bool {
        self.threads > 0 && self.runs_per_read >= 0.8
    }
}

/// Reason why there is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Too few connections.
    Few,
    /// Connections are read by several of the threads that accept.
    Roaming,
    /// No one way is that of most.
    Mixed,
}

/// A name, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judgement {
    pub(super) name: PatternName,
    pub(super) units: Option<Units>,
    pub(super) confidence: f64,
    /// Reason why the name is unknown.
    pub(super) reason: Option<Reason>,
}

impl Judgement {
    /// Judges that there is no name.
    fn unknown(reason: Reason) -> Self {
        Self { name: PatternName::Unknown, units: None, confidence: 0.0, reason: Some(reason) }
    }
}

/// Names what the facts show.
pub(super) fn judge(facts: &PatternFacts, helpers: Helpers) -> Judgement {
    if facts.connections < LEAST_CONNECTIONS {
        return Judgement::unknown(Reason::Few);
    }
    let ways = [own(facts, helpers), handed(facts), for_it(facts)];
    let best = ways.into_iter().max_by(|one, other| one.2.total_cmp(&other.2));
    match best {
        Some((name, units, fit)) if fit >= LEAST_FIT => {
            let n = facts.weight as f64;
            let confidence = (fit * n / (n + DOUBT)).min(MOST_CONFIDENCE);
            Judgement { name, units: Some(units), confidence, reason: None }
        }
        _ if facts.share(facts.roaming) > 1.0 - LEAST_FIT => Judgement::unknown(Reason::Roaming),
        _ => Judgement::unknown(Reason::Mixed),
    }
}

type Way = (PatternName, Units, f64);

/// The thread that accepts a connection serves it.
fn own(facts: &PatternFacts, helpers: Helpers) -> Way {
    let fit = facts.share(facts.own + facts.peer);
    if facts.accepting.len() > 1 {
        let several = if facts.processes() > 1 { Units::Processes } else { Units::Threads };
        let name = if facts.one_each {
            PatternName::SocketSharding
        } else {
            PatternName::MultipleAcceptors
        };
        return (name, several, fit);
    }
    let split = facts.split as f64 / facts.both.max(1) as f64;
    if split >= 0.5 {
        let reader = facts.servers.keys().next().map(|(pid, _)| *pid);
        let another_process_writes =
            facts.other_writers.iter().any(|(pid, _)| Some(*pid) != reader);
        let units = if another_process_writes { Units::Processes } else { Units::Threads };
        return (PatternName::MessageLoadBalancing, units, fit * split);
    }
    if helpers.are_handed_messages() {
        return (
            PatternName::MessageLoadBalancing,
            Units::Threads,
            fit * helpers.runs_per_read.min(1.0),
        );
    }
    (PatternName::SingleThread, Units::Threads, fit)
}

/// The thread that accepts a connection hands it to one of those that serve.
fn handed(facts: &PatternFacts) -> Way {
    (PatternName::AcceptorPlusReaders, units(facts), facts.share(facts.handed))
}

/// A thread or a process begins for each connection.
fn for_it(facts: &PatternFacts) -> Way {
    let units = units(facts);
    let name = match units {
        Units::Processes => PatternName::ProcessPerConnection,
        Units::Threads => PatternName::ThreadPerConnection,
    };
    (name, units, facts.share(facts.for_it))
}

fn units(facts: &PatternFacts) -> Units {
    if facts.other_process * 2 > facts.connections { Units::Processes } else { Units::Threads }
}
