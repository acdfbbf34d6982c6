//! Entries as version 2 of the format wrote them, and their conversion to today's.
//!
//! Only types that have changed since are here: every other type is read as it is. A new field has
//! its value for old recordings here: it was not observed then.

use std::net::SocketAddr;

use serde::Deserialize;

use super::format;
use crate::model::event::{
    self, Cost, DatagramSample, DelayedAcks, Ending, Hold, InAccept, Process, Progress,
    QuicDatagram, Recognised, Role, Side, SockId, SocketEvent, Stage, Syn, TcpState, ThreadUse,
    WaitKind, Waiting,
};
use crate::text::Untrusted;

/// The version that this is about.
pub(super) const OLDER: u16 = 2;

/// Declares a struct of version 2 and its conversion. Fields are those of version 2 in their order,
/// each taken as it is, or by the function behind `=>`. Fields that it did not have stand behind
/// `new`, with their value: `new { unanswered: false, }`.
macro_rules! older {
    (@ $value:expr) => { $value };
    (@ $value:expr, $how:expr) => { $how($value) };
    (
        $name:ident => $now:ty {
            $($field:ident: $type:ty $(=> $how:expr)?,)*
        } new {
            $($new:ident: $default:expr,)*
        }
    ) => {
        #[derive(Deserialize)]
        pub(super) struct $name { $($field: $type,)* }

        impl From<$name> for $now {
            fn from(old: $name) -> Self {
                Self { $($field: older!(@ old.$field $(, $how)?),)* $($new: $default,)* }
            }
        }
    };
}

#[derive(Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nearly every entry is an event")]
pub(super) enum OlderEntry {
    Batch(u64),
    Target(Untrusted),
    Notices(Vec<Untrusted>),
    Event(Event),
    Finish(u64),
}

impl From<OlderEntry> for format::RecordEntry {
    fn from(old: OlderEntry) -> Self {
        match old {
            OlderEntry::Batch(ns) => Self::Batch(ns),
            OlderEntry::Target(target) => Self::Target(target),
            OlderEntry::Notices(notices) => Self::Notices(notices),
            OlderEntry::Event(event) => Self::Event(event.into()),
            OlderEntry::Finish(ns) => Self::Finish(ns),
        }
    }
}

#[derive(Deserialize)]
pub(super) enum Event {
    Accept(Accept),
    Overflow(Overflow),
    Syn(Syn),
    SynAckRetransmit(SynAckRetransmit),
    Opened(Opened),
    Exchange(Exchange),
    Closed(Closed),
    Process(Process),
    Connections(ConnectionPart),
    Sample(Sample),
    SocketEvent(SocketEvent),
    Recognised(Recognised),
    Quic(QuicDatagram),
}

impl From<Event> for event::Event {
    fn from(old: Event) -> Self {
        match old {
            Event::Accept(accept) => Self::Accept(accept.into()),
            Event::Overflow(overflow) => Self::Overflow(overflow.into()),
            Event::Syn(syn) => Self::Syn(syn),
            Event::SynAckRetransmit(retransmit) => Self::SynAckRetransmit(retransmit.into()),
            Event::Opened(opened) => Self::Opened(opened.into()),
            Event::Exchange(exchange) => Self::Exchange(exchange.into()),
            Event::Closed(closed) => Self::Closed(closed.into()),
            Event::Process(process) => Self::Process(process),
            Event::Connections(part) => Self::Connections(part.into()),
            Event::Sample(sample) => Self::Sample(sample.into()),
            Event::SocketEvent(socket_event) => Self::SocketEvent(socket_event),
            Event::Recognised(recognised) => Self::Recognised(recognised),
            Event::Quic(datagram) => Self::Quic(datagram),
        }
    }
}

older! {
    Accept => event::Accept {
        ts_ns: u64,
        sock: SockId,
        listener: SockId,
        local: SocketAddr,
        peer: SocketAddr,
        pid: u32,
        tid: u32,
        comm: Untrusted,
        fd: Option<i32>,
        handshake_us: Option<u64>,
        queued_ns: Option<u64>,
        queued_estimated: bool,
        late: bool,
        entered_ns: Option<u64>,
        depth: u32,
    } new { stands_for: 1, }
}

older! {
    Overflow => event::Overflow {
        ts_ns: u64,
        listener: SockId,
        peer: SocketAddr,
        stage: Stage,
        depth: u32,
        limit: u32,
        syn_depth: u32,
    } new { bytes: None, }
}

older! {
    SynAckRetransmit => event::SynAckRetransmit {
        ts_ns: u64,
        listener: SockId,
        peer: SocketAddr,
        count: u32,
    } new { first_ns: None, ignored: false, }
}

older! {
    Opened => event::Opened {
        ts_ns: u64,
        sock: SockId,
        role: Role,
        listener: Option<SockId>,
        local: SocketAddr,
        peer: SocketAddr,
        pid: u32,
        comm: Untrusted,
        handshake_us: Option<u64>,
        preexisting: bool,
    } new {
        asked_ns: None,
        syns_again: 0,
    }
}

older! {
    Exchange => event::Exchange {
        ts_ns: u64,
        sock: SockId,
        seq: u32,
        role: Role,
        preexisting: bool,
        progress: Progress,
        inbound: Option<Inbound> => optional,
        outbound: Option<Outbound> => optional,
        min_rtt_us: Option<u32>,
        delayed_acks: Option<DelayedAcks>,
    } new { end: None, untold: None, }
}

older! {
    Inbound => event::Inbound {
        first_ns: u64,
        last_ns: u64,
        read_first_ns: Option<u64>,
        read_last_ns: Option<u64>,
        starved_ns: u64,
        bytes: u64,
        unread_bytes: u64,
        reads: u32,
        eagains: u32,
        reader: Option<ThreadUse>,
    } new { left: false, }
}

older! {
    Outbound => event::Outbound {
        first_ns: u64,
        last_ns: u64,
        sent_ns: Option<u64>,
        acked_ns: Option<u64>,
        bytes: u64,
        unsent_bytes: u64,
        unacked_bytes: u64,
        writes: u32,
        small_writes: u32,
        last_sizes: [u32; 2],
        held_sizes: [u32; 2],
        holds: Vec<Hold>,
        blocked_ns: u64,
        window_limited_ns: u64,
        retransmits: u32,
        retransmit_ns: Option<u64>,
        writer: Option<ThreadUse>,
    } new {
        pauses: None,
        held_last: None,
        holding: None,
        window_restarted: false,
        spurious: 0,
        gaps: 0,
        longest_gap_ns: 0,
    }
}

older! {
    Closed => event::Closed {
        ts_ns: u64,
        sock: SockId,
        by: Option<Side>,
        how: Option<Ending>,
        since_ns: Option<u64>,
        bytes_in: u64,
        bytes_out: u64,
        exchanges: u32,
        retransmits: u32,
        delayed_acks: Option<u32>,
        delayed_ack_us: u64,
    } new {
        why: None,
        idle_ns: None,
        unread_bytes: 0,
        unacked_bytes: 0,
        unanswered: false,
        asked_ns: None,
        min_rtt_us: None,
        unseen: false,
        multipath: false,
        untold: false,
    }
}

older! {
    ConnectionPart => event::ConnectionPart {
        ts_ns: u64,
        connections: Vec<ConnectionSample> => all,
    } new {}
}

older! {
    ConnectionSample => event::ConnectionSample {
        sock: SockId,
        state: TcpState,
        exchange: Option<Exchange> => optional,
        active_ns: u64,
        peer_window_zero: bool,
        window_zero: bool,
    } new {
        fin_ns: None,
        next: None,
    }
}

older! {
    ThreadSample => event::ThreadSample {
        pid: u32,
        parent: u32,
        tid: u32,
        comm: Untrusted,
        cpu_ns: u64,
        run_delay_ns: u64,
        runs: u64,
        started_ns: u64,
        sleep: Option<WaitKind>,
        reads: u64,
        writes: u64,
    } new {}
}

older! {
    Sample => event::Sample {
        ts_ns: u64,
        listeners: Vec<ListenerSample> => all,
        in_accept: Vec<InAccept>,
        connections: Vec<ConnectionSample> => all,
        connections_open: u64,
        threads: Vec<ThreadSample> => all,
        waiting: Vec<Waiting>,
        datagrams: Vec<DatagramSample>,
        lost: Vec<(Untrusted, u64)>,
        seen: u64,
        somaxconn: Vec<(u32, u32)>,
        cost: Cost,
    } new {
        unix: Vec::new(),
        settings: Vec::new(),
    }
}

older! {
    ListenerSample => event::ListenerSample {
        sock: SockId,
        local: SocketAddr,
        pid: u32,
        comm: Untrusted,
        holders: Vec<u32>,
        netns: u32,
        since_ns: u64,
        closed_ns: Option<u64>,
        backlog: Option<u32>,
        limit: u32,
        depth: u32,
        peak: u32,
        syn_depth: u32,
        syn_peak: u32,
        syns: Option<u64>,
        queued: u64,
        accepted: u64,
        overflow_syn: u64,
        overflow_ack: Option<u64>,
        syn_dropped: Option<u64>,
        cookies_sent: Option<u64>,
        drops: u64,
        synack_retransmits: u64,
        eagain: u64,
        abandoned: u64,
    } new {
        fails: None,
        left: None,
        others: Vec::new(),
        synack_acked: None,
        defer_accept: None,
        unwatched: false,
        unnamed_holders: 0,
        calls_missed: false,
        netns_cookie: None,
        untold: 0,
    }
}

fn optional<Old, Now: From<Old>>(old: Option<Old>) -> Option<Now> {
    old.map(Now::from)
}

fn all<Old, Now: From<Old>>(old: Vec<Old>) -> Vec<Now> {
    old.into_iter().map(Now::from).collect()
}
