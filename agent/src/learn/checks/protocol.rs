//! Protocols over TCP: what a demo's client asked for, and what of it the kernel saw: connections,
//! turns and bytes.

use crate::{
    learn::{
        check::{Check, Picture, Scenario},
        evidence::{Evidence, Who, median},
        fact::{Facts, Spec},
        lesson::Knobs,
    },
    model::{
        event::{Ending, Role},
        snapshot::{ConnectionView, ExchangeView},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo", "link_ms"],
    facts: &[
        Spec::count("asked", "requests that the client made, by its own count"),
        Spec::count("answers", "of them answered"),
        Spec::count("connections", "connections of the client, as the kernel saw them"),
        Spec::count("exchanges", "turns on them: the client writes, then reads"),
        Spec::count("each", "requests in a turn, on average"),
        Spec::word("protocol", "what is spoken, by the first bytes"),
        Spec::time("span", "from the first connection to the last answer"),
        Spec::time("turn", "a turn, the median"),
        Spec::bytes("out", "what the client wrote in all"),
        Spec::bytes("in", "what the client read in all"),
        Spec::bytes("first_out", "the client's first message"),
        Spec::bytes("first_in", "what it read in that turn"),
        Spec::bytes("usual_out", "what the client wrote in a turn, the median"),
        Spec::bytes("usual_in", "what it read in a turn, the median"),
        Spec::count("writes", "calls of the client that wrote"),
        Spec::count("reads", "calls of the server that read"),
        Spec::bytes("counted", "bytes that the server says it read"),
        Spec::count("silent", "connections on which the server wrote nothing"),
        Spec::count("ended", "connections that were ended in order, with FIN"),
        Spec::count("broken", "connections that were broken off, with RST"),
        Spec::count("packets", "packets of one connection, both ways, handshake and end included"),
        Spec::count("with_data", "of them with data"),
        Spec::bytes("on_the_wire", "bytes of these packets, with the headers of TCP and IP"),
        Spec::bytes("message", "bytes of them that the applications wrote"),
        Spec::bytes("headers", "the difference: headers"),
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

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut Facts) {
    let said = |word| evidence.number_after(Who::Client, word);
    let asked = evidence.number_before(Who::Client, "asked");
    facts.whole("asked", asked);
    facts.whole("answers", evidence.number_before(Who::Client, "answered"));
    facts.whole("counted", said("counted"));
    let connections = evidence.connections(Role::Client);
    let turns = turns(evidence);
    facts.whole("connections", connections.len() as u64);
    facts.whole("exchanges", turns.len() as u64);
    let each = asked.filter(|_| !turns.is_empty());
    facts.number("each", each.map(|asked| asked as f64 / turns.len() as f64));
    let sum = |of: fn(&ConnectionView) -> u64| {
        connections.iter().map(|connection| of(connection)).sum::<u64>()
    };
    facts.whole("out", sum(|connection| connection.bytes_out));
    facts.whole("in", sum(|connection| connection.bytes_in));
    facts.whole("writes", turns.iter().map(|turn| u64::from(turn.writes)).sum::<u64>());
    let reads = evidence.exchanges(Role::Server).map(|(_, exchange)| u64::from(exchange.reads));
    facts.whole("reads", reads.sum::<u64>());
    let ended = |wanted| {
        let this = |connection: &&&ConnectionView| {
            connection.ended.is_some_and(|(_, ending)| ending == wanted)
        };
        connections.iter().filter(this).count() as u64
    };
    facts.whole("ended", ended(Ending::Fin));
    facts.whole("broken", ended(Ending::Reset));
    facts.whole(
        "silent",
        connections.iter().filter(|connection| connection.bytes_in == 0).count() as u64,
    );
    if let Some(first) = connections.first() {
        if let Some(protocol) = first.protocol {
            facts.word("protocol", protocol.name());
        }
        let end = turns.iter().map(|turn| turn.start_ns + turn.total_us * 1_000).max();
        let begun = first.since_ns.saturating_sub(first.handshake_us.unwrap_or(0) * 1_000);
        facts.whole("span", end.map(|end| end.saturating_sub(begun) / 1_000));
    }
    facts.whole("turn", median(turns.iter().map(|turn| turn.total_us)));
    facts.whole("first_out", turns.first().map(|turn| turn.request_bytes));
    facts.whole("first_in", turns.first().map(|turn| turn.response_bytes));
    facts.whole("usual_out", median(turns.iter().map(|turn| turn.request_bytes)));
    facts.whole("usual_in", median(turns.iter().map(|turn| turn.response_bytes)));
    let both = |out, back| said(out).zip(said(back)).map(|(out, back)| out + back);
    let (wire, message) = (both("ip_out", "ip_in"), both("http_out", "http_in"));
    facts.whole("packets", both("segments_out", "segments_in"));
    facts.whole("with_data", both("with_data_out", "with_data_in"));
    facts.whole("on_the_wire", wire);
    facts.whole("message", message);
    facts.whole("headers", wire.zip(message).map(|(wire, message)| wire.saturating_sub(message)));
}

/// The client's turns that asked for something, in the order they began.
fn turns(evidence: &Evidence) -> Vec<&ExchangeView> {
    let mut turns: Vec<_> =
        evidence.exchanges(Role::Client).map(|(_, exchange)| exchange).collect();
    turns.sort_by_key(|turn| turn.start_ns);
    turns
}

/// What the kernel saw of one request and its answer, in the middle of the run.
fn picture(_: &Knobs, evidence: &Evidence, _: &Facts) -> Picture {
    let mut turns: Vec<_> = evidence.exchanges(Role::Client).collect();
    turns.sort_by_key(|(_, turn)| turn.start_ns);
    let shown = turns.get(turns.len() / 2);
    Picture::Lanes(
        shown.map(|(sock, turn)| evidence.request_steps(*sock, turn)).unwrap_or_default(),
    )
}
