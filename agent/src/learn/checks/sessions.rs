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
    model::{event::Role, output::Output, snapshot::Owner},
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
        Spec::count("anew", "times that the server began anew"),
        Spec::count("refused", "connections that failed"),
        Spec::time("waited", "the longest that a connection lay in the accept queue"),
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
    facts.whole("anew", evidence.lines(Who::Server, "begins").count() as u64);
    let failed = |output: &&Output| matches!(output, Output::Connect(_));
    facts.whole("refused", evidence.outputs.iter().filter(failed).count() as u64);
    let ends = evidence.connections(Role::Server);
    facts.whole("waited", ends.iter().filter_map(|end| end.queued_us).max());
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

/// The workers in the order in which they first read. Of a server that began anew, the later half
/// is from after that.
fn picture(_: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    let read = read(evidence);
    let mut order = Vec::new();
    for tid in evidence.views(Role::Server).filter_map(|exchange| exchange.read_tid) {
        if !order.contains(&tid) {
            order.push(tid);
        }
    }
    let before = if facts.figure("anew") > Some(0.0) { order.len() / 2 } else { order.len() };
    let bar = |(at, tid): (usize, &u32)| {
        let count = read.get(tid).copied().unwrap_or(0);
        let label = match at.checked_sub(before) {
            None => format!("worker {}", at + 1),
            Some(after) => format!("worker {} after the restart", after + 1),
        };
        Bar {
            label: label.into(),
            length: count as f64,
            figure: format!("{count} requests"),
            owner: Owner::App,
            fact: None,
        }
    };
    Picture::Bars {
        title: "requests that each worker read".to_owned(),
        bars: order.iter().enumerate().map(bar).collect(),
    }
}
