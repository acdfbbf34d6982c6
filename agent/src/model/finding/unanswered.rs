//! Requests that got no answer, and calls that got none.

use std::net::SocketAddr;

use super::{Cause, ConnectionFacts, FindingVerdict, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::model::stats::ExchangeStats;
use crate::text::{count, count_of, duration_us, of_last};

/// A tenth of all exchanges must have got no answer, and more than a few. Requests that met a
/// connection about to be closed are left to keepalive-race.
pub(super) fn check(facts: &ConnectionFacts<'_>) -> Option<FindingVerdict> {
    let stats = facts.stats;
    let (requests, calls) = (requests_of(stats), calls_of(stats));
    if !facts.are_many(requests.max(calls)) {
        return None;
    }
    Some(if requests >= calls { of_requests(stats) } else { of_calls(stats) })
}

fn requests_of(stats: &ExchangeStats) -> u64 {
    stats.unanswered.requests.count.saturating_sub(stats.ends.late_read.min(stats.unanswered.here))
}

fn calls_of(stats: &ExchangeStats) -> u64 {
    stats.unanswered.calls.count.saturating_sub(stats.ends.late_calls.min(stats.unanswered.there))
}

/// The cause that at least half of the requests waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitedFor {
    /// Calls that the process made for them, most to this peer.
    Calls(Option<SocketAddr>),
    /// Connects that failed, most to this peer; and whether it refused most of them.
    Connects(SocketAddr, bool),
    /// Not known; and whether this host ended most of their connections.
    Unknown(bool),
}

impl WaitedFor {
    fn of(stats: &ExchangeStats) -> Self {
        let all = requests_of(stats);
        let here = stats.unanswered.here.saturating_sub(stats.ends.late_read);
        match stats.unanswered.unconnected.most() {
            Some((peer, _)) if stats.unanswered.connects * 2 >= all => {
                Self::Connects(peer, stats.unanswered.refused * 2 >= stats.unanswered.connects)
            }
            _ if stats.unanswered.joined * 2 >= all => {
                Self::Calls(stats.app.upstreams.most().map(|(peer, _)| peer))
            }
            _ => Self::Unknown(here * 2 > all),
        }
    }

    fn owner(self) -> Owner {
        match self {
            Self::Calls(_) => Owner::Peer,
            // There is no network in between.
            Self::Connects(peer, refused) if refused || peer.ip().to_canonical().is_loopback() => {
                Owner::Peer
            }
            Self::Connects(..) => Owner::Network,
            Self::Unknown(_) => Owner::App,
        }
    }

    fn fix(self) -> String {
        match self {
            Self::Calls(peer) => format!(
                "look at {}, and give up on calls before the clients give up, so that they get an \
                 answer.",
                peer.map(|peer| peer.to_string()).unwrap_or_default()
            ),
            Self::Connects(peer, _) => {
                format!(
                    "find out why connects to {peer} fail, and answer such a request with an error."
                )
            }
            Self::Unknown(true) => {
                "find out why the application closes such connections (its log), and have it \
                 answer with an error."
                    .into()
            }
            Self::Unknown(false) => {
                "find out what the handler waits for, and give it a timeout shorter than the \
                 clients'."
                    .into()
            }
        }
    }
}

impl Text {
    /// Names what explains calls that this host gave up on: what holds them at their peer.
    fn waiting_for(self, stats: &ExchangeStats, given_up: bool) -> Self {
        match stats.unanswered.upstreams.most() {
            Some((peer, _)) if given_up => self
                .follows_from(true, Cause::Upstream(peer, stats.unanswered.calls.mean_us()))
                .follows_from(true, Cause::FullQueue(peer))
                .about(peer),
            _ => self,
        }
    }

    /// Names what explains requests that got no answer: what holds the calls that they waited for,
    /// or whatever held them for most of their time, in the accept queue or at the application.
    fn with_causes(self, waits: WaitedFor, stats: &ExchangeStats) -> Self {
        let sums = &stats.unanswered;
        let most = |us: u64| us.saturating_mul(2) >= sums.requests.us.max(1);
        match waits {
            WaitedFor::Calls(Some(peer)) => self
                .follows_from(true, Cause::Holder("upstream-imbalance", peer))
                .follows_from(true, Cause::Upstream(peer, sums.requests.mean_us())),
            WaitedFor::Connects(peer, _) => {
                self.follows_from(true, Cause::Holder("connect-fails", peer))
            }
            _ => self
                .follows_from(most(sums.queue_us), Cause::Here("accept-starved"))
                .follows_from(most(sums.queue_us), Cause::Here("accept-queue-overflow"))
                .follows_from(most(sums.app_us), Cause::Here("slow-app")),
        }
    }
}

fn of_requests(stats: &ExchangeStats) -> FindingVerdict {
    let (none, without) = (&stats.unanswered.requests, requests_of(stats));
    let here = stats.unanswered.here.saturating_sub(stats.ends.late_read);
    let left = without.saturating_sub(here);
    let waits = WaitedFor::of(stats);
    let upstream = match waits {
        WaitedFor::Calls(Some(peer)) | WaitedFor::Connects(peer, _) => peer.to_string(),
        _ => String::new(),
    };
    FindingVerdict {
        severity: Severity::Warning,
        owner: waits.owner(),
        headline: format!(
            "{} ended without an answer after {}, {} at worst.",
            count_of(without, "request"),
            duration_us(none.mean_us()),
            duration_us(none.worst_us)
        ),
        text: Text::from(format!("That is {}.", of_last(none.count, stats.exchanges, "exchange")))
            .say("left", left > 0, || format!("In {} of them, the client gave up.", count(left)))
            .say("closed-here", here > 0, || {
                format!(
                    "In {} of them, this host closed the connection without a byte of an answer.",
                    count(here)
                )
            })
            .say("on-connects", matches!(waits, WaitedFor::Connects(..)), || {
                format!(
                    "{} waited for connects that failed, mostly to {upstream}.",
                    count(stats.unanswered.connects)
                )
            })
            .infer("on-calls", matches!(waits, WaitedFor::Calls(_)), || {
                format!(
                    "{} waited for calls that were made for them, mostly to {upstream}.",
                    count(stats.unanswered.joined)
                )
            })
            .with_causes(waits, stats),
        evidence: vec![
            ("exchanges", without as f64),
            ("of", stats.exchanges as f64),
            ("wait_mean_us", none.mean_us() as f64),
            ("wait_max_us", none.worst_us as f64),
            ("client_left", left as f64),
            ("closed_here", here as f64),
            ("with_calls", stats.unanswered.joined as f64),
            ("with_connects", stats.unanswered.connects as f64),
        ],
        fix: waits.fix().into(),
    }
}

fn of_calls(stats: &ExchangeStats) -> FindingVerdict {
    let (none, without) = (&stats.unanswered.calls, calls_of(stats));
    let there = stats.unanswered.there.saturating_sub(stats.ends.late_calls);
    let given_up = without.saturating_sub(there);
    let (peer, most) = match stats.unanswered.upstreams.most() {
        Some((peer, most)) => (peer.to_string(), most.min(without)),
        None => ("its peers".to_owned(), without),
    };
    FindingVerdict {
        severity: Severity::Warning,
        owner: Owner::Peer,
        headline: format!(
            "{} ended without an answer after {}: {} to {peer}.",
            count_of(without, "call"),
            duration_us(none.mean_us()),
            count(most)
        ),
        text: Text::from(format!("That is {}.", of_last(none.count, stats.exchanges, "exchange")))
            .say("given-up", given_up > 0, || {
                format!("This host gave up on {} of them.", count(given_up))
            })
            .say("closed-there", there > 0, || {
                format!(
                    "In {} of them, the peer closed the connection without a byte of an answer.",
                    count(there)
                )
            })
            .waiting_for(stats, given_up >= there),
        evidence: vec![
            ("exchanges", without as f64),
            ("of", stats.exchanges as f64),
            ("wait_mean_us", none.mean_us() as f64),
            ("wait_max_us", none.worst_us as f64),
            ("given_up", given_up as f64),
            ("closed_there", there as f64),
        ],
        fix: format!(
            "look at {peer}: it takes connections and requests but does not answer. Until it is \
             fixed, take it out of rotation."
        )
        .into(),
    }
}
