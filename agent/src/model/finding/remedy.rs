//! Advice for an application that accepts too slowly. It depends on who accepts and who serves: a
//! thread for `accept` helps an event loop, and would do nothing for workers that each serve one
//! connection at a time.

use super::ListenerFacts;
use crate::model::pattern::{Load, Shape};
use crate::model::snapshot::PatternName;
use crate::text::{count, rate};

/// Settings for the number of workers, in servers that have blocking ones.
const WORKERS: &str = "gunicorn --workers, Apache MaxRequestWorkers, php-fpm pm.max_children";

/// Workers that held connections for less of the time than this, in hundredths, are not what others
/// wait for.
const IDLE_PERCENT: u64 = 50;

/// The advice for an application that is behind.
pub(super) fn remedy(facts: &ListenerFacts<'_>) -> String {
    if facts.failing.is_some() {
        "fix accept(): the finding accept-fails says why it fails.".into()
    } else if facts.is_denied() {
        "give the application more CPU: raise its quota if it has one (cpu.max, a pod's CPU \
         limit), or run less alongside it."
            .into()
    } else if facts.is_attended() {
        "find out what holds up the accepting thread: too little CPU, a lock around accept(), or \
         it is stopped."
            .into()
    } else if facts.was_at_limit {
        "raise the application's own connection limit (nginx worker_connections, HAProxy maxconn, \
         memcached -c), or close idle ones sooner."
            .into()
    } else if facts.is_stalled() && facts.held.is_some() {
        "let no client hold the accepting thread: set a read timeout, use workers that no \
         connection can hold (threads, an event loop), or put a proxy in front that reads whole \
         requests first. TCP_DEFER_ACCEPT keeps silent connections in the kernel."
            .into()
    } else if let Some(load) = &facts.load {
        more_workers(load)
    } else if facts.is_stalled() && facts.view.totals.accepted == 0 {
        "call accept() on this socket, or close it; check that the accepting thread is alive."
            .into()
    } else if facts.is_stalled() && !is_known(facts) {
        "look at what the accepting thread does; if the application is at a limit of its own \
         (maxconn, worker_connections, descriptors), raise it."
            .into()
    } else {
        accept_faster(facts)
    }
}

/// Tells whether the pattern says what would help.
fn is_known(facts: &ListenerFacts<'_>) -> bool {
    facts.held_up_by.is_some() || matches!(facts.shape, Some(shape) if shape.is_one_at_a_time())
}

/// The advice for workers that each serve one connection at a time, when more come than they can
/// serve.
pub(super) fn more_workers(load: &Load) -> String {
    let sooner = if load.workers.are_held_by_answers() {
        "or answer sooner"
    } else {
        "or let go of connections sooner (a shorter keep-alive timeout; a proxy in front takes \
         idle and slow clients)"
    };
    let enough = match load.enough() {
        Some(enough) => {
            format!(
                " {} would serve the {} a second that come.",
                count(enough),
                rate(load.arrivals)
            )
        }
        None => String::new(),
    };
    format!("run more workers ({WORKERS}), {sooner}.{enough}")
}

/// The advice for an application that takes connections too slowly, by its pattern.
pub(super) fn accept_faster(facts: &ListenerFacts<'_>) -> String {
    match &facts.load {
        Some(load) => more_workers(load),
        None => match facts.held_percent {
            Some(percent) if percent < IDLE_PERCENT => between_connections(percent),
            _ => by_pattern(facts.shape, facts.held_up_by.is_some()),
        },
    }
}

/// The advice where others wait for workers that hold no connection.
fn between_connections(held_percent: u64) -> String {
    format!(
        "find out what the workers do between two connections (a sleep, a lock, a disk): on average \
         they held one for {held_percent} % of the last second."
    )
}

/// `is_held_up` tells whether handlers hold a thread that accepts.
fn by_pattern(shape: Option<Shape>, is_held_up: bool) -> String {
    let Some(shape) = shape else { return of_any_pattern() };
    match shape.name {
        _ if shape.is_one_at_a_time() => one_at_a_time(shape),
        _ if shape.is_event_loop() => event_loop(shape, is_held_up),
        PatternName::AcceptorPlusReaders => {
            "find out what the accepting thread does between two accepts: let it accept until \
             EAGAIN and hand over, and do nothing else. If it waits until a thread of the pool is \
             free, run more threads, or answer sooner."
                .into()
        }
        PatternName::ThreadPerConnection | PatternName::ProcessPerConnection => {
            "find out what the accepting thread does between two accepts: to start a thread or a \
             process for each connection costs time, and a limit on them makes it wait. Raise that \
             limit, or keep a pool."
                .into()
        }
        _ => of_any_pattern(),
    }
}

fn one_at_a_time(shape: Shape) -> String {
    let stuck = if shape.name == PatternName::SocketSharding {
        " With SO_REUSEPORT a connection waits for the worker that the kernel chose, even if \
         others are free: one shared listener avoids that."
    } else {
        ""
    };
    format!("run more workers ({WORKERS}), or answer sooner.{stuck}")
}

fn event_loop(shape: Shape, is_held_up: bool) -> String {
    let more = match shape.name {
        PatternName::SingleThread | PatternName::MessageLoadBalancing => "run more processes",
        _ => "run more workers",
    };
    let slow =
        "keep slow work out of the thread that accepts: await it, or give it to a thread pool";
    if is_held_up {
        return format!("{slow}; or {more}.");
    }
    format!("accept until EAGAIN on each wakeup, and {slow}; or {more}.")
}

fn of_any_pattern() -> String {
    format!(
        "find out what those who accept do between two accepts. An event loop must hand slow work \
         to other threads, and accept until EAGAIN on each wakeup; where each worker serves one \
         connection at a time, run more of them ({WORKERS}), or answer sooner."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Io;

    fn advice(name: PatternName, io: Option<Io>, is_held_up: bool) -> String {
        by_pattern(Some(Shape { name, io }), is_held_up)
    }

    #[test]
    fn blocking_workers_need_more_of_them_or_quicker_answers() {
        for name in
            [PatternName::SingleThread, PatternName::MultipleAcceptors, PatternName::SocketSharding]
        {
            let advice = advice(name, Some(Io::Blocking), false);
            assert!(advice.starts_with("run more workers (gunicorn --workers"), "{advice}");
            assert!(advice.contains("answer sooner"), "{advice}");
            assert!(!advice.contains("thread") && !advice.contains("EAGAIN"), "{advice}");
            let is_shard = name == PatternName::SocketSharding;
            assert_eq!(advice.contains("SO_REUSEPORT"), is_shard, "{advice}");
        }
    }

    #[test]
    fn event_loops_keep_slow_work_out() {
        let alone = advice(PatternName::SingleThread, Some(Io::EventLoop), false);
        assert!(alone.starts_with("accept until EAGAIN on each wakeup, and keep slow"), "{alone}");
        assert!(alone.ends_with("or run more processes."), "{alone}");
        let held = advice(PatternName::MultipleAcceptors, Some(Io::EventLoop), true);
        assert!(held.starts_with("keep slow work out of the thread that accepts"), "{held}");
        assert!(held.ends_with("or run more workers."), "{held}");
    }

    #[test]
    fn an_acceptor_hands_over_and_does_nothing_else() {
        for io in [None, Some(Io::Blocking), Some(Io::EventLoop), Some(Io::Mixed)] {
            let pool = advice(PatternName::AcceptorPlusReaders, io, false);
            assert!(pool.contains("hand over, and do nothing else"), "{pool}");
            let forked = advice(PatternName::ThreadPerConnection, io, false);
            assert!(forked.contains("to start a thread or a process"), "{forked}");
        }
    }

    #[test]
    fn what_is_not_known_is_advised_as_a_condition() {
        let open = [
            by_pattern(None, false),
            advice(PatternName::MultipleAcceptors, None, false),
            advice(PatternName::SocketSharding, Some(Io::Mixed), false),
        ];
        for advice in open {
            assert!(advice.contains("An event loop must") && advice.contains("where each worker"));
        }
    }
}
