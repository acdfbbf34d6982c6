//! Flights: the way to a first answer over HTTPS, drawn round trip by round trip, seen from the
//! client.

use crate::{
    learn::evidence::{Evidence, time},
    model::{
        snapshot::{ConnectionView, ExchangeView, Holder, Owner, Protocol, QuicView, SliceKind},
        timeline::{Lane, Step},
    },
    text::bytes,
};

/// Slices that are drawn already, and those that take no time worth a line beside the round trips.
const HIDDEN: [SliceKind; 4] =
    [SliceKind::Connect, SliceKind::Handshake, SliceKind::ReceiveQueue, SliceKind::RunQueue];
/// Work of the client that is worth a line, µs.
const WORTH_A_LINE_US: u64 = 300;

/// What a flight of the client carries, and what comes back.
type Flight = (&'static str, &'static str);

const TLS12: &[Flight] = &[
    ("hello", "hello, certificate, key share"),
    ("key share, Finished", "Finished"),
    ("request", "answer"),
];
const TLS12_RESUMED: &[Flight] =
    &[("hello, which names the session", "hello, Finished"), ("Finished, request", "answer")];
const TLS13: &[Flight] =
    &[("hello with key share", "hello, certificate, Finished"), ("Finished, request", "answer")];
const TLS13_RETRIED: &[Flight] = &[
    ("hello with key share", "asks for another hello"),
    ("hello with another key share", "hello, certificate, Finished"),
    ("Finished, request", "answer"),
];
const TLS13_RESUMED: &[Flight] =
    &[("hello with key share, ticket", "hello, Finished"), ("Finished, request", "answer")];
const EARLY: &[Flight] = &[("hello, ticket, request", "hello, Finished, answer")];
const EARLY_ANSWERED_LATE: &[Flight] =
    &[("hello, ticket, request", "hello, Finished"), ("Finished", "answer")];
const CLEAR: &[Flight] = &[("request", "answer")];

/// The flights of a connection whose TLS handshake took so many round trips; none if that is
/// another number than its kind takes.
fn flights(connection: &ConnectionView, tls: usize) -> &'static [Flight] {
    let Some(setup) = &connection.tls else {
        return if connection.protocol == Some(Protocol::Tls) { &[] } else { CLEAR };
    };
    let flights = match (setup.early_data, setup.version, setup.resumed) {
        (true, ..) if tls == 0 => EARLY,
        (true, ..) => EARLY_ANSWERED_LATE,
        (false, Some("1.2"), Some(true)) => TLS12_RESUMED,
        (false, Some("1.2"), Some(false)) => TLS12,
        (false, Some("1.3"), Some(true)) => TLS13_RESUMED,
        (false, Some("1.3"), Some(false)) if tls == 2 => TLS13_RETRIED,
        (false, Some("1.3"), Some(false)) => TLS13,
        _ => &[],
    };
    if flights.len() == tls + 1 { flights } else { &[] }
}

/// Draws a TCP connection up to its first answer. `trips` are the round trips of TCP's handshake,
/// of that of TLS and of the request.
pub(super) fn over_tcp(
    evidence: &Evidence,
    connection: &ConnectionView,
    exchanges: &[&ExchangeView],
    trips: [u64; 3],
) -> Vec<Step> {
    let [_, tls, request] = trips.map(|trips| trips as usize);
    let flights = flights(connection, tls);
    let mut drawn = Drawn { link_us: evidence.link_us(), ..Drawn::default() };
    let in_syn = connection.fast_open;
    if let Some(us) = connection.handshake_us {
        drawn.trip(if in_syn { "TCP, and in its SYN TLS" } else { "TCP" });
        let syn = match (exchanges.first(), flights.first()) {
            (Some(first), Some((carried, _))) if in_syn => {
                format!("SYN, and in it: {carried}, {}", bytes(first.request_bytes))
            }
            (Some(first), None) if in_syn => {
                format!("SYN, and in it {}", bytes(first.request_bytes))
            }
            _ => "SYN".to_owned(),
        };
        drawn.arrow(Lane::Kernel, Lane::Peer, &syn);
        drawn.wait(us);
        drawn.arrow(Lane::Peer, Lane::Kernel, "SYN-ACK: connected");
    }
    let Some(first) = exchanges.first() else { return drawn.steps };
    // The first exchange may begin with the SYN.
    let begun_us = drawn.at.saturating_sub(time(first, SliceKind::Connect));
    let begun_ns = first.start_ns;
    for (at, exchange) in exchanges.iter().take(tls.saturating_add(request)).enumerate() {
        let since_us = exchange.start_ns.saturating_sub(begun_ns) / 1_000;
        drawn.work(begun_us.saturating_add(since_us));
        let in_syn = in_syn && at == 0;
        if !in_syn {
            drawn.trip(if at < tls { "TLS" } else { "the request" });
        }
        for step in evidence.bare_steps(&HIDDEN, connection.sock, exchange) {
            // What went in the SYN is there already.
            let went = matches!(step, Step::Arrow { from, to, .. } if from > to);
            if !(in_syn && went) {
                drawn.step(step, flights.get(at), exchange);
            }
        }
    }
    drawn.steps
}

/// Draws a QUIC connection up to its first answer, by the datagrams at the client's socket.
pub(super) fn over_quic(evidence: &Evidence, view: &QuicView) -> Vec<Step> {
    let mut drawn = Drawn { link_us: evidence.link_us(), ..Drawn::default() };
    let flights = match (view.early_data, view.trips.len()) {
        (true, 1) => EARLY,
        (true, 2) => EARLY_ANSWERED_LATE,
        (false, 2) => TLS13,
        _ => &[],
    };
    for (at, trip) in view.trips.iter().enumerate() {
        drawn.work(trip.sent_us);
        let last = at + 1 == view.trips.len();
        drawn.trip(match (last, at) {
            (true, 0) => "QUIC, TLS and the request together",
            (true, _) => "the request",
            (false, _) => "QUIC and TLS together",
        });
        let (there, back) = flights.get(at).copied().unwrap_or(("flight", "flight"));
        drawn.arrow(Lane::App, Lane::Kernel, "the client writes datagrams");
        drawn.arrow(Lane::Kernel, Lane::Peer, there);
        drawn.wait(trip.back_us.saturating_sub(trip.sent_us));
        drawn.arrow(Lane::Peer, Lane::Kernel, back);
        drawn.arrow(Lane::Kernel, Lane::App, "the client reads datagrams");
    }
    drawn.steps
}

#[derive(Default)]
struct Drawn {
    /// A round trip on the link, µs.
    link_us: u64,
    /// What is left of that for the round trip that is being drawn.
    left_us: u64,
    trips: u32,
    at: u64,
    steps: Vec<Step>,
}

impl Drawn {
    /// Begins a round trip.
    fn trip(&mut self, what: &str) {
        self.trips += 1;
        self.left_us = self.link_us;
        let text = format!("round trip {}: {what}", self.trips).into();
        self.steps.push(Step::Gap { text });
    }

    fn arrow(&mut self, from: Lane, to: Lane, text: &str) {
        self.steps.push(Step::Arrow { at: Some(self.at), from, to, text: text.into() });
    }

    fn held(&mut self, owner: impl Into<Holder>, us: u64, text: &str) {
        let (at, owner, text) = (Some(self.at), owner.into(), text.into());
        self.steps.push(Step::Held { at, us, owner, counts: true, text });
        self.at = self.at.saturating_add(us);
    }

    /// Draws a wait for the server: the network's as far as the link takes it. The rest is the
    /// peer's, unless the link took longer than it should: it is a process, too.
    fn wait(&mut self, us: u64) {
        let link_us = us.min(self.left_us);
        self.left_us -= link_us;
        if link_us > 0 {
            self.held(Owner::Network, link_us, "on the link, there and back");
        }
        if us > link_us {
            self.held(Owner::Peer, us - link_us, "at the server, or late on the link");
        }
    }

    /// Draws what the client did up to this time, and goes on there.
    fn work(&mut self, until: u64) {
        let us = until.saturating_sub(self.at);
        if us >= WORTH_A_LINE_US {
            self.held(Owner::App, us, "the client works");
        }
        self.at = self.at.max(until);
    }

    /// Draws a step of an exchange.
    fn step(&mut self, step: Step, flight: Option<&Flight>, exchange: &ExchangeView) {
        match step {
            Step::Held { us, owner: Holder::Peer, .. } => self.wait(us),
            Step::Held { us, owner: Holder::App, .. } => self.work(self.at.saturating_add(us)),
            Step::Held { us, owner, text, .. } => {
                let (at, counts) = (Some(self.at), true);
                self.steps.push(Step::Held { at, us, owner, counts, text });
                self.at = self.at.saturating_add(us);
            }
            Step::Arrow { from, to, .. } => {
                let carried = |name: &str, size: u64| format!("{name}, {}", bytes(size));
                let (there, back) = flight.copied().unwrap_or(("flight", "flight"));
                let text = match (from, to) {
                    (Lane::App, _) => "the client writes".to_owned(),
                    (_, Lane::App) => "the client reads".to_owned(),
                    (_, Lane::Peer) => carried(there, exchange.request_bytes),
                    (_, Lane::Kernel) => carried(back, exchange.response_bytes),
                };
                self.arrow(from, to, &text);
            }
            Step::Gap { .. } => self.steps.push(step),
        }
    }
}
