//! Connects that failed, and connections that a RST ended.

use std::io::{self, Write};

use super::Colour;
use crate::model::event::Connect;
use crate::model::output::Summary;
use crate::model::snapshot::{ConnectTotals, ResetTotals, error_name};
use crate::text::{count, duration_us};

/// "nginx 4242 to 10.0.0.1:80: refused after 80 µs (ECONNREFUSED)".
pub(super) fn text(connect: &Connect) -> String {
    let us = connect.ts_ns.saturating_sub(connect.asked_ns) / 1_000;
    let how = if connect.inferred { ", inferred from its routes or ports" } else { "" };
    let error = match connect.error.and_then(error_name) {
        Some(name) => format!(" ({name}{how})"),
        None => String::new(),
    };
    let after =
        if connect.syns > 0 { format!(" after {}", duration_us(us)) } else { String::new() };
    let (comm, outcome) = (connect.comm.for_terminal(), connect.outcome.words());
    format!("{comm} {} to {}: {outcome}{after}{error}", connect.pid, connect.peer)
}

/// Writes what became of connects, and the connections that did not end by a FIN; nothing where
/// there were none.
pub(super) fn summary(out: &mut dyn Write, colour: Colour, summary: &Summary) -> io::Result<()> {
    if let Some(totals) = &summary.connects {
        write_connects(out, colour, totals)?;
    }
    match &summary.resets {
        Some(totals) if totals.are_any() => write_resets(out, colour, totals),
        _ => Ok(()),
    }
}

fn write_connects(out: &mut dyn Write, colour: Colour, totals: &ConnectTotals) -> io::Result<()> {
    let (made, failed, pending) = (totals.made, totals.failed(), totals.pending);
    if made + pending + failed == 0 {
        return Ok(());
    }
    let mut text = format!("{} made, {} failed", count(made), count(failed));
    let mut each = Vec::new();
    for (outcome, number) in totals.each() {
        each.push(format!("{} {}", count(number), outcome.words()));
    }
    if !each.is_empty() {
        text += &format!(" in {}: {}", duration_us(totals.failed_us), each.join(", "));
    }
    if pending > 0 {
        text += &format!("; {} still without an answer", count(pending));
    }
    writeln!(out, "  connects     {}", colour.loss(failed + pending > 0, &text))
}

fn write_resets(out: &mut dyn Write, colour: Colour, totals: &ResetTotals) -> io::Result<()> {
    let mut text =
        format!("{} by this host, {} by peers", count(totals.sent), count(totals.received));
    for (number, ends) in [
        (totals.late_requests, "requests that came too late"),
        (totals.truncated, "responses to requests not read to the end"),
        (totals.timeouts, "connections that the kernel gave up on"),
    ] {
        if number > 0 {
            text += &format!("; {} {ends}", count(number));
        }
    }
    let is_loss = totals.late_requests + totals.truncated > 0;
    writeln!(out, "  resets       {}", colour.loss(is_loss, &text))
}
