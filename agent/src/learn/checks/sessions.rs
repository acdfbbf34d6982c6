//! Sessions whose requests may each come to another worker.

use std::collections::BTreeMap;

use super::traffic::{exchanges_on, of_clients, scenario};
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{event::Role, snapshot::Owner},
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("sessions", "sessions that were started"),
        Spec::count("steps", "requests within sessions"),
        Spec::count("lost", "requests to a worker that did not know the session"),
        Spec::count("connections", "connections that the client made"),
        Spec::count("requests", "requests that were answered"),
        Spec::count("workers", "threads that read requests"),
        Spec::count("busiest", "requests that the busiest worker read"),
        Spec::count("idlest", "requests that the least busy worker read"),
    ],
    scenario,
    gather,
    picture,
};

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    for name in ["sessions", "steps", "lost"] {
        facts.whole(name, evidence.number_after(Who::Client, name));
    }
    facts.whole("connections", of_clients(evidence).count() as u64);
    facts.whole("requests", exchanges_on(evidence, of_clients(evidence)).len() as u64);
    let read = read(evidence);
    facts.whole("workers", read.len() as u64);
    facts.whole("busiest", read.values().max().copied());
    facts.whole("idlest", read.values().min().copied());
}

/// Requests by the thread that read them.
fn read(evidence: &Evidence) -> BTreeMap<u32, u64> {
    let mut read = BTreeMap::new();
    for exchange in evidence.views(Role::Server) {
        if let Some(tid) = exchange.read_tid {
            *read.entry(tid).or_default() += 1;
        }
    }
    read
}

fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    let read = read(evidence);
    let bar = |(tid, count): (&u32, &u64)| Bar {
        label: evidence.thread_name(*tid),
        length: *count as f64,
        figure: format!("{count} requests"),
        owner: Owner::App,
        fact: None,
    };
    Picture::Bars {
        title: "requests that each worker read".to_owned(),
        bars: read.iter().map(bar).collect(),
    }
}
