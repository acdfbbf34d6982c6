//! The body of `lost`.

use serde::Serialize;

use crate::model::output::Lost;
use crate::text::Untrusted;

/// Records or places in a table were lost.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LostBody<'a> {
    /// Kind of loss; the table below says what each means.
    probe: &'a Untrusted,
    /// Number since the last object.
    count: u64,
    /// Number since the attach.
    total: u64,
}

impl<'a> From<&'a Lost> for LostBody<'a> {
    fn from(lost: &'a Lost) -> Self {
        Self { probe: &lost.probe, count: lost.count, total: lost.total }
    }
}
