//! Order of speaking: a request for each answer, or an answer before the work is done.

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
        snapshot::{ExchangeView, Owner, SliceKind},
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
const CHECK: Check = Check { knobs: &["demo"], facts: &[], scenario, gather, picture };

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let ends: Vec<_> = of_clients(evidence).collect();
    facts.whole("clients", ends.len() as u64);
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
    for name in ["done", "polls"] {
        facts.whole(name, evidence.number_after(Who::Client, name));
    }
}

/// Slices in which a request that has arrived waits for its answer.
const SERVED: [SliceKind; 3] = [SliceKind::ReceiveQueue, SliceKind::RunQueue, SliceKind::App];

/// A request at the server: when it was there, how long until its answer, and who held it most.
struct Served {
    arrived_ns: u64,
    us: u64,
    most: SliceKind,
}

impl Served {
    fn of(exchange: &ExchangeView) -> Option<Self> {
        let first = exchange.slices.iter().find(|slice| SERVED.contains(&slice.kind))?;
        let most = SERVED.into_iter().max_by_key(|kind| time(exchange, *kind))?;
        let us = sum(SERVED.into_iter().map(|kind| time(exchange, kind)));
        Some(Self { arrived_ns: first.start_ns, us, most })
    }
}

/// Each request as the server had it, the first on top.
fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    let mut requests: Vec<_> = evidence.views(Role::Server).filter_map(Served::of).collect();
    requests.sort_by_key(|request| request.arrived_ns);
    let begin_ns = requests.first().map_or(0, |first| first.arrived_ns);
    let bar = |(at, request): (usize, &Served)| {
        let after = request.arrived_ns.saturating_sub(begin_ns) / 1_000;
        Bar {
            label: format!("request {}, there at {}", at + 1, duration_us(after)).into(),
            length: request.us as f64,
            figure: duration_us(request.us),
            owner: request.most.owner(),
            fact: None,
        }
    };
    Picture::Bars {
        title: "each request: when it reached the server, and how long until its answer".to_owned(),
        bars: requests.iter().enumerate().map(bar).collect(),
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
