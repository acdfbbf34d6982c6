//! `listeners --json`: an object for each listening socket.

use serde::Serialize;

use super::order::Seen;
use crate::{
    model::event::{ListenerSample, UnixListener},
    report::json::holders_total,
    sensor,
    text::Untrusted,
};

/// Listener of TCP.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ListenerRow<'a> {
    /// Type of the object.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(extend("const" = "listener")))]
    kind: &'static str,
    /// Id of the listener.
    sock: String,
    /// Address family; `"unix"` of a Unix-domain socket.
    #[cfg_attr(test, schemars(extend("enum" = ["ipv4", "ipv6"])))]
    family: &'static str,
    /// Address on which it listens.
    local: String,
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
    /// Processes that have it open, 64 at most.
    holders: &'a [u32],
    /// Number of processes that have it open, if they are more than `holders` names; absent
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    holders_total: Option<u64>,
    /// Inode of its network namespace.
    netns: u32,
    /// Name that `ip netns` gave its network namespace; `null` if it has none.
    netns_name: Option<&'a Untrusted>,
    /// `true` if backscope is in this network namespace; `null` where that could not be read.
    netns_own: Option<bool>,
    /// Limit of the accept queue that is in force.
    limit: u32,
    /// Connections in the accept queue.
    accept_depth: u32,
    /// Handshakes that are not finished.
    syn_depth: u32,
    /// Packets that the kernel dropped at the socket.
    drops: u64,
    /// Upper bound of the refusals among these; `null` where that cannot be read.
    refused_at_most: Option<u64>,
    /// TCP_DEFER_ACCEPT in seconds, 0 without; `null` where it was not read.
    defer_accept_s: Option<u64>,
    /// With `--watch`: time of the look, ns of `CLOCK_MONOTONIC`; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts_ns: Option<u64>,
    /// With `--watch`: packets dropped since the look before; absent at the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    drops_since: Option<u64>,
}

/// Unix-domain socket that listens: what only TCP has is `null`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct UnixRow<'a> {
    /// Type of the object.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(extend("const" = "listener")))]
    kind: &'static str,
    /// Id of the listener.
    sock: String,
    /// Address family.
    #[cfg_attr(test, schemars(extend("enum" = ["unix"])))]
    family: &'static str,
    /// Name of the socket: `unix:PATH`.
    local: Untrusted,
    /// Path of a Unix-domain socket, absent of others. A name in the abstract namespace begins with
    /// `@`.
    path: &'a Untrusted,
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
    /// Processes that have it open, 64 at most.
    holders: &'a [u32],
    /// Number of processes that have it open, if they are more than `holders` names; absent
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    holders_total: Option<u64>,
    /// Inode of its network namespace.
    netns: u32,
    /// Name that `ip netns` gave its network namespace; `null` if it has none.
    netns_name: Option<&'a Untrusted>,
    /// `true` if backscope is in this network namespace; `null` where that could not be read.
    netns_own: Option<bool>,
    /// Limit of the accept queue that is in force.
    limit: u32,
    /// Connections in the accept queue.
    accept_depth: u32,
    /// Always `null`.
    syn_depth: Option<u32>,
    /// Always `null`.
    drops: Option<u64>,
    /// Always `null`.
    refused_at_most: Option<u64>,
    /// Always `null`.
    defer_accept_s: Option<u64>,
    /// With `--watch`: time of the look, ns of `CLOCK_MONOTONIC`; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts_ns: Option<u64>,
}

/// Returns the object of a listener of TCP. `seen` says what is known beside this look.
pub(super) fn row<'a>(listener: &'a ListenerSample, seen: &'a Seen) -> ListenerRow<'a> {
    ListenerRow {
        kind: "listener",
        sock: listener.sock.to_string(),
        family: if listener.local.is_ipv4() { "ipv4" } else { "ipv6" },
        local: listener.local.to_string(),
        pid: listener.pid,
        comm: &listener.comm,
        holders: &listener.holders,
        holders_total: holders_total(&listener.holders, listener.unnamed_holders),
        netns: listener.netns,
        netns_name: seen.namespaces.name(listener.netns),
        netns_own: seen.namespaces.is_own(listener.netns),
        limit: listener.limit,
        accept_depth: listener.depth,
        syn_depth: listener.syn_depth,
        drops: listener.drops,
        refused_at_most: sensor::refused_at_most(listener),
        defer_accept_s: listener.defer_accept_s(),
        ts_ns: seen.ts_ns,
        drops_since: seen.drops_since(listener),
    }
}

/// Returns the object of a Unix-domain socket.
pub(super) fn unix_row<'a>(listener: &'a UnixListener, seen: &'a Seen) -> UnixRow<'a> {
    UnixRow {
        kind: "listener",
        sock: listener.sock.to_string(),
        family: "unix",
        local: compose!("unix:{}", listener.path),
        path: &listener.path,
        pid: listener.pid,
        comm: &listener.comm,
        holders: &listener.holders,
        holders_total: holders_total(&listener.holders, listener.unnamed_holders),
        netns: listener.netns,
        netns_name: seen.namespaces.name(listener.netns),
        netns_own: seen.namespaces.is_own(listener.netns),
        limit: listener.limit,
        accept_depth: listener.depth,
        syn_depth: None,
        drops: None,
        refused_at_most: None,
        defer_accept_s: None,
        ts_ns: seen.ts_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::world::listener;
    use crate::report::{json::Placed, tests::schema::keeps_to};

    #[test]
    fn objects_keep_to_the_schema() {
        let told = ListenerSample { drops: 3, defer_accept: None, ..listener(1, 8) };
        let ipv6 = ListenerSample {
            local: "[::1]:80".parse().expect("an address"),
            defer_accept: Some(2),
            ..listener(2, 8)
        };
        let (once, mut again) = (Seen::default(), Seen { ts_ns: Some(1), ..Seen::default() });
        again.note(&[told.clone(), ipv6.clone()]);
        for (listener, seen) in [(told, &once), (ipv6, &again)] {
            let object = keeps_to("listeners", &Placed::new(row(&listener, seen), None));
            assert_eq!(object["limit"], 8);
            assert_eq!(object["drops"], listener.drops);
            assert_eq!(object.get("drops_since").is_some(), seen.ts_ns.is_some());
        }
        let unix = UnixListener {
            sock: 3,
            path: "@agent".into(),
            pid: 4242,
            comm: "server".into(),
            holders: vec![4242],
            netns: 1,
            depth: 1,
            limit: 8,
            refused: None,
            unnamed_holders: 70_000,
        };
        let object = keeps_to("listeners", &Placed::new(unix_row(&unix, &Seen::default()), None));
        assert_eq!(object["holders_total"], 70_001);
        assert_eq!((&object["family"], &object["path"]), (&"unix".into(), &"@agent".into()));
    }
}
