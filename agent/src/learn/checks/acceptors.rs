//! Several workers that accept: on one socket, or each on its own.

use std::collections::BTreeMap;

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who},
        fact::{Facts, Spec, Value},
        lesson::Knobs,
    },
    model::snapshot::Owner,
};

const WORKERS: u64 = 8;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["mode", "workers", "connections", "rate", "option"],
    facts: &[
        Spec::count("workers", "workers that accept"),
        Spec::count("connections", "connections that were made"),
        Spec::count("accepted", "connections that were accepted"),
        Spec::count("wakeups", "times that a worker was woken"),
        Spec::count("per_connection", "workers woken for one connection, on average"),
        Spec::count("empty", "accept calls that found nothing"),
        Spec::count("listeners", "listening sockets"),
        Spec::count("busiest", "connections that the busiest worker accepted"),
        Spec::count("idlest", "connections that the idlest worker accepted"),
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

fn gather(knobs: &Knobs, evidence: &Evidence, facts: &mut Facts) {
    let workers = knobs.number("workers", WORKERS);
    facts.whole("workers", workers);
    let connections = evidence.number_after(Who::Client, "connected");
    facts.whole("connections", connections);
    let accepts = accepts(evidence);
    facts.whole("accepted", accepts.values().map(|(_, count)| *count).sum::<u64>());
    facts.whole("busiest", accepts.values().map(|(_, count)| *count).max());
    let idlest = accepts.values().map(|(_, count)| *count).min();
    facts.whole("idlest", idlest.filter(|_| accepts.len() as u64 == workers).unwrap_or(0));
    let wakeups = evidence.named(Who::Server, "switches", "voluntary").sum::<u64>();
    facts.whole("wakeups", wakeups);
    let per_connection = connections.filter(|connections| *connections > 0);
    facts.number(
        "per_connection",
        per_connection.map(|connections| wakeups as f64 / connections as f64),
    );
    facts.whole("listeners", evidence.listeners().len() as u64);
    facts.whole(
        "empty",
        evidence.listeners().iter().map(|listener| listener.totals.eagain).sum::<u64>(),
    );
    facts.whole(
        "waiting",
        evidence.listeners().iter().map(|listener| u64::from(listener.depth)).sum::<u64>(),
    );
}

/// Connections by the thread that accepted them, with its name.
fn accepts(evidence: &Evidence) -> BTreeMap<u32, (String, u64)> {
    let mut accepts = BTreeMap::<u32, (String, u64)>::new();
    for accept in evidence.accepts() {
        accepts.entry(accept.tid).or_insert_with(|| (accept.comm.to_string(), 0)).1 += 1;
    }
    accepts
}

fn picture(_: &Knobs, evidence: &Evidence, facts: &Facts) -> Picture {
    let accepts = accepts(evidence);
    let tids = evidence.named(Who::Server, "switches", "tid").map(|tid| tid as u32);
    let wakeups = evidence.named(Who::Server, "switches", "voluntary");
    let mut bars: Vec<_> = tids
        .zip(wakeups)
        .map(|(tid, woken)| {
            let (name, count) =
                accepts.get(&tid).cloned().unwrap_or_else(|| (evidence.thread_name(tid), 0));
            (name, count, woken)
        })
        .filter(|(name, ..)| name.starts_with("worker"))
        .map(|(label, count, woken)| Bar {
            label,
            length: count as f64,
            figure: format!("accepted {count:3}, woken {woken:3} times"),
            owner: Owner::App,
        })
        .collect();
    bars.sort_by(|a, b| a.label.cmp(&b.label));
    if let Some(Value::Number(waiting)) =
        facts.get("waiting").filter(|waiting| **waiting != Value::Number(0.0))
    {
        let figure = format!("still in a queue {waiting:3}");
        bars.push(Bar { label: "nobody".to_owned(), length: *waiting, figure, owner: Owner::App });
    }
    Picture::Bars { title: "connections that each worker accepted".to_owned(), bars }
}
