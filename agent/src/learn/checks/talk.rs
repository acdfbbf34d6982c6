//! Order of speaking: a request for each answer, an answer before the work is done, or words that
//! nobody asked for.

use std::collections::BTreeSet;

use super::traffic::{exchanges_on, longest_us, most_at_once, of_clients, scenario, span_us};
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who, sum, time},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{Owner, SliceKind},
    },
    text::duration_us,
};

const CLIENTS: Spec = Spec::count("clients", "connections that the clients made");
const REQUESTS_ANSWERED: Spec = Spec::count("requests", "requests that were answered");
const AT_ONCE: Spec = Spec::count("at_once", "the most requests under way at the same time");
const TOOK: Spec = Spec::time("took", "time from the first request to the last answer");
const QUICKEST: Spec = Spec::time("quickest", "the quickest answer");
const SLOWEST: Spec = Spec::time("slowest", "the slowest answer");
const READING: Spec = Spec::count("reading", "threads of the server that read requests");

/// Requests by their time.
pub(in crate::learn) static REQUESTS: Check = Check {
    facts: &[
        CLIENTS,
        REQUESTS_ANSWERED,
        AT_ONCE,
        TOOK,
        QUICKEST,
        SLOWEST,
        Spec::time(
            "unread",
            "the longest that a request lay unread in a receive queue of the server",
        ),
        READING,
    ],
    ..CHECK
};
/// The cost of jobs.
pub(in crate::learn) static JOBS: Check = Check {
    facts: &[
        CLIENTS,
        REQUESTS_ANSWERED,
        AT_ONCE,
        TOOK,
        QUICKEST,
        SLOWEST,
        READING,
        Spec::count("done", "jobs whose result arrived"),
        Spec::count("polls", "requests for a result"),
    ],
    picture: jobs,
    ..CHECK
};
/// Bytes in each direction.
pub(in crate::learn) static BYTES: Check = Check {
    facts: &[
        CLIENTS,
        Spec::count("heard", "events that the clients heard of"),
        Spec::bytes("sent", "bytes that all clients wrote"),
        Spec::bytes("received", "bytes that all clients read"),
        Spec::bytes("least", "fewest bytes that one client read"),
        Spec::bytes("most", "most bytes that one client read"),
    ],
    picture: bytes,
    ..CHECK
};

const CHECK: Check = Check { knobs: &["demo"], facts: &[], scenario, gather, picture };

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let ends: Vec<_> = of_clients(evidence).collect();
    let read = || ends.iter().map(|end| end.bytes_in);
    facts.whole("clients", ends.len() as u64);
    facts.whole("sent", sum(ends.iter().map(|end| end.bytes_out)));
    facts.whole("received", sum(read()));
    facts.whole("least", read().min());
    facts.whole("most", read().max());
    let exchanges = exchanges_on(evidence, ends.iter().copied());
    facts.whole("requests", exchanges.len() as u64);
    facts.whole("at_once", most_at_once(&exchanges));
    facts.whole("took", span_us(&exchanges));
    facts.whole("quickest", exchanges.iter().map(|exchange| exchange.total_us).min());
    facts.whole("slowest", longest_us(&exchanges));
    let (mut unread, mut readers) = (None, BTreeSet::new());
    for exchange in evidence.views(Role::Server) {
        unread = unread.max(Some(time(exchange, SliceKind::ReceiveQueue)));
        readers.extend(exchange.read_tid);
    }
    facts.whole("unread", unread);
    facts.whole("reading", readers.len() as u64);
    facts.whole("heard", evidence.number_after(Who::Client, "news"));
    for name in ["done", "polls"] {
        facts.whole(name, evidence.number_after(Who::Client, name));
    }
}

/// The beginning and the time of each request, the first on top.
fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    let mut exchanges = exchanges_on(evidence, of_clients(evidence));
    exchanges.sort_by_key(|exchange| exchange.start_ns);
    let mut bars = Vec::new();
    for exchange in &exchanges {
        let after = exchange.start_ns.saturating_sub(exchanges[0].start_ns) / 1_000;
        let us = exchange.total_us;
        bars.push(Bar {
            label: format!("sent at {}", duration_us(after)).into(),
            length: us as f64,
            figure: duration_us(us),
            owner: match &exchange.verdict {
                Some(verdict) => verdict.kind.owner(),
                None => Owner::Peer,
            },
            fact: None,
        });
    }
    Picture::Bars {
        title: "each request: when it was sent, and how long until its answer".to_owned(),
        bars,
    }
}

fn jobs(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        Bar::of(facts, "done", "jobs done", Owner::App),
        Bar::of(facts, "requests", "requests", Owner::Peer),
        Bar::of(facts, "polls", "requests for a result", Owner::Peer),
    ];
    Picture::Bars { title: "what the jobs cost".to_owned(), bars }
}

fn bytes(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        Bar::of(facts, "sent", "all clients wrote", Owner::Peer),
        Bar::of(facts, "received", "all clients read", Owner::App),
        Bar::of(facts, "least", "one client read", Owner::App),
    ];
    Picture::Bars { title: "bytes, as the kernel counted them".to_owned(), bars }
}
