//! Connections that a process asks for are refused, or nobody answers.

use super::{Cause, FindingVerdict, Text};
use crate::model::connects::RecentFigures;
use crate::model::event::Outcome;
use crate::model::snapshot::{Owner, Severity, error_name};
use crate::model::stats::Tally;
use crate::text::{count, count_of, duration_us};

/// A connect that hangs for so long delays its caller, µs.
const LONG_US: u64 = 1_000_000;
/// Outcomes of connects that nobody answered.
const SILENT: [Outcome; 3] = [Outcome::Pending, Outcome::TimedOut, Outcome::GivenUp];

/// Outcome of most of the failed connects to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureKind {
    Refused,
    Silent,
    Unreachable,
    NoPort,
    NoRoute,
    Reset,
    Other,
}

impl FailureKind {
    const ALL: [Self; 7] = [
        Self::Silent,
        Self::NoPort,
        Self::Unreachable,
        Self::NoRoute,
        Self::Refused,
        Self::Reset,
        Self::Other,
    ];

    fn of(self, recent_figures: &RecentFigures) -> Tally {
        match self {
            Self::Refused => *recent_figures.of(Outcome::Refused),
            Self::Silent => recent_figures.any_of(&SILENT),
            Self::Unreachable => *recent_figures.of(Outcome::Unreachable),
            Self::NoPort => *recent_figures.of(Outcome::NoPort),
            Self::NoRoute => *recent_figures.of(Outcome::NoRoute),
            Self::Reset => *recent_figures.of(Outcome::Reset),
            Self::Other => *recent_figures.of(Outcome::Failed),
        }
    }
}

/// One failed connect is worth knowing. It is a warning if three connects to an address failed in
/// ten seconds, and one in ten of all to it, or if one hung for a second. It is none if the same
/// port answered at an address of the other family meanwhile (happy eyeballs, RFC 8305). The
/// finding is about the address that took most time, or else has most failures.
pub(super) fn check(recent_figures: &[RecentFigures]) -> Option<FindingVerdict> {
    let failing = || recent_figures.iter().filter(|one| one.all().count > 0);
    let worst = failing().max_by_key(|one| {
        let all = one.all();
        (!is_covered(one, recent_figures), all.us, all.count)
    })?;
    let kind = FailureKind::ALL.into_iter().max_by_key(|kind| kind.of(worst).count)?;
    let tally = kind.of(worst);
    let others = failing().filter(|one| one.peer != worst.peer).count();
    Some(FindingVerdict {
        severity: severity(worst, recent_figures),
        owner: owner(kind, worst),
        headline: headline(kind, worst, tally),
        text: text(kind, worst, tally, others),
        evidence: evidence(worst),
        fix: fix(kind, worst).into(),
    })
}

fn severity(worst: &RecentFigures, recent_figures: &[RecentFigures]) -> Severity {
    let all = worst.all();
    let often = all.count >= 3 && all.count * 10 >= all.count + worst.made;
    let long = SILENT.iter().any(|&outcome| worst.of(outcome).worst_us >= LONG_US);
    if (often || long) && !is_covered(worst, recent_figures) {
        Severity::Warning
    } else {
        Severity::Info
    }
}

/// Tells whether the port answered at an address of the other family at least as often.
fn is_covered(worst: &RecentFigures, recent_figures: &[RecentFigures]) -> bool {
    let mut made = 0;
    for one in recent_figures {
        let same_port = one.peer.port() == worst.peer.port();
        if same_port && one.peer.is_ipv4() != worst.peer.is_ipv4() {
            made += one.made;
        }
    }
    made >= worst.all().count
}

fn is_local(recent_figures: &RecentFigures) -> bool {
    recent_figures.peer.ip().to_canonical().is_loopback()
}

fn owner(kind: FailureKind, worst: &RecentFigures) -> Owner {
    match kind {
        FailureKind::Refused | FailureKind::Reset => Owner::Peer,
        // There is no network in between.
        FailureKind::Silent | FailureKind::Unreachable if is_local(worst) => Owner::Peer,
        FailureKind::Silent | FailureKind::Unreachable => Owner::Network,
        FailureKind::NoPort if fills_with_time_wait(worst) => Owner::App,
        FailureKind::NoPort | FailureKind::NoRoute => Owner::Kernel,
        FailureKind::Other => Owner::Unknown,
    }
}

/// Tells whether most of the ports are taken by connections that were closed a moment ago.
fn fills_with_time_wait(worst: &RecentFigures) -> bool {
    match (worst.time_wait, worst.ports) {
        (Some(waiting), Some(range)) => waiting.saturating_mul(2) >= size_of_range(range),
        _ => false,
    }
}

fn size_of_range((low, high): (u16, u16)) -> u64 {
    u64::from(high.saturating_sub(low)) + 1
}

fn headline(kind: FailureKind, worst: &RecentFigures, tally: Tally) -> String {
    let (peer, number) = (worst.peer, count_of(tally.count, "connect"));
    let pending = worst.of(Outcome::Pending);
    match kind {
        FailureKind::Refused => format!("{number} to {peer} refused recently."),
        FailureKind::Silent if pending.count > 0 => {
            let (hang, longest) =
                (count_of(pending.count, "connect"), duration_us(pending.worst_us));
            format!("No answer yet from {peer}: {hang}, for {longest} so far.")
        }
        FailureKind::Silent => {
            format!("{number} to {peer} got no answer in {}.", duration_us(tally.mean_us()))
        }
        FailureKind::Unreachable => format!("{number} failed: {peer} is unreachable."),
        FailureKind::NoPort => format!("{number} to {peer} found no free local port."),
        FailureKind::NoRoute => format!("{number} failed: no route to {peer}."),
        FailureKind::Reset => {
            format!("{} to {peer} reset before an answer.", count_of(tally.count, "connection"))
        }
        FailureKind::Other => format!("{number} to {peer} failed."),
    }
}

fn text(kind: FailureKind, worst: &RecentFigures, tally: Tally, others: usize) -> Text {
    let tried = count_of(tally.count + worst.made, "connect");
    let (local, is) = (is_local(worst), |other: FailureKind| kind == other);
    Text::default()
        .say("failed", true, || {
            format!("Of the last {tried} to this address, {} failed this way.", count(tally.count))
        })
        .say("refused-here", is(FailureKind::Refused) && local, || {
            "Nothing listens on that port of this host.".into()
        })
        .say("refused", is(FailureKind::Refused) && !local, || {
            "A RST came back, or an ICMP message that refuses.".into()
        })
        .say("silent", is(FailureKind::Silent), || {
            format!("{} sent; nothing came back.", count_of(worst.syns, "SYN"))
        })
        .infer("silent-here", is(FailureKind::Silent) && local, || {
            "The other end is on this host: either its accept queue is full, so SYNs are dropped \
             silently, or a filter drops them."
                .into()
        })
        .infer("silent-away", is(FailureKind::Silent) && !local, || {
            "Packets are lost or filtered on the way, the host is down, or its accept queue is \
             full, in which case SYNs are dropped silently, too."
                .into()
        })
        .say("unreachable", is(FailureKind::Unreachable), || {
            format!("The network reported it{}.", named(worst))
        })
        .say("no-route", is(FailureKind::NoRoute) && !worst.inferred, || {
            format!("No SYN was sent{}.", named(worst))
        })
        .infer("no-route-by-table", is(FailureKind::NoRoute) && worst.inferred, || {
            format!("No SYN was sent: its network namespace has no usable route{}.", named(worst))
        })
        .say("no-port", is(FailureKind::NoPort), || ports(worst))
        .rest_on("time-wait", is(FailureKind::NoPort) && fills_with_time_wait(worst))
        .say("reset", is(FailureKind::Reset), || {
            "They were established, and the peer reset them before it had answered anything.".into()
        })
        .say("other", is(FailureKind::Other), || format!("The kernel ended them{}.", named(worst)))
        .say("requests", worst.requests > 0, || {
            format!("{} waited for these connects.", count_of(worst.requests, "served request"))
        })
        .say("others", others > 0, || {
            let addresses = if others == 1 {
                "one other address".into()
            } else {
                format!("{others} other addresses")
            };
            format!("Connects to {addresses} failed, too.")
        })
        .follows_from(is(FailureKind::Silent), Cause::FullQueue(worst.peer))
        .about(worst.peer)
}

/// Returns the name of the error, in brackets.
fn named(worst: &RecentFigures) -> String {
    match worst.error.and_then(error_name) {
        Some(name) => format!(" ({name})"),
        None => String::new(),
    }
}

fn ports(worst: &RecentFigures) -> String {
    let Some((low, high)) = worst.ports else {
        return "Each connection to one address needs its own local port (EADDRNOTAVAIL)."
            .to_owned();
    };
    let ports = count(size_of_range((low, high)));
    let range = format!("There are {ports} local ports for one address, {low} to {high}");
    match worst.time_wait {
        Some(waiting) => {
            let are = if waiting == 1 { "is" } else { "are" };
            let waiting = format!("{} {are} in TIME_WAIT", count_of(waiting, "socket"));
            format!("{range}, and {waiting}.")
        }
        None => format!("{range}."),
    }
}

fn evidence(worst: &RecentFigures) -> Vec<(&'static str, f64)> {
    let all = worst.all();
    let mut evidence = vec![
        ("failed", all.count as f64),
        ("made", worst.made as f64),
        ("waited_us", all.us as f64),
        ("wait_max_us", all.worst_us as f64),
        ("syns", worst.syns as f64),
        ("requests", worst.requests as f64),
        ("refused", worst.of(Outcome::Refused).count as f64),
        ("timed_out", worst.of(Outcome::TimedOut).count as f64),
        ("given_up", worst.of(Outcome::GivenUp).count as f64),
        ("hang_now", worst.of(Outcome::Pending).count as f64),
        ("unreachable", worst.of(Outcome::Unreachable).count as f64),
        ("no_port", worst.of(Outcome::NoPort).count as f64),
        ("no_route", worst.of(Outcome::NoRoute).count as f64),
        ("reset", worst.of(Outcome::Reset).count as f64),
    ];
    if let Some(error) = worst.error {
        evidence.push(("errno", f64::from(error)));
    }
    if let Some((low, high)) = worst.ports {
        evidence.extend([("port_low", f64::from(low)), ("port_high", f64::from(high))]);
    }
    if let Some(waiting) = worst.time_wait {
        evidence.push(("time_wait", waiting as f64));
    }
    evidence
}

fn fix(kind: FailureKind, worst: &RecentFigures) -> String {
    let peer = worst.peer;
    match kind {
        FailureKind::Refused => {
            format!(
                "check whether a server listens on that port and on that address: {peer} (ss -ltn \
                 there)."
            )
        }
        FailureKind::Silent if is_local(worst) => format!(
            "check the accept queue of the listener on {peer} (ss -ltn: Recv-Q above Send-Q), and \
             local filters."
        ),
        FailureKind::Silent => format!(
            "check whether SYNs reach {peer} (tcpdump there), whether its accept queue is full (ss \
             -ltn), and what filters are in between."
        ),
        FailureKind::Unreachable => {
            format!("check the routes and filters on the way (ip route get {}).", peer.ip())
        }
        FailureKind::NoPort if fills_with_time_wait(worst) => {
            "keep connections open and reuse them: each one closed here holds its port for a \
             minute."
                .into()
        }
        FailureKind::NoPort => {
            "widen net.ipv4.ip_local_port_range, or connect from more addresses.".into()
        }
        FailureKind::NoRoute => {
            format!(
                "check the routes of its network namespace (nsenter -t PID -n ip route get {}).",
                peer.ip()
            )
        }
        FailureKind::Reset => format!(
            "find out why {peer} resets them: a proxy without a server behind it, a limit, a crash."
        ),
        FailureKind::Other => format!("find out what ends connects to {peer} (strace -e connect)."),
    }
}
