//! Claims about responses on their way out.

use super::ClaimRow;
use crate::model::event::{ConnectionSample, DelayedAcks, Hold, HoldReason, Outbound};
use crate::model::tests::connection_facts::{after, on_listener, sending, times};
use crate::model::tests::connections::sampled;
use crate::model::tests::facts::{Build, at, server};
use crate::model::tests::world::{MS, SECOND, World};

pub(super) fn rows() -> Vec<ClaimRow> {
    [nagle(), blocked(), others()].into_iter().flatten().collect()
}

fn nagle() -> Vec<ClaimRow> {
    let kind = "nagle-delayed-ack";
    vec![
        ClaimRow {
            kind,
            claim: "delayed-ack",
            supported: || held_by_nagle(41 * MS, 0),
            contradicted: far_away,
        },
        ClaimRow {
            kind,
            claim: "far",
            supported: far_away,
            contradicted: || held_by_nagle(41 * MS, 0),
        },
        ClaimRow {
            kind,
            claim: "beyond",
            supported: || held_by_nagle(700 * MS, 0),
            contradicted: || held_by_nagle(41 * MS, 0),
        },
        ClaimRow {
            kind,
            claim: "resent",
            supported: || held_by_nagle(700 * MS, 1),
            contradicted: || held_by_nagle(700 * MS, 0),
        },
    ]
}

fn blocked() -> Vec<ClaimRow> {
    let kind = "send-blocked";
    vec![
        ClaimRow {
            kind,
            claim: "by-peer",
            supported: || without_room(140 * MS),
            contradicted: || without_room(0),
        },
        ClaimRow {
            kind,
            claim: "by-network",
            supported: || without_room(0),
            contradicted: || without_room(140 * MS),
        },
    ]
}

fn others() -> Vec<ClaimRow> {
    vec![
        ClaimRow {
            kind: "cork-held",
            claim: "by-timer",
            supported: || held(HoldReason::Cork, 207 * MS, |_| ()),
            contradicted: || held(HoldReason::Cork, 40 * MS, |_| ()),
        },
        ClaimRow {
            kind: "slow-start-after-idle",
            claim: "held",
            supported: || {
                held(HoldReason::Congestion, 60 * MS, |outbound| outbound.window_restarted = true)
            },
            contradicted: || held(HoldReason::Congestion, 60 * MS, |_| ()),
        },
        ClaimRow {
            kind: "zero-window",
            claim: "held",
            supported: || held(HoldReason::ReceiveWindow, 60 * MS, |_| ()),
            contradicted: shut,
        },
        ClaimRow {
            kind: "delayed-ack",
            claim: "nagle-there",
            supported: || in_parts(at(40 * MS)),
            contradicted: || in_parts(at(10 * MS)),
        },
    ]
}

/// A peer's window is shut, and no exchange is over.
fn shut() -> World {
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    let connection =
        ConnectionSample { peer_window_zero: true, active_ns: at(0), ..sampled(1, None) };
    world.connections = vec![connection];
    world.sample_after(3 * SECOND);
    world
}

fn held(reason: HoldReason, held_ns: u64, change: impl FnOnce(&mut Outbound)) -> World {
    after(&times(
        4,
        &sending(|outbound| {
            let sent_ns = outbound.last_ns + held_ns;
            (outbound.sent_ns, outbound.acked_ns) = (Some(sent_ns), Some(sent_ns + MS / 50));
            outbound.holds = vec![Hold { reason, count: 1, held_ns }];
            outbound.held_last = Some(reason);
            change(outbound);
        }),
    ))
}

fn held_by_nagle(held_ns: u64, retransmits: u32) -> World {
    held(HoldReason::Nagle, held_ns, |outbound| outbound.retransmits = retransmits)
}

/// The hold lasts as long as a round trip does.
fn far_away() -> World {
    let mut exchange = sending(|outbound| {
        let sent_ns = outbound.last_ns + 81 * MS;
        (outbound.sent_ns, outbound.acked_ns) = (Some(sent_ns), Some(sent_ns + 80 * MS));
        outbound.holds = vec![Hold { reason: HoldReason::Nagle, count: 1, held_ns: 81 * MS }];
    });
    exchange.min_rtt_us = Some(80_000);
    after(&times(4, &exchange))
}

/// A writer waits for 250 ms, the peer's window being shut for so much of it.
fn without_room(window_ns: u64) -> World {
    after(&times(
        4,
        &sending(|outbound| {
            (outbound.last_ns, outbound.sent_ns) = (at(300 * MS), Some(at(300 * MS)));
            (outbound.acked_ns, outbound.blocked_ns) = (Some(at(300 * MS) + MS / 50), 250 * MS);
            outbound.window_limited_ns = window_ns;
        }),
    ))
}

/// Requests whose second part came 40 ms after the first, an ACK having been sent by timer at this
/// time.
fn in_parts(newest_ns: u64) -> World {
    let mut exchange = server().writing(at(41 * MS));
    let inbound = exchange.inbound();
    (inbound.last_ns, inbound.read_last_ns) = (at(40 * MS) + MS / 10, Some(at(40 * MS) + MS / 5));
    (inbound.starved_ns, inbound.reads) = (40 * MS, 2);
    exchange.delayed_acks =
        Some(DelayedAcks { sent: 1, waited_us: 40_000, newest_ns: Some(newest_ns) });
    after(&times(4, &exchange))
}
