//! The table of hooks: those that serve each signal, best first.
//!
//! It is the documentation, too: it says what each hook needs, and what is lost without it. The
//! facts behind it were tried on 5.10, 6.1, 6.12, 6.18, 7.0, 7.2 and 7.3.

mod events;
mod exchanges;
mod queues;
mod signal;
mod spec;

pub use self::signal::Signal;
pub(in crate::sensor) use self::spec::{
    Attach, Choice, DROP_REASONS, Program, SCAN, SCAN_CONNECTIONS, SLOW, SOCK_FROM_FILE,
    SOCKET_COOKIE, SOCKET_STORAGE, SOCKET_STORAGE_DELETE, SYNACK, SignalSpec, TASK_REGS,
};

/// Every signal that is wanted, in the order in which hooks are attached: a signal comes after
/// those that it relies on.
pub(in crate::sensor) fn signals(exchanges: bool, events: bool) -> Vec<&'static SignalSpec> {
    let mut signals: Vec<_> = queues::SIGNALS.iter().collect();
    if exchanges {
        signals.extend(exchanges::SIGNALS);
    }
    if events {
        signals.extend(events::SIGNALS);
    }
    signals
}

/// Every kernel function that the table attaches to or asks BTF about.
pub(in crate::sensor) fn functions() -> impl Iterator<Item = &'static str> {
    let asked = [
        "tcp_v4_syn_recv_sock",
        "tcp_v6_syn_recv_sock",
        "tcp_check_req",
        "tcp_get_cookie_sock",
        "io_accept",
        SOCKET_STORAGE,
        SOCKET_STORAGE_DELETE,
        SOCKET_COOKIE,
        SOCK_FROM_FILE,
        TASK_REGS,
    ];
    let hooked = places().filter_map(|place| match place {
        Attach::Fentry(function) | Attach::Fexit(function) => Some(function),
        Attach::Iterator("task_file") => Some("bpf_iter_task_file"),
        _ => None,
    });
    hooked.chain(asked)
}

/// Every tracepoint with typed arguments that the table attaches to.
pub(in crate::sensor) fn tracepoints() -> impl Iterator<Item = &'static str> {
    places().filter_map(|place| match place {
        Attach::Tracepoint(name) => Some(name),
        _ => None,
    })
}

/// The places of all programs.
fn places() -> impl Iterator<Item = Attach> {
    let choices = signals(true, true).into_iter().flat_map(|spec| spec.choices);
    choices.flat_map(|choice| choice.programs).map(|program| program.attach)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Attach, SLOW, functions, places, signals};

    /// A choice whose check asks for an unknown function would never be taken, in silence.
    #[test]
    fn checks_ask_for_functions_that_are_looked_up() {
        let known: BTreeSet<&str> = functions().collect();
        let tables = [include_str!("queues.rs"), include_str!("exchanges.rs")];
        let mut asked = 0;
        for table in tables {
            for call in table.split(" arity(btf, \"").skip(1) {
                let name = call.split('"').next().unwrap_or_default();
                assert!(known.contains(name), "{name} is not looked up");
                asked += 1;
            }
        }
        assert!(asked >= 3, "only {asked} checks found");
    }

    /// A program whose place is not looked up would never be loaded, as if the kernel had no such
    /// place.
    #[test]
    fn every_iterator_is_looked_up() {
        let known: BTreeSet<&str> = functions().collect();
        for place in places() {
            if let Attach::Iterator(kind) = place {
                assert!(known.contains(&*format!("bpf_iter_{kind}")), "{kind} is not looked up");
            }
        }
    }

    #[test]
    fn slow_programs_are_in_the_plan() {
        let choices = signals(true, true).into_iter().flat_map(|spec| spec.choices);
        let names: BTreeSet<&str> =
            choices.flat_map(|choice| choice.programs).map(|program| program.name).collect();
        assert!(SLOW.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn every_signal_has_one_entry_and_a_name_of_its_own() {
        let all = signals(true, true);
        let names: BTreeSet<&str> = all.iter().map(|spec| spec.signal.name()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|spec| !spec.missing.is_empty() && !spec.choices.is_empty()));
    }

    /// A choice that shares a hook which nothing before it attaches would never be taken.
    #[test]
    fn what_is_shared_is_a_hook_of_an_earlier_signal() {
        let mut hooks = BTreeSet::new();
        for spec in signals(true, true) {
            for hook in spec.choices.iter().flat_map(|choice| choice.shares.split_whitespace()) {
                assert!(hooks.contains(hook), "{} shares {hook}", spec.signal);
            }
            for program in spec.choices.iter().flat_map(|choice| choice.programs) {
                hooks.insert(program.attach.to_string());
            }
        }
    }
}
