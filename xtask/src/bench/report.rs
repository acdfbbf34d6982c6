//! What was measured, shown at once.

use super::table::Table;

/// The results of all parts.
#[derive(Debug, Default)]
pub(super) struct Report {}

impl Report {
    /// Shows a table.
    pub(super) fn table(&mut self, _heading: &str, table: Table) {
        println!("{}", table.text());
    }
}
