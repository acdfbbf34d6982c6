//! Servers of all patterns side by side: who accepts, who reads, who answers.

use std::collections::{BTreeMap, BTreeSet};

use demo_servers::execution::map::PATTERNS;

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::{Role, SockId},
        snapshot::Owner,
    },
    text::{count_of, duration_us},
};

/// Clients of each server.
const CLIENTS: usize = 4;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["sleep_ms", "draw"],
    facts: &[
        Spec::count("servers", "servers, each of another pattern"),
        Spec::count("clients", "clients of each server"),
        Spec::count("answered", "requests that were answered, by all servers"),
        Spec::count("alone", "servers in which whoever accepted a connection also answered on it"),
        Spec::count("reading", "servers in which whoever accepted a connection also read from it"),
        Spec::count("fewest", "threads that took part, in the server with the fewest"),
        Spec::count("most", "threads that took part, in the server with the most"),
        Spec::count("named", "servers whose pattern backscope names from what it saw"),
        Spec::time("one", "the slowest answer of the server with one thread"),
        Spec::time("each", "the slowest answer of the server with a thread for each connection"),
        Spec::time("dealt", "the slowest answer of the server with two readers"),
        Spec::time(
            "shared",
            "the slowest answer of the server with two workers that take messages",
        ),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let sleep = knobs.number("sleep_ms", 20);
    let servers = Scenario::server(&format!("patterns --sleep {sleep}ms")).servers(PATTERNS.len());
    let mut scenario = servers;
    for place in 0..PATTERNS.len() {
        let words = format!("client --connections {CLIENTS} --wait --trace");
        scenario = scenario.client_of(place as u16, &words);
    }
    Scenario { together: true, ..scenario }
}

/// What was seen of one server.
#[derive(Default)]
struct Served {
    accepting: BTreeSet<u32>,
    reading: BTreeSet<u32>,
    answering: BTreeSet<u32>,
    /// Requests that were answered, and those of them that the accepting thread read, or answered.
    answered: usize,
    read_by_acceptor: usize,
    answered_by_acceptor: usize,
    slowest_us: u64,
}

impl Served {
    fn threads(&self) -> usize {
        let both: BTreeSet<_> = self.accepting.union(&self.reading).collect();
        both.into_iter().chain(&self.answering).collect::<BTreeSet<_>>().len()
    }
}

/// What was seen of each server, by its place.
fn served(evidence: &Evidence) -> BTreeMap<usize, Served> {
    let mut servers = BTreeMap::<usize, Served>::new();
    let mut acceptors = BTreeMap::<SockId, u32>::new();
    for accept in evidence.accepts() {
        let Some(place) = place(accept.local.port()) else { continue };
        servers.entry(place).or_default().accepting.insert(accept.tid);
        acceptors.insert(accept.sock, accept.tid);
    }
    for (sock, exchange) in evidence.exchanges(Role::Server) {
        let Some(connection) = evidence.connection(sock) else { continue };
        let Some(place) = place(connection.local.port()) else { continue };
        let server = servers.entry(place).or_default();
        let acceptor = acceptors.get(&sock).copied();
        server.reading.extend(exchange.read_tid);
        server.answering.extend(exchange.write_tid);
        server.answered += 1;
        server.read_by_acceptor += usize::from(acceptor.is_some() && acceptor == exchange.read_tid);
        server.answered_by_acceptor +=
            usize::from(acceptor.is_some() && acceptor == exchange.write_tid);
    }
    for (port, us) in asked(evidence) {
        // A client's port says which server it asked.
        let connection = evidence
            .connections(Role::Server)
            .into_iter()
            .find(|connection| connection.peer.port() == port);
        if let Some(place) = connection.and_then(|connection| place(connection.local.port())) {
            let server = servers.entry(place).or_default();
            server.slowest_us = server.slowest_us.max(us);
        }
    }
    servers
}

/// Port and time of each request, by the clients.
fn asked(evidence: &Evidence) -> impl Iterator<Item = (u16, u64)> {
    let ports = evidence.named(Who::Client, "asked", "port");
    ports.map(|port| port as u16).zip(evidence.named(Who::Client, "asked", "us"))
}

/// The place of the server at this port.
fn place(port: u16) -> Option<usize> {
    let place = usize::from(port.checked_sub(Scenario::PORT)?);
    (place < PATTERNS.len()).then_some(place)
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let servers = served(evidence);
    facts.whole("servers", servers.len() as u64);
    facts.whole("clients", CLIENTS as u64);
    facts.whole("answered", sum(servers.values().map(|server| server.answered as u64)));
    let count = |is_so: fn(&Served) -> bool| {
        let found = servers.values().filter(|server| server.answered > 0 && is_so(server));
        found.count() as u64
    };
    facts.whole("alone", count(|server| server.answered_by_acceptor == server.answered));
    facts.whole("reading", count(|server| server.read_by_acceptor == server.answered));
    let threads = || servers.values().map(|server| server.threads() as u64);
    facts.whole("fewest", threads().min());
    facts.whole("most", threads().max());
    let names = evidence.snapshot.patterns.iter().map(|pattern| pattern.name.name());
    let named: BTreeSet<_> =
        names.filter(|name| PATTERNS.iter().any(|(own, _)| own == name)).collect();
    facts.whole("named", named.len() as u64);
    let slowest = |wanted: &str| {
        let place = PATTERNS.iter().position(|(name, _)| *name == wanted)?;
        Some(servers.get(&place)?.slowest_us).filter(|us| *us > 0)
    };
    facts.whole("one", slowest("single-thread"));
    facts.whole("each", slowest("thread-per-connection"));
    facts.whole("dealt", slowest("acceptor-plus-readers"));
    facts.whole("shared", slowest("message-load-balancing"));
}

/// Each server: its threads, or how long its slowest client waited.
fn picture(knobs: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    let times = knobs.text("draw", "threads") == "times";
    let mut bars = Vec::new();
    for (place, server) in served(evidence) {
        let (length, figure) = if times {
            (server.slowest_us as f64, duration_us(server.slowest_us))
        } else {
            let [accept, read, answer] = [&server.accepting, &server.reading, &server.answering]
                .map(|threads| threads.len() as u64);
            let figure = format!(
                "{}: {accept} accept, {read} read, {answer} answer",
                count_of(server.threads() as u64, "thread")
            );
            (server.threads() as f64, figure)
        };
        let (name, _) = PATTERNS[place];
        bars.push(Bar { label: name.into(), length, figure, owner: Owner::App, fact: None });
    }
    let title = match times {
        true => "the slowest answer of each server".to_owned(),
        false => "threads of each server, and what they did".to_owned(),
    };
    Picture::Bars { title, bars }
}
