//! The summary at the end of a run.

use std::io::{self, Write};

use super::exchanges::holders;
use super::{Colour, Plain, connects, datagrams, findings};
use crate::model::RecordingStop;
use crate::model::event::Cost;
use crate::model::output::Summary;
use crate::model::snapshot::Totals;
use crate::text::{Untrusted, count, count_of, duration_us, percent};

/// Most ends that the summary names: the newest.
const MOST: usize = 8;

impl Plain {
    pub(super) fn summary(&self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        writeln!(out, "Summary after {}", duration_us(summary.duration_us))?;
        run_end(out, self.colour, summary)?;
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
            if summary.untold > 0 {
                let told = count(summary.times.exchanges.saturating_sub(summary.untold));
                writeln!(
                    out,
                    "  sampled      {told} of them were told, each slow or unusual one among them; \
                     an ordinary one stands for those before it"
                )?;
            }
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

/// Writes who ended, and how far the recording reaches; nothing where neither is to be said.
fn run_end(out: &mut dyn Write, colour: Colour, summary: &Summary) -> io::Result<()> {
    let ended = &summary.ended;
    let shown = ended.processes.len().min(MOST);
    let before = ended.count.saturating_sub(shown as u64);
    if before > 0 {
        writeln!(out, "  ended        {} targets before these:", count(before))?;
    }
    for process in &ended.processes[ended.processes.len() - shown..] {
        writeln!(out, "  ended        {}", process.words().for_terminal())?;
    }
    if let Some(stopped) = &summary.recording_stopped {
        let words = stopped_words(stopped, summary);
        let words = words.for_terminal().to_string();
        writeln!(out, "  recording    {}", colour.loss(true, &words))?;
    }
    Ok(())
}

/// "stopped 2.0 s before the end: No space left on device; it holds the first 10.2 s of the watch".
fn stopped_words(stopped: &RecordingStop, summary: &Summary) -> Untrusted {
    let before_us = summary.ts_ns.saturating_sub(stopped.ts_ns) / 1_000;
    let holds = match stopped.reaches_us(summary) {
        Some(us) => format!("it holds the first {} of the watch", duration_us(us)),
        None => "how far it reaches is not known".to_owned(),
    };
    compose!("stopped {} before the end: {}; {holds}", duration_us(before_us), stopped.reason)
}
