//! Claims about threads: what they did while somebody waited for them, and what kept them from it.

use super::ClaimRow;
use crate::model::event::{CpuRefresh, CpuState, Event, Exchange, Progress};
use crate::model::tests::connection_facts::{after, on_listener, times};
use crate::model::tests::connections::sampled;
use crate::model::tests::facts::{Build, at, server};
use crate::model::tests::loops;
use crate::model::tests::processors::{crowded, throttled};
use crate::model::tests::streams::{calls, greeted, late_rest, rest_computed, rest_slept};
use crate::model::tests::tails;
use crate::model::tests::world::{MS, SECOND, World};

pub(super) fn rows() -> Vec<ClaimRow> {
    let row =
        |kind, claim, supported, contradicted| ClaimRow { kind, claim, supported, contradicted };
    vec![
        row("slow-app", "slow-answers", slow_answers, late_rest),
        row(
            "slow-app",
            "stopped",
            || stopped_or_not(true, &server().writing(at(300 * MS))),
            slow_answers,
        ),
        row("slow-app", "greetings", || greeted(true), || greeted(false)),
        row("slow-app", "late-rests", late_rest, slow_answers),
        row("slow-app", "rest-computed", rest_computed, rest_slept),
        row("slow-app", "rest-slept", rest_slept, rest_computed),
        row("slow-app", "rest-unknown", late_rest, rest_computed),
        row("throttled", "quota-used-up", || throttled(50 * MS, 7), || throttled(50 * MS, 0)),
        row("throttled", "share", || throttled(50 * MS, 7), || throttled(0, 0)),
        row("slow-reader", "waited", || unread(true), stuck),
        row("slow-reader", "reader", || unread(true), slow_answers),
        row(
            "slow-reader",
            "lacked-cpu",
            || loops::unread(false, 300 * MS),
            || loops::unread(false, 20 * MS),
        ),
        row(
            "slow-reader",
            "lacked-cpu",
            || loops::unread(true, 300 * MS),
            || loops::unread(true, 20 * MS),
        ),
        row(
            "slow-reader",
            "had-cpu",
            || loops::unread(false, 20 * MS),
            || loops::unread(false, 300 * MS),
        ),
        row("slow-app", "several-calls", || several(20), || several(1)),
        row(
            "slow-app",
            "lacked-cpu",
            || loops::unanswered(true, 300 * MS),
            || loops::unanswered(true, 20 * MS),
        ),
        row("slow-reader", "stopped", || unread(true), || unread(false)),
        row("tail", "kind", tails::at_once, tails::mixed),
        row("tail", "moment", tails::at_once, tails::in_turn),
        row("tail", "thread", tails::in_turn, tails::at_once),
        row("tail", "connection", tails::in_turn, tails::at_once),
        row("tail", "stopped", tails::stopped, tails::at_once),
        row("cpu-starved", "crowded", || crowded(9), || crowded(2)),
    ]
}

/// Requests that lay unread, and a process that is stopped or not.
fn unread(stopped: bool) -> World {
    stopped_or_not(stopped, &server().reading(at(300 * MS)))
}

/// Exchanges like this one, of a process that is stopped then, or is not.
fn stopped_or_not(stopped: bool, exchange: &Exchange) -> World {
    let mut world = after(&times(4, exchange));
    // What a finding says is told again after three seconds.
    (0..2).for_each(|_| world.sample_after(SECOND));
    let pids = if stopped { vec![4242] } else { Vec::new() };
    let refresh = CpuRefresh { cpus: Some(2), runnable: Some(1), stopped: pids };
    world.apply(Event::Cpu(CpuState {
        ts_ns: world.now,
        limits: Vec::new(),
        refresh: Some(refresh),
    }));
    world.sample_after(SECOND);
    world
}

/// Slow calls of gRPC, so many at a time.
fn several(most: u32) -> World {
    calls(most, false, &server().writing(at(400 * MS)))
}

/// Data lie unread, and no exchange is over.
fn stuck() -> World {
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    let mut exchange =
        Exchange { progress: Progress::Open, outbound: None, ts_ns: at(3 * SECOND), ..server() };
    let inbound = exchange.inbound();
    (inbound.read_first_ns, inbound.read_last_ns, inbound.unread_bytes) = (None, None, 100);
    world.connections = vec![sampled(1, Some(exchange))];
    world.sample_after(3 * SECOND);
    world
}

fn slow_answers() -> World {
    after(&times(4, &server().writing(at(300 * MS))))
}
