//! The body of `pause`.

use serde::Serialize;

use crate::model::event::Pause;

/// With `--budget`: exchanges are not watched from now on, or are again. In a pause there are no
/// `exchange` objects, of connections only ends are seen, and what was found in exchanges stands.
/// Listeners are watched all the time.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PauseBody {
    /// Whether it begins or ends.
    state: PauseState,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum PauseState {
    Begun,
    Ended,
}

impl From<&Pause> for PauseBody {
    fn from(pause: &Pause) -> Self {
        Self { state: if pause.begins { PauseState::Begun } else { PauseState::Ended } }
    }
}
