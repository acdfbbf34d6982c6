//! Protocols over TCP: what a demo's client asked for, and what the kernel saw of it (connections,
//! exchanges and bytes).

use super::traffic::{end_ns, median_us};
use crate::{
    learn::{
        check::{Check, Picture, Scenario},
        evidence::{Evidence, Who, median, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::{Ending, Role},
        snapshot::{ConnectionView, ExchangeView, Protocol},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo", "link_ms"],
    facts: &[
        Spec::count("asked", "requests that the client made, by its own count"),
        Spec::count("answers", "requests that were answered"),
        Spec::count("connections", "connections of the client, as the kernel saw them"),
        Spec::count("exchanges", "exchanges (the client writes, then reads)"),
        Spec::count("each", "requests per exchange, on average"),
        Spec::word("protocol", "protocol, by the first bytes"),
        Spec::time("span", "from the first connection to the last answer"),
        Spec::time("least", "time that the handshake and these exchanges take on the link alone"),
        Spec::time("turn", "time of an exchange (median)"),
        Spec::bytes("out", "bytes that the client wrote in all"),
        Spec::bytes("in", "bytes that the client read in all"),
        Spec::bytes("first_out", "bytes of the client's first message"),
        Spec::bytes("first_in", "bytes that the client read in that exchange"),
        Spec::bytes("usual_out", "bytes the client wrote per exchange (median)"),
        Spec::bytes("most_out", "most bytes that the client wrote in an exchange"),
        Spec::bytes("usual_in", "bytes the client read per exchange (median)"),
        Spec::count("writes", "calls of the client that wrote"),
        Spec::count("reads", "calls of the server that read"),
        Spec::bytes("counted", "bytes that the server says it read"),
        Spec::count("silent", "connections on which the server wrote nothing"),
        Spec::count("ended", "connections that were closed in order, with FIN"),
        Spec::count("broken", "connections that were broken off, with RST"),
        Spec::count("time_wait", "sockets of the client that the kernel keeps in TIME_WAIT"),
        Spec::count("pongs", "pongs that the client got"),
        Spec::count("handshakes", "answers of status 101"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let scenario = Scenario::demo(&knobs.text("demo", "http1 --connections 1"));
    match knobs.number("link_ms", 0) {
        0 => scenario,
        link_ms => scenario.far(link_ms),
    }
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let said = |word| evidence.number_after(Who::Client, word);
    let asked = evidence.number_before(Who::Client, "asked");
    facts.whole("asked", asked);
    facts.whole("answers", evidence.number_before(Who::Client, "answered"));
    facts.whole("counted", said("counted"));
    let connections = evidence.connections(Role::Client);
    let turns = turns(evidence);
    facts.whole("connections", connections.len() as u64);
    facts.whole("exchanges", turns.len() as u64);
    let trips = (turns.len() as u64).saturating_add(1);
    facts.whole("least", evidence.link_us().saturating_mul(trips));
    if let Some(asked) = asked
        && !turns.is_empty()
    {
        facts.number("each", asked as f64 / turns.len() as f64);
    }
    facts.whole("writes", sum(turns.iter().map(|turn| u64::from(turn.writes))));
    let reads = evidence.views(Role::Server).map(|exchange| u64::from(exchange.reads));
    facts.whole("reads", sum(reads));
    sums(&connections, facts);
    if let Some(first) = connections.first() {
        if let Some(protocol) = first.protocol {
            facts.word("protocol", protocol.name());
        }
        let handshake_ns = first.handshake_us.unwrap_or(0).saturating_mul(1_000);
        let begun_ns = first.since_ns.saturating_sub(handshake_ns);
        if let Some(last_ns) = turns.iter().map(|turn| end_ns(turn)).max() {
            facts.whole("span", last_ns.saturating_sub(begun_ns) / 1_000);
        }
    }
    facts.whole("turn", median_us(&turns));
    if let Some(first) = turns.first() {
        facts.whole("first_out", first.request_bytes);
        facts.whole("first_in", first.response_bytes);
    }
    facts.whole("usual_out", median(turns.iter().map(|turn| turn.request_bytes)));
    facts.whole("most_out", turns.iter().map(|turn| turn.request_bytes).max());
    facts.whole("usual_in", median(turns.iter().map(|turn| turn.response_bytes)));
    facts.whole("time_wait", said("time_wait"));
    facts.whole("pongs", said("pongs"));
    facts.whole("handshakes", said("handshakes"));
}

/// Bytes of all connections, and their ends.
fn sums(connections: &[&ConnectionView], facts: &mut LessonFacts) {
    let (mut ended, mut broken, mut silent) = (0, 0, 0);
    for connection in connections {
        match connection.ended {
            Some((_, Ending::Fin)) => ended += 1,
            Some((_, Ending::Reset)) => broken += 1,
            _ => {}
        }
        if connection.bytes_in == 0 {
            silent += 1;
        }
    }
    facts.whole("out", sum(connections.iter().map(|connection| connection.bytes_out)));
    facts.whole("in", sum(connections.iter().map(|connection| connection.bytes_in)));
    facts.whole("ended", ended);
    facts.whole("broken", broken);
    facts.whole("silent", silent);
}

/// The client's turns that asked for something, in the order they began.
fn turns(evidence: &Evidence) -> Vec<&ExchangeView> {
    let mut turns: Vec<_> = evidence.views(Role::Client).collect();
    turns.sort_by_key(|turn| turn.start_ns);
    turns
}

/// A turn of HTTP/2 that is no longer, and brings little, has no request in it: the acknowledgement
/// of the settings (9 bytes), a window update (13), or a ping (17).
const LONGEST_NOTE: u64 = 17;

/// One request and its answer as the kernel saw them, in the middle of the run.
fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    let mut turns: Vec<_> = evidence.exchanges(Role::Client).collect();
    let over_http2 = |sock| {
        let protocol = evidence.connection(sock).and_then(|connection| connection.protocol);
        matches!(protocol, Some(Protocol::Http2 | Protocol::Grpc))
    };
    // A request whose headers were sent before is as short, but its answer is not.
    let largest = turns.iter().map(|(_, turn)| turn.response_bytes).max().unwrap_or(0);
    let is_note = |sock, turn: &ExchangeView| {
        turn.request_bytes <= LONGEST_NOTE && turn.response_bytes < largest / 2 && over_http2(sock)
    };
    if !turns.iter().all(|(sock, turn)| is_note(*sock, turn)) {
        turns.retain(|(sock, turn)| !is_note(*sock, turn));
    }
    turns.sort_by_key(|(_, turn)| turn.start_ns);
    match turns.get(turns.len() / 2) {
        Some((sock, turn)) => evidence.request_steps(*sock, turn),
        None => Picture::nothing(),
    }
}
