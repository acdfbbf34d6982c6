//! Records that are acknowledged once they are written, on the disk, or on a replica.

use super::traffic::{latency_us, of_clients, scenario};
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::snapshot::Owner,
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("clients", "connections of the clients"),
        Spec::count("records", "records that were acknowledged"),
        Spec::count("syncs", "calls of fdatasync"),
        Spec::time("sync", "the longest sync"),
        Spec::time("typical", "time to an acknowledgement, by the clients' clocks (median)"),
        Spec::count("behind", "the most records that were acknowledged, and not on the replica"),
    ],
    scenario,
    gather,
    picture,
};

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("clients", of_clients(evidence).count() as u64);
    facts.whole("records", evidence.number_before(Who::Client, "answered"));
    facts.whole("typical", latency_us(evidence, "p50"));
    // Each connection ends with a line on all: the last one has the most.
    let told = |name| evidence.named(Who::Server, "stored", name).max();
    facts.whole("syncs", told("syncs"));
    facts.whole("sync", told("longest_us"));
    facts.whole("behind", told("behind"));
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        Bar::of(facts, "records", "records acknowledged", Owner::App),
        Bar::of(facts, "syncs", "calls of fdatasync", Owner::Kernel),
        Bar::of(facts, "behind", "acknowledged, not on a replica", Owner::App),
    ];
    Picture::Bars { title: "what the acknowledgements stand for".to_owned(), bars }
}
