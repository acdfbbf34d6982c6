//! Protocols over UDP: sockets and datagrams, for there are no connections in the kernel.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{DatagramView, Owner},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo", "link_ms"],
    facts: &[
        Spec::count("asked", "requests that the client made, by its own count"),
        Spec::count("answers", "requests that were answered"),
        Spec::count("lost", "requests that were not answered"),
        Spec::count("sockets", "UDP sockets of the server"),
        Spec::count("client_sockets", "UDP sockets of the client"),
        Spec::count("tcp", "TCP connections that the kernel knows"),
        Spec::count("quic", "QUIC connections to the server, by first packets"),
        Spec::word("protocol", "protocol, by the first datagrams"),
        Spec::count("sent", "datagrams that the client wrote"),
        Spec::count("read", "datagrams that the server read"),
        Spec::count("written", "datagrams that the server wrote"),
        Spec::count("dropped", "datagrams that the server's kernel had no room for"),
        Spec::count("failed", "kinds of failure that the client was told of"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let scenario = Scenario::demo(&knobs.text("demo", "udp --datagrams 10"));
    match knobs.number("link_ms", 0) {
        0 => scenario,
        link_ms => scenario.far(link_ms),
    }
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let (asked, answers) = (
        evidence.number_before(Who::Client, "asked"),
        evidence.number_before(Who::Client, "answered"),
    );
    facts.whole("asked", asked);
    facts.whole("answers", answers);
    if let (Some(asked), Some(answers)) = (asked, answers) {
        facts.whole("lost", asked.saturating_sub(answers));
    }
    facts.whole("tcp", evidence.connections(Role::Client).len() as u64);
    let (server, client) = (evidence.datagrams(Who::Server), evidence.datagrams(Who::Client));
    facts.whole("sockets", server.len() as u64);
    facts.whole("client_sockets", client.len() as u64);
    facts.whole("quic", sum(server.iter().map(|socket| socket.quic_connections)));
    if let Some(socket) = server.first()
        && let Some(protocol) = socket.protocol
    {
        facts.word("protocol", protocol.name());
    }
    let all = |sockets: &[&DatagramView], of: fn(&DatagramView) -> Option<u64>| {
        let figures: Option<Vec<u64>> = sockets.iter().map(|socket| of(socket)).collect();
        Some(sum(figures?.into_iter()))
    };
    facts.whole("sent", all(&client, |socket| Some(socket.written?.datagrams)));
    facts.whole("read", all(&server, |socket| Some(socket.read?.datagrams)));
    facts.whole("written", all(&server, |socket| Some(socket.written?.datagrams)));
    facts.whole("dropped", all(&server, |socket| Some(socket.drops)));
    if let Some(said) = evidence.lines(Who::Client, "  errors").last() {
        facts.whole(
            "failed",
            match said.trim() {
                "none" => 0,
                sorts => sorts.split(", ").count() as u64,
            },
        );
    }
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let bars = vec![
        Bar::of(facts, "sent", "the client sent", Owner::Peer),
        Bar::of(facts, "dropped", "the kernel dropped", Owner::Kernel),
        Bar::of(facts, "read", "the server read", Owner::App),
        Bar::of(facts, "written", "the server wrote", Owner::App),
    ];
    Picture::Bars { title: "datagrams".to_owned(), bars }
}
