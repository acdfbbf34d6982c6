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
        snapshot::{ExchangeView, Owner, SliceKind},
        timeline::{Lane, Step},
    },
    text::bytes,
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["writes", "option", "ack", "connections", "count"],
    facts: &[
        Spec::count("exchanges", "requests that were answered"),
        Spec::count("conn", "connections that they came on"),
        Spec::time("took", "request time, by the client's own clock (median)"),
        Spec::time("quickest", "the quickest request"),
        Spec::time("slowest", "the slowest request"),
        Spec::time("opening", "the first request of its connection (median)"),
        Spec::count("quick", "requests that took less than half as long as a held one"),
        Spec::time("held", "time that the kernel held written bytes back (Nagle)"),
        Spec::time("waited", "time for which the server had the first piece and no more"),
        Spec::time("rest", "the rest of the request's time"),
        Spec::time("server", "how long the server had the request before it wrote the answer"),
        Spec::count("writes", "calls in which the client wrote the request"),
        Spec::bytes("first", "bytes of the write before the last"),
        Spec::bytes("second", "bytes of the last write"),
        Spec::word("holder", "who held most of the request's time"),
    ],
    scenario,
    gather,
    picture,
};

/// Less than half of the time by which Linux delays an ACK at least, µs.
const QUICK_US: u64 = 19_000;

fn scenario(knobs: &Knobs) -> Scenario {
    let writes = knobs.text("writes", "4,200");
    let option = match knobs.text("option", "none").as_str() {
        "none" => String::new(),
        option => format!(" --{option}"),
    };
    let server = match knobs.text("ack", "delayed").as_str() {
        "quick" => "serve --quickack",
        _ => "serve",
    };
    let (connections, count) = (knobs.number("connections", 1), knobs.number("count", 10));
    Scenario::server(server).client(&format!(
        "client --repeat {connections} --count {count} --trace --writes {writes}{option}"
    ))
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let took = || evidence.named(Who::Client, "asked", "us");
    facts.whole("exchanges", took().count() as u64);
    facts.whole("conn", evidence.connections(Role::Client).len() as u64);
    facts.whole("took", median(took()));
    facts.whole("quickest", took().min());
    facts.whole("slowest", took().max());
    let numbers = evidence.named(Who::Client, "asked", "seq");
    let first = numbers.zip(took()).filter(|(number, _)| *number == 1);
    facts.whole("opening", median(first.map(|(_, us)| us)));
    facts.whole("quick", took().filter(|us| *us < QUICK_US).count() as u64);
    let server = evidence.views(Role::Server).map(|exchange| time(exchange, SliceKind::App));
    facts.whole("server", median(server));
    let waited = evidence.views(Role::Server).map(|exchange| time(exchange, SliceKind::Request));
    facts.whole("waited", median(waited));
    if let Some((_, exchange)) = typical(evidence) {
        let held = time(exchange, SliceKind::Nagle);
        facts.whole("held", held);
        facts.whole("rest", exchange.total_us.saturating_sub(held));
        facts.whole("writes", u64::from(exchange.writes));
        let [first, second] = sizes(exchange);
        facts.whole("first", first);
        facts.whole("second", second);
        if let Some(verdict) = exchange.verdict {
            facts.word("holder", verdict.kind.owner().name());
        }
    }
}

/// Sizes of the last two writes; where one was held, of that and of the one before.
fn sizes(exchange: &ExchangeView) -> [u64; 2] {
    let sizes = if exchange.held_sizes[1] > 0 { exchange.held_sizes } else { exchange.last_sizes };
    sizes.map(u64::from)
}

/// The client's exchange in the middle, by its time.
fn typical(evidence: &Evidence) -> Option<(SockId, &ExchangeView)> {
    let mut exchanges: Vec<_> = evidence.exchanges(Role::Client).collect();
    exchanges.sort_by_key(|(_, exchange)| exchange.total_us);
    exchanges.get(exchanges.len().checked_sub(1)? / 2).copied()
}

/// A request piece by piece, seen from the client.
fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    match typical(evidence) {
        Some((_, exchange)) => Picture::Lanes { app: Who::Client, steps: pieces(exchange) },
        None => Picture::nothing(),
    }
}

fn pieces(exchange: &ExchangeView) -> Vec<Step> {
    let (held, [first, last]) = (time(exchange, SliceKind::Nagle), sizes(exchange));
    let mut drawn = Drawn::default();
    let wrote = |size: u64| format!("the client writes {}", bytes(size));
    if exchange.writes > 1 {
        drawn.arrow(Lane::App, Lane::Kernel, &wrote(first));
        let text = format!("{} leave at once: nothing is in flight", bytes(first));
        drawn.arrow(Lane::Kernel, Lane::Peer, &text);
        drawn.arrow(Lane::App, Lane::Kernel, &wrote(last));
    } else {
        drawn.arrow(Lane::App, Lane::Kernel, &wrote(exchange.request_bytes));
    }
    if held > 0 {
        let text = format!(
            "Nagle holds {}: there is no ACK of the {} yet, as the server's kernel delays it",
            bytes(last),
            bytes(first)
        );
        drawn.held(Owner::Kernel, held, &text);
        let text = format!("at last the ACK of the {}", bytes(first));
        drawn.arrow(Lane::Peer, Lane::Kernel, &text);
    }
    let left = if exchange.writes > 1 { last } else { exchange.request_bytes };
    let text = format!("{} leave{}", bytes(left), if held > 0 { "" } else { " at once" });
    drawn.arrow(Lane::Kernel, Lane::Peer, &text);
    let rest = exchange.total_us.saturating_sub(held);
    drawn.held(Owner::Peer, rest, "the server reads and answers");
    let text = format!("the answer, {}", bytes(exchange.response_bytes));
    drawn.arrow(Lane::Peer, Lane::Kernel, &text);
    drawn.arrow(Lane::Kernel, Lane::App, "the client reads it");
    drawn.steps
}

/// Steps, each of which begins where the one before ends.
#[derive(Default)]
struct Drawn {
    at: u64,
    steps: Vec<Step>,
}

impl Drawn {
    fn arrow(&mut self, from: Lane, to: Lane, text: &str) {
        self.steps.push(Step::Arrow { at: Some(self.at), from, to, text: text.into() });
    }

    fn held(&mut self, owner: Owner, us: u64, text: &str) {
        let (at, owner, text) = (Some(self.at), owner.into(), text.into());
        self.steps.push(Step::Held { at, us, owner, counts: true, text });
        self.at = self.at.saturating_add(us);
    }
}
