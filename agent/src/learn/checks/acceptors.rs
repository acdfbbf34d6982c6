//! Several workers that accept: on one socket, or each on its own.

use std::collections::BTreeMap;

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec, Value},
        lesson::Knobs,
    },
    model::snapshot::Owner,
    text::Untrusted,
};

const WORKERS: u64 = 8;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["mode", "workers", "connections", "rate", "option"],
    facts: &[
        Spec::count("workers", "workers that accept"),
        Spec::count("connections", "connections that were made"),
        Spec::count("accepted", "connections that were accepted"),
        Spec::count("wakeups", "times a worker was woken"),
        Spec::count("per_connection", "workers woken for one connection, on average"),
        Spec::count("empty", "accept calls that found nothing"),
        Spec::count("listeners", "listening sockets"),
        Spec::count("busiest", "connections that the busiest worker accepted"),
        Spec::count("idlest", "connections that the least busy worker accepted"),
        Spec::count("waiting", "connections still in an accept queue at the end"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let (mode, workers) = (knobs.text("mode", "epoll"), knobs.number("workers", WORKERS));
    let (connections, rate) = (knobs.number("connections", 50), knobs.number("rate", 50));
    let option = match knobs.text("option", "none").as_str() {
        "none" => String::new(),
        option => format!(" --{option}"),
    };
    Scenario::server(&format!(
        "acceptors --mode {mode} --workers {workers} --processes --backlog 1024{option}"
    ))
    .workers(workers)
    .client(&format!("load --connections {connections} --rate {rate}/s --concurrency 2 --silent"))
}

fn gather(knobs: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let workers = knobs.number("workers", WORKERS);
    facts.whole("workers", workers);
    let connections = evidence.number_after(Who::Client, "connected");
    facts.whole("connections", connections);
    let accepts = accepts(evidence);
    let counts = || accepts.values().map(|(_, count)| *count);
    facts.whole("accepted", sum(counts()));
    facts.whole("busiest", counts().max());
    // A worker that accepted nothing is not among them.
    let all_accepted = accepts.len() as u64 == workers;
    facts.whole("idlest", if all_accepted { counts().min().unwrap_or(0) } else { 0 });
    let wakeups = sum(evidence.named(Who::Server, "switches", "voluntary"));
    facts.whole("wakeups", wakeups);
    if let Some(connections) = connections
        && connections > 0
    {
        facts.number("per_connection", wakeups as f64 / connections as f64);
    }
    let listeners = evidence.listeners();
    facts.whole("listeners", listeners.len() as u64);
    facts.whole("empty", sum(listeners.iter().map(|listener| listener.totals.eagain)));
    facts.whole("waiting", sum(listeners.iter().map(|listener| u64::from(listener.depth))));
}

/// Connections by the thread that accepted them, with its name.
fn accepts(evidence: &Evidence) -> BTreeMap<u32, (Untrusted, u64)> {
    let mut accepts = BTreeMap::<u32, (Untrusted, u64)>::new();
    for accept in evidence.accepts() {
        accepts.entry(accept.tid).or_insert_with(|| (accept.comm.clone(), 0)).1 += 1;
    }
    accepts
}

fn picture(_: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    let accepts = accepts(evidence);
    let wakeups = evidence.named(Who::Server, "switches", "voluntary");
    let mut bars = Vec::new();
    for (tid, woken) in evidence.named(Who::Server, "switches", "tid").zip(wakeups) {
        let tid = tid as u32;
        let (label, count) = match accepts.get(&tid) {
            Some(accepted) => accepted.clone(),
            None => (evidence.thread_name(tid), 0),
        };
        if label.starts_with("worker") {
            let figure = format!("accepted {count:3}, woken {woken:3} times");
            bars.push(Bar { label, length: count as f64, figure, owner: Owner::App, fact: None });
        }
    }
    bars.sort_by(|a, b| a.label.cmp(&b.label));
    if let Some(&Value::Number(waiting)) = facts.get("waiting")
        && waiting != 0.0
    {
        let figure = format!("still in a queue {waiting:3}");
        bars.push(Bar {
            label: "nobody".into(),
            length: waiting,
            figure,
            owner: Owner::App,
            fact: None,
        });
    }
    Picture::Bars { title: "connections that each worker accepted".to_owned(), bars }
}
