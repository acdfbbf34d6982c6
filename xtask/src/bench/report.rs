//! What was measured: shown at once, and kept for the documentation.

use super::chart::Panel;
use super::table::Table;

/// The results of all parts.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Tables, each with its heading. Consecutive tables may have the same.
    pub(super) tables: Vec<(String, Table)>,
    pub(super) panels: Vec<Panel>,
}

impl Report {
    /// Shows a table and keeps it.
    pub(super) fn table(&mut self, heading: &str, table: Table) {
        println!("{}", table.text());
        self.tables.push((heading.to_owned(), table));
    }

    /// Returns the tables in Markdown.
    pub(super) fn markdown(&self) -> String {
        let (mut text, mut last) = (String::new(), "");
        for (heading, table) in &self.tables {
            if heading != last {
                text += &format!("### {heading}\n\n");
                last = heading;
            }
            text += &format!("{}\n", table.markdown());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_share_a_heading() {
        let table = Table::new(&["a"]);
        let tables = vec![("A".to_owned(), table.clone()), ("A".to_owned(), table)];
        let report = Report { tables, panels: Vec::new() };
        assert_eq!(report.markdown(), "### A\n\n| a |\n|---|\n\n| a |\n|---|\n\n");
    }
}
