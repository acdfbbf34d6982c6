//! A server that listens and never accepts, and clients that connect one after another.

use crate::{
    learn::{
        check::{Check, Picture, Scenario},
        evidence::{Evidence, Who, median, sum},
        fact::{LessonFacts, Spec, Value},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::Owner,
        timeline::{Lane, Step},
    },
    text::count_of,
};

/// Time for which the clients that are refused try, ms.
const TIMEOUT_MS: u64 = 1_600;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["backlog", "clients"],
    facts: &[
        Spec::count("clients", "clients that called connect()"),
        Spec::count("believing", "clients whose connect() succeeded"),
        Spec::count("refused", "clients that got no answer and gave up"),
        Spec::count("limit", "the kernel's limit of the accept queue"),
        Spec::count("room", "places in the queue: one more than the limit"),
        Spec::count("depth", "connections in the accept queue when it was fullest"),
        Spec::count("accepted", "connections that the server accepted"),
        Spec::count("reads", "reads by the server"),
        Spec::count("drops", "SYNs that the kernel dropped"),
        Spec::time("patience", "how long a client that got no answer tried (median)"),
        Spec::time("queued", "from the first connection until the last client gave up"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let (backlog, clients) = (knobs.number("backlog", 2), knobs.number("clients", 10));
    Scenario::server(&format!("never-accept --backlog {backlog}")).client(&format!(
        "load --connections {clients} --concurrency {clients} --rate 40/s --silent --trace \
         --timeout {TIMEOUT_MS}ms --hold 2500ms"
    ))
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    // Every connection leaves a trace with its port; the sum comes last.
    let last = evidence.lines(Who::Client, "connected").find(|line| line.contains("failed"));
    let mut numbers = Vec::new();
    for word in last.unwrap_or_default().split_whitespace() {
        if let Ok(number) = word.parse::<u64>() {
            numbers.push(number);
        }
    }
    facts.whole("believing", numbers.first().copied());
    facts.whole("refused", numbers.get(1).copied());
    if let [believing, refused, ..] = numbers[..] {
        facts.whole("clients", believing.saturating_add(refused));
    }
    let given_up = || evidence.lines(Who::Client, "given-up").filter_map(from_to);
    facts.whole("patience", median(given_up().map(|(from, to)| to.saturating_sub(from) / 1_000)));
    let connected = evidence.lines(Who::Client, "connected").filter_map(|line| {
        let (_, times) = line.split_once(' ')?;
        from_to(times)
    });
    if let (Some(first), Some(last)) =
        (connected.map(|(_, at)| at).min(), given_up().map(|(_, at)| at).max())
    {
        facts.whole("queued", last.saturating_sub(first) / 1_000);
    }
    let reads = evidence.views(Role::Server).map(|exchange| u64::from(exchange.reads));
    facts.whole("reads", sum(reads));
    if let Some(listener) = evidence.listeners().first() {
        facts.whole("limit", u64::from(listener.limit));
        facts.whole("room", u64::from(listener.limit) + 1);
        facts.whole("depth", listener.depth_history.iter().copied().max().map(u64::from));
        facts.whole("accepted", listener.totals.accepted);
        facts.whole("drops", listener.totals.overflows());
    }
}

/// Beginning and end, as a line has them: two numbers.
fn from_to(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split_once(' ')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let arrow = |text: String| Step::Arrow {
        at: None,
        from: Lane::Peer,
        to: Lane::Kernel,
        text: text.into(),
    };
    let people = |name: &str| match facts.shown(name).parse() {
        Ok(clients) => count_of(clients, "client"),
        Err(_) => "clients".to_owned(),
    };
    let steps = vec![
        arrow(format!("{}: SYN, SYN-ACK, ACK: connected", people("believing"))),
        Step::Held {
            at: None,
            us: facts_us(facts, "queued"),
            owner: Owner::App.into(),
            counts: true,
            text: format!("{} in the accept queue; nobody calls accept()", facts.shown("depth"))
                .into(),
        },
        arrow(format!("{}: SYN, dropped: the queue is full", people("refused"))),
        Step::Held {
            at: None,
            us: facts_us(facts, "patience"),
            owner: Owner::Kernel.into(),
            counts: true,
            text: "silence, not even a refusal, while each tries".into(),
        },
        arrow(format!("SYNs, first and again: {} dropped in all", facts.shown("drops"))),
    ];
    Picture::Lanes { app: Who::Server, steps }
}

fn facts_us(facts: &LessonFacts, name: &str) -> u64 {
    match facts.get(name) {
        Some(Value::Number(us)) => *us as u64,
        _ => 0,
    }
}
