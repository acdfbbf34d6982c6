//! Names that are written once and referred to by their number.

use super::proto::{DebugAnnotation, InternedData, InternedName};
use crate::{
    model::snapshot::{Owner, SliceKind},
    text::Untrusted,
};

/// Category of an event; a slice's is its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Owner(Owner),
    Exchange,
    Connection,
    Refusal,
    Finding,
    Watch,
}

impl Category {
    const ALL: [Self; 10] = [
        Self::Owner(Owner::App),
        Self::Owner(Owner::Kernel),
        Self::Owner(Owner::Network),
        Self::Owner(Owner::Peer),
        Self::Owner(Owner::Unknown),
        Self::Exchange,
        Self::Connection,
        Self::Refusal,
        Self::Finding,
        Self::Watch,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Owner(owner) => owner.name(),
            Self::Exchange => "exchange",
            Self::Connection => "connection",
            Self::Refusal => "refusal",
            Self::Finding => "finding",
            Self::Watch => "watch",
        }
    }

    pub(super) fn iid(self) -> u64 {
        let place = Self::ALL.iter().position(|known| *known == self);
        place.map_or(0, |place| place as u64 + 1)
    }
}

/// Name of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Slice(SliceKind),
    /// One of [`Name::FIXED`].
    Fixed(&'static str),
    /// Written out in its event.
    Own(String),
}

impl Name {
    pub(super) const EXCHANGE: Self = Self::Fixed("exchange");
    pub(super) const REQUEST: Self = Self::Fixed("request");
    pub(super) const CALL: Self = Self::Fixed("call");
    pub(super) const ACCEPTED: Self = Self::Fixed("accepted");
    pub(super) const REFUSED: Self = Self::Fixed("refused");
    pub(super) const CLOSED: Self = Self::Fixed("closed");
    pub(super) const OPEN_AT_END: Self = Self::Fixed("open at the end");
    pub(super) const CONNECT_FAILED: Self = Self::Fixed("connect failed");
    pub(super) const PAUSE: Self = Self::Fixed("exchanges not watched");
    pub(super) const LOST: Self = Self::Fixed("records lost");
    pub(super) const ATTACHED: Self = Self::Fixed("attached");
    pub(super) const DAMAGED: Self = Self::Fixed("recording damaged");
    pub(super) const END: Self = Self::Fixed("end");

    const FIXED: [&'static str; 13] = [
        "exchange",
        "request",
        "call",
        "accepted",
        "refused",
        "closed",
        "open at the end",
        "connect failed",
        "exchanges not watched",
        "records lost",
        "attached",
        "recording damaged",
        "end",
    ];

    /// Returns its number; `None` if it is written out.
    pub(super) fn iid(&self) -> Option<u64> {
        match self {
            Self::Slice(kind) => Some(*kind as u64 + 1),
            Self::Fixed(name) => {
                let place = Self::FIXED.iter().position(|known| known == name)?;
                Some((SliceKind::ALL.len() + place) as u64 + 1)
            }
            Self::Own(_) => None,
        }
    }
}

/// Name of a fact beside an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Owner,
    Seq,
    Sock,
    Local,
    Peer,
    Pid,
    Tid,
    ReadTid,
    WriteTid,
    Protocol,
    RequestBytes,
    ResponseBytes,
    VerdictKind,
    VerdictOwner,
    VerdictShare,
    CpuUs,
    UpstreamUs,
    Proved,
    Preexisting,
    Unanswered,
    Confidence,
    QueuedUs,
    Depth,
    Limit,
    Stage,
    Count,
    Severity,
    Subject,
    State,
    Text,
    Fix,
    Holds,
    Exchanges,
    BytesIn,
    BytesOut,
    Retransmits,
    EndedBy,
    Outcome,
    Error,
    Kernel,
    Tier,
    Targets,
    Gaps,
    Notices,
    WrittenBy,
    Bytes,
}

impl Key {
    const ALL: [(Self, &'static str); 46] = [
        (Self::Owner, "owner"),
        (Self::Seq, "seq"),
        (Self::Sock, "sock"),
        (Self::Local, "local"),
        (Self::Peer, "peer"),
        (Self::Pid, "pid"),
        (Self::Tid, "tid"),
        (Self::ReadTid, "read_tid"),
        (Self::WriteTid, "write_tid"),
        (Self::Protocol, "protocol"),
        (Self::RequestBytes, "request_bytes"),
        (Self::ResponseBytes, "response_bytes"),
        (Self::VerdictKind, "verdict_kind"),
        (Self::VerdictOwner, "verdict_owner"),
        (Self::VerdictShare, "verdict_share"),
        (Self::CpuUs, "cpu_us"),
        (Self::UpstreamUs, "upstream_us"),
        (Self::Proved, "proved"),
        (Self::Preexisting, "preexisting"),
        (Self::Unanswered, "unanswered"),
        (Self::Confidence, "join_confidence"),
        (Self::QueuedUs, "queued_us"),
        (Self::Depth, "accept_depth"),
        (Self::Limit, "limit"),
        (Self::Stage, "stage"),
        (Self::Count, "count"),
        (Self::Severity, "severity"),
        (Self::Subject, "subject"),
        (Self::State, "state"),
        (Self::Text, "text"),
        (Self::Fix, "fix"),
        (Self::Holds, "holds"),
        (Self::Exchanges, "exchanges"),
        (Self::BytesIn, "bytes_in"),
        (Self::BytesOut, "bytes_out"),
        (Self::Retransmits, "retransmits"),
        (Self::EndedBy, "ended_by"),
        (Self::Outcome, "outcome"),
        (Self::Error, "error"),
        (Self::Kernel, "kernel"),
        (Self::Tier, "tier"),
        (Self::Targets, "targets"),
        (Self::Gaps, "gaps"),
        (Self::Notices, "notices"),
        (Self::WrittenBy, "written_by"),
        (Self::Bytes, "bytes"),
    ];

    fn iid(self) -> u64 {
        self as u64 + 1
    }
}

/// Facts beside an event. What was not observed is left out.
#[derive(Debug, Default)]
pub(super) struct Facts(pub(super) Vec<DebugAnnotation>);

impl Facts {
    fn push(mut self, key: Key, value: DebugAnnotation) -> Self {
        self.0.push(DebugAnnotation { name_iid: Some(key.iid()), ..value });
        self
    }

    pub(super) fn count(self, key: Key, value: impl Into<u64>) -> Self {
        let uint_value = Some(value.into());
        self.push(key, DebugAnnotation { uint_value, ..DebugAnnotation::default() })
    }

    pub(super) fn maybe(self, key: Key, value: Option<impl Into<u64>>) -> Self {
        match value {
            Some(value) => self.count(key, value),
            None => self,
        }
    }

    pub(super) fn share(self, key: Key, value: f64) -> Self {
        let double_value = Some(value);
        self.push(key, DebugAnnotation { double_value, ..DebugAnnotation::default() })
    }

    /// A fact that is worth a word only where it is true.
    pub(super) fn if_true(self, key: Key, value: bool) -> Self {
        match value {
            true => self.bool(key, true),
            false => self,
        }
    }

    pub(super) fn bool(self, key: Key, value: bool) -> Self {
        let bool_value = Some(value);
        self.push(key, DebugAnnotation { bool_value, ..DebugAnnotation::default() })
    }

    pub(super) fn word(self, key: Key, value: impl Into<String>) -> Self {
        let string_value = Some(value.into());
        self.push(key, DebugAnnotation { string_value, ..DebugAnnotation::default() })
    }

    /// Text from outside: it reads as on a terminal.
    pub(super) fn text(self, key: Key, value: &Untrusted) -> Self {
        if value.is_empty() { self } else { self.word(key, value.for_terminal().to_string()) }
    }
}

/// Returns everything that events refer to.
pub(super) fn interned() -> InternedData {
    let name = |iid: u64, name: &str| InternedName { iid: Some(iid), name: Some(name.to_owned()) };
    let mut data = InternedData::default();
    for category in Category::ALL {
        data.event_categories.push(name(category.iid(), category.name()));
    }
    for kind in SliceKind::ALL {
        data.event_names.push(name(kind as u64 + 1, kind.name()));
    }
    for fixed in Name::FIXED {
        if let Some(iid) = Name::Fixed(fixed).iid() {
            data.event_names.push(name(iid, fixed));
        }
    }
    for (key, word) in Key::ALL {
        data.debug_annotation_names.push(name(key.iid(), word));
    }
    data
}
