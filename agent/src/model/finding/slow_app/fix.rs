//! What to do about a slow application.

use super::cause::{
    calls_others, has_computed, is_blocking, is_unseen, lacks_cpu, on_cpu, rest_on_cpu,
};
use super::upstream::Upstream;
use crate::model::finding::ConnectionFacts;

pub(super) const GREETING_FIX: &str = "find out what the server does between accept and its greeting: it may \
    look up the client's name (sshd UseDNS, vsftpd reverse_lookup_enable), start a process, or \
    delay on purpose.";

const OFF_THE_LOOP: &str = "move computation off the thread that serves the connections (to a \
    thread pool), or run more processes.";

const OUT_OF_THE_LOOP: &str = "keep sleeps, locks and blocking calls out of the thread that serves \
    the connections: await them, or give them to a thread pool.";

const OR_WORKERS: &str = " Where each worker serves one connection at a time, run more of them, or \
    answer sooner.";

pub(super) fn fix(facts: &ConnectionFacts<'_>, upstream: Option<&Upstream>) -> String {
    if let Some(upstream) = upstream {
        return format!(
            "look at {}: it holds the time. Until that is fixed, put a timeout on calls to it.",
            upstream.peer
        );
    }
    if let Some(pid) = facts.cpu.stopped_lately(facts.now_ns) {
        return format!("resume process {pid} (kill -CONT {pid}), and find out who stopped it.");
    }
    if is_unseen(facts) {
        return "watch the process with --pid: its calls are seen then.".to_owned();
    }
    // A worker that serves one connection at a time may sleep and compute: that is its design.
    let is_loop = !matches!(facts.shape, Some(shape) if shape.is_one_at_a_time());
    let (computes, blocks) = (has_computed(on_cpu(facts)), is_blocking(facts) && is_loop);
    if blocks {
        let advice = if computes { OFF_THE_LOOP } else { OUT_OF_THE_LOOP };
        let is_known = matches!(facts.shape, Some(shape) if shape.io.is_some());
        let or = if is_known { "" } else { OR_WORKERS };
        return format!("{advice}{or}");
    }
    let fix = match on_cpu(facts) {
        _ if lacks_cpu(facts) => {
            "add CPUs or run fewer competing threads; check CPU quotas (cgroup cpu.max) and \
             priorities. Then look again."
        }
        _ if calls_others(facts) => {
            "look at the calls inside these exchanges: their servers may hold the time."
        }
        Some(share) if share >= 0.5 => "profile the handler (perf record -t TID): it computes.",
        Some(_) => "find out what the handler waits for (a lock, a disk, another process).",
        None => "profile the handler, and look at what it waits for.",
    };
    fix.to_owned()
}

pub(super) fn rest_fix(facts: &ConnectionFacts<'_>) -> &'static str {
    match rest_on_cpu(facts) {
        share if has_computed(share) => {
            "profile what the handler does after its first write (perf record -t TID)."
        }
        _ => {
            "find out what the handler waits for after its first write; a stream with nothing new \
             to send is no fault."
        }
    }
}
