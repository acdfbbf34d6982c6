//! A request that takes computing, on a processor that others want as well, or under a quota.

use crate::{
    learn::{
        check::{Check, Picture, Scenario},
        evidence::{Evidence, Who, sum, time},
        fact::{LessonFacts, Spec},
        lesson::Knobs,
    },
    model::{
        event::{Role, SockId},
        snapshot::{ExchangeView, SliceKind},
    },
};

pub(in crate::learn) static CHECK: Check = Check {
    knobs: &["server"],
    facts: &[
        Spec::time("took", "request time, by the client's own clock"),
        Spec::time("computed", "processor time of the answer, by the server's own count"),
        Spec::time("others", "processor time that the other programs had meanwhile"),
        Spec::count(
            "share",
            "the request's share of the processor time that it and they had, percent",
        ),
        Spec::time("ready", "time that the thread was ready and had no processor"),
        Spec::time("throttled", "time that the kernel counts as throttled by the quota"),
        Spec::count("periods", "periods whose quota was used up"),
        Spec::time("kept", "time that the thread was ready and did not run"),
        Spec::count("preempted", "times that the processor was taken away from the thread"),
        Spec::word("holder", "who held most of the request's time"),
    ],
    scenario,
    gather,
    picture,
};

fn scenario(knobs: &Knobs) -> Scenario {
    let server = knobs.text("server", "thread-per-connection");
    Scenario::server(&format!("{server} --trace")).client("client --trace")
}

fn gather(_: &Knobs, evidence: &Evidence, facts: &mut LessonFacts) {
    facts.whole("took", evidence.named(Who::Client, "asked", "us").next());
    let counted = |name| evidence.named(Who::Server, "exchange", name).next();
    let (computed_ns, others_ns) = (counted("cpu_ns"), counted("spinners_ns"));
    facts.whole("computed", computed_ns.map(|ns| ns / 1_000));
    facts.whole("others", others_ns.map(|ns| ns / 1_000));
    if let (Some(own), Some(others)) = (computed_ns, others_ns)
        && own > 0
    {
        let all = own.saturating_add(others) as f64;
        facts.number("share", (own as f64 * 100.0 / all).round());
    }
    facts.whole("preempted", counted("involuntary"));
    facts.whole("throttled", counted("throttled_ns").map(|ns| ns / 1_000));
    facts.whole("periods", counted("throttled_periods"));
    if let Some((_, exchange)) = answer(evidence) {
        // The wait for a processor and that for the next period are told apart by what the kernel
        // says of the quota, which it does now and then.
        let kinds = [SliceKind::RunQueue, SliceKind::Throttled];
        let kept = sum(kinds.into_iter().map(|kind| time(exchange, kind)));
        facts.whole("ready", time(exchange, SliceKind::RunQueue));
        facts.whole("kept", kept);
        let is_kernels = kept > time(exchange, SliceKind::App);
        facts.word("holder", if is_kernels { "kernel" } else { "app" });
    }
}

fn answer(evidence: &Evidence) -> Option<(SockId, &ExchangeView)> {
    evidence.exchanges(Role::Server).next()
}

fn picture(_: &Knobs, evidence: &Evidence, _: &LessonFacts) -> Picture {
    match answer(evidence) {
        Some((sock, exchange)) => evidence.request_steps(sock, exchange),
        None => Picture::nothing(),
    }
}
