//! Parts of a lesson's check.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use demo_servers::{delay_link, demo, route};

use super::{
    evidence::{Evidence, Who, sum},
    fact::{LessonFacts, Spec},
    lesson::Knobs,
};
use crate::model::{
    snapshot::{Holder, Owner},
    timeline::Step,
};
use crate::text::Untrusted;

/// The code of a lesson: what runs, and which facts the evidence yields.
#[derive(Debug)]
pub struct Check {
    /// Settings that a run has.
    pub knobs: &'static [&'static str],
    /// Facts that can be measured.
    pub facts: &'static [Spec],
    /// Makes the scenario that runs.
    pub scenario: fn(&Knobs) -> Scenario,
    /// Draws the facts from the evidence.
    pub gather: fn(&Knobs, &Evidence, &mut LessonFacts),
    /// Draws the picture from the evidence.
    pub picture: fn(&Knobs, &Evidence, &LessonFacts) -> Picture,
}

/// A server and its clients: verbs of the demo servers with their arguments.
///
/// They run in a network of their own, where the server's address is [`Scenario::ADDRESS`] unless
/// it is [`Scenario::far`]. The clients begin once it listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// The server.
    pub server: Vec<String>,
    /// The clients.
    pub clients: Vec<Vec<String>>,
    /// The clients first connect; then, all at once, each gets a line on standard input (`client
    /// --wait`).
    pub together: bool,
    /// The clients begin once so many workers have said that they are there.
    pub workers: usize,
    /// Servers that the one process starts: the clients begin once all listen. 0 is one.
    pub servers: usize,
    /// Round trip between them, ms; without a link they are next to one another.
    pub link_ms: Option<u64>,
    /// Share of the packets that the link loses, percent.
    pub loss: u8,
    /// Place of the packet that the link loses once, in a burst of the server's.
    pub lost_in_burst: Option<u64>,
    /// The link drops the packet with this number, counted from 1 among the server's TCP segments
    /// with data.
    pub drop_nth: Option<u64>,
    /// A router between them, each with a network of its own.
    pub router: Option<Router>,
    /// Each packet is told by a capture in the clients' network.
    pub captured: bool,
    /// Settings of the kernel in their network: "net.ipv4.tcp_rmem" and its value.
    pub sysctls: BTreeMap<String, String>,
}

/// A router between the clients' host and the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Router {
    /// Longest packet that it sends to the server, bytes. Neither end knows of it.
    pub mtu: u64,
    /// What it tells the clients by ICMP is lost.
    pub silent: bool,
}

impl Scenario {
    /// Address of the server, next to its clients.
    pub const ADDRESS: &'static str = "127.0.0.1:8080";
    /// Its port, wherever it listens.
    pub const PORT: u16 = 8080;

    /// Makes a scenario of this server, by its words.
    pub fn server(words: &str) -> Self {
        Self { server: split(&format!("{words} --listen {}", Self::ADDRESS)), ..Self::default() }
    }

    /// The server and the client of a named demo, with these knobs: "https-tls13 --connections 4".
    pub fn demo(words: &str) -> Self {
        let server = match demo_server(words) {
            Some(server) => Self::server(&server),
            // What is wrong with it is said once it runs.
            None => Self::server(&format!("demo {words} --server-only")),
        };
        server.demo_client(words)
    }

    /// A round trip between server and clients takes so long, if the kernel has TUN devices.
    #[must_use]
    pub fn far(self, link_ms: u64) -> Self {
        let at = |address: Ipv4Addr| SocketAddr::from((address, Self::PORT)).to_string();
        let moved = self.moved(&at(delay_link::NEAR), &at(delay_link::FAR));
        Self { link_ms: Some(link_ms), ..moved }
    }

    /// The link loses this share of the packets, percent. Where there is none yet there will be one,
    /// with the shortest round trip.
    #[must_use]
    pub fn lossy(self, percent: u8) -> Self {
        let linked = if self.link_ms.is_some() { self } else { self.far(1) };
        Self { loss: percent, ..linked }
    }

    /// The link loses the n-th large packet of a burst of the server's, once.
    #[must_use]
    pub fn losing(self, place: u64) -> Self {
        Self { lost_in_burst: Some(place), ..self }
    }

    /// The link drops one packet. Where there is none yet there will be one, with the shortest round
    /// trip.
    #[must_use]
    pub fn dropping(self, nth: u64) -> Self {
        let linked = if self.link_ms.is_some() { self } else { self.far(1) };
        Self { drop_nth: Some(nth), ..linked }
    }

    /// Clients and server are on hosts of their own, with a router between them.
    #[must_use]
    pub fn routed(self, router: Router) -> Self {
        let server = SocketAddr::from((route::SERVER, Self::PORT)).to_string();
        Self { router: Some(router), ..self.moved(&server, &server) }
    }

    /// Has each packet told, by its headers.
    #[must_use]
    pub fn captured(self) -> Self {
        Self { captured: true, ..self }
    }

    /// Sets something of the kernel in their network.
    #[must_use]
    pub fn sysctl(mut self, name: &str, value: impl ToString) -> Self {
        self.sysctls.insert(name.to_owned(), value.to_string());
        self
    }

    /// Takes the link away.
    #[must_use]
    pub fn near(self) -> Self {
        Self {
            link_ms: None,
            loss: 0,
            lost_in_burst: None,
            drop_nth: None,
            ..self.moved(Self::ADDRESS, Self::ADDRESS)
        }
    }

    /// Returns whether this is the server's address, with a link or without: where it listens, or
    /// where the clients find it.
    pub fn is_entrance(address: SocketAddr) -> bool {
        let ip = address.ip();
        let hosts = [Ipv4Addr::LOCALHOST, delay_link::NEAR, delay_link::FAR];
        address.port() == Self::PORT && hosts.into_iter().any(|host| ip == host)
    }

    /// Returns the address that the server listens on.
    pub fn address(&self) -> &str {
        match self.server.last() {
            Some(address) => address,
            None => Self::ADDRESS,
        }
    }

    /// The server listens at the one address, and the clients find it at the other. An address is
    /// always the last word.
    fn moved(mut self, server: &str, client: &str) -> Self {
        let put = |words: &mut Vec<String>, address: &str| {
            if let Some(last) = words.last_mut() {
                address.clone_into(last);
            }
        };
        put(&mut self.server, server);
        for words in &mut self.clients {
            put(words, client);
        }
        self
    }

    /// The clients begin once so many workers have said that they are there.
    #[must_use]
    pub fn workers(self, workers: u64) -> Self {
        Self { workers: workers as usize, ..self }
    }

    /// The one process starts so many servers, at its port and those after it.
    #[must_use]
    pub fn servers(self, servers: usize) -> Self {
        Self { servers, ..self }
    }

    /// Adds a client of one of these servers, by its place.
    #[must_use]
    pub fn client_of(self, place: u16, words: &str) -> Self {
        let port = Self::PORT.saturating_add(place);
        self.command(&format!("{words} --target {}", SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// Adds so many clients that first connect, and then ask all at once.
    #[must_use]
    pub fn clients_together(mut self, clients: u64, words: &str) -> Self {
        for _ in 0..clients {
            self = self.client(&format!("{words} --wait --trace"));
        }
        Self { together: true, ..self }
    }

    /// Adds a client.
    #[must_use]
    pub fn client(self, words: &str) -> Self {
        self.command(&format!("{words} --target {}", Self::ADDRESS))
    }

    /// Adds the client of a named demo.
    #[must_use]
    pub fn demo_client(self, words: &str) -> Self {
        self.command(&format!("demo {words} --client-only {}", Self::ADDRESS))
    }

    fn command(mut self, words: &str) -> Self {
        self.clients.push(split(words));
        self
    }
}

/// The words of a named demo's server, with these knobs.
fn demo_server(words: &str) -> Option<String> {
    let mut words = words.split_whitespace();
    let demo = demo::find(words.next()?)?;
    let knobs: Vec<_> = words.collect();
    let choice = demo::Choice::new(demo, &knobs).ok()?;
    let server: Vec<_> = choice.server.iter().map(|word| word.to_string_lossy()).collect();
    Some(server.join(" "))
}

fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

/// A picture of what was seen.
#[derive(Clone, Debug)]
pub enum Picture {
    /// Steps between peer, kernel and app.
    Lanes {
        /// Who stands in the app's lane: the other is the peer.
        app: Who,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Bars under a title.
    Bars {
        /// Title: what they count.
        title: String,
        /// The bars.
        bars: Vec<Bar>,
    },
    /// Shells, one within the other.
    Nested {
        /// Title: what they are of.
        title: String,
        /// The shells, the outermost first.
        shells: Vec<Bar>,
    },
}

impl Picture {
    /// Draws that nothing was seen.
    pub(super) fn nothing() -> Self {
        Self::Lanes { app: Who::Server, steps: Vec::new() }
    }

    /// Tells the facts of what is drawn, so that the text can be held against the picture, too.
    pub(super) fn tell(&self, facts: &mut LessonFacts) {
        match self {
            Self::Lanes { steps, .. } => tell_steps(steps, facts),
            Self::Bars { bars, .. } | Self::Nested { shells: bars, .. } => tell_bars(bars, facts),
        }
    }

    /// True if it gives time to this owner, step by step.
    pub fn shows(&self, wanted: Owner) -> bool {
        let Self::Lanes { steps, .. } = self else { return false };
        steps.iter().any(|step| match step {
            Step::Held { us, owner, .. } => *us > 0 && *owner == Holder::from(wanted),
            _ => false,
        })
    }

    /// True if all that it draws are facts of the lesson.
    pub fn is_of_facts(&self) -> bool {
        match self {
            Self::Lanes { .. } => false,
            Self::Bars { bars, .. } | Self::Nested { shells: bars, .. } => {
                !bars.is_empty() && bars.iter().all(|bar| bar.fact.is_some())
            }
        }
    }
}

fn tell_bars(bars: &[Bar], facts: &mut LessonFacts) {
    let lengths = || bars.iter().map(|bar| bar.length);
    facts.whole("drawn_bars", bars.len() as u64);
    facts.number("drawn_sum", lengths().sum::<f64>());
    facts.number("drawn_most", lengths().max_by(f64::total_cmp));
    facts.number("drawn_least", lengths().min_by(f64::total_cmp));
}

fn tell_steps(steps: &[Step], facts: &mut LessonFacts) {
    let arrows = steps.iter().filter(|step| matches!(step, Step::Arrow { .. })).count();
    facts.whole("drawn_arrows", arrows as u64);
    let owners = [
        ("drawn_kernel", Owner::Kernel),
        ("drawn_app", Owner::App),
        ("drawn_network", Owner::Network),
        ("drawn_peer", Owner::Peer),
    ];
    for (name, wanted) in owners {
        let of_owner = steps.iter().filter_map(|step| match step {
            Step::Held { us, owner, .. } if *owner == Holder::from(wanted) => Some(*us),
            _ => None,
        });
        facts.whole(name, sum(of_owner));
    }
}

/// A bar of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Label: what it is of.
    pub label: Untrusted,
    /// Length, in the unit of what it shows.
    pub length: f64,
    /// The figure beside it.
    pub figure: String,
    /// Owner of what it shows.
    pub owner: Owner,
    /// The fact that it draws; `None` if it is one of many of a kind.
    pub fact: Option<&'static str>,
}

impl Bar {
    /// Draws a fact: a "?" without length if it was not observed.
    pub fn of(facts: &LessonFacts, fact: &'static str, label: &str, owner: Owner) -> Self {
        Self {
            label: label.into(),
            length: facts.figure(fact).unwrap_or(0.0),
            figure: facts.shown(fact),
            owner,
            fact: Some(fact),
        }
    }
}
