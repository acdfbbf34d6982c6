//! Columns of text, as wide as their widest entry.

use std::io::{self, Write};

/// Writes rows under a header; columns whose header begins with `>` stand at the right.
pub(super) fn write(out: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut widths = Vec::new();
    for (column, title) in header.iter().enumerate() {
        let mut width = bare(title).chars().count();
        for row in rows {
            width = width.max(row[column].chars().count());
        }
        widths.push(width);
    }
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (column, cell) in cells.enumerate() {
            let width = widths[column];
            if header[column].starts_with('>') {
                text += &format!("{cell:>width$}  ");
            } else {
                text += &format!("{cell:<width$}  ");
            }
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(&mut header.iter().map(|title| bare(title)))?;
    for row in rows {
        line(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}

fn bare(title: &str) -> &str {
    title.trim_start_matches('>')
}
