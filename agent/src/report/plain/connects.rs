//! Connects that failed, and connections that a RST ended.

use std::io::{self, Write};

use super::Colour;
use crate::model::event::Connect;
use crate::model::output::Summary;
use crate::model::snapshot::error_name;
use crate::text::{count, duration_us, escape};

/// "nginx 4242 to 10.0.0.1:80: refused after 80 µs (ECONNREFUSED)".
pub(super) fn text(connect: &Connect) -> String {
    let us = connect.ts_ns.saturating_sub(connect.asked_ns) / 1_000;
    let how = if connect.inferred { ", by its routes or ports" } else { "" };
    let error = connect
        .error
        .and_then(error_name)
        .map(|name| format!(" ({name}{how})"))
        .unwrap_or_default();
    let after =
        if connect.syns > 0 { format!(" after {}", duration_us(us)) } else { String::new() };
    let (comm, outcome) = (escape(&connect.comm), connect.outcome.words());
    format!("{comm} {} to {}: {outcome}{after}{error}", connect.pid, connect.peer)
}

/// What became of connects, and the connections that did not end by a FIN; nothing where there were
/// none.
pub(super) fn summary(out: &mut dyn Write, colour: Colour, summary: &Summary) -> io::Result<()> {
    if let Some(totals) =
        summary.connects.filter(|totals| totals.made + totals.pending + totals.failed() > 0)
    {
        let mut text = format!("{} made, {} failed", count(totals.made), count(totals.failed()));
        let each: Vec<String> = totals
            .each()
            .map(|(outcome, number)| format!("{} {}", count(number), outcome.words()))
            .collect();
        if !each.is_empty() {
            text += &format!(" in {}: {}", duration_us(totals.failed_us), each.join(", "));
        }
        if totals.pending > 0 {
            text += &format!("; {} without an answer yet", count(totals.pending));
        }
        writeln!(
            out,
            "  connects     {}",
            colour.loss(totals.failed() + totals.pending > 0, &text)
        )?;
    }
    if let Some(totals) = summary.resets.filter(|totals| totals.are_any()) {
        let mut text =
            format!("{} by this host, {} by peers", count(totals.sent), count(totals.received));
        let more = [
            (totals.late_requests, "requests too late"),
            (totals.truncated, "responses to requests that were not read to their end"),
            (totals.timeouts, "connections given up by the kernel"),
        ];
        for (number, what) in more.into_iter().filter(|(number, _)| *number > 0) {
            text += &format!("; {} {what}", count(number));
        }
        let is_loss = totals.late_requests + totals.truncated > 0;
        writeln!(out, "  resets       {}", colour.loss(is_loss, &text))?;
    }
    Ok(())
}
