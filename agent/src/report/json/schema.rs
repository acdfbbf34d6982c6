//! The schema of the JSON output, generated from the types that it is written from. It is committed
//! as `docs/schema.json`.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Object;
use super::body::{
    AcceptBody, AttachedBody, FindingBody, ListenerBody, LostBody, OverflowBody, ProcessBody,
    SynAckRetransmitBody, SynBody, UnixBody,
};
use super::connect::ConnectBody;
use super::connection::ConnectionBody;
use super::datagram::{DatagramBody, QuicBody};
use super::exchange::ExchangeBody;
use super::moment::MomentBody;
use super::pattern::PatternBody;
use super::proxy::ProxyBody;
use super::summary::SummaryBody;
use crate::commands::doctor::Report;
use crate::commands::listeners::{Row, UnixRow};

/// Commands whose output is no part of the stream. Its schema has the name of the command.
pub(crate) const COMMANDS: [&str; 2] = ["doctor", "listeners"];

/// Returns the schema of the whole stream: an object is one of the types, by its field `type`. What
/// other commands write is among the definitions alone.
pub(crate) fn document() -> Value {
    let types = [
        ("attached", object::<AttachedBody>("attached")),
        ("listener", listener()),
        ("syn", object::<SynBody>("syn")),
        ("event", event()),
        ("process", object::<ProcessBody>("process")),
        ("overflow", object::<OverflowBody>("overflow")),
        ("accept", object::<AcceptBody>("accept")),
        ("exchange", object::<ExchangeBody>("exchange")),
        ("connection", object::<ConnectionBody>("connection")),
        ("connect", object::<ConnectBody>("connect")),
        ("datagrams", object::<DatagramBody>("datagrams")),
        ("quic", object::<QuicBody>("quic")),
        ("pattern", object::<PatternBody>("pattern")),
        ("proxy", object::<ProxyBody>("proxy")),
        ("finding", object::<FindingBody>("finding")),
        ("lost", object::<LostBody>("lost")),
        ("summary", object::<SummaryBody>("summary")),
    ];
    let (mut references, mut definitions) = (Vec::new(), Map::new());
    for (name, schema) in types {
        references.push(json!({ "$ref": format!("#/$defs/{name}") }));
        definitions.insert(name.to_owned(), schema);
    }
    for (name, schema) in COMMANDS.into_iter().zip([generate::<Report>(), listeners()]) {
        definitions.insert(name.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Objects of backscope",
        "description": "One line of `backscope watch --json` or `backscope replay --json`. One of \
            `backscope listeners --json` is of `#/$defs/listeners`, that of `backscope doctor \
            --json` of `#/$defs/doctor`. Fields and types may be added, so ignore those you don't \
            know.",
        "oneOf": references,
        "$defs": definitions,
    })
}

/// Returns the schema of the objects of one type that have this body.
fn object<B: JsonSchema>(kind: &str) -> Value {
    let mut schema = generate::<Object<B>>();
    schema["properties"]["type"] = json!({ "const": kind, "description": "Type of the object." });
    schema["description"] = generate::<B>()["description"].clone();
    schema
}

fn generate<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

fn listener() -> Value {
    json!({
        "description": "State of a listener, at each refresh.",
        "oneOf": [object::<ListenerBody>("listener"), object::<UnixBody>("listener")],
    })
}

/// Returns the schema of the objects of `listeners --json`.
fn listeners() -> Value {
    json!({
        "description": "State of a listening socket.",
        "oneOf": [generate::<Row>(), generate::<UnixRow>()],
    })
}

fn event() -> Value {
    json!({
        "description": "Single event: with `--detail events`.",
        "oneOf": [named(object::<MomentBody>("event")), object::<SynAckRetransmitBody>("event")],
    })
}

/// Moves the list `name` of each variant into its properties, where it says to which events the
/// other properties belong.
fn named(mut schema: Value) -> Value {
    for variant in schema["anyOf"].as_array_mut().expect("the fields of each event") {
        let names = take(variant, "name");
        variant["properties"]["name"] = json!({ "enum": names });
    }
    schema
}

/// Takes a keyword out of a schema; `null` if it has none.
fn take(schema: &mut Value, keyword: &str) -> Value {
    match schema.as_object_mut() {
        Some(keywords) => keywords.remove(keyword).unwrap_or_default(),
        None => Value::Null,
    }
}

/// Brings a schema into the form that is committed, from the inside out.
fn tidy(schema: &mut Value) {
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
    if schemas.len() != 2 || schemas[1] != json!({ "type": "null" }) {
        return;
    }
    let Value::Object(mut schema) = schemas[0].take() else { return };
    let kind = schema.insert("type".to_owned(), Value::Null);
    schema.insert("type".to_owned(), json!([kind, "null"]));
    if let Some(Value::Array(names)) = schema.get_mut("enum") {
        names.push(Value::Null);
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.push(json!({ "type": "null" }));
    }
    // The description of the field goes before that of its type.
    schema.remove("description");
    keywords.remove("anyOf");
    keywords.extend(schema);
}

/// Takes `null` from the types of properties that may be absent: they are absent in its place.
fn be_absent_or_known(keywords: &mut Map<String, Value>) {
    let required = keywords.get("required").cloned().unwrap_or_else(|| json!([]));
    let Some(Value::Object(properties)) = keywords.get_mut("properties") else { return };
    for (name, property) in properties {
        let is_required = required.as_array().is_some_and(|names| names.contains(&json!(name)));
        if is_required {
            continue;
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
