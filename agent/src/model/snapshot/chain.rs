//! Chains of findings: a cause, and what follows from it.

use std::borrow::Borrow;
use std::cmp::Reverse;

use super::{Finding, Severity};
use crate::model::event::SockId;
use crate::text::{Untrusted, count_of, duration_us, rate};

/// Names another finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRef {
    /// Its kind.
    pub kind: &'static str,
    /// The socket or process that it is about, as in [`Finding::sock`].
    pub sock: SockId,
    /// The same as text: escape before printing.
    pub subject: Untrusted,
}

impl FindingRef {
    /// Names this finding.
    pub fn to(finding: &Finding) -> Self {
        Self { kind: finding.kind, sock: finding.sock, subject: finding.subject.clone() }
    }

    /// Tells whether it names this finding.
    pub fn is(&self, finding: &Finding) -> bool {
        self.kind == finding.kind && self.sock == finding.sock
    }
}

/// Returns the cause of a finding, if that is among them.
pub fn cause<'a>(findings: &'a [Finding], of: &Finding) -> Option<&'a Finding> {
    let cause = of.explained_by.as_ref()?;
    findings.iter().find(|finding| cause.is(finding))
}

/// Returns the first cause of a finding: itself if nothing among them explains it.
pub fn root<'a>(findings: &'a [Finding], of: &'a Finding) -> &'a Finding {
    let mut root = of;
    // A chain is no longer than the list.
    for _ in 0..findings.len() {
        match cause(findings, root) {
            Some(cause) => root = cause,
            None => break,
        }
    }
    root
}

/// Returns how many causes a finding has among them, one behind the other.
pub fn depth(findings: &[Finding], of: &Finding) -> usize {
    let (mut depth, mut at) = (0, of);
    while depth < findings.len()
        && let Some(cause) = cause(findings, at)
    {
        (depth, at) = (depth + 1, cause);
    }
    depth
}

/// Returns what follows from a finding, each behind what explains it.
pub fn followers<'a, F: Borrow<Finding>>(findings: &'a [F], from: &Finding) -> Vec<&'a Finding> {
    let of = |cause: &Finding| {
        let mut effects: Vec<&Finding> = Vec::new();
        for finding in findings.iter().rev().map(Borrow::borrow) {
            if matches!(&finding.explained_by, Some(by) if by.is(cause)) {
                effects.push(finding);
            }
        }
        effects
    };
    let (mut out, mut open) = (Vec::new(), of(from));
    while let Some(next) = open.pop()
        && out.len() < findings.len()
    {
        out.push(next);
        open.extend(of(next));
    }
    out
}

/// Tells whether the one finding is named as the cause of the other.
pub fn explains(cause: &Finding, effect: &Finding) -> bool {
    matches!(&effect.explained_by, Some(by) if by.is(cause))
}

/// Orders findings, or what holds one: causes before what follows from them, and that right behind
/// its cause. A cause comes where the gravest of its chain would. Among equals `tie` decides, and
/// then the order in which they are. `explains` tells whether the first explains the second.
pub fn in_order<T, K: Ord>(
    items: Vec<T>,
    severity: impl Fn(&T) -> Severity,
    explains: impl Fn(&T, &T) -> bool,
    tie: impl Fn(&T) -> K,
) -> Vec<T> {
    let mut causes = Vec::with_capacity(items.len());
    for effect in &items {
        causes.push(items.iter().position(|cause| explains(cause, effect)));
    }
    let mut gravest: Vec<Severity> = items.iter().map(&severity).collect();
    for (at, item) in items.iter().enumerate() {
        let mut next = causes[at];
        // A chain is no longer than the list.
        for _ in 0..items.len() {
            let Some(cause) = next else { break };
            gravest[cause] = gravest[cause].max(severity(item));
            next = causes[cause];
        }
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&at| (Reverse(gravest[at]), tie(&items[at])));
    let behind = |cause: Option<usize>| {
        let mut effects = order.clone();
        effects.retain(|&at| causes[at] == cause);
        effects.reverse();
        effects
    };
    let (mut places, mut open) = (Vec::with_capacity(items.len()), behind(None));
    while let Some(at) = open.pop() {
        places.push(at);
        open.extend(behind(Some(at)));
    }
    // None is left over unless some explain each other, which the model does not do.
    for &at in &order {
        if !places.contains(&at) {
            places.push(at);
        }
    }
    let mut slots: Vec<Option<T>> = items.into_iter().map(Some).collect();
    places.into_iter().filter_map(|at| slots[at].take()).collect()
}

/// Returns what follows from a finding in one line: "accept queue full → 80 SYNs refused a second →
/// clients try again". Where several findings follow from one, it goes on with the one from which
/// most follows. `None` if nothing follows.
pub fn consequences<F: Borrow<Finding>>(findings: &[F], from: &Finding) -> Option<Untrusted> {
    let trunk = trunk(findings, from);
    let mut parts: Vec<Untrusted> = Vec::new();
    let mut place = from.sock;
    for (at, finding) in trunk.iter().enumerate() {
        // A full queue says that connections wait.
        let next = trunk.get(at + 1).map(|next| (next.kind, next.sock));
        if finding.kind == "accept-starved" && next == Some(("accept-queue-overflow", finding.sock))
        {
            continue;
        }
        let clause = clause(finding);
        if finding.sock == place {
            parts.push(clause.into());
        } else {
            parts.push(compose!("at {}: {}", finding.subject, clause));
            place = finding.sock;
        }
    }
    if parts.is_empty() { None } else { Some(Untrusted::join(&parts, " → ")) }
}

/// Returns the longest chain that begins behind a finding, without its branches.
fn trunk<'a, F: Borrow<Finding>>(findings: &'a [F], from: &Finding) -> Vec<&'a Finding> {
    let all = followers(findings, from);
    let mut trunk: Vec<&Finding> = Vec::new();
    // A chain is no longer than what follows in all.
    for _ in 0..all.len() {
        let cause = trunk.last().copied().unwrap_or(from);
        let mut next: Option<(&Finding, usize)> = None;
        for &finding in all.iter().filter(|finding| explains(cause, finding)) {
            // It fills beside the accept queue, and nothing comes of it.
            if finding.kind == "syn-queue-pressure" {
                continue;
            }
            let behind = followers(findings, finding).len();
            if next.is_none_or(|(_, most)| behind > most) {
                next = Some((finding, behind));
            }
        }
        match next {
            Some((finding, _)) => trunk.push(finding),
            None => break,
        }
    }
    trunk
}

/// Returns a finding in a few words, by its evidence and its claims.
fn clause(finding: &Finding) -> String {
    let figure = |name: &str| {
        let found = finding.evidence.iter().find(|(other, _)| *other == name);
        found.map(|&(_, value)| value)
    };
    let number = |name: &str| figure(name).unwrap_or(0.0) as u64;
    let claims = |claim: &str| finding.claims.contains(&claim);
    match finding.kind {
        "accept-starved" => match (figure("stalled_us"), figure("wait_mean_us")) {
            (Some(us), _) => format!("nothing accepted for {}", duration_us(us as u64)),
            (None, Some(us)) => {
                format!("connections wait {} to be accepted", duration_us(us as u64))
            }
            (None, None) => "connections wait to be accepted".to_owned(),
        },
        "accept-queue-overflow" => {
            let refused =
                match (claims("syns-dropped"), claims("acks-ignored") || claims("acks-reset")) {
                    (true, false) => "SYNs",
                    (false, true) => "ACKs",
                    _ => "packets",
                };
            let per_second = rate(figure("overflows_per_second").unwrap_or(0.0));
            let again = if claims("syn-again") { " → clients try again" } else { "" };
            format!("accept queue full → {per_second} {refused} refused a second{again}")
        }
        "abandoned" => format!("{} gave up in the queue", count_of(number("gave_up"), "client")),
        "unanswered" => format!("{} without an answer", count_of(number("exchanges"), "exchange")),
        "slow-app" => format!("requests wait {}", duration_us(number("app_mean_us"))),
        "slow-reader" => format!("requests unread for {}", duration_us(number("wait_mean_us"))),
        "connect-fails" => format!("{} failed", count_of(number("failed"), "connect")),
        "upstream-imbalance" => format!("one upstream takes {}", duration_us(number("median_us"))),
        kind => kind.replace('-', " "),
    }
}
