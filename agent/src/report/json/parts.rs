//! Parts that several bodies have.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::model::event::{Role, Side, count_holders};
use crate::model::snapshot::{OwnerTimes, SliceKind, WaitView};

/// Returns the reasons that apply.
pub(super) fn gaps<const N: usize>(reasons: [(bool, &'static str); N]) -> Vec<&'static str> {
    let mut gaps = Vec::new();
    for (applies, reason) in reasons {
        if applies {
            gaps.push(reason);
        }
    }
    gaps
}

/// Returns the number of processes that hold a listener, if not all of them are named.
pub(crate) fn holders_total(named: &[u32], unnamed: u32) -> Option<u64> {
    if unnamed > 0 { Some(count_holders(named, unnamed)) } else { None }
}

pub(super) const HOLDERS_GAP: &str =
    "holders: more processes have it open than are named; holders_total counts them";

pub(super) const NO_PROTOCOL: &str =
    "protocol: nothing was recognised in its first bytes, or they were not looked at";

pub(super) const MULTIPLEXED: &str = "multiplexed: the kernel sees one stream of bytes, the app \
     sees requests; how many is not visible";

/// Quantiles of a wait; `null` where nothing waited.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Wait"))]
pub(super) struct WaitBody {
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    max: Option<u64>,
    count: u64,
}

impl From<WaitView> for WaitBody {
    fn from(wait: WaitView) -> Self {
        let known = |us| if wait.count > 0 { Some(us) } else { None };
        Self {
            p50: known(wait.p50),
            p90: known(wait.p90),
            p99: known(wait.p99),
            max: known(wait.max),
            count: wait.count,
        }
    }
}

/// Time by owner.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OwnerTimes"))]
pub(super) struct TimesBody {
    kernel: u64,
    app: u64,
    network: u64,
    peer: u64,
    unknown: u64,
}

impl From<&OwnerTimes> for TimesBody {
    fn from(times: &OwnerTimes) -> Self {
        Self {
            kernel: times.kernel_us,
            app: times.app_us,
            network: times.network_us,
            peer: times.peer_us,
            unknown: times.unknown_us,
        }
    }
}

/// Time by the contract's name, which two kinds may share.
pub(super) fn phases(phases: &[(SliceKind, u64)]) -> Map<String, Value> {
    let mut by_name: Vec<(&str, u64)> = Vec::new();
    for (kind, us) in phases {
        match by_name.iter_mut().find(|(name, _)| *name == kind.name()) {
            Some((_, sum)) => *sum = us.saturating_add(*sum),
            None => by_name.push((kind.name(), *us)),
        }
    }
    let mut out = Map::new();
    for (name, us) in by_name {
        out.insert(name.to_owned(), json!(us));
    }
    out
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Server => "server",
        Role::Client => "client",
    }
}

pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Peer => "peer",
    }
}
