//! Comments in words, and which packet each kind is on.

use super::remarks::Remark;
use crate::{
    model::{
        event::Role,
        snapshot::{Owner, Slice, SliceKind},
    },
    text::{duration_fine, percent},
};

/// What a remark is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// An exchange, and the kind that took most of it with its time, µs.
    Whole(Option<(SliceKind, u64)>),
    /// A slice.
    Slice(Slice),
}

/// Packet that ends a slice, or begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// It leaves this host; `None` if either will do.
    pub(super) outbound: Option<bool>,
    /// It carries data.
    pub(super) wants_data: bool,
}

impl Edge {
    /// A segment with data that this host sends. If it is held, it goes later.
    pub(super) const SENT: Self = Self { outbound: Some(true), wants_data: true };
    const DATA_CAME: Self = Self { outbound: Some(false), wants_data: true };
    const CAME: Self = Self { outbound: Some(false), wants_data: false };
    const ANY: Self = Self { outbound: None, wants_data: false };

    /// Returns the packet that a slice of this kind goes with.
    pub(super) fn of(kind: SliceKind) -> Self {
        match kind {
            SliceKind::RunQueue
            | SliceKind::Throttled
            | SliceKind::App
            | SliceKind::Streaming
            | SliceKind::SendBuffer
            | SliceKind::Nagle
            | SliceKind::Cork
            | SliceKind::Congestion
            | SliceKind::ReceiveWindow
            | SliceKind::Pacing => Self::SENT,
            SliceKind::ReceiveQueue | SliceKind::Request | SliceKind::Response => Self::DATA_CAME,
            SliceKind::Handshake
            | SliceKind::AcceptQueue
            | SliceKind::Ignored
            | SliceKind::AckWait
            | SliceKind::DelayedAck
            | SliceKind::Retransmit
            | SliceKind::Connect
            | SliceKind::ConnectRefused => Self::CAME,
            SliceKind::Unknown => Self::ANY,
        }
    }

    /// True of kinds that keep what was written from being sent.
    pub(super) fn is_hold(kind: SliceKind) -> bool {
        matches!(
            kind,
            SliceKind::SendBuffer
                | SliceKind::Nagle
                | SliceKind::Cork
                | SliceKind::Congestion
                | SliceKind::ReceiveWindow
                | SliceKind::Pacing
        )
    }

    /// True of kinds that a packet begins: no packet goes with a read, or with an accept.
    pub(super) fn is_at_start(kind: SliceKind) -> bool {
        matches!(kind, SliceKind::ReceiveQueue | SliceKind::AcceptQueue)
    }
}

impl Remark {
    /// Place among the remarks on one packet: an exchange before its slices.
    pub(super) fn rank(&self) -> u8 {
        match self.kind {
            Kind::Whole(_) => 0,
            Kind::Slice(_) => 1,
        }
    }

    /// Returns the comment.
    pub(super) fn words(&self) -> String {
        let subject = match self.role {
            Role::Server => "request",
            Role::Client => "call",
        };
        let words = match self.kind {
            Kind::Whole(verdict) => self.whole(verdict),
            Kind::Slice(slice) => of_slice(&slice),
        };
        format!("{subject} {}: {words}", self.seq)
    }

    fn whole(&self, verdict: Option<(SliceKind, u64)>) -> String {
        let total = duration_fine(self.us);
        match verdict {
            Some((kind, us)) => {
                let share = percent(us as f64 / self.us.max(1) as f64);
                format!("begins; it takes {total}, {share} of it {}", label(kind))
            }
            None => format!("begins; it takes {total}"),
        }
    }
}

/// Returns owner and kind, as JSON spells them: "kernel, nagle".
fn label(kind: SliceKind) -> String {
    match kind.owner() {
        owner if owner.name() == kind.name() => owner.name().to_owned(),
        owner => format!("{}, {}", owner.name(), kind.name()),
    }
}

/// Returns who held the bytes.
fn holder(kind: SliceKind) -> &'static str {
    match kind.owner() {
        Owner::Kernel => "the kernel",
        Owner::App => "the application",
        Owner::Network => "the network",
        Owner::Peer => "the peer",
        Owner::Unknown => "nobody knows who",
    }
}

fn of_slice(slice: &Slice) -> String {
    let (kind, time) = (slice.kind, duration_fine(slice.us));
    let label = label(kind);
    match kind {
        SliceKind::Nagle
        | SliceKind::Cork
        | SliceKind::Congestion
        | SliceKind::ReceiveWindow
        | SliceKind::Pacing => {
            format!("{} held it {time} ({}) before this segment", holder(kind), kind.name())
        }
        SliceKind::App => match slice.upstream_us {
            Some(us) => format!(
                "the application took {time} before this segment, {} of it for calls to others",
                duration_fine(us)
            ),
            None => format!("the application took {time} before this segment"),
        },
        SliceKind::RunQueue => {
            format!("a thread was ready and had no CPU for {time} before this segment ({label})")
        }
        SliceKind::Throttled => format!(
            "the quota of its cgroup kept a ready thread off the CPU for {time} before this \
             segment ({label})"
        ),
        SliceKind::Streaming => {
            format!("{time} between pieces of a response before this segment ({label})")
        }
        SliceKind::SendBuffer => {
            format!("a write waited {time} for room before this segment ({label})")
        }
        SliceKind::ReceiveQueue => format!("this was read after {time} ({label})"),
        SliceKind::AcceptQueue => {
            format!("the connection waits {time} from here until it is accepted ({label})")
        }
        SliceKind::Request => format!("{time} until this part of the request came ({label})"),
        SliceKind::Response => format!("the peer answered after {time} ({label})"),
        SliceKind::Handshake => format!("{time} until the handshake's last ACK ({label})"),
        SliceKind::Ignored => {
            format!("{time} in which the kernel ignored the peer, its accept queue full ({label})")
        }
        SliceKind::AckWait => format!("acknowledged after {time} ({label})"),
        SliceKind::DelayedAck if slice.proved => {
            format!("the peer delayed this ACK by {time} ({label})")
        }
        SliceKind::DelayedAck => {
            format!("the peer probably delayed this ACK by {time} ({label}, inferred)")
        }
        SliceKind::Retransmit => {
            format!("{time} until what had to be sent again was acknowledged ({label})")
        }
        SliceKind::Connect => format!("the connection took {time} ({label})"),
        SliceKind::ConnectRefused => format!("refused after {time} ({label})"),
        SliceKind::Unknown => format!("{time} up to here that no fact explains ({label})"),
    }
}
