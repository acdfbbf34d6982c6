//! Handshakes pile up: the SYN queue fills, or SYN-ACKs go unanswered.

use super::pace;
use super::{Cause, FindingVerdict, ListenerFacts, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::text::{count, count_of, were};

/// A SYN queue shorter than this never counts as full: with a tiny limit each handshake fills it.
const LEAST_DEPTH: u32 = 8;
/// So many SYN-ACKs sent again are a lot, if they are one for each ten connections.
const MANY_RETRANSMITS: u64 = 10;

pub(super) fn check(facts: &ListenerFacts<'_>) -> Option<FindingVerdict> {
    let signs = Signs::of(facts);
    if !signs.any() {
        return None;
    }
    let (view, figures) = (facts.view, &facts.figures);
    let mut evidence = vec![
        ("syn_depth", f64::from(figures.syn_peak.max(view.syn_depth))),
        ("limit", f64::from(view.limit)),
        ("synack_retransmits", view.totals.synack_retransmits as f64),
    ];
    if let Some(acked) = view.totals.synack_acked {
        evidence.push(("synack_retransmits_acked", acked as f64));
    }
    if let Some(dropped) = view.totals.syn_dropped {
        evidence.push(("syn_dropped", dropped as f64));
    }
    if let Some(sent) = view.totals.cookies_sent {
        evidence.push(("cookies_sent", sent as f64));
    }
    if defers(facts) {
        evidence.push(("defer_accept_s", view.defer_accept_s.unwrap_or(0) as f64));
    }
    let owner = signs.owner(facts);
    Some(FindingVerdict {
        severity: signs.severity(facts),
        owner,
        headline: signs.headline(facts),
        text: signs
            .say_what_it_waits_for(signs.say_what_the_kernel_did(facts), facts, owner)
            .follows_from(owner == Owner::App && !signs.lost, Cause::Here("accept-queue-overflow")),
        evidence,
        fix: signs.fix(facts).into(),
    })
}

/// Signs of pressure on the SYN queue that were seen.
struct Signs {
    /// SYNs were dropped though the accept queue had room.
    lost: bool,
    cookies: bool,
    /// The SYN queue was nearly full.
    full: bool,
    /// SYN-ACKs had to be sent again, as no final ACK had come.
    unanswered: bool,
    /// Clients finished the handshake and are silent, and TCP_DEFER_ACCEPT waits for them.
    silent: bool,
}

impl Signs {
    fn of(facts: &ListenerFacts<'_>) -> Self {
        let (view, figures) = (facts.view, &facts.figures);
        let unanswered = unanswered(facts);
        let full = figures.syn_peak >= LEAST_DEPTH
            && u64::from(figures.syn_peak) * 4 >= u64::from(view.limit) * 3;
        Self {
            lost: figures.syn_dropped > 0,
            cookies: figures.cookies > 0,
            full,
            unanswered: unanswered >= MANY_RETRANSMITS
                && unanswered.saturating_mul(10) >= figures.arrivals,
            silent: defers(facts)
                && (view.syn_depth >= LEAST_DEPTH || figures.synack_acked >= MANY_RETRANSMITS),
        }
    }

    fn any(&self) -> bool {
        self.lost || self.cookies || self.full || self.unanswered || self.silent
    }

    /// Judges by the cost: a queue that was full for a moment, or that waits by design, has none.
    fn severity(&self, facts: &ListenerFacts<'_>) -> Severity {
        let still_full = u64::from(facts.view.syn_depth) * 4 >= u64::from(facts.view.limit) * 3;
        if self.lost {
            Severity::Critical
        } else if self.cookies || self.unanswered || self.full && still_full && !defers(facts) {
            Severity::Warning
        } else {
            Severity::Info
        }
    }

    /// The owner of unfinished handshakes: the application when its full accept queue makes the
    /// kernel ignore the final ACKs, otherwise the peer, which has been answered and is silent.
    fn owner(&self, facts: &ListenerFacts<'_>) -> Owner {
        if refuses_acks(facts) && !self.unanswered {
            Owner::App
        } else if facts.figures.synack_retransmits > 0 || facts.figures.syn_peak > 0 {
            Owner::Peer
        } else {
            Owner::Unknown
        }
    }

    fn headline(&self, facts: &ListenerFacts<'_>) -> String {
        let (totals, syn_peak) = (&facts.view.totals, count(facts.figures.syn_peak.into()));
        let limit = count(facts.view.limit.into());
        if self.lost && self.full {
            format!(
                "SYNs are being dropped: {} so far; the SYN queue is full.",
                count(totals.syn_dropped.unwrap_or(0))
            )
        } else if self.lost {
            format!("SYNs are being dropped: {} so far.", count(totals.syn_dropped.unwrap_or(0)))
        } else if self.cookies {
            let sent = count_of(totals.cookies_sent.unwrap_or(0), "syncookie");
            format!("The SYN queue overflows: {sent} sent so far.")
        } else if self.unanswered {
            format!(
                "Handshakes stall: {} had to be retransmitted.",
                count_of(unanswered(facts), "SYN-ACK")
            )
        } else if self.silent && facts.view.syn_depth > 0 {
            let depth = count(facts.view.syn_depth.into());
            format!("{depth} in the SYN queue: TCP_DEFER_ACCEPT waits for the clients' first data.")
        } else if self.silent {
            "TCP_DEFER_ACCEPT waits for the clients' first data.".to_owned()
        } else {
            format!("The SYN queue fills: {syn_peak} of {limit}.")
        }
    }

    fn say_what_the_kernel_did(&self, facts: &ListenerFacts<'_>) -> Text {
        let Self { lost, cookies, full, .. } = *self;
        let refused = facts.figures.overflows > 0;
        Text::default()
            .say("syns-dropped-full", lost && full, || {
                "The kernel had no room for another half-open connection and dropped SYNs.".into()
            })
            .say("syns-dropped", lost && !full, || {
                "The kernel dropped SYNs while the accept queue had room, for lack of memory, of a \
                 route, or of room for half-open connections. Which of these was not observed."
                    .into()
            })
            .say("syn-again", lost, || pace::syn_again(facts))
            .say("cookies", cookies, || {
                "The kernel had no room for another half-open connection and answered with \
                 syncookies: window scaling and SACK may be lost."
                    .into()
            })
            .say("nobody-refused", cookies && !lost && !refused, || {
                "Nobody is refused because of this.".into()
            })
            .say("answered", !lost && !cookies, || "The kernel answered these SYNs.".into())
    }

    fn say_what_it_waits_for(&self, text: Text, facts: &ListenerFacts<'_>, owner: Owner) -> Text {
        let (defers, again) = (defers(facts), unanswered(facts));
        let (app, peer) = (owner == Owner::App, owner == Owner::Peer);
        text.say("acks-ignored", app && facts.figures.overflow_ack > 0, || {
            "The accept queue is full as well, so final ACKs are ignored and handshakes cannot \
             complete."
                .into()
        })
        .infer("acks-may-be-ignored", app && facts.figures.overflow_ack == 0, || {
            "The accept queue is full as well; in that case final ACKs are ignored, and handshakes \
             cannot complete."
                .into()
        })
        .say("defers", defers, || {
            format!(
                "TCP_DEFER_ACCEPT is on: a connection that has completed its handshake stays here, \
                 too, and waits about {} s for the client's first data.",
                facts.view.defer_accept_s.unwrap_or(0)
            )
        })
        .say("silent", defers && facts.figures.synack_acked > 0, || {
            let acked = facts.figures.synack_acked;
            let (silent, were) = (count_of(acked, "SYN-ACK"), were(acked));
            format!(
                "Recently, {silent} {were} retransmitted to clients that had completed the \
                 handshake and were silent."
            )
        })
        .infer("unanswered", peer && again > 0, || {
            format!(
                "Recently, {} retransmitted because no final ACK had come: a lossy path, clients \
                 that are gone, or a SYN flood. The kernel does not show which.",
                if again == 1 {
                    "1 SYN-ACK was".to_owned()
                } else {
                    format!("{} SYN-ACKs were", count(again))
                }
            )
        })
        .infer("on-their-way", peer && !defers && again == 0, || {
            "The final ACKs have not come yet: all of these handshakes are in progress at once."
                .into()
        })
        .say("holder-unknown", owner == Owner::Unknown, || {
            "Who holds up the handshakes was not observed.".into()
        })
    }

    fn fix(&self, facts: &ListenerFacts<'_>) -> String {
        let somaxconn = pace::somaxconn(facts);
        let cookies = match facts.settings {
            Some(settings) if settings.syncookies == 0 => "set net.ipv4.tcp_syncookies=1; ",
            _ => "",
        };
        if refuses_acks(facts) && !self.unanswered {
            "empty the accept queue first (see accept-queue-overflow).".to_owned()
        } else if self.lost {
            format!(
                "{cookies}raise net.ipv4.tcp_max_syn_backlog, {somaxconn} and the listen() backlog."
            )
        } else if self.cookies {
            format!("raise the listen() backlog and {somaxconn}; leave net.ipv4.tcp_syncookies on.")
        } else if defers(facts) && !self.unanswered {
            "no change is needed while clients keep spare connections; without the option (nginx: \
             deferred, Apache: AcceptFilter), these would wait in the application."
                .to_owned()
        } else {
            format!(
                "check the path to these clients; raise the listen() backlog and {somaxconn} if \
                 the queue fills."
            )
        }
    }
}

/// Number of SYN-ACKs that were sent again because no final ACK had come. Where the kernel does not
/// tell, it is 0 for a listener that may have ignored ACKs: its accept queue was full, or it has
/// TCP_DEFER_ACCEPT.
fn unanswered(facts: &ListenerFacts<'_>) -> u64 {
    let (view, figures) = (facts.view, &facts.figures);
    match view.totals.synack_acked {
        Some(_) => figures.synack_retransmits.saturating_sub(figures.synack_acked),
        None if figures.overflows > 0 || defers(facts) => 0,
        None => figures.synack_retransmits,
    }
}

/// Tells whether final ACKs are ignored, or may be where the kernel does not tell.
fn refuses_acks(facts: &ListenerFacts<'_>) -> bool {
    facts.figures.overflow_ack > 0
        || facts.view.totals.overflow_ack.is_none() && facts.figures.overflows > 0
}

/// Tells whether the listener has TCP_DEFER_ACCEPT.
fn defers(facts: &ListenerFacts<'_>) -> bool {
    matches!(facts.view.defer_accept_s, Some(seconds) if seconds > 0)
}
