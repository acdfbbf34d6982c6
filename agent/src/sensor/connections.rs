//! Connections: from the probes' records and the iterator's output to the model's facts.

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

use super::{connects, stream, sys, targets};
use crate::model::event::{
    Closed, ConnectionSample, DelayedAcks, End, Ending, Event, Exchange, Hold, HoldReason, Holding,
    Inbound, Opened, Outbound, Pauses, Progress, Role, Side, SockId, TcpState, ThreadUse, Why,
};

/// A scan may take one part in so many of the time between scans.
const SCAN_SHARE: u32 = 50;
/// Connections found open that are remembered as told of; beyond that one may be told of twice.
const MAX_TOLD: usize = 200_000;

/// A connect that has taken less is no news, ns.
const HANGS_NS: u64 = 200_000_000;
/// The kernel's number of the state (`include/net/tcp_states.h`).
const SYN_SENT: u8 = 2;

/// Connections taken from a scan at a time. All of them at once would take more memory than all
/// that is kept of them.
const PART: usize = 1_024;
/// Bytes read of an iterator at a time: as many as the kernel gives.
const READ: usize = 32 * 1_024;

/// What a part of a scan showed.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Connections that were open already, and exchanges that are over for good.
    pub(super) found: Vec<Event>,
    pub(super) connections: Vec<ConnectionSample>,
}

/// UDP sockets that a scan met.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) sockets: Vec<abi::ScanDatagram>,
    /// When the scan began, if it has shown everything that was held then.
    pub(super) since_ns: Option<u64>,
}

/// A scan that goes on.
#[derive(Debug, Default)]
struct Scan {
    /// Processes that are yet to be looked at; `None` for everybody.
    left: VecDeque<Option<u32>>,
    iterator: Option<File>,
    /// Read, and not made use of yet.
    output: Vec<u8>,
    /// A descriptor that several processes hold is met several times.
    seen: FxHashSet<SockId>,
    held: Held,
    filter_failed: bool,
    took: Duration,
}

/// Runs the iterator over the targets' connections, and remembers which were told of.
pub(super) struct Connections {
    kernel: Kernel,
    told: FxHashSet<SockId>,
    next_scan: Option<Instant>,
    scan: Option<Scan>,
    held: Held,
    names: HashMap<u32, String>,
    /// Before 6.1 the iterator shows everybody's files or none.
    filters_by_process: bool,
}

impl Connections {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            told: FxHashSet::default(),
            next_scan: None,
            scan: None,
            held: Held::default(),
            names: HashMap::new(),
            filters_by_process: true,
        }
    }

    /// Makes the next scan run whatever the last one took.
    pub(super) fn scan_is_due(&mut self) {
        self.next_scan = None;
    }

    /// Begins to look at what the targets' connections do now, unless the last scan was too costly
    /// to have another.
    ///
    /// `processes` is empty where everybody's files have to be looked at.
    pub(super) fn begin_scan(&mut self, processes: &[u32], now_ns: u64) {
        if self.next_scan.is_some_and(|next| Instant::now() < next) {
            return;
        }
        self.names.clear();
        let alone = if self.filters_by_process { processes } else { &[] };
        let mut left: VecDeque<_> = alone.iter().copied().map(Some).collect();
        if left.is_empty() {
            left.push_back(None);
        }
        let held = Held { sockets: Vec::new(), since_ns: Some(now_ns) };
        self.scan = Some(Scan { left, held, ..Scan::default() });
    }

    /// The next part of the scan that goes on; `None` once there is no more.
    pub(super) fn scan_on(&mut self, program: &ProgramFd, now_ns: u64) -> Option<Scanned> {
        let mut scan = self.scan.take()?;
        let begin = Instant::now();
        // At once, and so in pages of their own: grown by doubling, they would leave holes in what
        // is kept.
        let mut scanned =
            Scanned { found: Vec::with_capacity(PART), connections: Vec::with_capacity(PART) };
        let mut more = true;
        while more && scanned.connections.len() + scanned.found.len() < PART {
            more = scan.read(program);
            let output = mem::take(&mut scan.output);
            let used = self.note(&output, now_ns, &mut scan, &mut scanned);
            scan.output = output;
            scan.output.drain(..used);
        }
        scan.took += begin.elapsed();
        if more {
            self.scan = Some(scan);
        } else {
            let next = Instant::now() + scan.took * SCAN_SHARE;
            self.next_scan = (scan.took > Duration::from_millis(5)).then_some(next);
            self.held = scan.held;
            self.filters_by_process &= !scan.filter_failed;
        }
        Some(scanned)
    }

    /// The UDP sockets that the newest scan met; nothing if that was taken before.
    pub(super) fn take_held(&mut self) -> Held {
        mem::take(&mut self.held)
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
        while let Some(tag) = stream::record::<u32>(&output[at..]) {
            let rest = &output[at..];
            at += match tag {
                abi::SCAN_CONNECTION => {
                    let Some(head) = stream::record::<abi::ScanConnection>(rest) else { break };
                    let Some(raw) =
                        rest.get(size_of_val(&head)..).and_then(stream::record::<abi::Exchange>)
                    else {
                        break;
                    };
                    if scan.seen.insert(raw.sock) {
                        self.connection(&head, &raw, now_ns, scanned);
                    }
                    size_of_val(&head) + size_of_val(&raw)
                }
                // Shown as complete before, and nothing can add to it any more: the probes keep no
                // more of it.
                abi::EXCHANGE => {
                    let Some(raw) = stream::record::<abi::Exchange>(rest) else { break };
                    let raw = abi::Exchange { progress: abi::progress::FOLLOWED, ..raw };
                    scanned.found.push(Event::Exchange(exchange(&raw, self.kernel)));
                    size_of_val(&raw)
                }
                abi::SCAN_DATAGRAM => {
                    let Some(raw) = stream::record::<abi::ScanDatagram>(rest) else { break };
                    scan.held.sockets.push(raw);
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
        if head.preexisting != 0 && self.told.len() < MAX_TOLD && self.told.insert(raw.sock) {
            scanned.found.push(Event::Opened(Opened {
                ts_ns: now_ns,
                sock: raw.sock,
                role: role(raw.role),
                listener: None,
                local: stream::address(head.local),
                peer: stream::address(head.peer),
                pid: head.tgid,
                comm: self.name(head.tgid),
                handshake_us: None,
                midway: true,
                asked_ns: None,
                syns_again: 0,
            }));
        }
        if head.state == SYN_SENT {
            if now_ns.saturating_sub(head.since_ns) >= HANGS_NS {
                let comm = self.name(head.tgid);
                scanned.found.push(Event::Connect(connects::pending(head, raw, comm, now_ns)));
            }
            return;
        }
        let began = raw.in_first_ns != 0 || raw.writes != 0;
        scanned.connections.push(ConnectionSample {
            sock: raw.sock,
            state: state(head.state),
            exchange: began.then(|| exchange(raw, self.kernel)),
            active_ns: head.active_ns,
            peer_window_zero: head.peer_window_zero != 0,
            window_zero: head.window_zero != 0,
            fin_ns: known(head.since_ns),
            next: known(head.next_since_ns).map(|since_ns| (since_ns, head.next_newest_ns)),
        });
    }

    fn name(&mut self, pid: u32) -> String {
        self.names.entry(pid).or_insert_with(|| targets::comm_of(pid).unwrap_or_default()).clone()
    }

    /// A connection is gone: its id will not come again.
    pub(super) fn forget(&mut self, sock: SockId) {
        self.told.remove(&sock);
    }
}

impl Scan {
    /// Reads on. False at the end: a process that has ended meanwhile has no files.
    fn read(&mut self, program: &ProgramFd) -> bool {
        loop {
            if let Some(iterator) = &mut self.iterator {
                let from = self.output.len();
                self.output.resize(from + READ, 0);
                let length = iterator.read(&mut self.output[from..]).unwrap_or_else(|_| {
                    self.held.since_ns = None;
                    0
                });
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
                Err(_) => self.held.since_ns = None,
            }
        }
    }
}

pub(super) fn known(ns: u64) -> Option<u64> {
    (ns != 0).then_some(ns)
}

pub(super) fn role(raw: u8) -> Role {
    if raw == abi::role::CLIENT { Role::Client } else { Role::Server }
}

pub(super) fn progress(raw: u8) -> Progress {
    match raw {
        abi::progress::FOLLOWED => Progress::Followed,
        abi::progress::CLOSED => Progress::Closed,
        _ => Progress::Open,
    }
}

/// The kernel's lowest round-trip time, once it has one.
pub(super) fn round_trip_us(raw: u32) -> Option<u32> {
    (raw != 0 && raw != u32::MAX).then_some(raw)
}

/// The kernel's TCP states (`include/net/tcp_states.h`).
fn state(raw: u8) -> TcpState {
    match raw {
        1 => TcpState::Established,
        2 | 3 => TcpState::SynSent,
        8 => TcpState::CloseWait,
        7 => TcpState::Closed,
        _ => TcpState::Closing,
    }
}

fn thread(raw: &abi::SchedDelta) -> Option<ThreadUse> {
    (raw.tid != 0).then(|| ThreadUse {
        pid: raw.tgid,
        tid: raw.tid,
        since_ns: known(raw.since_ns),
        run_delay_ns: raw.run_delay_ns,
        cpu_ns: raw.cpu_ns,
    })
}

/// Reasons by [`abi::hold`].
pub(super) const REASONS: [HoldReason; abi::hold::COUNT] = [
    HoldReason::Nagle,
    HoldReason::Cork,
    HoldReason::Congestion,
    HoldReason::ReceiveWindow,
    HoldReason::Pacing,
];

/// What must be known of the kernel to read its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    /// The length of a jiffy.
    pub(super) tick_ns: u64,
    /// 0 delayed ACKs means none.
    pub(super) sees_delayed_acks: bool,
}

/// The facts in a record.
pub(super) fn exchange(raw: &abi::Exchange, kernel: Kernel) -> Exchange {
    Exchange {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        seq: raw.seq,
        role: role(raw.role),
        midway: raw.preexisting != 0,
        progress: progress(raw.progress),
        inbound: (raw.in_first_ns != 0).then(|| inbound(raw)),
        outbound: (raw.writes != 0).then(|| outbound(raw, kernel.tick_ns)),
        min_rtt_us: round_trip_us(raw.min_rtt_us),
        delayed_acks: kernel.sees_delayed_acks.then(|| DelayedAcks {
            sent: raw.delayed_acks,
            waited_us: raw.delayed_ack_us.into(),
            newest_ns: known(raw.delayed_ack_ns),
        }),
        end: end(raw),
    }
}

fn end(raw: &abi::Exchange) -> Option<End> {
    let (by, how) = side(raw.fin_by).zip(ending(raw.fin_how))?;
    Some(End { ts_ns: raw.fin_ns, by, how, gone: raw.gone != 0 })
}

fn side(raw: u8) -> Option<Side> {
    match raw {
        1 => Some(Side::Local),
        2 => Some(Side::Peer),
        _ => None,
    }
}

fn ending(raw: u8) -> Option<Ending> {
    match raw {
        1 => Some(Ending::Fin),
        2 => Some(Ending::Reset),
        3 => Some(Ending::Timeout),
        _ => None,
    }
}

fn inbound(raw: &abi::Exchange) -> Inbound {
    Inbound {
        first_ns: raw.in_first_ns,
        last_ns: raw.in_last_ns,
        read_first_ns: known(raw.read_first_ns),
        read_last_ns: known(raw.read_last_ns),
        starved_ns: raw.starved_ns,
        bytes: raw.bytes_in,
        unread_bytes: raw.unread.into(),
        reads: raw.reads,
        eagains: raw.eagains.into(),
        reader: thread(&raw.reader),
        left: raw.flags & abi::flag::LEFT != 0,
    }
}

fn outbound(raw: &abi::Exchange, tick_ns: u64) -> Outbound {
    let lasting = |reason: usize| {
        let lasts = usize::from(raw.holding) == reason;
        if lasts { (1, raw.ts_ns.saturating_sub(raw.holding_since_ns)) } else { (0, 0) }
    };
    let holds = REASONS.iter().enumerate().filter_map(|(at, &reason)| {
        let (more, for_ns) = lasting(at);
        let count = u32::from(raw.held[at]) + more;
        (count > 0).then_some(Hold {
            reason,
            count,
            held_ns: u64::from(raw.held_us[at]) * 1_000 + for_ns,
        })
    });
    let last = usize::from(raw.held_last).checked_sub(1);
    Outbound {
        first_ns: raw.out_first_ns,
        last_ns: raw.out_last_ns,
        sent_ns: known(raw.sent_ns),
        acked_ns: known(raw.acked_ns),
        bytes: raw.bytes_out,
        unsent_bytes: raw.unsent.into(),
        unacked_bytes: raw.unacked.into(),
        writes: raw.writes,
        small_writes: raw.small_writes.into(),
        last_sizes: raw.last_sizes,
        held_sizes: raw.held_sizes,
        holds: holds.collect(),
        blocked_ns: raw.blocked_ns,
        window_limited_ns: u64::from(raw.window_jiffies) * tick_ns,
        retransmits: raw.retransmits.into(),
        retransmit_ns: known(raw.retransmit_ns),
        writer: thread(&raw.writer),
        pauses: pauses(raw),
        held_last: last.and_then(|at| REASONS.get(at).copied()),
        holding: REASONS
            .get(usize::from(raw.holding))
            .map(|&reason| Holding { reason, since_ns: raw.holding_since_ns }),
        window_restarted: raw.flags & abi::flag::RESTARTED != 0,
        spurious: u32::from(raw.spurious).min(raw.retransmits.into()),
        gaps: raw.pauses.into(),
        longest_gap_ns: u64::from(raw.longest_pause) << abi::PAUSE_SHIFT,
    }
}

fn pauses(raw: &abi::Exchange) -> Option<Pauses> {
    let complete = raw.flags & abi::flag::PAUSE_UNKNOWN == 0;
    let any = !complete || raw.pause_delay_us != 0 || raw.pause_cpu_us != 0;
    any.then(|| Pauses {
        run_delay_ns: u64::from(raw.pause_delay_us) * 1_000,
        cpu_ns: u64::from(raw.pause_cpu_us) * 1_000,
        complete,
    })
}

/// A connection that a watched process made.
pub(super) fn opened(raw: &abi::Opened) -> Opened {
    Opened {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        role: Role::Client,
        listener: None,
        local: stream::address(raw.local),
        peer: stream::address(raw.peer),
        pid: raw.tgid,
        comm: targets::comm_of(raw.tgid).unwrap_or_default(),
        handshake_us: (raw.srtt_us != 0).then_some(u64::from(raw.srtt_us >> 3)),
        midway: false,
        asked_ns: known(raw.asked_ns),
        syns_again: raw.again,
    }
}

/// The end of a connection.
pub(super) fn closed(raw: &abi::Ended, kernel: Kernel) -> Closed {
    Closed {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        by: side(raw.fin_by),
        how: ending(raw.fin_how),
        since_ns: known(raw.fin_ns),
        bytes_in: raw.bytes_in,
        bytes_out: raw.bytes_out,
        exchanges: raw.exchanges,
        retransmits: raw.retransmits,
        delayed_acks: kernel.sees_delayed_acks.then_some(raw.delayed_acks),
        delayed_ack_us: raw.delayed_ack_us.into(),
        why: why(raw.why),
        idle_ns: (raw.fin_by != 0).then(|| u64::from(raw.idle_jiffies) * kernel.tick_ns),
        unread_bytes: raw.unread.into(),
        unacked_bytes: raw.unacked.into(),
        unanswered: raw.unanswered != 0,
        asked_ns: known(raw.asked_ns),
        min_rtt_us: round_trip_us(raw.min_rtt_us),
        unseen: raw.unseen != 0,
        multipath: raw.multipath != 0,
    }
}

fn why(raw: u8) -> Option<Why> {
    Some(match raw {
        abi::why::UNREAD => Why::UnreadData,
        abi::why::LINGER => Why::Linger,
        abi::why::RESET => Why::Reset,
        abi::why::UNACKNOWLEDGED => Why::Unacknowledged,
        abi::why::KEEPALIVE => Why::Keepalive,
        abi::why::UNREACHABLE => Why::Unreachable,
        abi::why::ABORTED => Why::Aborted,
        _ => return None,
    })
}
