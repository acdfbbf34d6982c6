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
    Attach, Choice, DROP_REASONS, Program, SCAN_CONNECTIONS, SOCK_FROM_FILE, SOCKET_COOKIE,
    SOCKET_STORAGE, SOCKET_STORAGE_DELETE, SYNACK, SignalSpec, TASK_REGS,
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

/// Every kernel function that the table asks BTF about.
pub(in crate::sensor) fn functions() -> [&'static str; 10] {
    [
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
    ]
}

/// Every tracepoint whose arity the table asks for.
pub(in crate::sensor) fn tracepoints() -> [&'static str; 4] {
    ["kfree_skb", "io_uring_complete", "sk_data_ready", "tcp_send_reset"]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{functions, signals};

    /// A choice whose check asks for an unknown function would never be taken, in silence.
    #[test]
    fn checks_ask_for_functions_that_are_looked_up() {
        let tables = [include_str!("queues.rs"), include_str!("exchanges.rs")];
        let mut asked = 0;
        for table in tables {
            for call in table.split(" arity(btf, \"").skip(1) {
                let name = call.split('"').next().unwrap_or_default();
                assert!(functions().contains(&name), "{name} is not looked up");
                asked += 1;
            }
        }
        assert!(asked >= 3, "only {asked} checks found");
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
