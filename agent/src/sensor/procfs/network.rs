//! Files of a network namespace, by way of a process in it.

use std::{
    collections::HashSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// Routes of such a flag turn packets away (`RTF_REJECT`).
const REJECTS: u32 = 0x0200;

/// Returns the inode of a process's network namespace.
pub(in crate::sensor) fn netns_of(pid: u32) -> Option<u32> {
    parse_inode(&fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.to_string_lossy())
}

/// Returns the network namespace of the calling thread.
pub(in crate::sensor) fn own_netns() -> Option<u32> {
    parse_inode(&fs::read_link("/proc/thread-self/ns/net").ok()?.to_string_lossy())
}

/// The link reads `net:[4026531840]`.
fn parse_inode(link: &str) -> Option<u32> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Returns the inodes of the sockets of TCP that listen in a process's namespace.
pub(in crate::sensor) fn listening_sockets(pid: u32) -> HashSet<u64> {
    let mut sockets = HashSet::new();
    for name in ["tcp", "tcp6"] {
        sockets.extend(read(pid, name).lines().filter_map(parse_listening));
    }
    sockets
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`.
/// Returns the inode of a socket that listens (`TCP_LISTEN`).
fn parse_listening(line: &str) -> Option<u64> {
    let mut fields = line.split_whitespace();
    if fields.nth(3)? != "0A" {
        return None;
    }
    fields.nth(5)?.parse().ok()
}

/// Returns the inode of the socket that a link in `/proc/PID/fd` leads to: `socket:[4242]`.
pub(in crate::sensor) fn socket_of(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Packets that all listeners of a namespace have refused since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sensor) struct ListenCounters {
    /// `ListenOverflows`.
    pub(in crate::sensor) overflows: u64,
    /// `ListenDrops`.
    pub(in crate::sensor) drops: u64,
}

/// Returns the counters of a process's namespace.
pub(in crate::sensor) fn listen_counters(pid: u32) -> Option<ListenCounters> {
    parse_netstat(&fs::read_to_string(format!("/proc/{pid}/net/netstat")).ok()?)
}

fn parse_netstat(text: &str) -> Option<ListenCounters> {
    let value = |name| counter(text, "TcpExt:", name);
    Some(ListenCounters { overflows: value("ListenOverflows")?, drops: value("ListenDrops")? })
}

/// One counter of a file that has pairs of lines: names, then values, both after the same prefix.
fn counter(text: &str, prefix: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(prefix));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split(' ').position(|found| found == name)?;
    values.split(' ').nth(at)?.parse().ok()
}

/// Returns how many connections have come to all listeners of a namespace since it was made
/// (`TcpPassiveOpens`), by way of a process in it.
pub(in crate::sensor) fn passive_opens(netns: u32, pid: u32) -> Option<u64> {
    if netns_of(pid) != Some(netns) {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{pid}/net/snmp")).ok()?;
    counter(&text, "Tcp:", "PassiveOpens")
}

/// Returns how many sockets of a process's namespace are in TIME_WAIT.
pub(in crate::sensor) fn time_wait_sockets(pid: u32) -> Option<u64> {
    parse_time_wait(&read(pid, "sockstat"))
}

/// `TCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1`.
fn parse_time_wait(sockstat: &str) -> Option<u64> {
    let mut words = sockstat.lines().find(|line| line.starts_with("TCP:"))?.split_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

fn read(pid: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default()
}

/// Routes of a network namespace, as the kernel writes them.
#[derive(Clone, Debug, Default)]
pub(in crate::sensor) struct Routes {
    v4: String,
    v6: String,
}

/// Returns the routes of a process's namespace.
pub(in crate::sensor) fn routes(pid: u32) -> Routes {
    Routes { v4: read(pid, "route"), v6: read(pid, "ipv6_route") }
}

impl Routes {
    /// Returns the error that they lead to; `None` if there is a route that leads on.
    pub(in crate::sensor) fn error(&self, to: IpAddr) -> Option<u32> {
        let error = match to {
            IpAddr::V4(to) => error_v4(&self.v4, to),
            IpAddr::V6(to) => error_v6(&self.v6, to),
        };
        Some(error?.cast_unsigned())
    }
}

/// A route that an address has: the longer the prefix, the nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    prefix: u32,
    flags: u32,
}

fn error_v4(routes: &str, to: Ipv4Addr) -> Option<i32> {
    let mut lines = routes.lines();
    // The names of the columns.
    lines.next()?;
    let to = u32::from_le_bytes(to.octets());
    let mut nearest: Option<Route> = None;
    for line in lines {
        if let Some(route) = parse_v4(line, to)
            && nearest.is_none_or(|nearest| route.prefix >= nearest.prefix)
        {
            nearest = Some(route);
        }
    }
    match nearest {
        None => Some(libc::ENETUNREACH),
        Some(route) if route.flags & REJECTS != 0 => Some(libc::EHOSTUNREACH),
        Some(_) => None,
    }
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, addresses as a little-endian machine
/// keeps them. `None` also for a route that `to` does not have.
fn parse_v4(line: &str, to: u32) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
    let (net, flags, mask) = (number(1)?, number(3)?, number(7)?);
    if to & mask == net { Some(Route { prefix: mask.count_ones(), flags }) } else { None }
}

fn error_v6(routes: &str, to: Ipv6Addr) -> Option<i32> {
    if routes.is_empty() {
        return None;
    }
    let to = u128::from(to);
    // Of two equally near ones that which leads on.
    let order = |route: Route| (route.prefix, route.flags & REJECTS == 0);
    let mut nearest: Option<Route> = None;
    for line in routes.lines() {
        if let Some(route) = parse_v6(line, to)
            && nearest.is_none_or(|nearest| order(route) >= order(nearest))
        {
            nearest = Some(route);
        }
    }
    match nearest {
        None | Some(Route { prefix: 0, flags: REJECTS.. }) => Some(libc::ENETUNREACH),
        Some(route) if route.flags & REJECTS != 0 => Some(libc::EHOSTUNREACH),
        Some(_) => None,
    }
}

/// `destination length source length gateway metric references uses flags device`, all hexadecimal.
fn parse_v6(line: &str, to: u128) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let net = u128::from_str_radix(fields.first()?, 16).ok()?;
    let prefix = u32::from_str_radix(fields.get(1)?, 16).ok()?;
    let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
    let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
    if to & mask == net { Some(Route { prefix, flags }) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\t\
        Window\tIRTT\n\
        v0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        *\t0009630A\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";

    #[test]
    fn routes_tell_why_there_is_no_way() {
        let to = |text: &str| text.parse().expect("an address");
        assert_eq!(error_v4(ROUTES, to("10.77.0.9")), None, "there is a way");
        assert_eq!(error_v4(ROUTES, to("10.99.9.1")), Some(libc::EHOSTUNREACH));
        assert_eq!(error_v4(ROUTES, to("192.0.2.1")), Some(libc::ENETUNREACH));
        assert_eq!(error_v4("", to("192.0.2.1")), None, "nothing was read");
        let lo = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 \
                  00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo\n\
                  00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                  00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        assert_eq!(error_v6(lo, "::1".parse().expect("an address")), None);
        assert_eq!(
            error_v6(lo, "2001:db8::1".parse().expect("an address")),
            Some(libc::ENETUNREACH)
        );
    }

    #[test]
    fn listening_sockets_are_known_by_their_inodes() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 54321 1 0000000000000000 100 0 0 10 0";
        assert_eq!(parse_listening(line), Some(54_321));
        assert_eq!(parse_listening(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse_listening("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(socket_of(Path::new("socket:[54321]")), Some(54_321));
        assert_eq!(socket_of(Path::new("/dev/null")), None);
    }

    #[test]
    fn waiting_sockets_are_counted_by_the_kernel() {
        let text =
            "sockets: used 9\nTCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1\nUDP: inuse 0 mem 0\n";
        assert_eq!(parse_time_wait(text), Some(12));
        assert_eq!(parse_time_wait("sockets: used 9\n"), None);
    }

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\n\
                    IpExt: InNoRoutes\nIpExt: 0\n";
        assert_eq!(parse_netstat(text), Some(ListenCounters { overflows: 22, drops: 333 }));
        assert_eq!(parse_netstat("TcpExt: ListenDrops\n"), None);
        assert_eq!(
            [parse_inode("net:[4026531840]"), parse_inode("mnt:[1]"), parse_inode("net:[]")],
            [Some(4_026_531_840), None, None]
        );
    }
}
