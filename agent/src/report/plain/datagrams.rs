//! UDP sockets: a line each for those with traffic.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::Colour;
use crate::model::output::Output;
use crate::model::snapshot::{DatagramTotals, DatagramView};
use crate::text::{count, count_of, duration_us, rate};

/// UDP sockets written in one interval: the busiest.
const MOST: usize = 10;

/// Writes the sockets with traffic.
pub(super) fn write(
    out: &mut dyn Write,
    colour: Colour,
    time: &str,
    outputs: &[Output],
) -> io::Result<()> {
    let mut busy: Vec<&DatagramView> = Vec::new();
    for output in outputs {
        if let Output::Datagrams(datagrams) = output
            && is_busy(&datagrams.view)
        {
            busy.push(&datagrams.view);
        }
    }
    let weight = |view: &DatagramView| {
        (view.rates.drops as u64, (view.rates.arrived + view.rates.written) as u64)
    };
    busy.sort_by_key(|view| std::cmp::Reverse(weight(view)));
    for view in busy.iter().take(MOST) {
        writeln!(out, "{time} {:<9} {}", "udp", line(view, colour))?;
    }
    if busy.len() > MOST {
        writeln!(
            out,
            "{time} {:<9} … and {} quieter sockets",
            "udp",
            count((busy.len() - MOST) as u64)
        )?;
    }
    Ok(())
}

/// Writes the QUIC connections that got their first answer: the slowest of them.
pub(super) fn quic(out: &mut dyn Write, time: &str, outputs: &[Output]) -> io::Result<()> {
    let mut answered = Vec::new();
    for output in outputs {
        if let Output::Quic(quic) = output
            && let Some(answer) = quic.view.answer
        {
            answered.push((answer, quic));
        }
    }
    answered.sort_by_key(|(answer, _)| std::cmp::Reverse(answer.us));
    for (answer, output) in answered.iter().take(MOST) {
        let known = |address: Option<SocketAddr>| match address {
            Some(address) => address.to_string(),
            None => "?".to_owned(),
        };
        writeln!(
            out,
            "{time} {:<9} {} ↔ {}: first answer after {}{}, {}; the handshake is in the \
             application",
            "quic",
            known(output.local),
            known(output.view.peer),
            count_of(answer.round_trips.into(), "round trip"),
            if output.view.early_data { " with early data" } else { "" },
            duration_us(answer.us),
        )?;
    }
    if answered.len() > MOST {
        writeln!(
            out,
            "{time} {:<9} … and {} faster connections",
            "quic",
            count((answered.len() - MOST) as u64)
        )?;
    }
    Ok(())
}

fn is_busy(view: &DatagramView) -> bool {
    let rates = view.rates;
    view.waiting > 0 || rates.arrived + rates.read + rates.written + rates.drops > 0.0
}

fn line(view: &DatagramView, colour: Colour) -> String {
    let peer = match view.peer {
        Some(peer) => format!(" ↔ {peer}"),
        None => String::new(),
    };
    let flow = |seen: bool, per_second: f64| if seen { rate(per_second) } else { "?".to_owned() };
    let mut text = format!(
        "{}{peer}: in {}/s, read {}/s, out {}/s, queue {} of {} B",
        view.local,
        flow(view.arrived.is_some(), view.rates.arrived),
        flow(view.read.is_some(), view.rates.read),
        flow(view.written.is_some(), view.rates.written),
        count(view.queued_bytes),
        count(view.buffer_bytes),
    );
    if view.wait.count > 0 {
        text += &format!(
            ", wait p50 {}, p99 {}",
            duration_us(view.wait.p50),
            duration_us(view.wait.p99)
        );
    }
    if view.drops > 0 {
        let now = if view.rates.drops > 0.0 {
            format!(" +{}/s", rate(view.rates.drops))
        } else {
            String::new()
        };
        text +=
            &format!(", {}", colour.loss(true, &format!("▲{} dropped{now}", count(view.drops))));
    }
    text
}

/// Writes the line of the summary; nothing where there was no UDP socket.
pub(super) fn summary(
    out: &mut dyn Write,
    colour: Colour,
    totals: &DatagramTotals,
) -> io::Result<()> {
    if totals.sockets == 0 {
        return Ok(());
    }
    let known = |figure: Option<u64>| match figure {
        Some(figure) => count(figure),
        None => "?".to_owned(),
    };
    let dropped = colour.loss(totals.drops > 0, &format!("{} dropped", count(totals.drops)));
    writeln!(
        out,
        "  datagrams    {} in, {} read, {} out, {dropped}, on {}",
        known(totals.arrived),
        known(totals.read),
        known(totals.written),
        count_of(totals.sockets, "UDP socket")
    )
}
