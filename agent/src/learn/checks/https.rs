//! The ways to HTTPS: a demo of one of them, with its server a link away, and the round trips of
//! its last connection.

use super::flights;
use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{ConnectionView, ExchangeView, Owner, Protocol},
    },
};

/// A round trip between client and server, ms.
const LINK_MS: u64 = 40;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("round_trips", "round trips to the first byte, as the kernel saw them"),
        Spec::count("tcp", "round trips for TCP's handshake"),
        Spec::count("tls", "round trips for the TLS handshake"),
        Spec::count("request", "round trips for the request"),
        Spec::count("before", "round trips before the one that brings the answer"),
        Spec::count("first_visit", "round trips of the very first connection"),
        Spec::time("first_byte", "from connect to first byte, by the client's own clock"),
        Spec::time("least", "time that the round trips alone take on this link"),
        Spec::time("link", "a round trip on the link; 0 if there is none"),
        Spec::count("counted", "round trips, as the client counted them"),
        Spec::count("connections", "TCP connections of the client, as the kernel saw them"),
        Spec::count("quic", "QUIC connections, by the datagrams at the server's socket"),
        Spec::count("in_all", "round trips of all connections and requests"),
        Spec::count("answers", "requests that were answered"),
        Spec::word("version", "version of TLS that the server chose"),
        Spec::count("resumed", "1 if the last connection resumed a session"),
        Spec::count("early", "1 if the last connection sent a request in its first flight"),
        Spec::count("taken", "requests that the server took from a first flight"),
        Spec::count("syn_data", "1 if the SYN of the last connection carried data"),
        Spec::bytes("hello", "bytes that the client sent first"),
        Spec::bytes("flight", "bytes that the server sent in answer"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    Scenario::demo(&knobs.text("demo", "https-tls13 --connections 2")).far(LINK_MS)
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let said = |word| evidence.number_after(Who::Client, word);
    facts.whole("link", evidence.link_us());
    facts.whole("first_byte", said("first_byte_us"));
    facts.whole("counted", said("round_trips"));
    facts.whole("taken", said("early_data"));
    facts.whole("answers", evidence.number_before(Who::Client, "answered"));
    let (tcp, quic) = (evidence.connections(Role::Client), evidence.quic(Role::Server));
    facts.whole("connections", tcp.len() as u64);
    facts.whole("quic", quic.len() as u64);
    let steps = if let Some(last) = tcp.last() {
        over_tcp(evidence, last, facts);
        if let Some(first) = tcp.first()
            && let Some(steps) = round_trips(first)
        {
            facts.whole("first_visit", sum(steps.iter().copied()));
        }
        let mut in_all = 0;
        for connection in &tcp {
            in_all += u64::from(!connection.fast_open);
            for turn in exchanges(evidence, connection) {
                in_all += u64::from(asks(turn));
            }
        }
        facts.whole("in_all", in_all);
        round_trips(last)
    } else if let Some(last) = evidence.quic(Role::Client).last().or(quic.last()) {
        // A client counts its own waits. To a server on a busy machine, a client that is held up
        // between two datagrams looks like one that waits once more.
        facts.whole("early", u64::from(last.early_data));
        match &last.answer {
            Some(answer) => {
                let trips = answer.round_trips;
                Some([0, u64::from(trips.saturating_sub(1)), u64::from(trips.min(1))])
            }
            None => None,
        }
    } else {
        None
    };
    let Some(steps) = steps else { return };
    let all = sum(steps.iter().copied());
    let [tcp, tls, request] = steps;
    facts.whole("tcp", tcp);
    facts.whole("tls", tls);
    facts.whole("request", request);
    facts.whole("round_trips", all);
    facts.whole("before", all.saturating_sub(1));
    facts.whole("least", all.saturating_mul(evidence.link_us()));
}

/// Facts that only TCP's connections show.
fn over_tcp(evidence: &Evidence, connection: &ConnectionView, facts: &mut LessonFacts) {
    facts.whole("syn_data", u64::from(connection.fast_open));
    if let Some(tls) = &connection.tls {
        facts.whole("early", u64::from(tls.early_data));
        facts.whole("resumed", tls.resumed.map(u64::from));
        if let Some(version) = tls.version {
            facts.word("version", version);
        }
    }
    if let Some(first) = exchanges(evidence, connection).first() {
        facts.whole("hello", first.request_bytes);
        facts.whole("flight", first.response_bytes);
    }
}

/// Round trips of TCP's handshake, of that of TLS, and of the request. A request in the clear
/// follows TCP's handshake.
fn round_trips(connection: &ConnectionView) -> Option<[u64; 3]> {
    if connection.protocol != Some(Protocol::Tls) {
        return Some([u64::from(!connection.fast_open), 0, 1]);
    }
    let answer = connection.tls.as_ref()?.first_answer?;
    Some(answer.steps(connection.fast_open).map(u64::from))
}

fn exchanges<'a>(evidence: &'a Evidence, connection: &ConnectionView) -> Vec<&'a ExchangeView> {
    let mut found = Vec::new();
    for (sock, exchange) in evidence.exchanges(Role::Client) {
        if sock == connection.sock {
            found.push(exchange);
        }
    }
    found.sort_by_key(|exchange| exchange.seq);
    found
}

/// True of a turn that asks for something: one longer than the alert that ends a connection.
fn asks(turn: &ExchangeView) -> bool {
    const LONGEST_ALERT: u64 = 31;
    turn.request_bytes > LONGEST_ALERT
}

/// The way to the first answer, flight by flight. Without datagrams at the client's socket, the
/// round trips of QUIC as bars.
fn picture(_: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    let lanes = |steps| Picture::Lanes { app: Who::Client, steps };
    if let Some(connection) = evidence.connections(Role::Client).last() {
        let trips = round_trips(connection).unwrap_or_default();
        let exchanges = exchanges(evidence, connection);
        return lanes(flights::over_tcp(evidence, connection, &exchanges, trips));
    }
    if let Some(view) = evidence.quic(Role::Client).last() {
        return lanes(flights::over_quic(evidence, view));
    }
    let bars = vec![
        Bar::of(facts, "tcp", "TCP's handshake", Owner::Peer),
        Bar::of(facts, "tls", "the handshake within QUIC", Owner::Peer),
        Bar::of(facts, "request", "the request", Owner::Peer),
    ];
    Picture::Bars { title: "round trips until the first answer".to_owned(), bars }
}
