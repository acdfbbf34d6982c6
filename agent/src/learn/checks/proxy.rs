//! A proxy with connections on both sides: how many, and who answers what comes on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::traffic::{asked_on, behind, cast, exchanges_on, of_clients};
use crate::{
    learn::{
        check::{Bar, Cast, Check, Picture},
        evidence::{Evidence, Who, median},
        fact::{Facts, Spec},
        lesson::Knobs,
    },
    model::snapshot::{ConnectionView, Owner},
};

/// Longer than anything takes but a server that was told to wait for 20 ms.
const SLOW_US: u64 = 15_000;

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["demo"],
    facts: &[
        Spec::count("clients", "connections of the clients"),
        Spec::count("upstream", "connections to servers behind the proxy"),
        Spec::count("accepts", "connections that were accepted, by whom ever"),
        Spec::count("programs", "programs that accepted one"),
        Spec::count("slow", "connections on which an answer took 15 ms or longer"),
        Spec::count("requests", "requests of the clients that were answered"),
        Spec::count("servers", "servers behind the proxy that got a connection"),
        Spec::count("busiest", "requests that the busiest of them answered"),
        Spec::count("idlest", "requests that the idlest of them answered"),
        Spec::bytes("asked", "what the clients wrote"),
        Spec::bytes("passed", "what proxies wrote to the servers behind them"),
        Spec::bytes("answered", "what the clients read"),
        Spec::count("marked", "answers with the proxy's mark in them"),
        Spec::count("proxies", "proxies whose mark an answer bears"),
        Spec::word("protocol", "what the proxy speaks with the servers behind it"),
        Spec::time("median", "an answer, by the client's end of the connection, the median"),
    ],
    cast,
    gather,
    picture,
};

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut Facts) {
    let asked = exchanges_on(evidence, of_clients(evidence));
    facts.whole("clients", of_clients(evidence).count() as u64);
    facts.whole("upstream", behind(evidence).count() as u64);
    facts.whole("accepts", evidence.accepts().count() as u64);
    let programs: BTreeSet<_> = evidence.accepts().map(|accept| accept.pid).collect();
    facts.whole("programs", programs.len() as u64);
    let slow = |end: &&ConnectionView| end.worst.as_ref().is_some_and(|worst| worst.total_us >= SLOW_US);
    facts.whole("slow", of_clients(evidence).chain(behind(evidence)).filter(slow).count() as u64);
    facts.whole("requests", evidence.number_after(Who::Client, "requests"));
    let servers = servers(evidence);
    facts.whole("servers", servers.len() as u64);
    let answered = || servers.values().map(|server| server.exchanges);
    facts.whole("busiest", answered().max());
    facts.whole("idlest", answered().min());
    facts.whole("asked", of_clients(evidence).map(|end| end.bytes_out).sum::<u64>());
    facts.whole("answered", of_clients(evidence).map(|end| end.bytes_in).sum::<u64>());
    facts.whole("passed", behind(evidence).map(|end| end.bytes_out).sum::<u64>());
    facts.whole("marked", evidence.number_after(Who::Client, "seen"));
    facts.whole("proxies", evidence.number_after(Who::Client, "proxies"));
    if let Some(protocol) = behind(evidence).find_map(|end| end.protocol) {
        facts.word("protocol", protocol.name());
    }
    facts.whole("median", median(asked.iter().map(|(_, exchange)| exchange.total_us)));
}

/// What a server behind a proxy got.
#[derive(Default)]
struct Share {
    connections: u64,
    exchanges: u64,
}

/// The servers behind the proxy by their addresses.
fn servers(evidence: &Evidence) -> BTreeMap<SocketAddr, Share> {
    let listening = evidence.listeners().iter().map(|listener| listener.local);
    let mut servers: BTreeMap<_, _> =
        listening.filter(|local| local.to_string() != Cast::ADDRESS).map(|local| (local, Share::default())).collect();
    for end in behind(evidence) {
        let share = servers.entry(end.peer).or_default();
        share.connections += 1;
        share.exchanges += asked_on(end);
    }
    servers
}

fn picture(_: &Knobs, evidence: &Evidence, _: &Facts) -> Picture {
    let figure = |connections: u64, exchanges: u64| format!("{connections:2} connections, {exchanges:3} requests");
    let bar = |label: String, share: &Share, owner| Bar {
        label,
        length: share.exchanges as f64,
        figure: figure(share.connections, share.exchanges),
        owner,
    };
    let sum = |ends: Vec<&ConnectionView>| Share {
        connections: ends.len() as u64,
        exchanges: ends.iter().map(|end| asked_on(end)).sum(),
    };
    let clients = bar("from clients".to_owned(), &sum(of_clients(evidence).collect()), Owner::Peer);
    let servers = servers(evidence);
    let servers =
        servers.values().enumerate().map(|(at, share)| bar(format!("to server {}", at + 1), share, Owner::App));
    let bars = std::iter::once(clients).chain(servers).collect();
    Picture::Bars { title: "connections on both sides of the proxy, and what came on them".to_owned(), bars }
}
