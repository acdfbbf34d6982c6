//! `--plain`: lines for people, without a terminal.

mod connects;
mod datagrams;
mod exchanges;
mod findings;
mod proxy;
mod socket_events;
mod summary;
mod table;
mod times;
mod unix;
mod words;

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Sink;
use crate::model::Attached;
use crate::model::event::Stage;
use crate::model::output::{FindingState, Interest, Output};
use crate::model::snapshot::{Finding, ListenerView, Snapshot, chain};
use crate::text::{Untrusted, count, count_of, duration_us, take_columns};
use exchanges::Exchanges;
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
        Interest { exchanges_from_us: exchanges::SLOW_US, each: true, connections: false };

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
                self.event(out, ts_ns, "accept", &words::accept(accept), false)
            }
            // A syncookie refuses nobody; the summary counts them.
            Output::Overflow(overflow) if overflow.stage == Stage::Cookie => Ok(()),
            Output::Overflow(overflow) if self.refusals.allows(ts_ns, overflow.count) => {
                self.event(out, ts_ns, "overflow", &words::overflow(overflow, snapshot), true)
            }
            Output::Syn(syn) => {
                let text = format!(
                    "{} at {}, accept queue {}, SYN queue {}",
                    syn.peer,
                    words::local_of(syn.listener, snapshot),
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
                self.event(out, ts_ns, "process", &words::process(process), false)
            }
            Output::Pattern(pattern) => {
                self.event(out, ts_ns, "pattern", &words::pattern(&pattern.view), false)
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
            Output::Pause(pause) => self.event(out, ts_ns, "pause", words::pause(pause), false),
            Output::Lost(lost) => self.event(out, ts_ns, "lost", &words::lost(lost), true),
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
