//! The network of a live run: the link between server and clients, or a router, and the capture of
//! packets.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender},
};

use anyhow::{Context, bail};
use demo_servers::own_network::Namespace;

use super::{
    check::{Router, Scenario},
    evidence::{Who, report},
    live::{Line, PATIENCE, Process},
};

/// The processes that are the network, and what is said of it.
#[derive(Default)]
pub(super) struct Network {
    /// Lines that belong to the reports.
    pub(super) reports: Vec<String>,
    /// The network namespace of the server, if it has a host of its own.
    servers: Option<PathBuf>,
    /// The link, or the router. It ends when it is dropped.
    carrier: Option<Process>,
    capture: Option<Process>,
}

impl Network {
    /// Makes the network that the scenario wants, in the calling thread's namespace, and returns the
    /// scenario as it can run there. Without a TUN device there is no link, and all are on one
    /// host.
    pub(super) fn make(
        scenario: &Scenario,
        sender: &Sender<Line>,
        lines: &Receiver<Line>,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<(Scenario, Self)> {
        let (mut scenario, mut network) = (scenario.clone(), Self::default());
        if let Some(router) = scenario.router {
            network.route(router, sender, lines)?;
        } else if let Some(link_ms) = scenario.link_ms
            && let Some(said) = network.link(&scenario, link_ms, sender, lines)?
        {
            tell(&format!("no link, so server and client run side by side: {said}"));
            network.reports.push(report(Who::Link, &said));
            scenario = scenario.near();
        }
        if scenario.captured {
            let port = Scenario::PORT;
            let words = ["capture".to_owned(), format!("--port={port}")];
            let (process, said) = begin(Who::Wire, &words, sender, lines)?;
            if said != "capturing" {
                bail!("the packets cannot be captured: {said}");
            }
            network.capture = Some(process);
        }
        Ok((scenario, network))
    }

    /// Starts the link. Returns what it said if there can be none here.
    fn link(
        &mut self,
        scenario: &Scenario,
        link_ms: u64,
        sender: &Sender<Line>,
        lines: &Receiver<Line>,
    ) -> anyhow::Result<Option<String>> {
        let mut words = vec!["delay-link".to_owned(), format!("--rtt={link_ms}ms")];
        words.push(format!("--loss={}", scenario.loss));
        words.extend(scenario.drop_nth.map(|nth| format!("--drop-nth={nth}")));
        words.extend(scenario.lost_in_burst.map(|place| format!("--drop-in-burst={place}")));
        let (process, said) = begin(Who::Link, &words, sender, lines)?;
        if !said.starts_with("link ") {
            return Ok(Some(said));
        }
        let us = link_ms.saturating_mul(1_000);
        self.reports.push(report(Who::Link, &format!("round-trip us={us}")));
        self.carrier = Some(process);
        Ok(None)
    }

    /// Starts the router and the server's host. The calling thread's host is the clients'.
    fn route(
        &mut self,
        router: Router,
        sender: &Sender<Line>,
        lines: &Receiver<Line>,
    ) -> anyhow::Result<()> {
        let mut words = vec!["route".to_owned(), format!("--mtu={}", router.mtu)];
        if router.silent {
            words.push("--lose-icmp".to_owned());
        }
        let (process, said) = begin(Who::Wire, &words, sender, lines)?;
        if !said.starts_with("route ") {
            bail!(
                "this lesson needs three hosts, and those need TUN devices (modprobe tun): {said}"
            );
        }
        let (_, said) = lines.recv_timeout(PATIENCE).context("the router printed nothing")?;
        let path = said.strip_prefix("network ").context("the router has no server's host")?;
        self.servers = Some(PathBuf::from(path));
        self.carrier = Some(process);
        Ok(())
    }

    /// Starts something on the server's host.
    pub(super) fn on_servers_host<T>(
        &self,
        start: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Some(servers) = &self.servers else { return start() };
        let ours = Namespace::here()?;
        join(servers).context("cannot reach the server's host")?;
        let started = start();
        ours.join().context("cannot leave the server's host")?;
        started
    }

    /// Its processes.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.carrier.iter().chain(&self.capture).map(Process::id)
    }

    /// Tells the capture that nothing will come any more.
    pub(super) fn end_capture(&mut self) {
        if let Some(capture) = &mut self.capture {
            capture.end_input();
        }
    }

    /// True once all that was captured is told, or if nothing is captured.
    pub(super) fn captured_all(&mut self) -> anyhow::Result<bool> {
        match &mut self.capture {
            Some(capture) => Ok(capture.said_all()?),
            None => Ok(true),
        }
    }
}

fn join(path: &Path) -> anyhow::Result<()> {
    Ok(Namespace::at(path)?.join()?)
}

/// Starts a process of the network, and returns it with its first line.
fn begin(
    who: Who,
    words: &[String],
    sender: &Sender<Line>,
    lines: &Receiver<Line>,
) -> anyhow::Result<(Process, String)> {
    let mut process = Process::start(who, words, sender)?;
    process.go()?;
    let (_, said) = lines
        .recv_timeout(PATIENCE)
        .with_context(|| format!("the {} printed nothing", who.name()))?;
    Ok((process, said))
}
