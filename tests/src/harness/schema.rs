//! The committed schema of the JSON output, and the check of what a command writes against it.

#[path = "../../../agent/src/report/tests/schema/check.rs"]
mod check;

use std::sync::OnceLock;

use anyhow::ensure;

use super::json::Value;

/// Checks that an object keeps to a definition of the schema.
pub fn keeps_to(definition: &str, object: &Value) -> anyhow::Result<()> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| {
        let text = include_str!("../../../docs/schema.json");
        serde_json::from_str(text).expect("the schema is JSON")
    });
    let flaws = check::flaws(document, definition, object);
    ensure!(flaws.is_empty(), "{}: {object}", flaws.join("; "));
    Ok(())
}
