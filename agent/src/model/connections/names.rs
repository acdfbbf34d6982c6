//! Command names, each kept once.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Names shared; further ones are kept with each connection.
const MAX_NAMES: usize = 4_096;

#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeSet<Arc<str>>);

impl Names {
    pub(super) fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        if self.0.len() < MAX_NAMES {
            self.0.insert(Arc::clone(&name));
        }
        name
    }
}
