//! A server that writes unasked: the bytes in each direction, and what the kernel keeps for a
//! client that does not read.

use super::traffic::{latency_us, of_clients};
use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::snapshot::Owner,
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("clients", "connections that the clients made"),
        Spec::count("heard", "events that the clients heard of"),
        Spec::bytes("sent", "bytes that all clients wrote"),
        Spec::bytes("received", "bytes that all clients read"),
        Spec::bytes("least", "fewest bytes that one client read"),
        Spec::bytes("most", "most bytes that one client read"),
        Spec::count("full", "times that the server was told that a send buffer is full"),
        Spec::bytes("taken", "bytes that the kernel took before the first write had to wait"),
        Spec::bytes("unsent", "bytes that were not acknowledged then, on the server's side"),
        Spec::bytes("unread", "bytes that the client had not read, on its side"),
        Spec::bytes("kept", "bytes on both sides"),
        Spec::bytes("memory", "memory that the kernel used for them"),
        Spec::time("blocked", "time until the send buffer had room again"),
        Spec::time("oldest", "age of the oldest event when the client read it"),
    ],
    scenario,
    gather,
    picture,
};

/// The demo, in a network with the kernel's own defaults for buffers: the machine may have others.
fn scenario(knobs: &Knobs) -> Scenario {
    super::traffic::scenario(knobs)
        .sysctl("net.ipv4.tcp_wmem", "4096 16384 4194304")
        .sysctl("net.ipv4.tcp_rmem", "4096 131072 6291456")
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let ends: Vec<_> = of_clients(evidence).collect();
    let read = || ends.iter().map(|end| end.bytes_in);
    facts.whole("clients", ends.len() as u64);
    facts.whole("heard", evidence.number_after(Who::Client, "news"));
    facts.whole("sent", sum(ends.iter().map(|end| end.bytes_out)));
    facts.whole("received", sum(read()));
    facts.whole("least", read().min());
    facts.whole("most", read().max());
    facts.whole("oldest", latency_us(evidence, "max"));
    facts.whole("full", evidence.lines(Who::Server, "full").count() as u64);
    let told = |name| evidence.named(Who::Server, "full", name).next();
    facts.whole("taken", told("taken"));
    facts.whole("unsent", told("unsent"));
    let unread = evidence.number_after(Who::Client, "unread");
    facts.whole("unread", unread);
    if let (Some(unsent), Some(unread)) = (told("unsent"), unread) {
        facts.whole("kept", unsent.saturating_add(unread));
    }
    let behind = evidence.number_after(Who::Client, "memory");
    if let (Some(ahead), Some(behind)) = (told("memory"), behind) {
        facts.whole("memory", ahead.saturating_add(behind));
    }
    facts.whole("blocked", evidence.named(Who::Server, "room", "us").next());
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    if facts.figure("taken").is_some() {
        let bars = vec![
            Bar::of(facts, "taken", "written until a write had to wait", Owner::App),
            Bar::of(facts, "unsent", "of it in the send buffer", Owner::Kernel),
            Bar::of(facts, "unread", "unread in the receive buffer", Owner::Kernel),
            Bar::of(facts, "memory", "memory that this took", Owner::Kernel),
        ];
        return Picture::Bars { title: "what the kernel kept for the client".to_owned(), bars };
    }
    let bars = vec![
        Bar::of(facts, "sent", "all clients wrote", Owner::Peer),
        Bar::of(facts, "received", "all clients read", Owner::App),
        Bar::of(facts, "least", "one client read", Owner::App),
    ];
    Picture::Bars { title: "bytes, as the kernel counted them".to_owned(), bars }
}
