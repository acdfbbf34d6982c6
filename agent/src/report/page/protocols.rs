//! Protocols of connections, QUIC, and UDP sockets.

use maud::{Markup, html};

use super::parts::{known, left_out, wait_cells};
use crate::{
    digest::Digest,
    html::table,
    model::snapshot::{DatagramProtocol, DatagramView},
    text::{bytes, count, count_of, duration_us},
};

/// Sockets and connections in one table.
const MOST: usize = 60;

/// The section; `None` where there was no connection and no datagram.
pub(super) fn body(digest: &Digest) -> Option<Markup> {
    let sockets = &digest.sockets;
    if digest.protocols.is_empty() && sockets.udp().is_empty() && sockets.quic_count() == 0 {
        return None;
    }
    Some(html! { (tcp(digest)) (udp(digest)) (quic(digest)) })
}

fn tcp(digest: &Digest) -> Markup {
    let rows = html! {
        @for (protocol, used) in &digest.protocols {
            tr {
                th scope="row" { @match protocol { Some(protocol) => { (protocol.name()) }
                    None => { span.unknown { "not recognised" } } } }
                @for number in [used.connections, used.exchanges] { td.n { (count(number)) } }
                @for size in [used.bytes_in, used.bytes_out] { td.n { (bytes(size)) } }
            }
        }
    };
    if digest.protocols.is_empty() {
        return html! {};
    }
    table("Protocols over TCP", &["over TCP", "connections", "exchanges", "read", "written"], &rows)
}

fn udp(digest: &Digest) -> Markup {
    let views = digest.sockets.udp();
    if views.is_empty() {
        return html! {};
    }
    let mut order: Vec<&DatagramView> = views.values().collect();
    order.sort_by_key(|view| std::cmp::Reverse(view.drops));
    let rows = html! { @for view in order.iter().take(MOST) { (udp_row(view)) } };
    let head = [
        "UDP socket",
        "process",
        "protocol",
        "arrived",
        "read",
        "written",
        "dropped",
        "wait p50",
        "p90",
        "p99",
        "max",
    ];
    html! {
        h3 { "UDP" }
        (table("UDP sockets", &head, &rows))
        (left_out(order.len(), MOST, "further UDP socket"))
    }
}

fn udp_row(view: &DatagramView) -> Markup {
    let protocol = view.protocol.map(DatagramProtocol::name);
    html! {
        tr {
            th scope="row" { (view.local) }
            td { (view.comm) " " (view.pid) }
            td {
                @match protocol {
                    Some(name) => { (name) }
                    None => { span.unknown { "not recognised" } }
                }
            }
            @for flow in [view.arrived, view.read, view.written] {
                td.n { (known(flow.map(|flow| flow.datagrams))) }
            }
            td.n.loss[view.drops > 0] { (count(view.drops)) }
            (wait_cells(&view.wait))
        }
    }
}

fn quic(digest: &Digest) -> Markup {
    let sockets = &digest.sockets;
    if sockets.quic_count() == 0 {
        return html! {};
    }
    let rows = html! {
        @for output in sockets.newest_quic().iter().rev().take(MOST) {
            tr {
                th scope="row" { @match output.view.peer { Some(peer) => { (peer) }
                    None => { span.unknown { "not observed" } } } }
                td { "v" (output.view.version) @if output.view.early_data { ", early data" }
                    @if output.view.retry { ", Retry" } }
                @match output.view.answer {
                    Some(answer) => {
                        td.n { (answer.round_trips) }
                        td.n { (duration_us(answer.us)) }
                    }
                    None => { td.n colspan="2" { span.unknown { "no answer seen" } } }
                }
            }
        }
    };
    let head = ["peer", "version", "round trips to the first answer", "its time"];
    html! {
        h3 { "QUIC" }
        p { (count_of(sockets.quic_count(), "connection")) ", the newest first." }
        (table("QUIC connections", &head, &rows))
    }
}
