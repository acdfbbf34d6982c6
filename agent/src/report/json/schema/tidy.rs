//! The form in which a schema is committed.

use serde_json::{Map, Value, json};

/// Brings a schema into the form that is committed, from the inside out.
pub(crate) fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(tidy),
        Value::Object(keywords) => {
            keywords.values_mut().for_each(tidy);
            // Formats such as `uint32` are of schemars, titles are names of Rust.
            if keywords.get("format").is_some_and(Value::is_string) {
                keywords.remove("format");
            }
            if keywords.get("title").is_some_and(Value::is_string) {
                keywords.remove("title");
            }
            if let Some(Value::String(description)) = keywords.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            list_names(keywords);
            allow_null(keywords);
            be_absent_or_known(keywords);
        }
        _ => {}
    }
}

/// Turns an enumeration whose values have a description each into a plain one.
fn list_names(keywords: &mut Map<String, Value>) {
    let Some(Value::Array(values)) = keywords.get("oneOf") else { return };
    let mut names = Vec::new();
    for value in values {
        match (value.get("const"), value.get("enum")) {
            (Some(name), _) => names.push(name.clone()),
            (None, Some(Value::Array(several))) => names.extend_from_slice(several),
            _ => return,
        }
    }
    keywords.remove("oneOf");
    keywords.insert("type".to_owned(), json!("string"));
    keywords.insert("enum".to_owned(), Value::Array(names));
}

/// Writes "this or `null`" as one schema of two types.
fn allow_null(keywords: &mut Map<String, Value>) {
    let Some(Value::Array(schemas)) = keywords.get_mut("anyOf") else { return };
    if schemas.len() != 2 || schemas[1] != null() || schemas[0].get("$ref").is_some() {
        return;
    }
    let Value::Object(mut schema) = schemas[0].take() else { return };
    let kind = schema.insert("type".to_owned(), Value::Null);
    schema.insert("type".to_owned(), json!([kind, "null"]));
    if let Some(Value::Array(names)) = schema.get_mut("enum") {
        names.push(Value::Null);
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.push(null());
    }
    // The description of the field goes before that of its type.
    schema.remove("description");
    keywords.remove("anyOf");
    keywords.extend(schema);
}

/// Takes `null` from the types of properties that may be absent: they are absent in its place.
fn be_absent_or_known(keywords: &mut Map<String, Value>) {
    let required = keywords.get("required").cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = keywords.get_mut("properties") else { return };
    for (name, property) in properties {
        if array(&required).contains(&json!(name)) {
            continue;
        }
        if let [Value::Object(reference), other] = array(&property["anyOf"])
            && *other == null()
        {
            let reference = reference.clone();
            let keywords = property.as_object_mut().expect("keywords");
            keywords.remove("anyOf");
            keywords.extend(reference);
        }
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                property["type"] = only.clone();
            }
        }
        if let Some(Value::Array(names)) = property.get_mut("enum") {
            names.retain(|name| !name.is_null());
        }
    }
}

/// Returns the schema of `null`.
fn null() -> Value {
    json!({ "type": "null" })
}

/// Returns the items of an array, and none of anything else.
fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
