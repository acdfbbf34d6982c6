//! Every pattern of communication, one after another: who spoke first on its connection, and who
//! spoke unasked.

use super::traffic::scenario;
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{ConnectionView, ExchangeView, Owner},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("patterns", "patterns that the client used to the end"),
        Spec::count("connections", "connections, one for each pattern and one for the publisher"),
        Spec::count("server_first", "connections on which the server's data came first"),
        Spec::count("client_first", "connections on which the client's data came first"),
        Spec::count("unasked", "connections on which the server went on to write unasked"),
        Spec::count("answering", "requests with request and response"),
        Spec::count("short", "requests with short polling"),
        Spec::count("long", "requests with long polling"),
        Spec::count("events", "requests with server-sent events"),
        Spec::count("push", "requests with push"),
        Spec::count("subscriber", "requests of the subscriber"),
    ],
    scenario,
    gather,
    picture,
};

/// The connections in the order in which the client makes them, and what each is for.
const PATTERNS: [(&str, &str); 6] = [
    ("answering", "request and response"),
    ("short", "short polling"),
    ("long", "long polling"),
    ("events", "server-sent events"),
    ("push", "push"),
    ("subscriber", "subscriber of a broker"),
];

/// What was said on one connection.
struct Talk {
    /// The first data came from the server.
    server_first: bool,
    /// Requests: the client wrote before it read.
    asked: u64,
    /// Writes of the server.
    written: u64,
}

impl Talk {
    /// The client's side tells who was first, also where the server does not read what the client
    /// says. The server's side tells how often it wrote.
    fn of(evidence: &Evidence, end: &ConnectionView) -> Option<Self> {
        let heard = exchanges(evidence, Role::Client, end);
        let said = match evidence.connections(Role::Server).iter().find(|it| it.peer == end.local) {
            Some(server) => exchanges(evidence, Role::Server, server),
            None => Vec::new(),
        };
        let first = heard.first().or(said.first())?;
        let asked = heard.iter().filter(|exchange| exchange.request_bytes > 0).count();
        Some(Self {
            server_first: first.request_bytes == 0,
            asked: asked as u64,
            written: sum(said.iter().map(|exchange| u64::from(exchange.writes))),
        })
    }

    /// A head and a body may be two writes of one answer.
    fn is_unasked(&self) -> bool {
        self.written > self.asked.saturating_mul(2)
    }
}

/// The exchanges of one side of a connection, in their order.
fn exchanges<'a>(
    evidence: &'a Evidence,
    role: Role,
    end: &ConnectionView,
) -> Vec<&'a ExchangeView> {
    let mut found = Vec::new();
    for (sock, exchange) in evidence.exchanges(role) {
        if sock == end.sock {
            found.push(exchange);
        }
    }
    found.sort_by_key(|exchange| exchange.seq);
    found
}

/// What was said on each connection, in the order they were made; `None` for one without data.
fn talks(evidence: &Evidence) -> Vec<Option<Talk>> {
    let ends = evidence.connections(Role::Client);
    ends.into_iter().map(|end| Talk::of(evidence, end)).collect()
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("patterns", evidence.number_after(Who::Client, "patterns"));
    let talks = talks(evidence);
    facts.whole("connections", talks.len() as u64);
    let count = |is: fn(&Talk) -> bool| talks.iter().flatten().filter(|talk| is(talk)).count();
    facts.whole("server_first", count(|talk| talk.server_first) as u64);
    facts.whole("client_first", count(|talk| !talk.server_first) as u64);
    facts.whole("unasked", count(Talk::is_unasked) as u64);
    for ((name, _), talk) in PATTERNS.into_iter().zip(&talks) {
        facts.whole(name, talk.as_ref().map(|talk| talk.asked));
    }
}

fn picture(_: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    let mut bars = Vec::new();
    for ((fact, name), talk) in PATTERNS.into_iter().zip(talks(evidence)) {
        let (first, owner) = match talk {
            Some(talk) if talk.server_first => ("server first", Owner::App),
            Some(_) => ("client first", Owner::Peer),
            None => ("nobody spoke", Owner::Peer),
        };
        bars.push(Bar::of(facts, fact, &format!("{name} ({first})"), owner));
    }
    Picture::Bars { title: "requests of the client in each pattern".to_owned(), bars }
}
