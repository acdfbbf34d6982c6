//! Several workers that accept: on one socket, or each on its own.

use std::collections::BTreeMap;

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
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
        Spec::count("wakeups", "times that a worker was woken for the listening socket"),
        Spec::count("per_connection", "workers woken for one connection, on average"),
        Spec::count("empty", "accept calls that found nothing"),
        Spec::count("in_vain", "wakeups without a connection for the one that was woken"),
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
        "acceptors --mode {mode} --workers {workers} --processes --backlog 1024 --count-sleeps\
         {option}"
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
    let accepted = sum(counts());
    facts.whole("accepted", accepted);
    facts.whole("busiest", counts().max());
    // A worker that accepted nothing is not among them.
    let all_accepted = accepts.len() as u64 == workers;
    facts.whole("idlest", if all_accepted { counts().min().unwrap_or(0) } else { 0 });
    if let Some(wakeups) = wakeups(evidence, workers) {
        let all = sum(wakeups.values().copied());
        facts.whole("wakeups", all);
        facts.whole("in_vain", all.saturating_sub(accepted));
        if let Some(connections) = connections
            && connections > 0
        {
            facts.number("per_connection", all as f64 / connections as f64);
        }
    }
    let listeners = evidence.listeners();
    facts.whole("listeners", listeners.len() as u64);
    facts.whole("empty", sum(listeners.iter().map(|listener| listener.totals.eagain)));
    // Since the queues were looked at last, more may have been accepted, but nothing came.
    let came = listeners
        .iter()
        .map(|listener| listener.totals.accepted.saturating_add(u64::from(listener.depth)));
    facts.whole("waiting", sum(came).saturating_sub(accepted));
}

/// Connections by the thread that accepted them, with its name.
fn accepts(evidence: &Evidence) -> BTreeMap<u32, (Untrusted, u64)> {
    let mut accepts = BTreeMap::<u32, (Untrusted, u64)>::new();
    for accept in evidence.accepts() {
        accepts.entry(accept.tid).or_insert_with(|| (accept.comm.clone(), 0)).1 += 1;
    }
    accepts
}

/// Wakeups of each worker for the listening socket, by its thread: how often it went to sleep, as
/// the kernel counted it, without the times that it says it slept elsewhere. `None` unless all that
/// was said of all workers.
fn wakeups(evidence: &Evidence, workers: u64) -> Option<BTreeMap<u32, u64>> {
    let by_thread = |word: &'static str, name: &'static str| -> BTreeMap<u64, u64> {
        let threads = evidence.named(Who::Server, word, "tid");
        threads.zip(evidence.named(Who::Server, word, name)).collect()
    };
    let (all, elsewhere) = (by_thread("switches", "voluntary"), by_thread("slept", "elsewhere"));
    let mut wakeups = BTreeMap::new();
    for (tid, elsewhere) in elsewhere {
        let waiting = all.get(&tid)?.saturating_sub(elsewhere);
        // The last time that it went to sleep it was not woken.
        wakeups.insert(u32::try_from(tid).ok()?, waiting.saturating_sub(1));
    }
    if wakeups.len() as u64 == workers { Some(wakeups) } else { None }
}

/// Wakeups of each worker while all of them share a queue and wait with epoll, else what each
/// accepted.
fn picture(knobs: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    let workers = knobs.number("workers", WORKERS);
    let Some(wakeups) = wakeups(evidence, workers) else { return Picture::nothing() };
    let accepts = accepts(evidence);
    let draws_wakeups = knobs.text("mode", "epoll") == "epoll";
    let mut bars = Vec::new();
    for (tid, woken) in wakeups {
        let (label, accepted) = match accepts.get(&tid) {
            Some(accepted) => accepted.clone(),
            None => (evidence.thread_name(tid), 0),
        };
        let figure = if draws_wakeups {
            format!("woken {woken:3} times, accepted {accepted:3}")
        } else {
            format!("accepted {accepted:3}")
        };
        let (length, owner) = if draws_wakeups {
            (woken as f64, Owner::Kernel)
        } else {
            (accepted as f64, Owner::App)
        };
        bars.push(Bar { label, length, figure, owner, fact: None });
    }
    bars.sort_by(|a, b| a.label.cmp(&b.label));
    if let Some(waiting) = facts.figure("waiting")
        && waiting != 0.0
    {
        bars.push(Bar {
            label: "in the queues".into(),
            length: waiting,
            figure: format!("accepted by nobody yet {waiting:3}"),
            owner: Owner::Kernel,
            fact: None,
        });
    }
    let title = if draws_wakeups {
        "how often each worker was woken for the listening socket"
    } else {
        "connections that each worker accepted"
    };
    Picture::Bars { title: title.to_owned(), bars }
}
