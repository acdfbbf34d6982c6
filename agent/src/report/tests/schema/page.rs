//! Tables of `docs/json.md`: a row for each field, in the order in which the page has them.

use serde_json::{Map, Value};

use crate::report::json::schema;

/// A field of an object, or of an object in it (`overflows.syn`, `slices[].kind`).
pub(super) struct Field {
    pub(super) name: String,
    /// Description of its type, as the table has it.
    kind: String,
    pub(super) description: String,
}

/// Returns the page with its tables written anew. New fields come last; whoever adds one moves its
/// row to where it belongs.
pub(super) fn with_fields(page: &str, document: &Value) -> String {
    let definitions = without_references(document);
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- fields: ") {
        let (kind, after) = after.split_once(" begin -->\n").expect("the beginning has an end");
        let end = format!("<!-- fields: {kind} end -->");
        let (present, after) = after.split_once(&end).expect("a table has an end");
        let generated = match kind {
            "event" => table(&in_order(of_every_event(&definitions["event"]), present)),
            "event by name" => events(&definitions["event"]),
            _ => table(&in_order(fields(&definitions[kind], ""), present)),
        };
        text += before;
        text += &format!("<!-- fields: {kind} begin -->\n{generated}{end}");
        rest = after;
    }
    text + rest
}

/// Returns the definitions with parts in the place of references to them.
pub(super) fn without_references(document: &Value) -> Value {
    let mut definitions = document["$defs"].clone();
    let parts = document["$defs"].as_object().expect("definitions");
    schema::inline(&mut definitions, parts);
    schema::tidy(&mut definitions);
    definitions
}

/// Sorts the fields as the rows of the present table are.
fn in_order(mut fields: Vec<Field>, present: &str) -> Vec<Field> {
    let place =
        |field: &Field| present.find(&format!("\n| `{}` |", field.name)).unwrap_or(usize::MAX);
    fields.sort_by_key(place);
    fields
}

fn table(fields: &[Field]) -> String {
    let mut text = "| field | type | meaning |\n|---|---|---|\n".to_owned();
    for Field { name, kind, description } in fields {
        text += &row(&[&format!("`{name}`"), kind, meaning(description)]);
    }
    text
}

/// Returns the fields that events have whatever their name is.
fn of_every_event(event: &Value) -> Vec<Field> {
    let mut form = event["oneOf"][0].clone();
    form["anyOf"].take();
    fields(&form, "")
}

/// Returns the table of events: a row for each, and below it a row for each field of its own.
fn events(event: &Value) -> String {
    let mut text = "| event | field | type | meaning |\n|---|---|---|---|\n".to_owned();
    let connections = event["oneOf"][0]["anyOf"].as_array().expect("the events of connections");
    let listeners = &event["oneOf"][1];
    for form in connections.iter().chain([listeners]) {
        let names = label(&form["properties"]["name"]).replace('"', "");
        let description = form["description"].as_str().expect("a description");
        text += &row(&[&names, "", "", meaning(description)]);
        for Field { name, kind, description } in own_fields(form, event) {
            text += &row(&["", &format!("`{name}`"), &kind, meaning(&description)]);
        }
    }
    text
}

/// Returns the fields that only this form of an event has.
fn own_fields(form: &Value, event: &Value) -> Vec<Field> {
    let common = of_every_event(event);
    let mut own = fields(form, "");
    own.retain(|field| common.iter().all(|common| common.name != field.name));
    own
}

fn row(cells: &[&str]) -> String {
    let mut text = String::new();
    for cell in cells {
        text += format!("| {cell}").trim_end();
        text += " ";
    }
    text + "|\n"
}

/// Returns a description as it stands in a cell: without the full stop at its end.
fn meaning(description: &str) -> &str {
    description.strip_suffix('.').unwrap_or(description)
}

/// Returns the fields of an object but those that every object of the stream has. Those of an
/// object in it follow it, if they have descriptions.
pub(super) fn fields(schema: &Value, prefix: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let properties = properties(schema);
    let of_stream = properties.iter().any(|(name, ..)| *name == "ts_ns");
    for (name, schema, required) in properties {
        if of_stream && ["type", "ts_ns", "time"].contains(&name) {
            continue;
        }
        let mut kind = label(schema);
        if !required {
            kind += ", or absent";
        }
        let name = format!("{prefix}{name}");
        let description = schema["description"].as_str().unwrap_or_default().to_owned();
        let (inner, dot) = match schema.get("items") {
            Some(items) => (items, "[]."),
            None => (schema, "."),
        };
        let parts = if is_described(inner) {
            self::fields(inner, &(name.clone() + dot))
        } else {
            Vec::new()
        };
        fields.push(Field { name, kind, description });
        fields.extend(parts);
    }
    fields
}

/// True if the fields of an object have descriptions.
fn is_described(schema: &Value) -> bool {
    let mut described = false;
    for (_, schema, _) in properties(schema) {
        described |= schema.get("description").is_some();
    }
    described
}

/// Returns the properties of an object, of all of its forms, and whether each is always there.
/// Those that are come first, in the order in which they are written.
fn properties(schema: &Value) -> Vec<(&str, &Value, bool)> {
    let mut all: Vec<(&str, &Value, bool)> = Vec::new();
    if let Some(own) = schema["properties"].as_object() {
        for (name, property) in own {
            all.push((name, property, is_required(schema, name)));
        }
        all.sort_by_key(|(name, ..)| place_among_required(schema, name).unwrap_or(usize::MAX));
    }
    let forms = schema.get("oneOf").or_else(|| schema.get("anyOf"));
    let Some(Value::Array(forms)) = forms else { return all };
    let mut objects = Vec::new();
    for form in forms {
        if form["type"] != "null" {
            objects.push(form);
        }
    }
    for form in &objects {
        for (name, property, required) in properties(form) {
            if all.iter().any(|(known, ..)| *known == name) {
                continue;
            }
            let everywhere = objects.iter().all(|form| is_required(form, name));
            all.push((name, property, required && everywhere));
        }
    }
    all
}

fn is_required(schema: &Value, name: &str) -> bool {
    place_among_required(schema, name).is_some()
}

fn place_among_required(schema: &Value, name: &str) -> Option<usize> {
    let names = schema["required"].as_array()?;
    names.iter().position(|required| required == name)
}

/// Describes a type in a few words.
fn label(schema: &Value) -> String {
    /// Longer lists of names stand in a table of their own.
    const MOST_NAMES: usize = 12;
    if let Some(name) = schema.get("const") {
        return format!("`{name}`");
    }
    if let Some(Value::Array(names)) = schema.get("enum")
        && names.len() <= MOST_NAMES
    {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        return names.join(", ");
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.as_slice(),
        kind => std::slice::from_ref(kind),
    };
    let labels = kinds.iter().map(|kind| match kind.as_str().unwrap_or_default() {
        "null" => "`null`".to_owned(),
        "string" => "text".to_owned(),
        "array" => format!("array of {}", label(&schema["items"])),
        "object" => object(schema),
        other => other.to_owned(),
    });
    labels.collect::<Vec<_>>().join(" or ")
}

/// Describes an object by the names of its fields, if these have no rows of their own.
fn object(schema: &Value) -> String {
    if let Some(values) = schema.get("additionalProperties") {
        return format!("{{name: {}}}", label(values));
    }
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    if properties.is_empty() || is_described(schema) {
        return "object".to_owned();
    }
    let names: Vec<String> = properties.keys().map(|name| format!("`{name}`")).collect();
    format!("{{{}}}", names.join(", "))
}
