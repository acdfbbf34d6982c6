//! Where the time of exchanges went: a line an interval, and the slowest few of it.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::model::event::{Role, SockId};
use crate::model::output::ExchangeOutput;
use crate::model::snapshot::{
    ConnectionView, ExchangeView, Owner, OwnerTimes, SliceKind, Snapshot, Verdict,
};
use crate::text::{count_of, duration_us, escape, percent};

/// Slow exchanges told in one interval: the slowest.
const MOST: usize = 5;
/// An exchange is slow if one thing took so long of it, µs.
pub(super) const SLOW_US: u64 = 10_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Exchanges {
    /// Totals at the last line.
    before: OwnerTimes,
    /// Since the last line, slowest first.
    slowest: Vec<Slow>,
}

#[derive(Clone, Debug)]
struct Slow {
    sock: SockId,
    role: Role,
    seq: u32,
    verdict: Verdict,
    total_us: u64,
    /// How long it waited for its calls, and for whom.
    upstream: Option<(u64, SocketAddr)>,
    multiplexed: bool,
}

impl Exchanges {
    /// Notes an exchange. A peer that takes its time to ask is no news.
    pub(super) fn note(&mut self, exchange: &ExchangeOutput) {
        let verdict = exchange.view.verdict;
        let Some(verdict) =
            verdict.filter(|verdict| verdict.us >= SLOW_US && verdict.kind != SliceKind::Request)
        else {
            return;
        };
        let place = self.slowest.partition_point(|other| other.verdict.us >= verdict.us);
        if place < MOST {
            let (sock, role, seq) = (exchange.sock, exchange.role, exchange.view.seq);
            let ExchangeView { total_us, multiplexed, .. } = exchange.view;
            let waited_us: u64 =
                exchange.view.slices.iter().filter_map(|slice| slice.upstream_us).sum();
            let upstream = exchange.view.upstream.first().map(|join| (waited_us, join.peer));
            self.slowest
                .insert(place, Slow { sock, role, seq, verdict, total_us, upstream, multiplexed });
            self.slowest.truncate(MOST);
        }
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
    /// What the slice and its owner do not tell.
    fn beyond(&self) -> String {
        let waited = |(us, peer): (u64, SocketAddr)| {
            format!(", {} waiting for upstream {peer}", duration_us(us))
        };
        let upstream = self.upstream.filter(|(us, _)| *us > 0).map(waited).unwrap_or_default();
        let stream =
            if self.multiplexed { "; multiplexed: one stream of bytes, N requests" } else { "" };
        upstream + stream
    }

    fn text(&self, connections: &[ConnectionView]) -> String {
        let known = connections.iter().find(|connection| connection.sock == self.sock);
        let who = known.map_or_else(
            || format!("connection {}", self.sock),
            |connection| match self.role {
                Role::Server => format!("{} at {}", connection.peer, connection.local),
                Role::Client => format!("call to {}", connection.peer),
            },
        );
        let (kind, us) = (self.verdict.kind, duration_us(self.verdict.us));
        let owner = kind.owner().letter();
        let request = known
            .and_then(|connection| connection.first_request.as_ref())
            .filter(|_| self.seq == 1);
        let asked = request
            .map(|request| format!(" ({} {})", escape(&request.method), escape(&request.path)));
        format!(
            "{who}: exchange {}{} took {}, of it {} {us} ({owner})",
            self.seq,
            asked.unwrap_or_default(),
            duration_us(self.total_us),
            kind.name()
        ) + &self.beyond()
    }
}

/// "A app 73 %, K kernel 9 %, N network 3 %, P peer 15 %, ? unknown 0.2 %".
pub(super) fn owners(times: &OwnerTimes) -> String {
    let sum = times.sum_us().max(1) as f64;
    let share = |owner: Owner| {
        let share = percent(times.of(owner) as f64 / sum);
        format!("{} {} {share}", owner.letter(), owner.name())
    };
    Owner::ALL.map(share).join(", ")
}
