//! Connections that watched processes ask for.

use std::net::SocketAddr;

use super::SliceKind;
use crate::model::event::{Outcome, SockId};

impl Outcome {
    /// As JSON spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::NoPort => "no_port",
            Self::NoRoute => "no_route",
            Self::GivenUp => "given_up",
            Self::Failed => "failed",
            Self::Reset => "reset",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pending => "no answer yet",
            Self::Refused => "refused",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable",
            Self::NoPort => "no free port",
            Self::NoRoute => "no route",
            Self::GivenUp => "given up without an answer",
            Self::Failed => "failed",
            Self::Reset => "reset before an answer",
        }
    }
}

/// A connect that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectFailure {
    /// Its socket.
    pub sock: SockId,
    /// Whom it asked.
    pub peer: SocketAddr,
    /// Its outcome.
    pub outcome: Outcome,
    /// The error number, where known.
    pub error: Option<u32>,
    /// Time of the call of `connect`.
    pub start_ns: u64,
    /// Its duration, µs.
    pub us: u64,
}

impl ConnectFailure {
    /// Returns the kind of its slice, in an exchange that waited for it.
    pub fn kind(&self) -> SliceKind {
        match self.outcome {
            Outcome::Refused | Outcome::Reset => SliceKind::ConnectRefused,
            _ => SliceKind::Connect,
        }
    }
}

/// Outcomes of all connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectTotals {
    /// Those that brought a connection.
    pub made: u64,
    /// Those that hang.
    pub pending: u64,
    /// [`Outcome::Refused`].
    pub refused: u64,
    /// [`Outcome::TimedOut`].
    pub timed_out: u64,
    /// [`Outcome::Unreachable`].
    pub unreachable: u64,
    /// [`Outcome::NoPort`].
    pub no_port: u64,
    /// [`Outcome::NoRoute`].
    pub no_route: u64,
    /// [`Outcome::GivenUp`].
    pub given_up: u64,
    /// [`Outcome::Reset`].
    pub reset: u64,
    /// [`Outcome::Failed`].
    pub other: u64,
    /// Sum of the durations of all that failed, µs.
    pub failed_us: u64,
}

impl ConnectTotals {
    /// Counts one that failed.
    pub(in crate::model) fn add(&mut self, outcome: Outcome, us: u64) {
        let count = match outcome {
            Outcome::Pending => return,
            Outcome::Refused => &mut self.refused,
            Outcome::TimedOut => &mut self.timed_out,
            Outcome::Unreachable => &mut self.unreachable,
            Outcome::NoPort => &mut self.no_port,
            Outcome::NoRoute => &mut self.no_route,
            Outcome::GivenUp => &mut self.given_up,
            Outcome::Failed => &mut self.other,
            Outcome::Reset => &mut self.reset,
        };
        *count += 1;
        self.failed_us = self.failed_us.saturating_add(us);
    }

    /// All that failed.
    pub fn failed(&self) -> u64 {
        self.refused
            + self.timed_out
            + self.unreachable
            + self.no_port
            + self.no_route
            + self.given_up
            + self.reset
            + self.other
    }

    /// Each outcome that there was, and how often.
    pub fn each(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let all = [
            (Outcome::Refused, self.refused),
            (Outcome::TimedOut, self.timed_out),
            (Outcome::Unreachable, self.unreachable),
            (Outcome::NoPort, self.no_port),
            (Outcome::NoRoute, self.no_route),
            (Outcome::GivenUp, self.given_up),
            (Outcome::Reset, self.reset),
            (Outcome::Failed, self.other),
        ];
        all.into_iter().filter(|&(_, count)| count > 0)
    }
}

/// The name of an error number, as `errno(3)` has it; `None` of one that no connect gives.
pub fn error_name(error: u32) -> Option<&'static str> {
    Some(match error {
        1 => "EPERM",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        22 => "EINVAL",
        71 => "EPROTO",
        92 => "ENOPROTOOPT",
        98 => "EADDRINUSE",
        99 => "EADDRNOTAVAIL",
        100 => "ENETDOWN",
        101 => "ENETUNREACH",
        103 => "ECONNABORTED",
        104 => "ECONNRESET",
        105 => "ENOBUFS",
        110 => "ETIMEDOUT",
        111 => "ECONNREFUSED",
        112 => "EHOSTDOWN",
        113 => "EHOSTUNREACH",
        _ => return None,
    })
}
