//! A server that is slow to read, and a client that writes.

use crate::{
    learn::{
        check::{Check, Picture, Scenario},
        evidence::{Evidence, Who, time},
        fact::{LessonFacts, Spec, Value},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{ExchangeView, SliceKind},
        timeline::{Lane, Step},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["bytes", "delay_ms"],
    facts: &[
        Spec::bytes("sent", "bytes that the client wrote, in one call"),
        Spec::time("write", "how long the client's write() took"),
        Spec::time("took", "from the write to the answer, by the client's own clock"),
        Spec::time("unread", "how long data lay unread in the server's receive queue"),
        Spec::time("blocked", "how long write() waited for room in send buffer and receive window"),
        Spec::bytes("pending", "bytes not acknowledged yet when write() returned"),
        Spec::bytes("left", "bytes never acknowledged before the answer came"),
        Spec::time("acked", "from the write until the server's kernel had acknowledged all of it"),
        Spec::time("pause", "how long the server slept before each read"),
        Spec::count("reads", "reads by the server"),
        Spec::word("holder", "who held most of the request's time, seen from the server"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let (bytes, delay) = (knobs.number("bytes", 60_000), knobs.number("delay_ms", 300));
    // Buffers as a kernel has them that nobody has tuned.
    Scenario::server(&format!("serve --sleep-before-read {delay}ms --read-size 16000000"))
        .client(&format!("client --trace --trace-acks --writes {bytes}"))
        .sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456")
        .sysctl("net.ipv4.tcp_wmem", "4096 16384 4194304")
}

fn gather(knobs: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("sent", knobs.number("bytes", 60_000));
    let asked = |name| evidence.named(Who::Client, "asked", name).next();
    facts.whole("took", asked("us"));
    let (from, to) = (asked("write_ns"), asked("written_ns"));
    if let (Some(from), Some(to)) = (from, to) {
        facts.whole("write", to.saturating_sub(from) / 1_000);
    }
    facts.whole("pending", asked("pending"));
    facts.whole("left", asked("left"));
    facts.whole("pause", knobs.number("delay_ms", 300).saturating_mul(1_000));
    if let (Some(from), Some(acked)) = (from, asked("acked_ns")) {
        facts.whole("acked", acked.saturating_sub(from) / 1_000);
    }
    if let Some((_, exchange)) = evidence.exchanges(Role::Server).next() {
        facts.whole("unread", time(exchange, SliceKind::ReceiveQueue));
        facts.whole("reads", u64::from(exchange.reads));
        if let Some(verdict) = exchange.verdict {
            facts.word("holder", verdict.kind.owner().name());
        }
    }
    if let Some((_, exchange)) = evidence.exchanges(Role::Client).next() {
        facts.whole("blocked", from.zip(to).map(|call| blocked_in(exchange, call)));
    }
}

/// Time that the client's bytes waited for room within its call of write(). After that, what is in
/// the send buffer may wait for longer, and holds nobody.
fn blocked_in(exchange: &ExchangeView, (from_ns, to_ns): (u64, u64)) -> u64 {
    let begin_ns = from_ns.max(exchange.start_ns);
    let mut left_us = to_ns.saturating_sub(begin_ns) / 1_000;
    let mut blocked_us = 0_u64;
    for slice in &exchange.slices {
        let us = slice.us.min(left_us);
        left_us -= us;
        if matches!(slice.kind, SliceKind::SendBuffer | SliceKind::ReceiveWindow) {
            blocked_us += us;
        }
    }
    blocked_us
}

/// The server's side of a small request; of a large one the client's, where the write waits.
fn picture(_: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    let waited = !matches!(facts.get("blocked"), None | Some(Value::Number(0.0)));
    let role = if waited { Role::Client } else { Role::Server };
    let Some((sock, exchange)) = evidence.exchanges(role).next() else { return Picture::nothing() };
    match (evidence.request_steps(sock, exchange), facts.get("acked")) {
        (Picture::Lanes { app, steps }, Some(Value::Number(acked_us))) if !waited => {
            Picture::Lanes { app, steps: with_ack(steps, *acked_us as u64) }
        }
        (picture, _) => picture,
    }
}

/// The steps with the arrow of the ACK by which the server's kernel had everything.
fn with_ack(steps: Vec<Step>, acked_us: u64) -> Vec<Step> {
    let mut out = Vec::new();
    for step in steps {
        let Step::Held { at: Some(at), us, owner, counts, text } = step else {
            out.push(step);
            continue;
        };
        let held = |at, us, text| Step::Held { at: Some(at), us, owner, counts, text };
        match acked_us.checked_sub(at) {
            Some(before) if before > 0 && before < us => {
                out.push(held(at, before, text.clone()));
                out.push(Step::Arrow {
                    at: Some(acked_us),
                    from: Lane::Kernel,
                    to: Lane::Peer,
                    text: "ACK of all bytes, by the kernel alone".into(),
                });
                out.push(held(acked_us, us - before, text));
            }
            _ => out.push(held(at, us, text)),
        }
    }
    out
}
