//! What a process or a thread for each connection costs: memory, and the time to start it.

use std::collections::BTreeMap;

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, median, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::snapshot::Owner,
};

/// Clients, each with a connection.
const CLIENTS: u64 = 8;
/// MB of memory that the server has written to before it listens.
const HEAP_MB: u64 = 48;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["server"],
    facts: &[
        Spec::count("connections", "connections that were served at once"),
        Spec::count("heap", "MB of memory that the server wrote to at its start"),
        Spec::count("processes", "processes that served them"),
        Spec::count("rss", "MB of memory that such a process has, as ps shows them (median)"),
        Spec::count("own", "MB of memory that no other process has, of such a process (median)"),
        Spec::count("rss_all", "MB of memory that they have, added up as ps shows them"),
        Spec::count("own_all", "MB of memory that no other process has, of all of them"),
        Spec::time("start", "processor time to start a process or thread (median)"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let server = knobs.text("server", "process-per-connection");
    // The answers come late, so that all connections are there while their memory is looked at.
    Scenario::server(&format!("{server} --heap {HEAP_MB} --trace-memory --sleep 400ms"))
        .client(&format!("client --connections {CLIENTS} --trace"))
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("connections", evidence.lines(Who::Client, "asked").count() as u64);
    facts.whole("heap", HEAP_MB);
    facts.whole("start", median(evidence.named(Who::Server, "started", "us")));
    let mut memory = BTreeMap::new();
    for line in evidence.lines(Who::Server, "memory") {
        if let Some((pid, rest)) = line.split_once(' ') {
            memory.insert(pid, rest);
        }
    }
    let kilobytes = |name: &'static str| {
        memory.values().filter_map(move |line: &&str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse::<u64>().ok())
        })
    };
    let megabytes = |kilobytes: u64| (kilobytes as f64 * 1_024.0 / 1e6).round();
    facts.whole("processes", memory.len() as u64);
    facts.number("rss", median(kilobytes("rss_kb=")).map(megabytes));
    facts.number("own", median(kilobytes("own_kb=")).map(megabytes));
    if !memory.is_empty() {
        facts.number("rss_all", megabytes(sum(kilobytes("rss_kb="))));
        facts.number("own_all", megabytes(sum(kilobytes("own_kb="))));
    }
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let title = "MB of memory of all processes that serve connections".to_owned();
    let bars = vec![
        Bar::of(facts, "rss_all", "as ps adds it up (RSS)", Owner::Kernel),
        Bar::of(facts, "own_all", "of no other process", Owner::App),
    ];
    Picture::Bars { title, bars }
}
