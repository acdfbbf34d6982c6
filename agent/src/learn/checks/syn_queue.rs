//! A flood of handshakes that never end, and clients that mean it.

use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::snapshot::Owner,
};

/// Clients that mean it.
const CLIENTS: u64 = 10;
/// Time for which they try, ms.
const TIMEOUT_MS: u64 = 1_600;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["backlog", "flood", "cookies"],
    facts: &[
        Spec::count("flood", "SYNs of senders that never answer"),
        Spec::count("limit", "the kernel's limit of the queues: the backlog"),
        Spec::count("room", "places in the SYN queue: one more than the limit"),
        Spec::count("half_open", "handshakes that the kernel remembers at the end"),
        Spec::count("clients", "clients that called connect()"),
        Spec::count("connected", "clients whose connect() succeeded"),
        Spec::count("failed", "clients that got no answer and gave up"),
        Spec::count("accepted", "connections that the server accepted"),
        Spec::count("depth", "connections in the accept queue when it was fullest"),
        Spec::count("cookies", "SYN cookies that the kernel sent"),
        Spec::count("returned", "SYN cookies that came back in an ACK"),
        Spec::count("drops", "SYNs that the kernel dropped, as the SYN queue was full"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let (backlog, flood) = (knobs.number("backlog", 16), knobs.number("flood", 64));
    Scenario::server(&format!("thread-per-connection --backlog {backlog}"))
        .client(&format!(
            "load --half-open {flood} --connections {CLIENTS} --concurrency {CLIENTS} --silent \
             --timeout {TIMEOUT_MS}ms --hold 300ms"
        ))
        .sysctl("net.ipv4.tcp_syncookies", knobs.number("cookies", 0))
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("flood", evidence.number_after(Who::Client, "half-open"));
    let connected = evidence.number_after(Who::Client, "connected");
    let failed = evidence.number_after(Who::Client, "failed");
    facts.whole("connected", connected);
    facts.whole("failed", failed);
    if let (Some(connected), Some(failed)) = (connected, failed) {
        facts.whole("clients", connected.saturating_add(failed));
    }
    let counted = |name| evidence.named(Who::Client, "counted", name).next();
    facts.whole("cookies", counted("cookies_sent"));
    facts.whole("returned", counted("cookies_received"));
    facts.whole("drops", counted("queue_full_drops"));
    if let Some(listener) = evidence.listeners().first() {
        facts.whole("limit", u64::from(listener.limit));
        facts.whole("room", u64::from(listener.limit) + 1);
        facts.whole("half_open", u64::from(listener.syn_depth));
        facts.whole("accepted", listener.totals.accepted);
        facts.whole("depth", listener.depth_history.iter().copied().max().map(u64::from));
    }
}

fn picture(_: &Knobs, _: &Evidence, facts: &LessonFacts) -> Picture {
    let title = "what became of the SYNs, and who got in".to_owned();
    let bars = vec![
        Bar::of(facts, "flood", "SYNs of the flood", Owner::Peer),
        Bar::of(facts, "half_open", "handshakes remembered", Owner::Kernel),
        Bar::of(facts, "cookies", "answered by a cookie", Owner::Kernel),
        Bar::of(facts, "drops", "SYNs dropped", Owner::Kernel),
        Bar::of(facts, "connected", "clients that got in", Owner::App),
    ];
    Picture::Bars { title, bars }
}
