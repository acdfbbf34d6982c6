//! `--plain`: lines for people, without a terminal.

mod connects;
mod datagrams;
mod exchanges;
mod findings;
mod proxy;
mod run_end;
mod socket_events;
mod table;
mod times;
mod unix;

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Sink;
use crate::model::Attached;
use crate::model::event::{Accept, Cost, Pause, Process, ProcessChange, SockId, Stage};
use crate::model::output::{FindingState, Interest, Lost, Output, OverflowOutput, Summary};
use crate::model::snapshot::{Finding, ListenerView, PatternView, Snapshot, Totals, chain};
use crate::text::{Untrusted, count, count_of, duration_us, named, percent, take_columns};
use exchanges::{Exchanges, holders};
use findings::FindingLines;
use table::TextTable;
pub use times::Times;
use unix::UnixLines;

/// Lines of one sort that are written in one second; further ones are counted and summed up at the
/// next table.
const LINES_A_SECOND: u32 = 20;
/// Columns that text is wrapped to.
const WIDTH: usize = 100;

/// Colours of lines. They repeat what words say, and only loss has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// No colour at all.
    #[default]
    Never,
    /// The terminal's red for loss.
    Loss,
    /// This of the terminal's 256 colours for loss.
    Indexed(u8),
}

impl Colour {
    /// Returns `text`, red if it tells of a loss.
    fn loss(self, is_loss: bool, text: &str) -> String {
        match self {
            Self::Loss if is_loss => format!("\x1b[31m{text}\x1b[0m"),
            Self::Indexed(index) if is_loss => format!("\x1b[38;5;{index}m{text}\x1b[0m"),
            Self::Never | Self::Loss | Self::Indexed(_) => text.to_owned(),
        }
    }
}

/// Writes lines for people.
///
/// A batch of outputs goes through `one` each: single events, of which budgets keep floods out.
/// Then come what was hidden (`hidden`), the figures of the interval (exchanges, UDP sockets, the
/// table of listeners, Unix-domain sockets), and findings and the summary (`blocks`).
#[derive(Clone, Debug, Default)]
pub struct Plain {
    colour: Colour,
    times: Option<Times>,
    attached_ns: u64,
    table: TextTable,
    unix: UnixLines,
    exchanges: Exchanges,
    findings: FindingLines,
    accepts: Budget,
    refusals: Budget,
    connects: Budget,
    notices: Vec<Untrusted>,
}

/// Keeps floods out: so many lines each second of kernel time.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    second: u64,
    written: u32,
    hidden: u64,
}

impl Budget {
    /// Allows a line that stands for `count` things at this time, or counts it as hidden.
    fn allows(&mut self, ts_ns: u64, count: u64) -> bool {
        let second = ts_ns / 1_000_000_000;
        if second > self.second {
            (self.second, self.written) = (second, 0);
        }
        let allowed = self.written < LINES_A_SECOND;
        if allowed {
            self.written += 1;
        } else {
            self.hidden = self.hidden.saturating_add(count);
        }
        allowed
    }
}

impl Plain {
    /// Interest of lines: slow exchanges only, and no connection's end.
    pub const INTEREST: Interest =
        Interest { exchanges_from_us: exchanges::SLOW_US, connections: false };

    /// Makes a writer. Times are shown in seconds since the attach.
    pub fn new(colour: Colour) -> Self {
        Self { colour, ..Self::default() }
    }

    /// Adds times of the day.
    #[must_use]
    pub fn with_times(self, times: Option<Times>) -> Self {
        Self { times, ..self }
    }

    fn event(
        &self,
        out: &mut dyn Write,
        ts_ns: u64,
        name: &str,
        text: &str,
        is_loss: bool,
    ) -> io::Result<()> {
        writeln!(
            out,
            "{} {} {text}",
            self.time(ts_ns),
            self.colour.loss(is_loss, &format!("{name:<9}"))
        )
    }

    /// Returns what a line begins with: seconds since the attach, or the time of day.
    fn time(&self, ts_ns: u64) -> String {
        if let Some(times) = &self.times
            && let Some(time) = times.of_line(ts_ns)
        {
            return time;
        }
        format!("{:>9.3}", ts_ns.saturating_sub(self.attached_ns) as f64 / 1e9)
    }

    fn one(&mut self, out: &mut dyn Write, output: &Output, snapshot: &Snapshot) -> io::Result<()> {
        let ts_ns = output.ts_ns();
        match output {
            Output::Accept(accept) if self.accepts.allows(ts_ns, 1) => {
                self.event(out, ts_ns, "accept", &accept_text(accept), false)
            }
            // A syncookie refuses nobody; the summary counts them.
            Output::Overflow(overflow) if overflow.stage == Stage::Cookie => Ok(()),
            Output::Overflow(overflow) if self.refusals.allows(ts_ns, overflow.count) => {
                self.event(out, ts_ns, "overflow", &overflow_text(overflow, snapshot), true)
            }
            Output::Syn(syn) => {
                let text = format!(
                    "{} at {}, accept queue {}, SYN queue {}",
                    syn.peer,
                    local_of(syn.listener, snapshot),
                    syn.depth,
                    syn.syn_depth
                );
                self.event(out, ts_ns, "syn", &text, false)
            }
            Output::SynAckRetransmit(again) => {
                let text = format!("{} SYN-ACK retransmission {}", again.peer, again.count);
                self.event(out, ts_ns, "syn-ack", &text, false)
            }
            Output::Connect(connect) if self.connects.allows(ts_ns, 1) => {
                self.event(out, ts_ns, "connect", &connects::text(connect), true)
            }
            Output::Exchange(exchange) => {
                self.exchanges.note(exchange);
                Ok(())
            }
            Output::Process(process) => {
                self.event(out, ts_ns, "process", &process_text(process), false)
            }
            Output::Pattern(pattern) => {
                self.event(out, ts_ns, "pattern", &pattern_text(&pattern.view), false)
            }
            Output::Proxy(proxy) => {
                self.event(out, ts_ns, "proxy", &proxy::text(&proxy.view), false)
            }
            Output::SocketEvent(output) => self.event(
                out,
                ts_ns,
                output.event.kind.name(),
                &socket_events::text(output),
                false,
            ),
            Output::Pause(pause) => self.event(out, ts_ns, "pause", pause_text(pause), false),
            Output::Lost(lost) => self.event(out, ts_ns, "lost", &lost_text(lost), true),
            _ => Ok(()),
        }
    }

    fn hidden(&mut self, out: &mut dyn Write, ts_ns: u64) -> io::Result<()> {
        for (budget, name, what) in [
            (self.accepts, "accept", "more accept"),
            (self.refusals, "overflow", "more refused packet"),
            (self.connects, "connect", "more failed connect"),
        ] {
            if budget.hidden > 0 {
                let text = format!("… and {}", count_of(budget.hidden, what));
                self.event(out, ts_ns, name, &text, name != "accept")?;
            }
        }
        (self.accepts.hidden, self.refusals.hidden, self.connects.hidden) = (0, 0, 0);
        Ok(())
    }

    /// Writes findings and the summary, set off by empty lines. What follows from a finding stays
    /// right below it.
    fn blocks(&mut self, out: &mut dyn Write, outputs: &[Output]) -> io::Result<()> {
        let mut is_first = true;
        let mut told: Vec<&Finding> = Vec::new();
        for output in outputs {
            let follows = match output {
                Output::Summary(_) => false,
                Output::Finding(report) => {
                    let finding = &report.finding;
                    let is_told = report.state != FindingState::Ended;
                    let follows =
                        is_told && told.iter().any(|cause| chain::explains(cause, finding));
                    if !follows {
                        told.clear();
                    }
                    told.push(finding);
                    follows
                }
                _ => continue,
            };
            if !follows {
                writeln!(out)?;
            }
            is_first = false;
            match output {
                Output::Finding(finding) => self.findings.write(out, self.colour, finding)?,
                Output::Summary(summary) => self.summary(out, summary)?,
                _ => {}
            }
        }
        if !is_first {
            writeln!(out)?;
        }
        Ok(())
    }

    fn summary(&self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        writeln!(out, "Summary after {}", duration_us(summary.duration_us))?;
        run_end::summary(out, self.colour, summary)?;
        self.write_queues(out, summary)?;
        if let Some(paused_us) = summary.paused_us {
            let watched = 1.0 - paused_us as f64 / summary.duration_us.max(1) as f64;
            writeln!(
                out,
                "  budget       exchanges watched for {} of the time, and counted only then",
                percent(watched)
            )?;
        }
        if summary.times.exchanges > 0 {
            let exchange = &summary.exchange;
            let [p50, p99, max] = [exchange.p50, exchange.p99, exchange.max].map(duration_us);
            let exchanges = count(summary.times.exchanges);
            let connections = count_of(summary.connections, "connection");
            writeln!(
                out,
                "  exchanges    {exchanges} on {connections}, p50 {p50}, p99 {p99}, max {max}"
            )?;
            writeln!(out, "  their time   {}", holders(&summary.held))?;
        }
        connects::summary(out, self.colour, summary)?;
        if let Some(totals) = &summary.datagrams {
            datagrams::summary(out, self.colour, totals)?;
        }
        findings::write_count(out, summary)?;
        let [seen, delivered, lost] = [summary.seen, summary.delivered, summary.lost].map(count);
        let mut records = format!("{seen} seen, {delivered} delivered, {lost} lost");
        if summary.not_kept > 0 {
            records += &format!("; {} not kept: no room", count(summary.not_kept));
        }
        let loses = summary.lost > 0 || summary.not_kept > 0;
        writeln!(out, "  records      {}", self.colour.loss(loses, &records))?;
        if let Some(cost) = &summary.cost {
            writeln!(out, "  cost         {}", cost_text(cost))?;
        }
        findings::write_all(out, self.colour, summary, |ts_ns| {
            self.time(ts_ns).trim_start().to_owned()
        })
    }

    fn write_queues(&self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        let (totals, wait) = (&summary.totals, &summary.wait);
        writeln!(out, "  listeners    {}", count(summary.listeners))?;
        let abandoned = count(totals.abandoned);
        let (queued, accepted) = (count(totals.queued), count(totals.accepted));
        writeln!(
            out,
            "  connections  {queued} queued, {accepted} accepted, {abandoned} left unaccepted"
        )?;
        if let Some(fails) = totals.accept_fails
            && fails > 0
        {
            let fails = self.colour.loss(true, &format!("{} failed", count(fails)));
            writeln!(out, "  accept()     {fails}")?;
        }
        let is_loss = totals.overflows() > 0 || totals.syn_dropped.unwrap_or(0) > 0;
        writeln!(out, "  refused      {}", self.colour.loss(is_loss, &refused_text(totals)))?;
        let known = |figure: Option<u64>| match figure {
            Some(figure) => count(figure),
            None => "not observed".to_owned(),
        };
        let (dropped, cookies) = (known(totals.syn_dropped), known(totals.cookies_sent));
        writeln!(
            out,
            "  SYN queue    dropped: {dropped}; syncookies: {cookies}; SYN-ACKs retransmitted: {}",
            count(totals.synack_retransmits)
        )?;
        if wait.count > 0 {
            let [p50, p90, p99, max] = [wait.p50, wait.p90, wait.p99, wait.max].map(duration_us);
            writeln!(
                out,
                "  wait         p50 {p50}, p90 {p90}, p99 {p99}, max {max} ({})",
                count_of(wait.count, "accept")
            )?;
        }
        Ok(())
    }
}

impl Sink for Plain {
    fn interest(&self) -> Interest {
        Self::INTEREST
    }

    fn attached(&mut self, out: &mut dyn Write, attached: &Attached) -> io::Result<()> {
        self.attached_ns = attached.ts_ns;
        let targets = Untrusted::join(&attached.targets, ", ");
        let (kernel, tier) = (attached.kernel.for_terminal(), attached.tier.for_terminal());
        let took = duration_us(attached.attach_us);
        let at = match &mut self.times {
            Some(times) => format!(" at {}", times.begin(attached.ts_ns)),
            None => String::new(),
        };
        writeln!(
            out,
            "Watching {} on kernel {kernel}, {tier} tier, attached in {took}{at}.",
            targets.for_terminal()
        )?;
        match seen_less(&attached.gaps) {
            Some(line) => writeln!(out, "  {line}"),
            None => Ok(()),
        }
    }

    fn notices(&mut self, out: &mut dyn Write, snapshot: &Snapshot) -> io::Result<()> {
        self.attached_ns =
            snapshot.now_ns.saturating_sub(snapshot.elapsed_us.saturating_mul(1_000));
        for notice in &snapshot.notices {
            if !self.notices.contains(notice) {
                let text = notice.for_terminal().to_string();
                self.event(out, snapshot.now_ns, "note", &text, false)?;
            }
        }
        self.notices.clone_from(&snapshot.notices);
        Ok(())
    }

    fn write(
        &mut self,
        out: &mut dyn Write,
        outputs: &[Output],
        snapshot: &Snapshot,
    ) -> io::Result<()> {
        self.attached_ns =
            snapshot.now_ns.saturating_sub(snapshot.elapsed_us.saturating_mul(1_000));
        if let Some(times) = &mut self.times
            && let Some(date) = times.new_date(snapshot.now_ns)
        {
            self.event(out, snapshot.now_ns, "date", &date, false)?;
        }
        self.notices(out, snapshot)?;
        for output in outputs {
            self.one(out, output, snapshot)?;
        }
        let listeners = newest(outputs);
        let ends = outputs.iter().any(|output| matches!(output, Output::Summary(_)));
        if !listeners.is_empty() || ends {
            self.hidden(out, snapshot.now_ns)?;
            let time = self.time(snapshot.now_ns);
            self.exchanges.write(out, &time, snapshot)?;
        }
        if !ends {
            datagrams::quic(out, &self.time(snapshot.now_ns), outputs)?;
            datagrams::write(out, self.colour, &self.time(snapshot.now_ns), outputs)?;
        }
        if !listeners.is_empty() {
            let time = self.time(snapshot.now_ns);
            self.table.write(out, self.colour, &time, &listeners)?;
            if !ends {
                let findings = &snapshot.findings;
                self.findings.write_lasting(out, self.colour, snapshot.now_ns, findings)?;
            }
        }
        self.unix.write(out, self.colour, &self.time(snapshot.now_ns), outputs)?;
        self.blocks(out, outputs)
    }
}

/// "Sees less on this kernel: late, reset; see `backscope doctor`": the signals that lack something,
/// as many as a line has room for. `doctor` has a sentence on each.
fn seen_less(gaps: &[Untrusted]) -> Option<String> {
    const LESS: &str = "Sees less on this kernel: ";
    const SEE: &str = "; see `backscope doctor`";
    const MORE: &str = " and 99 more";
    if gaps.is_empty() {
        return None;
    }
    let mut line = LESS.to_owned();
    for (at, gap) in gaps.iter().enumerate() {
        let text = gap.for_terminal().to_string();
        let signal = text.split_once(": ").map_or(text.as_str(), |(signal, _)| signal);
        let room = WIDTH - 2 - SEE.len() - MORE.len();
        if at > 0 && line.chars().count() + 2 + signal.chars().count() > room {
            line += &format!(" and {} more", count((gaps.len() - at) as u64));
            break;
        }
        line += if at > 0 { ", " } else { "" };
        line += take_columns(signal, room.saturating_sub(LESS.len()));
    }
    Some(line + SEE)
}

/// The newest figures of each listener, in the order in which they first came.
fn newest(outputs: &[Output]) -> Vec<&ListenerView> {
    let mut places = BTreeMap::new();
    let mut newest = Vec::new();
    for output in outputs {
        let Output::Listener(listener) = output else { continue };
        let place = *places.entry(listener.view.sock).or_insert(newest.len());
        if place == newest.len() {
            newest.push(&listener.view);
        }
        newest[place] = &listener.view;
    }
    newest
}

fn local_of(listener: SockId, snapshot: &Snapshot) -> String {
    match snapshot.listeners.iter().find(|view| view.sock == listener) {
        Some(view) => view.local.to_string(),
        None => "a new listener".to_owned(),
    }
}

fn accept_text(accept: &Accept) -> String {
    let about = if accept.queued_estimated { "about " } else { "" };
    let waited = match accept.queued_us() {
        Some(us) => format!("waited {about}{}", duration_us(us)),
        None => "wait not observed".to_owned(),
    };
    let fd = match accept.fd {
        Some(fd) => format!(" as fd {fd}"),
        None => String::new(),
    };
    let (comm, tid) = (accept.comm.for_terminal(), accept.tid);
    format!("{} at {}: {waited}, taken by {comm} ({tid}){fd}", accept.peer, accept.local)
}

fn overflow_text(overflow: &OverflowOutput, snapshot: &Snapshot) -> String {
    let what = match overflow.stage {
        _ if !overflow.stage_certain => "SYN or final ACK refused",
        Stage::Syn => "SYN dropped",
        Stage::Ack => "final ACK ignored",
        Stage::SynQueue => "SYN dropped, SYN queue full",
        Stage::Cookie => "syncookie sent",
    };
    let who = match overflow.peer {
        Some(peer) => peer.to_string(),
        None => format!("{} from unknown peers", count_of(overflow.count, "packet")),
    };
    let local = local_of(overflow.listener, snapshot);
    format!("{who} at {local}: {what}, accept queue {} of {}", overflow.depth, overflow.limit)
}

fn process_text(process: &Process) -> String {
    let name = format!("{} ({})", process.pid, process.comm.for_terminal());
    match process.change {
        ProcessChange::Forked { parent } => {
            format!("{name} is a new child of {parent}, now watched")
        }
        ProcessChange::Executed => format!("{name} executed a new program"),
        ProcessChange::Exited => format!("{name} exited"),
        ProcessChange::ExitedWith { status } => format!("{name} exited: {}", status.words()),
    }
}

/// "api-server 4242: acceptor + readers, threads, event-loop (0.97): 1 thread accepts, 4 read and
/// write".
fn pattern_text(view: &PatternView) -> String {
    let mut kind = view.name.words().to_owned();
    if let Some(units) = view.units {
        kind += &format!(", {}", units.name());
    }
    if let Some(io) = view.io {
        kind += &format!(", {}", io.name());
    }
    format!(
        "{}: {kind} ({:.2}): {}",
        named(&view.comm, view.pid).for_terminal(),
        view.confidence,
        view.headline
    )
}

fn pause_text(pause: &Pause) -> &'static str {
    if pause.begins {
        "exchanges are not watched, to keep to the budget"
    } else {
        "exchanges are watched again"
    }
}

fn lost_text(lost: &Lost) -> String {
    format!(
        "{} (\"{}\"), {} so far",
        count(lost.count),
        lost.probe.for_terminal(),
        count(lost.total)
    )
}

fn refused_text(totals: &Totals) -> String {
    match totals.overflow_ack {
        Some(ack) => {
            let dropped = count_of(totals.overflow_syn, "SYN");
            format!("{dropped} dropped, {} ignored", count_of(ack, "final ACK"))
        }
        None if totals.overflow_syn == 1 => "1 SYN dropped or final ACK ignored".to_owned(),
        None => format!("{} SYNs dropped or final ACKs ignored", count(totals.overflow_syn)),
    }
}

fn cost_text(cost: &Cost) -> String {
    let probes = match (cost.probe_ns, cost.probe_runs) {
        (Some(ns), Some(runs)) if runs > 0 => {
            format!(
                "{} on the whole machine of {} ns each, ",
                count_of(runs, "probe run"),
                count(ns / runs)
            )
        }
        _ => String::new(),
    };
    let agent = duration_us(cost.agent_cpu_us);
    format!("{probes}agent {agent} of CPU, {:.1} MB", cost.agent_rss_bytes as f64 / 1e6)
}
