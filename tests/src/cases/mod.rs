//! The cases, one file a topic.

mod accept;
mod ack;
mod again;
mod browser;
mod budget;
mod claims;
mod close;
mod command;
mod completion;
mod containers;
mod course;
mod coverage;
mod datagram;
mod demo;
mod execution;
mod exercise;
mod export;
mod field;
mod finding;
mod first_answer;
mod flight;
mod formats;
mod idle;
mod interop;
mod learn;
mod ledger;
mod lesson_screen;
mod listener;
mod listeners;
mod loaded;
mod look;
mod mcp;
mod otlp;
mod output;
mod overflow;
mod own_server;
mod past;
mod pattern;
mod payload;
mod privileges;
mod protocol;
mod proxy;
mod receive;
mod record;
mod report;
mod rest;
mod robust;
mod rush;
mod screen;
mod secure;
mod send;
mod server;
mod socket_events;
mod states;
mod target;
mod thinned;
mod time_line;
mod upstream;
mod waiting;

use crate::harness::{Case, Since, Tiers, Varies, Where, World};

/// Returns every case. Those that run alone come last, so that they delay no other.
pub fn all() -> Vec<Case> {
    let mut cases = [
        accept::CASES,
        listener::CASES,
        output::CASES,
        overflow::CASES,
        own_server::CASES,
        past::CASES,
        demo::CASES,
        interop::CASES,
        execution::CASES,
        exercise::CASES,
        export::CASES,
        otlp::CASES,
        ledger::CASES,
        listeners::CASES,
        receive::CASES,
        rest::CASES,
        rush::CASES,
        budget::CASES,
        send::CASES,
        ack::CASES,
        close::CASES,
        idle::CASES,
        datagram::CASES,
        protocol::CASES,
        payload::CASES,
        proxy::CASES,
        waiting::CASES,
        finding::CASES,
        flight::CASES,
        browser::CASES,
        first_answer::CASES,
        learn::CASES,
        again::CASES,
        claims::CASES,
        lesson_screen::CASES,
        course::CASES,
        target::CASES,
        upstream::CASES,
        robust::CASES,
        screen::CASES,
        thinned::CASES,
        time_line::CASES,
        secure::CASES,
        command::CASES,
        completion::CASES,
        containers::CASES,
        record::CASES,
        report::CASES,
        formats::CASES,
        coverage::CASES,
        pattern::DEMOS,
        pattern::REGISTRY,
        pattern::SERVERS,
        privileges::CASES,
        server::CASES,
        loaded::CASES,
        look::CASES,
        mcp::CASES,
        socket_events::CASES,
        states::CASES,
        &field::cases(),
    ]
    .concat();
    cases.sort_by_key(|case| case.alone);
    cases
}

/// A case that depends on the tier.
const fn each_tier(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case {
        name,
        place: Where::Everywhere,
        tiers: Tiers::Each,
        varies: Varies::ByTier,
        by_processor: false,
        alone: false,
        since: ANY_KERNEL,
        run,
    }
}

/// Every kernel.
const ANY_KERNEL: Since = Since { full: (0, 0), tracepoint: (0, 0) };
/// Kernels that can show exchanges (held to it likewise).
const EXCHANGES: Since = Since { full: (0, 0), tracepoint: (6, 3) };

/// A case of exchanges, with `--long` on each tier that can see them. From 6.3 on the hooks of a
/// request's path are the same on both tiers; a case of one that is not says `by_tier`.
const fn exchange(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case { varies: Varies::Never, ..each_tier(name, run).since(EXCHANGES) }
}

/// A case of exchanges that is not worth two runs a kernel.
const fn any_exchange(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    any_tier(name, run).since(EXCHANGES)
}

/// A case that is the same on every tier.
const fn any_tier(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case { place: Where::Everywhere, ..native(name, run) }
}

/// A case that needs the programs of an ordinary machine, or that is the same on every kernel.
const fn native(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    Case {
        name,
        place: Where::Native,
        tiers: Tiers::Any,
        varies: Varies::Never,
        by_processor: false,
        alone: false,
        since: ANY_KERNEL,
        run,
    }
}

#[cfg(test)]
mod tests;
