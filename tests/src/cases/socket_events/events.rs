//! Queries of the events of a connection.

use anyhow::{Context, ensure};

use crate::harness::Ended;
use crate::harness::json::{Value, number};
use crate::harness::ledger::connection_of;

/// The events of one connection, in the order of their times.
pub(super) struct Events<'a>(pub(super) Vec<&'a Value>);

impl<'a> Events<'a> {
    pub(super) fn of(ended: &'a Ended, role: &str, port: u16) -> anyhow::Result<Self> {
        let connection = connection_of(&ended.objects, role, port)?;
        let mut events: Vec<_> =
            ended.of("event").filter(|event| event["sock"] == connection["sock"]).collect();
        let last = events.last().context("no event")?;
        ensure!(last["name"] == "destroyed", "not the last event: {last}");
        events.sort_by_key(|event| at(event));
        Ok(Self(events))
    }

    pub(super) fn named<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a Value> + 'b {
        self.0.iter().copied().filter(move |event| event["name"] == name)
    }

    /// Returns the events from a time on.
    pub(super) fn since(&self, ts_ns: u64) -> impl Iterator<Item = &'a Value> + '_ {
        self.0[self.0.partition_point(|event| at(event) < ts_ns)..].iter().copied()
    }

    /// Returns the events up to a time, the newest first.
    pub(super) fn until(&self, ts_ns: u64) -> impl Iterator<Item = &'a Value> + '_ {
        self.0[..self.0.partition_point(|event| at(event) <= ts_ns)].iter().rev().copied()
    }

    /// Returns the calls of that name that moved bytes.
    pub(super) fn moving<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a Value> + 'b {
        self.named(name).filter(|event| number(event, "/bytes") > Some(0))
    }

    /// Returns the segments with data, without retransmissions.
    pub(super) fn segments(&self) -> impl Iterator<Item = &'a Value> + '_ {
        self.moving("segment").filter(|segment| segment["again"] == false)
    }

    /// Returns the TCP states that it entered, in order.
    pub(super) fn states(&self) -> Vec<&'a str> {
        self.named("state").filter_map(|state| state["to"].as_str()).collect()
    }
}

pub(super) fn at(event: &Value) -> u64 {
    number(event, "/ts_ns").unwrap_or(0)
}

pub(super) fn sum<'a>(events: impl Iterator<Item = &'a Value>, field: &str) -> u64 {
    events.filter_map(|event| number(event, field)).sum()
}
