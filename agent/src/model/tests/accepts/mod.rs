//! Accepts that fail, connections that end in the queue, and those that are accepted and not
//! served.

mod fails;
mod queue;
mod shared;
mod unserved;

pub(super) use backscope_abi::errno::{ECONNABORTED, EMFILE, ENFILE, ENOMEM, EPERM};

use super::world::World;
use crate::model::snapshot::Finding;
pub(super) use fails::failing;
pub(super) use queue::{left, member_closed};
pub(super) use shared::{uneven, uneven_group, waits};
pub(super) use unserved::served;

fn evidence(finding: &Finding, name: &str) -> Option<f64> {
    finding.evidence.iter().find(|(other, _)| *other == name).map(|&(_, value)| value)
}

fn assert_well_written(world: &World) {
    for finding in world.reported_findings() {
        assert!(finding.headline.as_came().chars().count() <= 78, "{:?}", finding.headline);
        assert!(
            finding.headline.ends_with(".")
                && finding.text.ends_with(".")
                && finding.fix.ends_with(".")
        );
        assert!(!finding.evidence.is_empty() && !finding.text.contains("  "), "{:?}", finding.text);
        assert!(
            !finding.text.contains(" 1 connections") && !finding.headline.contains("1 clients"),
            "{finding:?}"
        );
    }
}
