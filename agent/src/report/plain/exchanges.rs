//! The time of exchanges by its owners: a line an interval, and the slowest few of it.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::model::event::{Role, SockId};
use crate::model::output::ExchangeOutput;
use crate::model::snapshot::{
    ConnectionView, ExchangeVerdict, Owner, OwnerTimes, SliceKind, Snapshot,
};
use crate::text::{count_of, duration_us, percent};

/// Slow exchanges written in one interval: the slowest.
const MOST: usize = 5;
/// Time from which on one slice makes an exchange slow, µs.
pub(super) const SLOW_US: u64 = 10_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Exchanges {
    /// Totals at the last line.
    before: OwnerTimes,
    /// Slow exchanges since the last line, slowest first.
    slowest: Vec<Slow>,
}

#[derive(Clone, Debug)]
struct Slow {
    sock: SockId,
    role: Role,
    seq: u32,
    verdict: ExchangeVerdict,
    total_us: u64,
    /// Wait for its calls, µs, and the upstream that it waited for.
    upstream: Option<(u64, SocketAddr)>,
    multiplexed: bool,
}

impl Exchanges {
    /// Notes an exchange. A peer that takes its time to ask is no news.
    pub(super) fn note(&mut self, exchange: &ExchangeOutput) {
        let view = &exchange.view;
        let Some(verdict) = view.verdict else { return };
        if verdict.us < SLOW_US || verdict.kind == SliceKind::Request {
            return;
        }
        let place = self.slowest.partition_point(|other| other.verdict.us >= verdict.us);
        if place >= MOST {
            return;
        }
        let mut waited_us = 0;
        for slice in &view.slices {
            waited_us = slice.upstream_us.unwrap_or(0).saturating_add(waited_us);
        }
        let slow = Slow {
            sock: exchange.sock,
            role: exchange.role,
            seq: view.seq,
            verdict,
            total_us: view.total_us,
            upstream: view.upstream.first().map(|join| (waited_us, join.peer)),
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
        let (now, before) = (snapshot.times, std::mem::replace(&mut self.before, snapshot.times));
        let since = now.since(&before);
        if since.exchanges > 0 {
            writeln!(
                out,
                "{time} {:<9} {}: {}",
                "time",
                count_of(since.exchanges, "exchange"),
                owners(&since)
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
        if let Some((us, peer)) = self.upstream
            && us > 0
        {
            text += &format!(", {} waiting for upstream {peer}", duration_us(us));
        }
        if self.multiplexed {
            text += "; multiplexed: one stream of bytes, N requests";
        }
        text
    }

    fn text(&self, connections: &[ConnectionView]) -> String {
        let known = connections.iter().find(|connection| connection.sock == self.sock);
        let (kind, us) = (self.verdict.kind, duration_us(self.verdict.us));
        format!(
            "{}: exchange {}{} took {}, {us} of it {} ({}){}",
            self.who(known),
            self.seq,
            self.asked(known),
            duration_us(self.total_us),
            kind.name(),
            kind.owner().letter(),
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

/// "A app 73 %, K kernel 9.0 %, N network 3.0 %, P peer 15 %, ? unknown 0.2 %".
pub(super) fn owners(times: &OwnerTimes) -> String {
    let sum = times.sum_us().max(1) as f64;
    let share = |owner: Owner| {
        let share = percent(times.of(owner) as f64 / sum);
        format!("{} {} {share}", owner.letter(), owner.name())
    };
    Owner::ALL.map(share).join(", ")
}
