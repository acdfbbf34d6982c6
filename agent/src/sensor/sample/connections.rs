//! Connections that are open now, by the iterator over the targets' files.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::Read,
    mem,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use aya::programs::ProgramFd;
use backscope_abi as abi;
use rustc_hash::FxHashSet;

use crate::{
    model::{
        UNTOLD_NS,
        event::{Census, ConnectionSample, Event, Opened, SockId},
    },
    sensor::{
        attach::sys,
        clock::CpuTimer,
        decode::{self, Capabilities, address, exchange, known, record, role, tcp_state},
        procfs,
    },
    text::Untrusted,
};

/// Time between scans, in times of what the last one cost.
const SCAN_SHARE: u32 = 50;
/// Connections found open that are remembered as announced. One beyond that may be announced twice.
const MAX_ANNOUNCED: usize = 200_000;

/// Empty parts that follow a complete census, one with each look at the ring: for each the model
/// closes some of the connections that have ended, all of those that it may know.
const FOLLOWING: usize = 100;

/// Time after which a connect is shown as pending, ns.
const HANGS_NS: u64 = 200_000_000;
/// `TCP_SYN_SENT` (`include/net/tcp_states.h`).
const SYN_SENT: u8 = 2;

/// Connections taken from a scan at a time. All of them at once would take more memory than all
/// that is kept of them.
const PART: usize = 1_024;
/// Bytes read of an iterator at a time: as many as the kernel gives.
const READ: usize = 32 * 1_024;

/// A part of a scan.
#[derive(Debug, Default)]
pub(in crate::sensor) struct Scanned {
    /// Connections that were open already, and exchanges that are over for good.
    pub(in crate::sensor) found: Vec<Event>,
    pub(in crate::sensor) connections: Vec<ConnectionSample>,
}

/// UDP sockets that a scan met.
#[derive(Debug, Default)]
pub(in crate::sensor) struct UdpSockets {
    /// One entry a descriptor.
    pub(super) held: Vec<abi::ScanDatagram>,
    /// Beginning of the scan, if it has shown everything that was held then.
    pub(super) complete_since_ns: Option<u64>,
}

/// A scan that goes on.
#[derive(Debug, Default)]
struct Scan {
    /// Processes that are yet to be scanned; `None` for all.
    left: VecDeque<Option<u32>>,
    iterator: Option<File>,
    /// Bytes that were read and not decoded yet.
    output: Vec<u8>,
    /// Connections that were met: one that several processes hold is met several times.
    seen: FxHashSet<SockId>,
    udp_sockets: UdpSockets,
    census: Option<Counting>,
    filter_failed: bool,
    cost: Duration,
}

/// Connections that a census has met.
#[derive(Debug, Default)]
struct Counting {
    since_ns: u64,
    held: FxHashSet<SockId>,
    /// Those that are not told yet.
    part: Vec<SockId>,
    /// There are connections that the iterator cannot reach.
    fails: bool,
}

impl Counting {
    fn note(&mut self, sock: SockId) {
        match sock {
            abi::CANNOT_COUNT => self.fails = true,
            _ if self.held.insert(sock) => self.part.push(sock),
            _ => {}
        }
    }

    fn tell(&mut self, complete: bool) -> Event {
        let since_ns = self.since_ns;
        let socks = mem::take(&mut self.part);
        Event::Census(Census { ts_ns: since_ns, since_ns, socks, complete })
    }
}

/// Ends were lost: scans are censuses until one has begun so long after the first that the model
/// can tell which connections have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Recount {
    /// Beginning of the first complete census.
    first_ns: Option<u64>,
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

    /// Notes that records may have been lost, and with them the ends of connections.
    pub(in crate::sensor) fn recount(&mut self) {
        self.recount = Some(Recount::default());
    }

    /// Whether the scan that goes on is a census.
    pub(in crate::sensor) fn is_census(&self) -> bool {
        matches!(&self.scan, Some(scan) if scan.census.is_some())
    }

    /// Returns the next of the empty parts that follow a complete census.
    pub(in crate::sensor) fn next_part(&mut self) -> Option<Event> {
        let (left, since_ns) = &mut self.follow;
        *left = left.checked_sub(1)?;
        let (ts_ns, since_ns) = (*since_ns, *since_ns);
        Some(Event::Census(Census { ts_ns, since_ns, socks: Vec::new(), complete: false }))
    }

    /// Takes the connections that the newest census has shown, if it was complete.
    pub(in crate::sensor) fn take_held(&mut self) -> Option<FxHashSet<SockId>> {
        self.held.take()
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

    /// Ends a census.
    fn count(&mut self, scan: &mut Scan, scanned: &mut Scanned) {
        let Some(mut census) = scan.census.take() else { return };
        let complete = scan.udp_sockets.complete_since_ns.is_some() && !census.fails;
        scanned.found.push(census.tell(complete));
        if census.fails {
            // So will the next one.
            self.recount = None;
        }
        if !complete {
            return;
        }
        match self.recount.and_then(|recount| recount.first_ns) {
            None => self.recount = Some(Recount { first_ns: Some(census.since_ns) }),
            Some(first_ns) if census.since_ns >= first_ns + UNTOLD_NS => self.recount = None,
            Some(_) => {}
        }
        self.follow = (FOLLOWING, census.since_ns);
        self.announced.retain(|sock| census.held.contains(sock));
        self.held = Some(census.held);
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
            exchange: if has_begun { Some(exchange(raw, self.capabilities)) } else { None },
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

impl Scan {
    /// Connections of a census that are not told yet.
    fn counted(&self) -> usize {
        self.census.as_ref().map_or(0, |census| census.part.len())
    }

    /// Reads some more of the iterators' output. Returns false at its end.
    fn read(&mut self, program: &ProgramFd) -> bool {
        loop {
            if let Some(iterator) = &mut self.iterator {
                let from = self.output.len();
                self.output.resize(from + READ, 0);
                let result = iterator.read(&mut self.output[from..]);
                if result.is_err() {
                    self.udp_sockets.complete_since_ns = None;
                }
                let length = result.unwrap_or(0);
                self.output.truncate(from + length);
                if length > 0 {
                    return true;
                }
                self.iterator = None;
                self.output.clear();
            }
            let Some(pid) = self.left.pop_front() else { return false };
            match sys::task_iterator(program.as_fd(), pid) {
                Ok(iterator) => self.iterator = Some(iterator),
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(_) if pid.is_some() => {
                    self.filter_failed = true;
                    self.left = VecDeque::from([None]);
                }
                Err(_) => self.udp_sockets.complete_since_ns = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPABILITIES: Capabilities = Capabilities { tick_ns: 4_000_000, sees_delayed_acks: true };
    const BEGUN_NS: u64 = 1_000_000_000_000;

    /// Scans connections, and returns what a census tells; `None` if the scan is none.
    fn scan(
        connections: &mut Connections,
        at_ns: u64,
        met: &[SockId],
        complete: bool,
    ) -> Option<Census> {
        connections.begin_scan(&[4_242], BEGUN_NS + at_ns);
        let mut scan = connections.scan.take().expect("a scan");
        let census = scan.census.as_mut()?;
        assert_eq!(scan.left, [None], "the files of all processes are scanned");
        met.iter().for_each(|sock| census.note(*sock));
        if !complete {
            scan.udp_sockets.complete_since_ns = None;
        }
        let mut scanned = Scanned::default();
        connections.count(&mut scan, &mut scanned);
        let [Event::Census(census)] = &scanned.found[..] else { panic!("{scanned:?}") };
        assert_eq!(census.since_ns, BEGUN_NS + at_ns);
        Some(census.clone())
    }

    #[test]
    fn connections_are_counted_until_the_model_can_tell_which_have_ended() {
        let mut connections = Connections::new(CAPABILITIES);
        assert_eq!(scan(&mut connections, 0, &[], true), None, "nothing was lost");
        connections.recount();
        let census = scan(&mut connections, 1, &[5, 7, 5], false).expect("a census");
        assert_eq!((&census.socks[..], census.complete), (&[5, 7][..], false));
        let census = scan(&mut connections, 2, &[5], true).expect("the first complete one");
        assert!(census.complete);
        assert!(scan(&mut connections, 1 + UNTOLD_NS, &[5], true).is_some(), "too soon");
        assert!(scan(&mut connections, 2 + UNTOLD_NS, &[5], false).is_some(), "not complete");
        assert!(scan(&mut connections, 3 + UNTOLD_NS, &[5], true).is_some());
        assert_eq!(scan(&mut connections, 4 + UNTOLD_NS, &[5], true), None, "that was the last");
        // More is lost meanwhile.
        connections.recount();
        assert!(scan(&mut connections, 5 * UNTOLD_NS, &[5], true).is_some());
        connections.recount();
        assert!(scan(&mut connections, 6 * UNTOLD_NS, &[5], true).is_some());
        assert!(scan(&mut connections, 7 * UNTOLD_NS, &[5], true).is_some());
        assert_eq!(scan(&mut connections, 8 * UNTOLD_NS, &[5], true), None);
    }

    #[test]
    fn where_the_iterator_cannot_reach_all_nothing_is_missed() {
        let mut connections = Connections::new(CAPABILITIES);
        connections.announced.extend([5, 6]);
        connections.recount();
        let census = scan(&mut connections, 0, &[5, abi::CANNOT_COUNT], true).expect("a census");
        assert_eq!((&census.socks[..], census.complete), (&[5][..], false));
        assert_eq!((connections.announced.len(), connections.take_held()), (2, None));
        assert_eq!(scan(&mut connections, 1, &[5], true), None, "the next would fail, too");
    }

    #[test]
    fn announced_connections_that_are_gone_are_forgotten() {
        let mut connections = Connections::new(CAPABILITIES);
        connections.announced.extend([5, 6]);
        connections.recount();
        scan(&mut connections, 0, &[6, 7], true);
        assert_eq!(connections.announced, FxHashSet::from_iter([6]));
        assert_eq!(connections.take_held(), Some(FxHashSet::from_iter([6, 7])));
        assert_eq!(connections.take_held(), None, "they are taken once");
    }
}
