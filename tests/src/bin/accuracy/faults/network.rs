//! Faults of the path between both ends.

use super::{Fault, PLAIN, pause};
use crate::client::Seen;
use crate::stage::Stage;
use crate::truth::{Label, SMALL_US, Truth};
use crate::wire::Ask;

const ACK_WAIT: Label = ("network", "ack_wait");
const RETRANSMIT: Label = ("network", "retransmit");
const CONGESTION: Label = ("network", "congestion");

/// Size of an answer that takes some 400 ms over the slow link.
const SOME: usize = 400_000;

pub(super) const ALL: &[Fault] = &[
    Fault {
        name: "far",
        about: "a round trip takes 80 ms",
        link: &["--rtt", "80ms"],
        drive: far,
        ..PLAIN
    },
    Fault {
        name: "lossy",
        about: "of the server's segments every fifth is lost",
        named: &["retransmits"],
        beside: &["tail"],
        link: &["--rtt", "4ms", "--drop-every", "5", "--trace"],
        drive: lossy,
        ..PLAIN
    },
    Fault {
        name: "slow-link",
        about: "the link carries 1 MB a second, and Reno fills it",
        beside: &["send-blocked", "tail"],
        needs: &[Ask::Big(SOME)],
        // These serve only the whole file, which takes ten times as long.
        fits: |subject| !["nginx", "apache", "memcached"].contains(&subject.name),
        link: &["--rtt", "20ms", "--rate", "1000000"],
        sysctls: &[("ipv4/tcp_congestion_control", "reno")],
        drive: slow_link,
        ..PLAIN
    },
    Fault {
        name: "slow-link-bbr",
        about: "the link carries 1 MB a second, and BBR paces to that",
        beside: &["send-blocked", "tail"],
        needs: &[Ask::Big(SOME)],
        fits: |subject| !["nginx", "apache", "memcached"].contains(&subject.name),
        link: &["--rtt", "20ms", "--rate", "1000000"],
        sysctls: &[("ipv4/tcp_congestion_control", "bbr")],
        drive: slow_link,
        ..PLAIN
    },
];

fn far(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    // The client waits a round trip, and the server waits as long for its ACK. The first request
    // waits for the handshake, too.
    let truth = |_: &_, seen: &Seen| {
        let us = seen.total_us();
        Truth::of(seen, ACK_WAIT, 80_000..=us.max(80_000))
            .or(("network", "handshake"))
            .later(100_000_000)
    };
    for _ in 0..2 {
        stage.asks(8, 100, Ask::Quick, truth)?;
    }
    Ok(())
}

fn lossy(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let mut all: Vec<Seen> = Vec::new();
    for _ in 0..2 {
        let note = |_: &_, seen: &Seen| {
            all.push(*seen);
            Truth::healthy(seen)
        };
        stage.asks(15, 10, Ask::Quick, note)?;
    }
    // The link knows which of the exchanges lost a segment.
    let dropped = stage.dropped()?;
    for seen in all {
        let lost = dropped
            .iter()
            .any(|(port, at)| *port == seen.port && (seen.sent_ns..seen.last_ns).contains(at));
        let us = seen.total_us();
        if lost && us >= SMALL_US + 4_000 {
            let at = stage
                .truths
                .iter()
                .position(|truth| (truth.port, truth.from_ns) == (seen.port, seen.sent_ns));
            let truth = Truth::of(&seen, RETRANSMIT, us - 4_000..=us);
            at.map(|at| std::mem::replace(&mut stage.truths[at], truth));
        }
    }
    Ok(())
}

fn slow_link(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    // Any kind of the network is right: the window, a full buffer behind it, or the last ACKs, as
    // the kernel decides.
    let truth =
        |seen: &Seen| Truth::of(seen, CONGESTION, 20_000..=seen.total_us()).or(("network", "*"));
    let request = stage.request(Ask::Big(SOME));
    for _ in 0..2 {
        // With a receive buffer of this size the window never shuts.
        let mut line = stage.open_with(4_000_000)?;
        for _ in 0..2 {
            let sent_ns = line.send(&request)?;
            let seen = line.answer(sent_ns)?;
            stage.saw(truth(&seen));
            pause(50);
        }
        stage.close(line);
    }
    Ok(())
}
