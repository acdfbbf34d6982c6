//! Handshakes pile up: the SYN queue fills, or SYN-ACKs go unanswered.

use super::{Facts, Verdict};
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::count;

/// A SYN queue shorter than this is never called full: with a tiny limit every handshake would fill it.
const LEAST_DEPTH: u32 = 8;
/// So many SYN-ACKs sent again, and one for each ten connections, are a lot.
const MANY_RETRANSMITS: u64 = 10;

pub(super) fn check(facts: &Facts<'_>) -> Option<Verdict> {
    let (view, figures) = (facts.view, &facts.figures);
    let full = figures.syn_peak >= LEAST_DEPTH && u64::from(figures.syn_peak) * 4 >= u64::from(view.limit) * 3;
    // While the accept queue overflows its ignored ACKs cause retransmissions too; these say nothing of the peer.
    let unanswered = figures.overflows == 0
        && figures.synack_retransmits >= MANY_RETRANSMITS
        && figures.synack_retransmits * 10 >= figures.arrivals;
    let lost = figures.syn_dropped > 0;
    if !(full || unanswered || lost || figures.cookies > 0) {
        return None;
    }
    let mut evidence = vec![
        ("syn_depth", f64::from(figures.syn_peak.max(view.syn_depth))),
        ("limit", f64::from(view.limit)),
        ("synack_retransmits", view.totals.synack_retransmits as f64),
    ];
    evidence.extend(view.totals.syn_dropped.map(|dropped| ("syn_dropped", dropped as f64)));
    evidence.extend(view.totals.cookies_sent.map(|sent| ("cookies_sent", sent as f64)));
    Some(Verdict {
        severity: if lost { Severity::Critical } else { Severity::Warning },
        owner: owner(facts),
        headline: headline(facts, full),
        text: text(facts),
        evidence,
        fix: fix(facts).into(),
    })
}

/// Who does not finish the handshakes: the application when its full accept queue makes the kernel ignore the final
/// ACKs, otherwise the peer, which has been answered and is silent.
fn owner(facts: &Facts<'_>) -> Owner {
    if facts.figures.overflows > 0 {
        Owner::App
    } else if facts.figures.synack_retransmits > 0 || facts.figures.syn_peak > 0 {
        Owner::Peer
    } else {
        Owner::Unknown
    }
}

fn headline(facts: &Facts<'_>, full: bool) -> String {
    let totals = &facts.view.totals;
    if facts.figures.syn_dropped > 0 {
        format!("SYNs are being dropped: {} so far; the SYN queue is full.", count(totals.syn_dropped.unwrap_or(0)))
    } else if facts.figures.cookies > 0 {
        format!("The SYN queue overflows: {} syncookies sent so far.", count(totals.cookies_sent.unwrap_or(0)))
    } else if full {
        format!("The SYN queue fills: {} of {}.", count(facts.figures.syn_peak.into()), count(facts.view.limit.into()))
    } else {
        format!("Handshakes stall: {} SYN-ACKs had to be sent again.", count(totals.synack_retransmits))
    }
}

fn text(facts: &Facts<'_>) -> String {
    let kernel = if facts.figures.syn_dropped > 0 {
        "The kernel had no room for another half-open connection and dropped SYNs; clients try again after 1, 2, 4 s."
    } else if facts.figures.cookies > 0 {
        "The kernel had no room for another half-open connection and answered with syncookies: nobody is refused, \
         but window scaling and SACK may be lost."
    } else {
        "The kernel answered these SYNs and waits for the final ACKs."
    };
    let who = match owner(facts) {
        Owner::App => "The accept queue is full as well, so final ACKs are ignored and handshakes can't finish.",
        Owner::Peer => "The clients do not complete their handshakes: a slow or lossy path, or a SYN flood.",
        _ => "Who holds the handshakes was not observed.",
    };
    format!("{kernel} {who}")
}

fn fix(facts: &Facts<'_>) -> &'static str {
    if facts.figures.overflows > 0 {
        "empty the accept queue first (see accept-queue-overflow)."
    } else if facts.figures.syn_dropped > 0 {
        "net.ipv4.tcp_syncookies=1; raise net.ipv4.tcp_max_syn_backlog, net.core.somaxconn and the listen() backlog."
    } else if facts.figures.cookies > 0 {
        "raise the listen() backlog and net.core.somaxconn; leave net.ipv4.tcp_syncookies=1 as it is."
    } else {
        "check the path to these clients; keep net.ipv4.tcp_syncookies=1, raise the listen() backlog and net.core.somaxconn."
    }
}
