//! The text of the committed schema: a field a line.

use serde_json::Value;

/// Columns within which a value stands on one line.
const WIDTH: usize = 100;

/// Prints JSON so that a value stands on one line if that is short, or if it is flat.
pub(super) fn print(value: &Value) -> String {
    broken(value, 0, 0) + "\n"
}

/// Prints a value that stands behind `used` columns of a line with this indent.
fn broken(value: &Value, indent: usize, used: usize) -> String {
    let line = one_line(value);
    if is_flat(value) || used + line.len() <= WIDTH {
        return line;
    }
    let mut items = Vec::new();
    let inner = indent + 2;
    for (name, item) in parts(value) {
        let item = broken(item, inner, inner + name.len());
        items.push(format!("{:inner$}{name}{item}", ""));
    }
    let [open, close] = brackets(value);
    format!("{open}\n{}\n{:indent$}{close}", items.join(",\n"), "")
}

fn one_line(value: &Value) -> String {
    if !value.is_object() && !value.is_array() {
        return value.to_string();
    }
    let mut items = Vec::new();
    for (name, item) in parts(value) {
        items.push(name + &one_line(item));
    }
    let [open, close] = brackets(value);
    let space = if value.is_object() { " " } else { "" };
    format!("{open}{space}{}{space}{close}", items.join(", "))
}

/// Returns what is in a value, each behind what its line begins with.
fn parts(value: &Value) -> Vec<(String, &Value)> {
    let mut parts = Vec::new();
    match value {
        Value::Array(items) => {
            for item in items {
                parts.push((String::new(), item));
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                parts.push((format!("{}: ", Value::from(name.as_str())), item));
            }
        }
        _ => {}
    }
    parts
}

fn brackets(value: &Value) -> [&'static str; 2] {
    if value.is_object() { ["{", "}"] } else { ["[", "]"] }
}

/// True of a value without objects in it but those of a single field.
fn is_flat(value: &Value) -> bool {
    for (_, item) in parts(value) {
        let several = item.as_object().is_some_and(|fields| fields.len() > 1);
        if several || !is_flat(item) {
            return false;
        }
    }
    true
}
