//! The ways to HTTPS: a demo of one of them, with its server a link away, and the round trips of
//! its last connection.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::Role,
        snapshot::{ConnectionView, ExchangeView, Owner, Protocol, SliceKind},
        timeline::{Lane, Step},
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
    } else if let Some(last) = quic.last() {
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

/// The handshakes and the first request of a TCP connection, one below the other; of QUIC, which
/// the kernel does not see, the steps as bars.
fn picture(_: &Knobs, evidence: &Evidence, facts: &LessonFacts) -> Picture {
    if let Some(connection) = evidence.connections(Role::Client).last() {
        return Picture::Lanes { app: Who::Client, steps: beginning(evidence, connection) };
    }
    let bars = vec![
        Bar::of(facts, "tcp", "TCP's handshake", Owner::Network),
        Bar::of(facts, "tls", "the handshake of QUIC and TLS", Owner::Network),
        Bar::of(facts, "request", "the request and its answer", Owner::Network),
    ];
    Picture::Bars { title: "round trips until the first answer".to_owned(), bars }
}

fn beginning(evidence: &Evidence, connection: &ConnectionView) -> Vec<Step> {
    let gap = |text: &str| Step::Gap { text: text.into() };
    let arrow = |at, from, to, text: &str| Step::Arrow { at, from, to, text: text.into() };
    let exchanges = exchanges(evidence, connection);
    let mut out = vec![gap("seen by the client: peer = server")];
    if let Some(us) = connection.handshake_us {
        let syn = match exchanges.first() {
            Some(first) if connection.fast_open => {
                format!("SYN, and in it {} bytes", first.request_bytes)
            }
            _ => "SYN".to_owned(),
        };
        out.push(arrow(Some(0), Lane::Kernel, Lane::Peer, &syn));
        let (owner, text) = (Owner::Peer.into(), "TCP: until the server's SYN-ACK".into());
        out.push(Step::Held { at: Some(0), us, owner, counts: true, text });
        out.push(arrow(Some(us), Lane::Peer, Lane::Kernel, "SYN-ACK: connected"));
    }
    let Some(first) = exchanges.first() else { return out };
    let begun_ns = first.start_ns;
    let [_, tls, request] = round_trips(connection).unwrap_or_default();
    let early = connection.tls.as_ref().is_some_and(|tls| tls.early_data);
    for (at, exchange) in
        exchanges.into_iter().take(tls.saturating_add(request) as usize).enumerate()
    {
        let flight = Flight::of(at as u64, tls, early);
        out.push(gap(flight.title()));
        let since_us = exchange.start_ns.saturating_sub(begun_ns) / 1_000;
        let later = connection.handshake_us.unwrap_or(0).saturating_add(since_us);
        // What went in the SYN is there already.
        let in_syn = if connection.fast_open && at == 0 { 2 } else { 0 };
        for step in evidence.bare_steps(&SMALL, connection.sock, exchange).into_iter().skip(in_syn)
        {
            out.push(flight.named(step.later(later)));
        }
    }
    out
}

/// What the two flights of an exchange carry. Early data puts the request into the first one.
#[derive(Clone, Copy)]
enum Flight {
    Handshake,
    /// Hello and request; what comes back is the handshake alone.
    EarlyRequest,
    /// Hello and request; what comes back is the handshake and the response.
    EarlyAnswer,
    /// The end of the handshake, whereupon the response to the early request comes.
    Finished,
    Request,
}

impl Flight {
    /// That of an exchange by its place, where so many belong to the TLS handshake.
    fn of(at: u64, tls: u64, early: bool) -> Self {
        match (at < tls, early) {
            (true, true) if at == 0 => Self::EarlyRequest,
            (true, _) => Self::Handshake,
            (false, true) if at == 0 => Self::EarlyAnswer,
            (false, true) => Self::Finished,
            (false, false) => Self::Request,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Handshake => "the TLS handshake",
            Self::EarlyRequest => "TLS hello and request; the server's handshake",
            Self::EarlyAnswer => "TLS hello and request; handshake and response",
            Self::Finished => "the end of the handshake; the response",
            Self::Request => "the request",
        }
    }

    /// The words for what goes, and for what comes back.
    fn words(self) -> [&'static str; 2] {
        match self {
            Self::Handshake => ["handshake", "handshake"],
            Self::EarlyRequest => ["hello and request", "handshake"],
            Self::EarlyAnswer => ["hello and request", "handshake and response"],
            Self::Finished => ["Finished", "response"],
            Self::Request => ["request", "response"],
        }
    }

    /// Names the flights in a step that was made for a request and its response.
    fn named(self, mut step: Step) -> Step {
        if let Step::Arrow { text, .. } = &mut step {
            let [goes, comes] = self.words();
            for (generic, word) in [("request, ", goes), ("response, ", comes)] {
                if text.as_came().contains(generic) {
                    *text = text.as_came().replacen(generic, &format!("{word}, "), 1).into();
                    break;
                }
            }
        }
        step
    }
}

/// Slices that take no time worth a line beside the round trips.
const SMALL: [SliceKind; 3] = [SliceKind::Handshake, SliceKind::ReceiveQueue, SliceKind::RunQueue];
