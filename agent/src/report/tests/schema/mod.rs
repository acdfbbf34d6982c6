//! The committed schema: generated from the types, held to real output, and the source of the
//! tables in `docs/json.md`. `UPDATE=1 cargo test -p backscope --lib schema` writes both anew.

mod check;
mod page;
mod print;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Value, json};

use crate::report::json::schema;
use print::print;

/// Returns the places at which an object of the stream does not keep to the schema of its type.
fn flaws(object: &Value) -> Vec<String> {
    check::flaws(document(), object["type"].as_str().unwrap_or_default(), object)
}

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(schema::document)
}

/// Compares a file of `docs/` with what it should be, or writes it so.
fn is_up_to_date(name: &str, expected: &str) {
    // A program without lessons does not have their lines.
    if !cfg!(feature = "lessons") {
        return;
    }
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "docs", name].iter().collect();
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, expected).expect("it can be written");
        return;
    }
    let committed = fs::read_to_string(&path).expect("it is there");
    assert!(
        committed == expected,
        "docs/{name} is not up to date: UPDATE=1 cargo test -p backscope --lib schema"
    );
}

#[test]
fn the_schema_is_up_to_date() {
    is_up_to_date("schema.json", &print(document()));
}

#[test]
fn the_text_is_the_schema() {
    let read: Value = serde_json::from_str(&print(document())).expect("it is JSON");
    assert_eq!(read, *document());
}

#[test]
fn the_page_has_the_fields_of_the_schema() {
    let page = include_str!("../../../../../docs/json.md");
    is_up_to_date("json.md", &page::with_fields(page, document()));
}

/// True of the name of a definition that is a part of others: it begins with a capital.
fn is_part(name: &str) -> bool {
    name.starts_with(|first: char| first.is_uppercase())
}

#[test]
fn every_definition_is_of_an_object_or_a_command() {
    let mut types = schema::COMMANDS.to_vec();
    for reference in document()["oneOf"].as_array().expect("types") {
        let name = reference["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
        types.push(name.expect("the name of a type"));
    }
    types.sort_unstable();
    let mut definitions: Vec<&String> = Vec::new();
    definitions.extend(document()["$defs"].as_object().expect("definitions").keys());
    definitions.retain(|name| !is_part(name));
    assert_eq!(types, definitions);
}

#[test]
fn every_field_of_an_object_has_a_description() {
    let definitions = page::without_references(document());
    for (kind, schema) in definitions.as_object().expect("definitions") {
        if is_part(kind) {
            continue;
        }
        for field in page::fields(schema, "") {
            let is_part_of_described = field.name.contains('.');
            assert!(
                is_part_of_described || !field.description.is_empty(),
                "{kind}: {} has no description",
                field.name
            );
        }
    }
}

#[test]
fn a_false_object_is_told() {
    let lost = json!({ "type": "lost", "ts_ns": 1, "time": "", "probe": "ring", "count": 3,
        "total": 8 });
    assert_eq!(flaws(&lost), [""; 0]);
    for (field, value, flaw) in [
        ("count", json!(-1), ".count: -1 is less than 0"),
        ("count", json!("3"), ".count: \"3\" is no \"integer\""),
        ("size", json!(3), ".size is not in the schema"),
        ("type", json!("lots"), "no such type: \"lots\""),
    ] {
        let mut object = lost.clone();
        object[field] = value;
        assert_eq!(flaws(&object), [flaw]);
    }
    let mut object = lost;
    object.as_object_mut().expect("an object").remove("total");
    assert_eq!(flaws(&object), [".total is missing"]);
}

#[cfg(feature = "lessons")]
#[test]
fn recordings_give_what_the_schema_says() {
    use crate::learn::all;
    use crate::model::Model;
    use crate::record::Reader;
    use crate::report::Sink;
    use crate::report::json::Json;

    let mut checked = std::collections::BTreeMap::new();
    for recording in all().iter().flat_map(|lesson| lesson.recordings) {
        let bytes = recording.bytes().expect("it unpacks");
        let mut reader = Reader::new(bytes.as_slice()).expect("a recording");
        let header = reader.header().clone();
        let (mut model, mut outputs) = (Model::new(header.setup), Vec::new());
        let (mut json, mut text) = (Json::new(header.clock), Vec::new());
        json.attached(&mut text, &header.attached).expect("a vector takes everything");
        while let Some(entry) = reader.next_entry().expect("it can be read") {
            entry.give(&mut model, &mut outputs);
        }
        json.write(&mut text, &outputs, &model.snapshot()).expect("a vector takes everything");
        let text = String::from_utf8(text).expect("UTF-8");
        for object in parsed(&text) {
            let kind = object["type"].as_str().expect("a type").to_owned();
            *checked.entry(kind).or_insert(0) += 1;
        }
    }
    assert!(checked.values().sum::<u64>() > 5_000, "only {checked:?}");
    for kind in ["attached", "listener", "exchange", "connection", "datagrams", "quic", "summary"] {
        assert!(checked.contains_key(kind), "no {kind} in {checked:?}");
    }
}

/// Returns what a command other than `watch` and `replay` writes, which keeps to its definition.
pub(crate) fn keeps_to(definition: &str, output: &impl Serialize) -> Value {
    let object = serde_json::to_value(output).expect("it is JSON");
    assert_eq!(check::flaws(document(), definition, &object), [""; 0], "{object}");
    object
}

/// Returns the objects of these lines, each of which keeps to the schema.
pub(crate) fn parsed(text: &str) -> Vec<Value> {
    let mut objects = Vec::new();
    for line in text.lines() {
        let object = serde_json::from_str(line).expect("an object");
        assert_eq!(flaws(&object), [""; 0], "{line}");
        objects.push(object);
    }
    objects
}
