//! The time of exchanges by its owners: a line an interval, and the slowest few of it.

use std::io::{self, Write};

use crate::model::event::{Role, SockId};
use crate::model::output::ExchangeOutput;
use crate::model::snapshot::{
    ConnectionView, HeldMost, Holder, HolderTimes, SliceKind, Snapshot, UpstreamWait,
};
use crate::text::{count_of, duration_us, percent};

/// Slow exchanges written in one interval: the slowest.
const MOST: usize = 5;
/// Time from which on one slice makes an exchange slow, µs.
pub(super) const SLOW_US: u64 = 10_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Exchanges {
    /// Totals at the last line.
    before: HolderTimes,
    /// Slow exchanges since the last line, slowest first.
    slowest: Vec<Slow>,
}

#[derive(Clone, Debug)]
struct Slow {
    sock: SockId,
    role: Role,
    seq: u32,
    most: HeldMost,
    total_us: u64,
    /// Wait for upstreams, µs, and the longest one.
    upstream: Option<(u64, UpstreamWait)>,
    multiplexed: bool,
}

impl Exchanges {
    /// Notes an exchange. A peer that takes its time to ask is no news.
    pub(super) fn note(&mut self, exchange: &ExchangeOutput) {
        let view = &exchange.view;
        let Some(most) = view.held_most() else { return };
        if most.us < SLOW_US || most.kind == SliceKind::Request {
            return;
        }
        let place = self.slowest.partition_point(|other| other.most.us >= most.us);
        if place >= MOST {
            return;
        }
        let waited_us = view.held().of(Holder::Upstream);
        let slow = Slow {
            sock: exchange.sock,
            role: exchange.role,
            seq: view.seq,
            most,
            total_us: view.total_us,
            upstream: view.longest_wait().map(|wait| (waited_us, wait)),
            multiplexed: view.multiplexed,
        };
        self.slowest.insert(place, slow);
        self.slowest.truncate(MOST);
    }

    /// Writes what was noted since the last time; nothing if there was nothing.
    pub(super) fn write(
        &mut self,
        out: &mut dyn Write,
        time: &str,
        snapshot: &Snapshot,
    ) -> io::Result<()> {
        let (now, before) = (snapshot.held, std::mem::replace(&mut self.before, snapshot.held));
        let since = now.since(&before);
        if since.exchanges > 0 {
            writeln!(
                out,
                "{time} {:<9} {}: {}",
                "time",
                count_of(since.exchanges, "exchange"),
                holders(&since)
            )?;
        }
        for slow in self.slowest.drain(..) {
            writeln!(out, "{time} {:<9} {}", "slow", slow.text(&snapshot.connections))?;
        }
        Ok(())
    }
}

impl Slow {
    /// Words on what the slice and its owner do not tell.
    fn beyond(&self) -> String {
        let mut text = String::new();
        if let Some((us, wait)) = self.upstream {
            if self.most.holder != Holder::Upstream && us > 0 {
                text += &format!(", {} waiting for upstream {} (U)", duration_us(us), wait.peer);
            }
            if let Some(fault) = wait.fault {
                text += &format!(", which failed: {}", fault.words());
            }
        }
        if self.multiplexed {
            text += "; multiplexed: one stream of bytes, N requests";
        }
        text
    }

    fn text(&self, connections: &[ConnectionView]) -> String {
        let known = connections.iter().find(|connection| connection.sock == self.sock);
        let us = duration_us(self.most.us);
        let what = match self.upstream {
            Some((_, wait)) if self.most.holder == Holder::Upstream => {
                format!("waiting for upstream {}", wait.peer)
            }
            _ => self.most.kind.name().to_owned(),
        };
        format!(
            "{}: exchange {}{} took {}, {us} of it {what} ({}){}",
            self.who(known),
            self.seq,
            self.asked(known),
            duration_us(self.total_us),
            self.most.holder.letter(),
            self.beyond()
        )
    }

    fn who(&self, known: Option<&ConnectionView>) -> String {
        match (known, self.role) {
            (Some(connection), Role::Server) => {
                format!("{} at {}", connection.peer, connection.local)
            }
            (Some(connection), Role::Client) => format!("call to {}", connection.peer),
            (None, _) => format!("connection {}", self.sock),
        }
    }

    /// Method and path of the first request, where they are known.
    fn asked(&self, known: Option<&ConnectionView>) -> String {
        if let Some(connection) = known
            && let Some(request) = &connection.first_request
            && self.seq == 1
        {
            return format!(" ({} {})", request.method.for_terminal(), request.path.for_terminal());
        }
        String::new()
    }
}

/// "A app 73 %, K kernel 9.0 %, N network 3.0 %, P peer 15 %, ? unknown 0.2 %"; waits for upstreams
/// where there are any.
pub(super) fn holders(times: &HolderTimes) -> String {
    let sum = times.sum_us().max(1) as f64;
    let mut parts = Vec::new();
    for holder in Holder::ALL {
        if holder != Holder::Upstream || times.of(holder) > 0 {
            let share = percent(times.of(holder) as f64 / sum);
            parts.push(format!("{} {} {share}", holder.letter(), holder.name()));
        }
    }
    parts.join(", ")
}
