//! A client that writes its request in two pieces, and a server that answers at once.

use crate::{
    learn::{
        check::{Check, Picture, Scenario},
        evidence::{Evidence, Who, median, time},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::{Role, SockId},
        snapshot::{ExchangeView, SliceKind},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["writes", "option"],
    facts: &[
        Spec::count("exchanges", "requests that were answered"),
        Spec::time("took", "request time, by the client's own clock (median)"),
        Spec::time("quickest", "the quickest request"),
        Spec::time("held", "time that the kernel held written bytes back (Nagle)"),
        Spec::time("rest", "the rest of the request's time"),
        Spec::time("server", "how long the server had the request before it wrote the answer"),
        Spec::bytes("first", "bytes of the write that was sent at once"),
        Spec::bytes("second", "bytes of the write that was held"),
        Spec::word("holder", "who held most of the request's time"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let writes = knobs.text("writes", "4,200");
    let option = match knobs.text("option", "none").as_str() {
        "none" => String::new(),
        option => format!(" --{option}"),
    };
    Scenario::server("serve")
        .client(&format!("client --count 10 --trace --writes {writes}{option}"))
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let took = || evidence.named(Who::Client, "asked", "us");
    facts.whole("exchanges", took().count() as u64);
    facts.whole("took", median(took()));
    facts.whole("quickest", took().min());
    let server = evidence.views(Role::Server).map(|exchange| time(exchange, SliceKind::App));
    facts.whole("server", median(server));
    if let Some((_, exchange)) = typical(evidence) {
        let held = time(exchange, SliceKind::Nagle);
        facts.whole("held", held);
        facts.whole("rest", exchange.total_us.saturating_sub(held));
        let sizes =
            if exchange.held_sizes[1] > 0 { exchange.held_sizes } else { exchange.last_sizes };
        facts.whole("first", u64::from(sizes[0]));
        facts.whole("second", u64::from(sizes[1]));
        if let Some(verdict) = exchange.verdict {
            facts.word("holder", verdict.kind.owner().name());
        }
    }
}

/// The client's exchange in the middle, by its time.
fn typical(evidence: &Evidence) -> Option<(SockId, &ExchangeView)> {
    let mut exchanges: Vec<_> = evidence.exchanges(Role::Client).collect();
    exchanges.sort_by_key(|(_, exchange)| exchange.total_us);
    exchanges.get(exchanges.len().checked_sub(1)? / 2).copied()
}

fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    match typical(evidence) {
        Some((sock, exchange)) => evidence.request_steps(sock, exchange),
        None => Picture::nothing(),
    }
}
