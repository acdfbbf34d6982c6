//! Tables of results: for a terminal, and for a page of the documentation.

use crate::stats::Spread;

/// A table; the first cell of a row names it.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// The names of the columns; the first is the table's.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Returns the table in columns, the first flush left, the others flush right.
    pub(super) fn text(&self) -> String {
        let rows = || std::iter::once(&self.columns).chain(&self.rows);
        let width = |at: usize| {
            let cells = rows().filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for row in rows() {
            let mut line = String::new();
            for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                line += &match at {
                    0 => format!("{cell:<width$}"),
                    _ => format!("  {cell:>width$}"),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }

    /// Returns the table in Markdown.
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let missing = self.columns.len().saturating_sub(cells.len());
            format!("| {} |{}\n", cells.join(" | "), "  |".repeat(missing))
        };
        let rule = format!("|---{}|\n", "|--:".repeat(self.columns.len().saturating_sub(1)));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        line(&self.columns) + &rule + &rows
    }
}

/// Returns the median with the outer tenths, to so many digits after the point; nothing for no
/// values.
pub(super) fn cell(values: impl IntoIterator<Item = f64>, digits: usize) -> String {
    match Spread::wide(values) {
        Some(Spread { low, median, high }) => {
            format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
        }
        None => String::new(),
    }
}

/// Returns the median difference with the outer tenths, each with a sign; nothing for no values.
pub(super) fn signed(values: impl IntoIterator<Item = f64>) -> String {
    match Spread::wide(values) {
        Some(Spread { low, median, high }) => {
            format!("{median:+.0} ({low:+.0} to {high:+.0})")
        }
        None => String::new(),
    }
}

/// Returns the median alone.
pub(super) fn median(values: impl IntoIterator<Item = f64>, digits: usize) -> String {
    Spread::of(values).map_or_else(String::new, |spread| format!("{:.digits$}", spread.median))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["ns", "more"]);
        table.row(vec!["watch".to_owned(), cell([1.0, 2.0, 3.0], 1)]);
        table.row(vec!["none".to_owned()]);
        let head = format!("ns{}more", " ".repeat(17));
        assert_eq!(table.text(), format!("{head}\nwatch  2.0 (1.2 to 2.8)\nnone\n"));
        let expected = "| ns | more |\n|---|--:|\n| watch | 2.0 (1.2 to 2.8) |\n| none |  |\n";
        assert_eq!(table.markdown(), expected);
        assert_eq!(signed([-2.0, 3.0, 8.0]), "+3 (-1 to +7)");
    }
}
