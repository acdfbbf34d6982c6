//! Connections that are open now, by the iterator over the targets' files.

mod census;
mod scan;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    mem,
    time::{Duration, Instant},
};

use aya::programs::ProgramFd;
use backscope_abi as abi;
use rustc_hash::FxHashSet;

use crate::{
    model::event::{ConnectionSample, Event, Exchange, Opened, SockId},
    sensor::{
        clock::CpuTimer,
        decode::{self, Capabilities, address, exchange, known, record, role, tcp_state},
        procfs,
    },
    text::Untrusted,
};
use census::{Counting, Recount};
use scan::Scan;
pub(in crate::sensor) use scan::UdpSockets;

/// Time between scans, in times of what the last one cost.
const SCAN_SHARE: u32 = 50;

/// Connections found open that are remembered as announced. One beyond that may be announced twice.
const MAX_ANNOUNCED: usize = 200_000;

/// Time after which a connect is shown as pending, ns.
const HANGS_NS: u64 = 200_000_000;

/// `TCP_SYN_SENT` (`include/net/tcp_states.h`).
const SYN_SENT: u8 = 2;

/// Connections taken from a scan at a time. All of them at once would take more memory than all
/// that is kept of them.
const PART: usize = 1_024;

/// A part of a scan.
#[derive(Debug, Default)]
pub(in crate::sensor) struct Scanned {
    /// Connections that were open already, and exchanges that are over for good.
    pub(in crate::sensor) found: Vec<Event>,
    pub(in crate::sensor) connections: Vec<ConnectionSample>,
}

/// Runs the iterator over the targets' connections, and remembers which were announced.
///
/// At a refresh [`Connections::begin_scan`] begins a scan, and [`Connections::scan_on`] returns one
/// part of it after the other; then [`Connections::take_udp_sockets`] has the UDP sockets that it
/// met. [`Connections::forget`] is called for each connection that ended. Once records of ends may
/// have been lost, [`Connections::recount`] makes each scan a census for a while: it runs over the
/// files of all processes and shows every connection that is there, and
/// [`Connections::take_held`] has them all.
pub(in crate::sensor) struct Connections {
    capabilities: Capabilities,
    announced: FxHashSet<SockId>,
    next_scan: Option<Instant>,
    scan: Option<Scan>,
    udp_sockets: UdpSockets,
    recount: Option<Recount>,
    held: Option<FxHashSet<SockId>>,
    /// Parts that are still to follow a complete census, and its beginning.
    follow: (usize, u64),
    names: HashMap<u32, Untrusted>,
    /// The iterator can show the files of one process alone (6.1 and later).
    filters_by_process: bool,
}

impl Connections {
    pub(in crate::sensor) fn new(capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            announced: FxHashSet::default(),
            next_scan: None,
            scan: None,
            udp_sockets: UdpSockets::default(),
            recount: None,
            held: None,
            follow: (0, 0),
            names: HashMap::new(),
            filters_by_process: true,
        }
    }

    /// Makes the next scan run, whatever the last one cost.
    pub(in crate::sensor) fn scan_is_due(&mut self) {
        self.next_scan = None;
    }

    /// Begins a scan of the targets' connections, unless the last one cost so much that it is not
    /// yet time for another.
    ///
    /// `processes` is empty where the files of every process have to be scanned.
    pub(in crate::sensor) fn begin_scan(&mut self, processes: &[u32], now_ns: u64) {
        if let Some(next) = self.next_scan
            && Instant::now() < next
        {
            return;
        }
        self.names.clear();
        let mut left = VecDeque::new();
        // A connection may have been passed on, to whoever.
        if self.filters_by_process && self.recount.is_none() {
            left.extend(processes.iter().copied().map(Some));
        }
        if left.is_empty() {
            left.push_back(None);
        }
        let udp_sockets = UdpSockets { held: Vec::new(), complete_since_ns: Some(now_ns) };
        self.follow = (0, 0);
        let census = self.recount.map(|_| Counting { since_ns: now_ns, ..Counting::default() });
        self.scan = Some(Scan { left, udp_sockets, census, ..Scan::default() });
    }

    /// Returns the next part of the scan that goes on; `None` once there is no more.
    pub(in crate::sensor) fn scan_on(
        &mut self,
        program: &ProgramFd,
        now_ns: u64,
    ) -> Option<Scanned> {
        let mut scan = self.scan.take()?;
        let begin = CpuTimer::begin();
        // Allocated at once, and so in pages of their own. Grown by doubling they would leave holes
        // between what is kept.
        let mut scanned =
            Scanned { found: Vec::with_capacity(PART), connections: Vec::with_capacity(PART) };
        let mut more = true;
        while more && scanned.connections.len() + scanned.found.len() + scan.counted() < PART {
            more = scan.read(program);
            let output = mem::take(&mut scan.output);
            let used = self.note(&output, now_ns, &mut scan, &mut scanned);
            scan.output = output;
            scan.output.drain(..used);
        }
        if let Some(census) = &mut scan.census
            && more
        {
            scanned.found.push(census.tell(false));
        }
        scan.cost += begin.elapsed();
        if more {
            self.scan = Some(scan);
        } else {
            self.count(&mut scan, &mut scanned);
            let next = Instant::now() + scan.cost * SCAN_SHARE;
            let is_costly = scan.cost > Duration::from_millis(5);
            self.next_scan = if is_costly { Some(next) } else { None };
            self.udp_sockets = scan.udp_sockets;
            self.filters_by_process &= !scan.filter_failed;
        }
        Some(scanned)
    }

    /// Takes the UDP sockets that the newest scan met; none if they were taken before.
    pub(in crate::sensor) fn take_udp_sockets(&mut self) -> UdpSockets {
        mem::take(&mut self.udp_sockets)
    }

    /// Takes the records in these bytes, and returns how many bytes they are.
    fn note(
        &mut self,
        output: &[u8],
        now_ns: u64,
        scan: &mut Scan,
        scanned: &mut Scanned,
    ) -> usize {
        let mut at = 0;
        while let Some(tag) = record::<u32>(&output[at..]) {
            let rest = &output[at..];
            at += match tag {
                abi::SCAN_CONNECTION => {
                    let Some(head) = record::<abi::ScanConnection>(rest) else { break };
                    let Some(rest) = rest.get(size_of_val(&head)..) else { break };
                    let Some(raw) = record::<abi::Exchange>(rest) else { break };
                    if scan.seen.insert(raw.sock) {
                        self.connection(&head, &raw, now_ns, scanned);
                    }
                    size_of_val(&head) + size_of_val(&raw)
                }
                // Shown as complete before, and nothing can add to it any more: the probes keep no
                // more of it.
                abi::EXCHANGE => {
                    let Some(raw) = record::<abi::Exchange>(rest) else { break };
                    let raw = abi::Exchange { progress: abi::progress::FOLLOWED, ..raw };
                    scanned.found.push(Event::Exchange(exchange(&raw, self.capabilities)));
                    size_of_val(&raw)
                }
                abi::SCAN_HELD => {
                    let Some(raw) = record::<abi::ScanHeld>(rest) else { break };
                    if let Some(census) = &mut scan.census {
                        census.note(raw.sock);
                    }
                    size_of_val(&raw)
                }
                abi::SCAN_DATAGRAM => {
                    let Some(raw) = record::<abi::ScanDatagram>(rest) else { break };
                    scan.udp_sockets.held.push(raw);
                    size_of_val(&raw)
                }
                _ => break,
            };
        }
        at
    }

    fn connection(
        &mut self,
        head: &abi::ScanConnection,
        raw: &abi::Exchange,
        now_ns: u64,
        scanned: &mut Scanned,
    ) {
        if head.preexisting != 0
            && self.announced.len() < MAX_ANNOUNCED
            && self.announced.insert(raw.sock)
        {
            scanned.found.push(Event::Opened(Opened {
                ts_ns: now_ns,
                sock: raw.sock,
                role: role(raw.role),
                listener: None,
                local: address(head.local),
                peer: address(head.peer),
                pid: head.tgid,
                comm: self.name(head.tgid),
                handshake_us: None,
                preexisting: true,
                asked_ns: None,
                syns_again: 0,
            }));
        }
        if head.state == SYN_SENT {
            if now_ns.saturating_sub(head.since_ns) >= HANGS_NS {
                let comm = self.name(head.tgid);
                scanned.found.push(Event::Connect(decode::pending(head, raw, comm, now_ns)));
            }
            return;
        }
        let has_begun = raw.in_first_ns != 0 || raw.writes != 0;
        let mut next = None;
        if head.next_since_ns != 0 {
            next = Some((head.next_since_ns, head.next_newest_ns));
        }
        scanned.connections.push(ConnectionSample {
            sock: raw.sock,
            state: tcp_state(head.state),
            exchange: has_begun.then(|| Exchange {
                untold: Some(head.untold),
                ..exchange(raw, self.capabilities)
            }),
            active_ns: head.active_ns,
            peer_window_zero: head.peer_window_zero != 0,
            window_zero: head.window_zero != 0,
            fin_ns: known(head.since_ns),
            next,
        });
    }

    /// Takes the output of an iterator, part by part, as [`Connections::scan_on`] does.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(in crate::sensor) fn fuzzed(&mut self, output: &[u8], now_ns: u64) -> Scanned {
        let (mut scan, mut scanned, mut rest) = (Scan::default(), Scanned::default(), Vec::new());
        for part in output.chunks(997) {
            rest.extend(part);
            let used = self.note(&rest, now_ns, &mut scan, &mut scanned);
            rest.drain(..used);
        }
        scanned
    }

    fn name(&mut self, pid: u32) -> Untrusted {
        self.names.entry(pid).or_insert_with(|| procfs::comm(pid).unwrap_or_default()).clone()
    }

    /// Forgets a connection that is gone: its id will not come again.
    pub(in crate::sensor) fn forget(&mut self, sock: SockId) {
        self.announced.remove(&sock);
    }
}
