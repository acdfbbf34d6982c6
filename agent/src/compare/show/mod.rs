//! A comparison, shown: as text, as JSON, as a page.

mod page;
mod text;
mod words;

pub use page::page;
pub use text::text;

use super::Comparison;

/// Returns the comparison as one object on a line.
///
/// # Errors
/// A figure is no number.
pub fn json(comparison: &Comparison) -> serde_json::Result<Vec<u8>> {
    let mut line = crate::text::to_json(comparison)?;
    line.push(b'\n');
    Ok(line)
}
