//! Connects that bring no connection, and data that come when a connection is closed: from the
//! probes' records to events.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use backscope_abi as abi;

use super::connections::known;
use super::{stream, targets};
use crate::model::event::{Connect, Late, Outcome};

/// What was read of a network namespace stands for so long: a thousand connects may fail in a
/// second.
const STANDS: Duration = Duration::from_millis(500);
/// Routes of such a flag turn packets away (`RTF_REJECT`).
const REJECTS: u32 = 0x0200;

/// A connect that failed.
pub(super) fn failed(raw: &abi::Failed) -> Connect {
    let outcome = outcome(raw);
    let error = match outcome {
        Outcome::GivenUp => known(raw.soft_error.into()),
        _ => known(raw.error.into()),
    };
    let (low, high) = (raw.ports as u16, (raw.ports >> 16) as u16);
    Connect {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        peer: stream::address(raw.peer),
        pid: raw.tgid,
        comm: targets::comm_of(raw.tgid).unwrap_or_default(),
        tid: (raw.tid != 0).then_some(raw.tid),
        asked_ns: raw.asked_ns,
        outcome,
        error: error.and_then(|error| u32::try_from(error).ok()),
        inferred: outcome == Outcome::NoPort,
        syns: if raw.stage == abi::attempt::SENT { raw.again + 1 } else { 0 },
        ports: (raw.ports != 0).then_some((low, high)),
        time_wait: None,
    }
}

fn outcome(raw: &abi::Failed) -> Outcome {
    let error = i32::try_from(raw.error).unwrap_or(0);
    match raw.stage {
        abi::attempt::PORTLESS => Outcome::NoPort,
        abi::attempt::UNROUTED if error == libc::EADDRNOTAVAIL => Outcome::NoPort,
        abi::attempt::UNROUTED => Outcome::NoRoute,
        _ => match error {
            0 if raw.closed != 0 => Outcome::GivenUp,
            libc::ECONNREFUSED => Outcome::Refused,
            libc::ETIMEDOUT => Outcome::TimedOut,
            libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EACCES | libc::EPERM => {
                Outcome::Unreachable
            }
            _ => Outcome::Failed,
        },
    }
}

/// One that hangs.
pub(super) fn pending(
    head: &abi::ScanConnection,
    raw: &abi::Exchange,
    comm: String,
    now_ns: u64,
) -> Connect {
    Connect {
        ts_ns: now_ns,
        sock: raw.sock,
        peer: stream::address(head.peer),
        pid: head.tgid,
        comm,
        tid: (raw.writer.tid != 0).then_some(raw.writer.tid),
        asked_ns: head.since_ns,
        outcome: Outcome::Pending,
        error: None,
        inferred: false,
        syns: u32::from(head.again) + 1,
        ports: None,
        time_wait: None,
    }
}

/// Data that came too late.
pub(super) fn late(raw: &abi::Late) -> Late {
    Late {
        ts_ns: raw.ts_ns,
        local: stream::address(raw.local),
        peer: stream::address(raw.peer),
        bytes: raw.bytes.into(),
        lingers: (raw.sock != 0).then_some((raw.sock, raw.idle_ns)),
    }
}

/// What network namespaces of processes say about connects that failed there.
#[derive(Debug, Default)]
pub(super) struct Networks {
    looked: Option<(Instant, u32, Network)>,
}

#[derive(Clone, Debug, Default)]
struct Network {
    time_wait: Option<u64>,
    routes: String,
    routes_v6: String,
}

impl Networks {
    /// Adds what the probes cannot see of a connect that failed on this host.
    pub(super) fn complete(&mut self, connect: &mut Connect) {
        match connect.outcome {
            Outcome::NoPort => connect.time_wait = self.of(connect.pid).time_wait,
            Outcome::NoRoute if connect.error.is_none() => {
                connect.error = self.of(connect.pid).error(connect.peer);
                connect.inferred = connect.error.is_some();
            }
            _ => {}
        }
    }

    fn of(&mut self, pid: u32) -> &Network {
        let stands =
            self.looked.as_ref().is_some_and(|(when, of, _)| *of == pid && when.elapsed() < STANDS);
        if !stands {
            self.looked = None;
        }
        let (.., network) =
            self.looked.get_or_insert_with(|| (Instant::now(), pid, Network::read(pid)));
        network
    }
}

impl Network {
    fn read(pid: u32) -> Self {
        let file =
            |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        Self {
            time_wait: time_wait(&file("sockstat")),
            routes: file("route"),
            routes_v6: file("ipv6_route"),
        }
    }

    /// The error that the routes lead to; `None` if there is one that leads on.
    fn error(&self, to: SocketAddr) -> Option<u32> {
        let error = match to.ip() {
            IpAddr::V4(to) => error_v4(&self.routes, to),
            IpAddr::V6(to) => error_v6(&self.routes_v6, to),
        };
        error.map(i32::cast_unsigned)
    }
}

/// `TCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1`.
fn time_wait(sockstat: &str) -> Option<u64> {
    let mut words = sockstat.lines().find(|line| line.starts_with("TCP:"))?.split_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, addresses as a little-endian machine
/// keeps them.
fn error_v4(routes: &str, to: Ipv4Addr) -> Option<i32> {
    let to = u32::from_le_bytes(to.octets());
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
        let (net, flags, mask) = (number(1)?, number(3)?, number(7)?);
        (to & mask == net).then_some((mask.count_ones(), flags))
    };
    let mut lines = routes.lines();
    lines.next()?;
    match lines.filter_map(route).max_by_key(|&(length, _)| length) {
        None => Some(libc::ENETUNREACH),
        Some((_, flags)) => (flags & REJECTS != 0).then_some(libc::EHOSTUNREACH),
    }
}

/// `destination length source length gateway metric references uses flags device`, all hexadecimal.
fn error_v6(routes: &str, to: Ipv6Addr) -> Option<i32> {
    let to = u128::from(to);
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let net = u128::from_str_radix(fields.first()?, 16).ok()?;
        let length = u32::from_str_radix(fields.get(1)?, 16).ok()?;
        let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
        let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
        (to & mask == net).then_some((length, flags))
    };
    if routes.is_empty() {
        return None;
    }
    match routes
        .lines()
        .filter_map(route)
        .max_by_key(|&(length, flags)| (length, flags & REJECTS == 0))
    {
        None | Some((0, REJECTS..)) => Some(libc::ENETUNREACH),
        Some((_, flags)) => (flags & REJECTS != 0).then_some(libc::EHOSTUNREACH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
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
    fn waiting_sockets_are_counted_by_the_kernel() {
        let text =
            "sockets: used 9\nTCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1\nUDP: inuse 0 mem 0\n";
        assert_eq!(time_wait(text), Some(12));
        assert_eq!(time_wait("sockets: used 9\n"), None);
    }
}
