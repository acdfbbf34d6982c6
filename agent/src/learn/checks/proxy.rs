//! A proxy with connections on both sides: how many, and who answers what comes on them.

use super::traffic::{asked_on, behind, of_clients, scenario};
use crate::{
    learn::{
        check::{Bar, Check, Picture, Scenario},
        evidence::{Evidence, Who, sum},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::snapshot::{ConnectionView, Owner},
    text::Untrusted,
};

const CLIENTS: Spec = Spec::count("clients", "connections of the clients");
const REQUESTS: Spec = Spec::count("requests", "requests of the clients that were answered");
const UPSTREAM: Spec = Spec::count("upstream", "connections to servers behind the proxy");
const PROXIES: Spec = Spec::count("proxies", "proxies that left their mark on an answer");
const ASKED: Spec = Spec::bytes("asked", "bytes that the clients wrote");
const PASSED: Spec =
    Spec::bytes("passed", "bytes that were written to the servers behind the proxy");

/// A proxy of clients, or of a server.
pub(in crate::learn) static PROXY: Check = Check {
    facts: &[
        CLIENTS,
        REQUESTS,
        UPSTREAM,
        ASKED,
        PASSED,
        Spec::count("marked", "answers with the mark of a forward proxy"),
        Spec::count("proxies", "reverse proxies that left their mark on an answer"),
    ],
    ..CHECK
};
/// A proxy that shares out what comes.
pub(in crate::learn) static BALANCER: Check = Check {
    facts: &[
        CLIENTS,
        REQUESTS,
        UPSTREAM,
        Spec::count("servers", "servers behind the balancer"),
        Spec::count("busiest", "requests that the busiest server got"),
        Spec::count("idlest", "requests that the least busy server got"),
        ASKED,
        PASSED,
        PROXIES,
    ],
    ..CHECK
};

const CHECK: Check = Check { knobs: &["demo"], facts: &[], scenario, gather, picture };

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    let clients: Vec<_> = of_clients(evidence).collect();
    let behind: Vec<_> = behind(evidence).collect();
    facts.whole("clients", clients.len() as u64);
    facts.whole("upstream", behind.len() as u64);
    let servers = servers(evidence);
    let got = || servers.iter().map(|(_, share)| share.exchanges);
    facts.whole("servers", servers.len() as u64);
    facts.whole("busiest", got().max());
    facts.whole("idlest", got().min());
    facts.whole("asked", bytes_out(&clients));
    // The bytes of a connection that stays open are not known until its last exchange is over.
    if behind.iter().all(|end| end.closed_ns.is_some()) {
        facts.whole("passed", bytes_out(&behind));
    }
    facts.whole("requests", evidence.number_after(Who::Client, "requests"));
    facts.whole("marked", evidence.number_after(Who::Client, "seen"));
    facts.whole("proxies", evidence.number_after(Who::Client, "proxies"));
}

fn bytes_out(ends: &[&ConnectionView]) -> u64 {
    sum(ends.iter().map(|end| end.bytes_out))
}

/// Connections of one kind, and the exchanges on them.
#[derive(Default)]
struct Share {
    connections: u64,
    exchanges: u64,
}

impl Share {
    fn of<'a>(ends: impl Iterator<Item = &'a ConnectionView>) -> Self {
        let mut share = Self::default();
        for end in ends {
            share.connections += 1;
            share.exchanges = share.exchanges.saturating_add(asked_on(end));
        }
        share
    }

    fn bar(&self, label: Untrusted, owner: Owner) -> Bar {
        let Self { connections, exchanges } = self;
        let noun = if *connections == 1 { "connection" } else { "connections" };
        let figure = format!("{connections:2} {noun:11}  {exchanges:3} exchanges");
        Bar { label, length: *exchanges as f64, figure, owner, fact: None }
    }
}

/// The servers behind the proxy by name.
fn servers(evidence: &Evidence) -> Vec<(&Untrusted, Share)> {
    let mut servers = Vec::new();
    for listener in evidence.listeners() {
        if !Scenario::is_entrance(listener.local) {
            let ends = behind(evidence).filter(|end| end.peer == listener.local);
            servers.push((&listener.comm, Share::of(ends)));
        }
    }
    servers
}

fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    let clients = Share::of(of_clients(evidence));
    let mut bars = vec![clients.bar("clients to the proxy".into(), Owner::Peer)];
    for (name, share) in servers(evidence) {
        bars.push(share.bar(compose!("proxy to {}", name), Owner::App));
    }
    Picture::Bars {
        title: "connections on both sides, and exchanges as the kernel sees them".to_owned(),
        bars,
    }
}
