//! Turns the ring buffer's records into events.
#![expect(unsafe_code, reason = "a record's bytes become the type that its kind names")]

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use backscope_abi as abi;

use super::moments::{self, Sight};
use super::{brief, connections, connects};
use crate::model::event::{self, Event, ProcessChange, Stage};

/// What a record means.
pub(super) enum Decoded {
    /// Something the model wants to know.
    Event,
    /// Bytes to be recognised.
    FirstBytes,
    /// The agent should scan a process for listeners it came by silently.
    Adopt(u32),
}

/// The record in these bytes, if there are enough of them.
pub(super) fn record<T: Copy>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough; every record type is `repr(C)` integers and valid for any bytes.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

pub(super) fn address(end: abi::Endpoint) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(end.addr)).to_canonical(), end.port)
}

/// A command name up to its NUL.
pub(super) fn comm(bytes: &[u8]) -> String {
    name(bytes).into_owned()
}

fn name(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
}

/// Reads a record. If it is an event, that takes the place of the one before.
pub(super) fn decode(bytes: &[u8], sight: Sight, event: &mut Event) -> Option<Decoded> {
    let kind: u32 = record(bytes)?;
    if kind == abi::COMPACT_EXCHANGE
        && let Event::Exchange(exchange) = event
    {
        brief::fill(exchange, &record(bytes)?, sight.kernel);
        return Some(Decoded::Event);
    }
    *event = match kind {
        abi::ACCEPT => Event::Accept(accept(record(bytes)?, sight.kernel.tick_ns)),
        abi::OVERFLOW => Event::Overflow(overflow(record(bytes)?)?),
        abi::SYN => Event::Syn(syn(record(bytes)?)),
        abi::RETRANSMIT => Event::SynAckRetransmit(retransmit(record(bytes)?)),
        abi::OPENED => Event::Opened(connections::opened(&record(bytes)?)),
        abi::EXCHANGE => Event::Exchange(connections::exchange(&record(bytes)?, sight.kernel)),
        abi::COMPACT_EXCHANGE => {
            let mut exchange = connections::exchange(&abi::Exchange::BLANK, sight.kernel);
            brief::fill(&mut exchange, &record(bytes)?, sight.kernel);
            Event::Exchange(exchange)
        }
        abi::ENDED => Event::Closed(connections::closed(&record(bytes)?, sight.kernel)),
        abi::FAILED => Event::Connect(connects::failed(&record(bytes)?)),
        abi::LATE => Event::Late(connects::late(&record(bytes)?)),
        abi::EVENT => Event::Moment(moments::moment(&record(bytes)?, sight)?),
        abi::PROCESS => Event::Process(process(record(bytes)?)?),
        abi::PAYLOAD_PREFIX | abi::DATAGRAM_PREFIX => return Some(Decoded::FirstBytes),
        abi::ADOPT => return Some(Decoded::Adopt(record::<abi::Adopt>(bytes)?.tgid)),
        // Listeners come and go by the sample, which has all of their figures.
        _ => return None,
    };
    Some(Decoded::Event)
}

fn accept(raw: abi::Accept, tick_ns: u64) -> event::Accept {
    let known = |ns: u64| (ns != 0).then_some(ns);
    let estimated = raw.ts_ns.saturating_sub(u64::from(raw.age_jiffies) * tick_ns);
    event::Accept {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        listener: raw.listener,
        local: address(raw.local),
        peer: address(raw.peer),
        pid: raw.tgid,
        tid: raw.tid,
        comm: name(&raw.comm).into(),
        fd: (raw.fd >= 0).then_some(raw.fd),
        handshake_us: handshake_us(raw.srtt_us),
        queued_ns: if raw.late != 0 { None } else { known(raw.queued_ns).or(Some(estimated)) },
        queued_estimated: raw.late == 0 && raw.queued_ns == 0,
        late: raw.late != 0,
        entered_ns: known(raw.entered_ns),
        depth: raw.depth,
    }
}

/// The round trip of SYN-ACK and final ACK, which is the only sample before any data was sent. A
/// whole number of milliseconds comes from a TCP timestamp, not from the kernel's own clock: then
/// the SYN-ACK was a syncookie, whose timestamp carries other things, or was sent more than once
/// (`tcp_synack_rtt_meas`, `tcp_ack_update_rtt`, 5.10 to 7.3). Such a sample says nothing.
fn handshake_us(srtt: u32) -> Option<u64> {
    const MILLISECOND: u32 = 8 * 1_000;
    (!srtt.is_multiple_of(MILLISECOND)).then_some(u64::from(srtt >> 3))
}

fn overflow(raw: abi::Overflow) -> Option<event::Overflow> {
    let stage = match raw.stage {
        abi::stage::SYN => Stage::Syn,
        abi::stage::ACK => Stage::Ack,
        abi::stage::SYN_QUEUE => Stage::SynQueue,
        abi::stage::COOKIE => Stage::Cookie,
        _ => return None,
    };
    Some(event::Overflow {
        ts_ns: raw.ts_ns,
        listener: raw.listener,
        peer: address(raw.peer),
        stage,
        depth: raw.depth,
        limit: raw.limit,
        syn_depth: raw.syn_depth,
        bytes: (raw.bytes != u32::MAX).then_some(raw.bytes),
    })
}

fn syn(raw: abi::Syn) -> event::Syn {
    event::Syn {
        ts_ns: raw.ts_ns,
        listener: raw.listener,
        peer: address(raw.peer),
        depth: raw.depth,
        syn_depth: raw.syn_depth,
        tfo_bytes: (raw.tfo_bytes != u32::MAX).then_some(raw.tfo_bytes),
    }
}

fn retransmit(raw: abi::Retransmit) -> event::SynAckRetransmit {
    event::SynAckRetransmit {
        ts_ns: raw.ts_ns,
        listener: raw.listener,
        peer: address(raw.peer),
        count: raw.before + 1,
        first_ns: (raw.first_us != 0).then(|| raw.first_us.saturating_mul(1_000)),
        ignored: raw.ignored != 0,
    }
}

fn process(raw: abi::Process) -> Option<event::Process> {
    let change = match raw.what {
        abi::process::FORK => ProcessChange::Forked { parent: raw.parent },
        abi::process::EXEC => ProcessChange::Executed,
        abi::process::EXIT => ProcessChange::Exited,
        _ => return None,
    };
    Some(event::Process { ts_ns: raw.ts_ns, pid: raw.tgid, comm: comm(&raw.comm), change })
}

/// What the iterator over open files shows.
pub(super) enum Scanned {
    /// A watched listener.
    Listener(abi::ScanEntry),
    /// A Unix-domain one.
    Unix(abi::ScanUnix),
    /// A listener beside a watched one.
    Other(abi::ScanOther),
}

/// What the iterator over open files wrote, up to anything that is not known.
pub(super) fn scan_entries(mut bytes: &[u8]) -> impl Iterator<Item = Scanned> {
    std::iter::from_fn(move || {
        let (entry, size) = match record::<u32>(bytes)? {
            abi::SCAN_LISTENER => (Scanned::Listener(record(bytes)?), size_of::<abi::ScanEntry>()),
            abi::SCAN_UNIX => (Scanned::Unix(record(bytes)?), size_of::<abi::ScanUnix>()),
            abi::SCAN_OTHER => (Scanned::Other(record(bytes)?), size_of::<abi::ScanOther>()),
            _ => return None,
        };
        bytes = &bytes[size..];
        Some(entry)
    })
}

/// A name as `ss` shows it: that in the abstract namespace begins with `@`.
pub(super) fn unix_path(raw: &abi::ScanUnix) -> String {
    let bytes = &raw.path[..raw.path.len().min(raw.length as usize)];
    match bytes.split_first() {
        Some((0, name)) => format!("@{}", String::from_utf8_lossy(name)),
        _ => comm(bytes),
    }
}
