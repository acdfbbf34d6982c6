//! The body of `notice`.

use serde::Serialize;

use crate::text::Untrusted;

/// A sentence on the watch itself holds from now on, or no longer does.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NoticeBody<'a> {
    /// Whether it begins or ends to hold.
    #[cfg_attr(test, schemars(extend("enum" = ["begun", "ended"])))]
    state: &'static str,
    /// The sentence.
    text: &'a Untrusted,
}

impl<'a> NoticeBody<'a> {
    pub(super) fn new(text: &'a Untrusted, begins: bool) -> Self {
        Self { state: if begins { "begun" } else { "ended" }, text }
    }
}
