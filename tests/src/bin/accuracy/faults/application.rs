//! Faults of the application itself: its own work, and its waits for others.

use backscope_tests::harness::net::monotonic_ns;

use super::{APP, Fault, PLAIN, pause};
use crate::client::{Line, Seen};
use crate::stage::Stage;
use crate::truth::{SMALL_US, Truth};
use crate::wire::Ask;

pub(super) const ALL: &[Fault] = &[
    Fault {
        name: "healthy",
        about: "quick answers on connections that stay",
        drive: healthy,
        ..PLAIN
    },
    Fault {
        name: "computes",
        about: "the handler computes for 40 ms",
        named: &["slow-app"],
        needs: &[Ask::Compute(40)],
        drive: |stage| rounds(2, || stage.asks(8, 20, Ask::Compute(40), Stage::computed)),
        ..PLAIN
    },
    Fault {
        name: "sleeps",
        about: "the handler sleeps for 60 ms",
        named: &["slow-app"],
        needs: &[Ask::Sleep(60)],
        drive: |stage| slow(stage, Ask::Sleep(60)),
        ..PLAIN
    },
    Fault {
        name: "upstream",
        about: "an upstream takes 60 ms",
        named: &["slow-app", "slow-upstream"],
        needs: &[Ask::Call(60)],
        drive: |stage| slow(stage, Ask::Call(60)),
        ..PLAIN
    },
    Fault {
        name: "upstream-refuses",
        about: "nothing listens where the upstream should be",
        named: &["connect-fails"],
        needs: &[Ask::Refused],
        drive: |stage| {
            rounds(2, || stage.asks(8, 20, Ask::Refused, |_, seen| Truth::healthy(seen)))
        },
        ..PLAIN
    },
    Fault {
        name: "upstream-silent",
        about: "an upstream accepts and never answers, and the server gives up",
        named: &["unanswered"],
        beside: &["slow-app", "slow-upstream", "tail"],
        needs: &[Ask::Silent],
        drive: |stage| {
            rounds(2, || stage.asks(4, 20, Ask::Silent, |_, seen| Truth::until_first(seen, APP)))
        },
        ..PLAIN
    },
    Fault {
        name: "upstream-hangs",
        about: "connecting to an upstream hangs, since its accept queue is full, and the server \
                gives up",
        named: &["connect-fails"],
        // HAProxy does not answer a later request of the connection.
        beside: &["slow-app", "slow-upstream", "tail", "unanswered"],
        needs: &[Ask::Hanging],
        drive: |stage| {
            let truth =
                |_: &_, seen: &Seen| Truth::until_first(seen, APP).or(("network", "connect"));
            rounds(2, || stage.asks(4, 20, Ask::Hanging, truth))
        },
        ..PLAIN
    },
    Fault {
        name: "blocked-loop",
        about: "another request keeps the thread busy for 120 ms",
        named: &["slow-reader", "tail"],
        beside: &["slow-app"],
        needs: &[Ask::Compute(120)],
        fits: |subject| subject.one_thread,
        drive: blocked_loop,
        ..PLAIN
    },
    Fault {
        name: "nagle",
        about: "head and body are written apart with Nagle's algorithm on, and the client delays \
                its ACK",
        named: &["nagle-delayed-ack"],
        beside: &["small-writes"],
        needs: &[Ask::Split],
        drive: |stage| {
            rounds(2, || stage.asks(10, 10, Ask::Split, |_, seen| held(seen, ("kernel", "nagle"))))
        },
        ..PLAIN
    },
    Fault {
        name: "cork",
        about: "answers are written under a cork that nobody takes off",
        named: &["cork-held"],
        needs: &[Ask::Cork],
        drive: |stage| rounds(2, || stage.asks(5, 10, Ask::Cork, |_, seen| corked(seen))),
        ..PLAIN
    },
    Fault {
        name: "stream",
        about: "the answer is a stream: a piece at once, then eight more, each after 100 ms",
        needs: &[Ask::Stream(8, 100)],
        drive: |stage| {
            rounds(3, || stage.asks(1, 10, Ask::Stream(8, 100), |_, seen| streamed(seen)))
        },
        ..PLAIN
    },
    Fault {
        name: "pipelined",
        about: "four requests come at once, for each of which the handler sleeps 40 ms",
        named: &["slow-app"],
        needs: &[Ask::Sleep(40)],
        fits: |subject| subject.pipelines,
        drive: pipelined,
        ..PLAIN
    },
];

fn rounds(times: usize, mut round: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    (0..times).try_for_each(|_| round())
}

fn healthy(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    rounds(3, || stage.asks(8, 15, Ask::Quick, |_, seen| Truth::healthy(seen)))
}

fn slow(stage: &mut Stage<'_>, ask: Ask) -> anyhow::Result<()> {
    rounds(2, || stage.asks(8, 20, ask, |_, seen| Truth::until_first(seen, APP)))
}

/// Truth of an answer of which a part came late. The client's kernel may acknowledge at once, above
/// all at the beginning of a connection: then nothing was held.
fn held(seen: &Seen, label: (&'static str, &'static str)) -> Truth {
    let us = seen.total_us() - seen.first_us();
    if us < SMALL_US { Truth::healthy(seen) } else { Truth::of(seen, label, us..=us) }
}

/// Truth of an answer that came late as a whole.
fn corked(seen: &Seen) -> Truth {
    let us = seen.first_us();
    if us < SMALL_US { Truth::healthy(seen) } else { Truth::of(seen, ("app", "cork"), us..=us) }
}

/// Truth of an answer whose pieces came one by one; under a cork they come late, and several at a
/// time.
fn streamed(seen: &Seen) -> Truth {
    let truth = Truth::of(seen, ("app", "streaming"), 600_000..=seen.total_us());
    if seen.reads >= 8 { truth } else { truth.or(("app", "cork")) }
}

fn blocked_loop(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let (blocks, quick) = (stage.request(Ask::Compute(120)), stage.request(Ask::Quick));
    let mut blocker = stage.open()?;
    let mut others: Vec<Line> = (0..3).map(|_| stage.open()).collect::<anyhow::Result<_>>()?;
    for other in &mut others {
        let seen = other.ask(&quick)?;
        stage.saw(Truth::healthy(&seen));
    }
    for _ in 0..5 {
        let blocked_ns = blocker.send(&blocks)?;
        pause(15);
        let sent = others
            .iter_mut()
            .map(|other| other.send(&quick))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let seen = blocker.answer(blocked_ns)?;
        stage.saw(Truth::computed(&seen, 120));
        for (other, sent_ns) in others.iter_mut().zip(sent) {
            let waited = other.answer(sent_ns)?;
            let at_least = seen.first_ns.unwrap_or(0).saturating_sub(sent_ns) / 1_000;
            stage.saw(Truth::of(&waited, ("app", "receive_queue"), at_least..=waited.first_us()));
        }
        pause(40);
    }
    others.into_iter().chain([blocker]).for_each(|line| stage.close(line));
    Ok(())
}

fn pipelined(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    const AT_ONCE: usize = 4;
    let requests = stage.request(Ask::Sleep(40)).repeat(AT_ONCE);
    let mut line = stage.open()?;
    for _ in 0..5 {
        let sent_ns = line.send(&requests)?;
        let first = line.answer(sent_ns)?;
        let mut last = first;
        for _ in 1..AT_ONCE {
            last = line.answer(sent_ns)?;
        }
        let all = Seen { last_ns: last.last_ns.max(monotonic_ns()), ..first };
        // Any split between the two is right: the application held all of the time.
        stage.saw(
            Truth::of(&all, APP, first.first_us()..=all.total_us()).or(("app", "receive_queue")),
        );
        pause(20);
    }
    stage.close(line);
    Ok(())
}
