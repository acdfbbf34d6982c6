//! A server that answers an order too late now and then, and a client that sends it again.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{event::Role, snapshot::Owner},
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["key", "orders"],
    facts: &[
        Spec::count("orders", "orders that the client wanted to place"),
        Spec::count("timeouts", "answers that the client did not wait for"),
        Spec::count("asked", "requests that the client sent"),
        Spec::count("delivered", "requests that the kernel delivered to the server"),
        Spec::count("answered", "exchanges on the server's connections, as the kernel saw them"),
        Spec::count("done", "orders that the server carried out"),
        Spec::count("retransmits", "segments that were lost and sent again"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let no_key = if knobs.text("key", "none") == "none" { " --no-key" } else { "" };
    Scenario::server("payments --late-every 5 --late 600ms").demo_client(&format!(
        "idempotency --timeout 200ms --orders {}{no_key}",
        knobs.number("orders", 20)
    ))
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let said = |word| evidence.number_after(Who::Client, word);
    facts.whole("orders", said("orders"));
    facts.whole("timeouts", said("retries"));
    if let (Some(orders), Some(again)) = (said("orders"), said("retries")) {
        facts.whole("asked", orders.saturating_add(again));
    }
    facts.whole("delivered", said("delivered"));
    facts.whole("done", said("done"));
    facts.whole("answered", evidence.exchanges(Role::Server).count() as u64);
    let connections = evidence.snapshot.connections.iter();
    facts.whole("retransmits", sum(connections.map(|connection| connection.retransmits)));
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        Bar::of(facts, "orders", "the client wanted", Owner::Peer),
        Bar::of(facts, "asked", "the client sent", Owner::Peer),
        Bar::of(facts, "delivered", "the kernel delivered", Owner::Kernel),
        Bar::of(facts, "done", "the server carried out", Owner::App),
    ];
    Picture::Bars { title: "orders, step by step".to_owned(), bars }
}
