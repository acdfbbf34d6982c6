//! Who speaks when: a request for each answer, an answer before the work is done, or words that
//! nobody asked for.

use std::collections::BTreeSet;

use super::traffic::{bar, exchanges_on, most_at_once, of_clients, scenario, span_us};
use crate::{
    learn::{
        check::{Bar, Check, Picture},
        evidence::{Evidence, Who, time},
        fact::{Facts, Spec},
        lesson::Knobs,
    },
    model::{
        event::{Role, SockId},
        snapshot::{ExchangeView, Owner, SliceKind},
    },
    text::duration_us,
};

const CLIENTS: Spec = Spec::count("clients", "connections that the clients made");
const REQUESTS_ANSWERED: Spec = Spec::count("requests", "requests that were answered");
const AT_ONCE: Spec =
    Spec::count("at_once", "the most requests that were under way at the same time");
const TOOK: Spec = Spec::time("took", "from the first request to the last answer");
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
/// What jobs cost.
pub(in crate::learn) static JOBS: Check = Check {
    facts: &[
        CLIENTS,
        REQUESTS_ANSWERED,
        AT_ONCE,
        TOOK,
        QUICKEST,
        SLOWEST,
        READING,
        Spec::count("done", "jobs of which the result came"),
        Spec::count("polls", "requests for a result"),
    ],
    picture: jobs,
    ..CHECK
};
/// Bytes in each direction.
pub(in crate::learn) static BYTES: Check = Check {
    facts: &[
        CLIENTS,
        Spec::count("heard", "news that the clients heard"),
        Spec::bytes("sent", "what all clients wrote"),
        Spec::bytes("received", "what all clients read"),
        Spec::bytes("least", "what the client read that got least"),
        Spec::bytes("most", "what the client read that got most"),
    ],
    picture: bytes,
    ..CHECK
};

const CHECK: Check = Check { knobs: &["demo"], facts: &[], scenario, gather, picture };

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut Facts) {
    let ends = || of_clients(evidence);
    facts.whole("clients", ends().count() as u64);
    facts.whole("sent", ends().map(|end| end.bytes_out).sum::<u64>());
    facts.whole("received", ends().map(|end| end.bytes_in).sum::<u64>());
    facts.whole("least", ends().map(|end| end.bytes_in).min());
    facts.whole("most", ends().map(|end| end.bytes_in).max());
    let exchanges = exchanges_on(evidence, ends());
    let totals = || exchanges.iter().map(|(_, exchange)| exchange.total_us);
    facts.whole("requests", exchanges.len() as u64);
    facts.whole("at_once", most_at_once(&exchanges));
    facts.whole("took", span_us(&exchanges));
    facts.whole("quickest", totals().min());
    facts.whole("slowest", totals().max());
    let served = || evidence.exchanges(Role::Server).map(|(_, exchange)| exchange);
    facts.whole("unread", served().map(|exchange| time(exchange, SliceKind::ReceiveQueue)).max());
    facts.whole(
        "reading",
        served().filter_map(|exchange| exchange.read_tid).collect::<BTreeSet<_>>().len() as u64,
    );
    facts.whole("heard", evidence.number_after(Who::Client, "news"));
    for name in ["done", "polls"] {
        facts.whole(name, evidence.number_after(Who::Client, name));
    }
}

/// When each request began and how long it took, the first on top.
fn picture(_: &Knobs, evidence: &Evidence, _: &Facts) -> Picture {
    let mut exchanges = exchanges_on(evidence, of_clients(evidence));
    exchanges.sort_by_key(|(_, exchange)| exchange.start_ns);
    let begin = exchanges.first().map_or(0, |(_, exchange)| exchange.start_ns);
    let bar = |(_, exchange): &(SockId, &ExchangeView)| {
        let (after, us) = ((exchange.start_ns - begin) / 1_000, exchange.total_us);
        Bar {
            label: format!("asked at {}", duration_us(after)),
            length: us as f64,
            figure: duration_us(us),
            owner: exchange.verdict.map_or(Owner::Peer, |verdict| verdict.kind.owner()),
        }
    };
    let bars = exchanges.iter().map(bar).collect();
    Picture::Bars {
        title: "each request: when it was asked, and how long until the answer".to_owned(),
        bars,
    }
}

fn jobs(_: &Knobs, _: &Evidence, facts: &Facts) -> Picture {
    let bars = vec![
        bar(facts, "done", "jobs done", Owner::App),
        bar(facts, "requests", "requests", Owner::Peer),
        bar(facts, "polls", "of which asked for a result", Owner::Peer),
    ];
    Picture::Bars { title: "what the jobs cost".to_owned(), bars }
}

fn bytes(_: &Knobs, _: &Evidence, facts: &Facts) -> Picture {
    let bars = vec![
        bar(facts, "sent", "all clients wrote", Owner::Peer),
        bar(facts, "received", "all clients read", Owner::App),
        bar(facts, "least", "one client read", Owner::App),
    ];
    Picture::Bars { title: "bytes, as the kernel counted them".to_owned(), bars }
}
