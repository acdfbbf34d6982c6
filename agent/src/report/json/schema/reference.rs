//! References to definitions: a part that several objects share stands in the schema once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Moves each definition to which one place alone refers into that place.
pub(super) fn inline_once_used(definitions: &mut Value) {
    let mut uses = BTreeMap::new();
    count_uses(definitions, &mut uses);
    let mut once = Map::new();
    for (name, count) in uses {
        if count == 1 {
            once.insert(name.clone(), definitions[&name].take());
            definitions.as_object_mut().expect("definitions").remove(&name);
        }
    }
    inline(definitions, &once);
}

fn count_uses(schema: &Value, uses: &mut BTreeMap<String, u32>) {
    match schema {
        Value::Array(schemas) => schemas.iter().for_each(|schema| count_uses(schema, uses)),
        Value::Object(keywords) => {
            if let Some(name) = referred(keywords) {
                *uses.entry(name.to_owned()).or_default() += 1;
            }
            keywords.values().for_each(|schema| count_uses(schema, uses));
        }
        _ => {}
    }
}

/// Puts these definitions in the place of references to them. What stands beside a reference goes
/// before what the definition says.
pub(crate) fn inline(schema: &mut Value, definitions: &Map<String, Value>) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| inline(schema, definitions)),
        Value::Object(keywords) => {
            if let Some(Value::Object(definition)) =
                referred(keywords).and_then(|name| definitions.get(name))
            {
                keywords.remove("$ref");
                for (keyword, value) in definition {
                    keywords.entry(keyword).or_insert_with(|| value.clone());
                }
            }
            keywords.values_mut().for_each(|schema| inline(schema, definitions));
        }
        _ => {}
    }
}

/// Returns the name of the definition that a schema refers to.
fn referred(keywords: &Map<String, Value>) -> Option<&str> {
    keywords.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}
