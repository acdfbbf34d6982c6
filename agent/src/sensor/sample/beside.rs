//! Listeners beside the watched TCP ones: Unix-domain sockets of the targets, and sockets at the
//! same place that nobody watched holds.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use backscope_abi::{Listener, ScanOther, ScanUnix};

use super::scan::{Holders, MAX_NAMED_IN_ALL, unix_path};
use crate::{
    model::event::{OtherListener, SockId, UnixListener},
    sensor::decode::{address, comm},
};

/// Shortest time between two scans of every process's files.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Most Unix-domain listeners, and most other sockets, that are kept.
const MAX_KEPT: usize = 10_240;
/// Most other sockets that are told beside one listener: they are told beside each of a group.
const MAX_BESIDE_ONE: usize = 64;
/// Sockets beyond these bounds that are remembered, so that each counts once.
const MAX_LEFT_OUT: usize = 65_536;

/// Listeners that the last scans showed.
#[derive(Debug, Default)]
pub(super) struct Beside {
    unix: BTreeMap<SockId, UnixListener>,
    unix_holders: HashMap<SockId, Holders>,
    /// Room that is left for names of holders of these.
    room: usize,
    /// By the socket's address in the kernel, with the network namespace's inode and cookie.
    others: BTreeMap<u64, ((u32, u64), OtherListener)>,
    next_look: Option<Instant>,
    /// Sockets that found no room, by id or address.
    left_out: HashSet<u64>,
}

impl Beside {
    pub(super) fn unix(&mut self, raw: &ScanUnix) {
        if self.unix.len() >= MAX_KEPT && !self.unix.contains_key(&raw.sock) {
            return self.leave_out(raw.sock);
        }
        let listener = self.unix.entry(raw.sock).or_insert_with(|| UnixListener {
            sock: raw.sock,
            path: unix_path(raw),
            pid: raw.tgid,
            comm: comm(&raw.comm),
            holders: Vec::new(),
            netns: raw.netns,
            depth: 0,
            limit: 0,
            refused: None,
            unnamed_holders: 0,
        });
        (listener.depth, listener.limit) = (raw.depth, raw.limit);
        let holders = self.unix_holders.entry(raw.sock).or_default();
        if holders.note(raw.tgid, &mut self.room)
            && let Err(place) = listener.holders.binary_search(&raw.tgid)
        {
            listener.holders.insert(place, raw.tgid);
            if place == 0 {
                (listener.pid, listener.comm) = (raw.tgid, comm(&raw.comm));
            }
        }
        listener.unnamed_holders = holders.unnamed();
    }

    pub(super) fn other(&mut self, raw: &ScanOther) {
        let other = OtherListener {
            pid: raw.tgid,
            comm: comm(&raw.comm),
            local: address(raw.local),
            depth: raw.depth,
            limit: raw.limit,
        };
        if self.others.len() >= MAX_KEPT && !self.others.contains_key(&raw.sk) {
            return self.leave_out(raw.sk);
        }
        self.others.entry(raw.sk).or_insert(((raw.netns, raw.netns_cookie), other));
    }

    fn leave_out(&mut self, socket: u64) {
        if self.left_out.len() < MAX_LEFT_OUT {
            self.left_out.insert(socket);
        }
    }

    /// Returns the number of sockets that found no room so far.
    pub(super) fn lost(&self) -> u64 {
        self.left_out.len() as u64
    }

    /// Forgets Unix-domain listeners, as a new scan of the targets begins.
    pub(super) fn forget_unix(&mut self) {
        self.unix.clear();
        self.unix_holders.clear();
        self.room = MAX_NAMED_IN_ALL;
    }

    /// Forgets other listeners, as a new scan of every process begins.
    pub(super) fn forget_others(&mut self) {
        self.others.clear();
    }

    /// Returns true if it is time for a scan of every process.
    pub(super) fn is_due(&self) -> bool {
        match self.next_look {
            Some(next) => Instant::now() >= next,
            None => true,
        }
    }

    /// Notes that such a scan has just ended. The next one is due after `pause`.
    pub(super) fn looked(&mut self, pause: Duration) {
        self.next_look = Some(Instant::now() + pause.max(LOOK_EVERY));
    }

    /// Returns the Unix-domain listeners, in the order of their paths.
    pub(super) fn unix_listeners(&self) -> Vec<UnixListener> {
        let mut all: Vec<_> = self.unix.values().cloned().collect();
        all.sort_by(|one, other| (&one.path, one.sock).cmp(&(&other.path, other.sock)));
        all
    }

    /// Returns the sockets that listen where this listener does, or the first of many.
    pub(super) fn of(&mut self, listener: &Listener) -> Vec<OtherListener> {
        let local = address(listener.local);
        let own = (listener.netns, listener.netns_cookie);
        let (mut beside, mut left_out) = (Vec::new(), Vec::new());
        for (sk, (netns, other)) in &self.others {
            if *sk != listener.sk && *netns == own && overlap(local, other.local) {
                if beside.len() < MAX_BESIDE_ONE {
                    beside.push(other.clone());
                } else {
                    left_out.push(*sk);
                }
            }
        }
        for sk in left_out {
            self.leave_out(sk);
        }
        beside
    }
}

/// Returns true if connections to the one may come to the other: it has the same address, or a more
/// specific one.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && (one.ip() == other.ip() || one.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use backscope_abi::{Endpoint, SCAN_OTHER, SCAN_UNIX, UNIX_PATH};

    use super::*;

    fn unix(sock: u64, tgid: u32, name: &[u8], length: u32) -> ScanUnix {
        let mut path = [b'?'; UNIX_PATH];
        path[..name.len()].copy_from_slice(name);
        let comm = *b"php-fpm\0\0\0\0\0\0\0\0\0";
        ScanUnix { tag: SCAN_UNIX, tgid, sock, depth: 3, limit: 4, length, netns: 1, comm, path }
    }

    #[test]
    fn names_end_where_their_length_says() {
        let mut beside = Beside::default();
        beside.forget_unix();
        beside.unix(&unix(1, 20, b"/run/php.sock\0", 14));
        beside.unix(&unix(1, 10, b"/run/php.sock\0", 14));
        beside.unix(&unix(2, 30, b"\0abstract", 9));
        let all = beside.unix_listeners();
        assert_eq!([&all[0].path, &all[1].path], ["/run/php.sock", "@abstract"]);
        assert_eq!(
            (all[0].pid, &all[0].holders[..], all[0].depth, all[0].limit),
            (10, &[10, 20][..], 3, 4)
        );
    }

    #[test]
    fn what_finds_no_room_counts_once() {
        let mut beside = Beside::default();
        for scan in 0..3 {
            beside.forget_unix();
            for sock in 0..MAX_KEPT as u64 + 5 {
                beside.unix(&unix(sock, 20, b"/run/php.sock\0", 14));
                beside.unix(&unix(sock, 21, b"/run/php.sock\0", 14));
            }
            assert_eq!((beside.unix_listeners().len(), beside.lost()), (MAX_KEPT, 5), "{scan}");
        }
        let local = Endpoint { addr: [0; 16], port: 80, _pad: [0; 3] };
        for sk in 1..=100 {
            let comm = [0; 16];
            let tag = SCAN_OTHER;
            let (depth, limit, netns, netns_cookie) = (0, 8, 1, 70);
            let (tgid, _pad) = (7, 0);
            let other =
                ScanOther { tag, tgid, sk, depth, limit, netns, _pad, netns_cookie, local, comm };
            beside.other(&other);
        }
        let group = Listener { netns: 1, netns_cookie: 70, local, ..Listener::BLANK };
        for sk in 1_000..1_100 {
            let told = beside.of(&Listener { sk, ..group });
            assert_eq!((told.len(), beside.lost()), (MAX_BESIDE_ONE, 5 + 36));
        }
    }

    #[test]
    fn others_are_those_that_a_connection_might_reach() {
        let end = |addr: [u8; 4], port| {
            let mut mapped = [0; 16];
            mapped[10..12].fill(0xff);
            mapped[12..].copy_from_slice(&addr);
            Endpoint { addr: mapped, port, _pad: [0; 3] }
        };
        let other = |sk, netns, local| {
            let comm = [0; 16];
            ScanOther {
                tag: SCAN_OTHER,
                tgid: 7,
                sk,
                depth: 1,
                limit: 8,
                netns,
                _pad: 0,
                netns_cookie: 70,
                local,
                comm,
            }
        };
        let mut beside = Beside::default();
        beside.other(&other(100, 1, end([127, 0, 0, 1], 80)));
        beside.other(&other(101, 1, end([0, 0, 0, 0], 80)));
        beside.other(&other(102, 1, end([127, 0, 0, 1], 81)));
        beside.other(&other(103, 2, end([127, 0, 0, 1], 80)));
        beside.other(&other(104, 1, end([10, 0, 0, 1], 80)));
        let own = Listener {
            sk: 104,
            netns: 1,
            netns_cookie: 70,
            local: end([10, 0, 0, 1], 80),
            ..Listener::BLANK
        };
        assert!(beside.of(&own).is_empty(), "itself alone");
        let local = Listener {
            sk: 105,
            netns: 1,
            netns_cookie: 70,
            local: end([127, 0, 0, 1], 80),
            ..Listener::BLANK
        };
        assert_eq!(beside.of(&local).len(), 1, "the one at the same address");
        let every = Listener {
            sk: 106,
            netns: 1,
            netns_cookie: 70,
            local: end([0, 0, 0, 0], 80),
            ..Listener::BLANK
        };
        assert_eq!(beside.of(&every).len(), 3, "nearer ones, too");
        // The number of a namespace that is gone may be used again while the look is remembered.
        let later = Listener { netns_cookie: 71, ..every };
        assert!(beside.of(&later).is_empty(), "another namespace of that number");
    }
}
