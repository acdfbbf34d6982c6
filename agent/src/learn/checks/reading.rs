//! A server that is slow to read, and a client that writes.

use crate::{
    learn::{
        check::{Check, Picture, Scenario},
        evidence::{Evidence, Who, sum, time},
        fact::{LessonFacts, Spec, Value},
        lesson::Knobs,
    },
    model::{event::Role, snapshot::SliceKind},
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["bytes", "delay_ms"],
    facts: &[
        Spec::bytes("sent", "bytes that the client wrote, in one call"),
        Spec::time("write", "how long the client's write() took"),
        Spec::time("took", "from the write to the answer, by the client's own clock"),
        Spec::time("unread", "how long data lay unread in the server's receive queue"),
        Spec::time(
            "blocked",
            "how long the write waited for room in send buffer and receive window",
        ),
        Spec::count("reads", "reads by the server"),
        Spec::word("holder", "who held most of the request's time, seen from the server"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let (bytes, delay) = (knobs.number("bytes", 60_000), knobs.number("delay_ms", 300));
    Scenario::server(&format!("serve --sleep-before-read {delay}ms --read-size 16000000"))
        .client(&format!("client --trace --writes {bytes}"))
}

fn gather(knobs: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("sent", knobs.number("bytes", 60_000));
    let asked = |name| evidence.named(Who::Client, "asked", name).next();
    facts.whole("took", asked("us"));
    if let (Some(from), Some(to)) = (asked("write_ns"), asked("written_ns")) {
        facts.whole("write", to.saturating_sub(from) / 1_000);
    }
    if let Some((_, exchange)) = evidence.exchanges(Role::Server).next() {
        facts.whole("unread", time(exchange, SliceKind::ReceiveQueue));
        facts.whole("reads", u64::from(exchange.reads));
        if let Some(verdict) = exchange.verdict {
            facts.word("holder", verdict.kind.owner().name());
        }
    }
    if let Some((_, exchange)) = evidence.exchanges(Role::Client).next() {
        let blocked = [SliceKind::SendBuffer, SliceKind::ReceiveWindow];
        facts.whole("blocked", sum(blocked.into_iter().map(|kind| time(exchange, kind))));
    }
}

/// The server's side of a small request; of a large one the client's, where the write waits.
fn picture(_: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    let waited = !matches!(facts.get("blocked"), None | Some(Value::Number(0.0)));
    let role = if waited { Role::Client } else { Role::Server };
    match evidence.exchanges(role).next() {
        Some((sock, exchange)) => evidence.request_steps(sock, exchange),
        None => Picture::nothing(),
    }
}
