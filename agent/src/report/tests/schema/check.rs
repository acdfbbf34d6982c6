//! A validator of the keywords that the schema has. It is stricter than JSON Schema in one thing: a
//! field that the schema does not have is a flaw. The end-to-end tests compile this file, too.

use std::collections::BTreeSet;

use serde_json::Value;

/// Returns the places at which an object does not keep to this definition of the schema.
pub(super) fn flaws(document: &Value, definition: &str, object: &Value) -> Vec<String> {
    match document["$defs"].get(definition) {
        Some(schema) => whole(document, schema, object, ""),
        None => vec![format!("no such type: {definition:?}")],
    }
}

/// Checks a value, and that the schema has all of its fields.
fn whole(document: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut check = Check::of(document, schema, value, path);
    if let Value::Object(fields) = value {
        for name in fields.keys() {
            check.demand(check.known.contains(name), format!(".{name} is not in the schema"));
        }
    }
    check.flaws
}

/// A schema that was applied to one value.
struct Check<'a> {
    /// The document that references are into.
    document: &'a Value,
    path: &'a str,
    flaws: Vec<String>,
    /// Fields of the value that the schema has.
    known: BTreeSet<String>,
}

impl<'a> Check<'a> {
    fn of(document: &'a Value, schema: &Value, value: &Value, path: &'a str) -> Self {
        let mut check = Self { document, path, flaws: Vec::new(), known: BTreeSet::new() };
        for (keyword, limit) in schema.as_object().expect("keywords") {
            check.keyword(keyword, limit, value);
        }
        check
    }

    fn demand(&mut self, holds: bool, flaw: String) {
        if !holds {
            self.flaws.push(format!("{}{flaw}", self.path));
        }
    }

    fn keyword(&mut self, keyword: &str, limit: &Value, value: &Value) {
        match keyword {
            "description" => {}
            "$ref" => {
                let name = limit.as_str().and_then(|name| name.strip_prefix("#/$defs/"));
                let schema = &self.document["$defs"][name.expect("the name of a definition")];
                self.adopt(Check::of(self.document, schema, value, self.path));
            }
            "type" => self.demand(is_of(value, limit), format!(": {value} is no {limit}")),
            "const" => self.demand(value == limit, format!(": {value} is not {limit}")),
            "enum" => {
                let listed = array(limit).contains(value);
                self.demand(listed, format!(": {value} is none of {limit}"));
            }
            "minimum" if value.is_number() => {
                let holds = value.as_f64() >= limit.as_f64();
                self.demand(holds, format!(": {value} is less than {limit}"));
            }
            "maximum" if value.is_number() => {
                let holds = value.as_f64() <= limit.as_f64();
                self.demand(holds, format!(": {value} is more than {limit}"));
            }
            "minimum" | "maximum" => {}
            // Both are there for arrays of one length only.
            "minItems" | "maxItems" => {
                let holds = limit.as_u64() == Some(array(value).len() as u64);
                self.demand(holds, format!(": {value} has not {limit} items"));
            }
            "items" => self.items(limit, value),
            "required" => {
                for name in array(limit) {
                    let name = name.as_str().expect("a name");
                    let holds = !value.is_object() || value.get(name).is_some();
                    self.demand(holds, format!(".{name} is missing"));
                }
            }
            "properties" => {
                for (name, schema) in limit.as_object().expect("properties") {
                    self.field(name, schema, value);
                }
            }
            "additionalProperties" => {
                let Value::Object(fields) = value else { return };
                for name in fields.keys() {
                    self.field(name, limit, value);
                }
            }
            "anyOf" => _ = self.any_of(array(limit), value),
            "oneOf" => {
                let holding = self.any_of(array(limit), value);
                self.demand(holding < 2, format!(": {value} is of {holding} forms"));
            }
            other => panic!("the keyword {other} is not known here"),
        }
    }

    fn items(&mut self, schema: &Value, value: &Value) {
        let Value::Array(items) = value else { return };
        for (place, item) in items.iter().enumerate() {
            let path = format!("{}[{place}]", self.path);
            self.flaws.extend(whole(self.document, schema, item, &path));
        }
    }

    fn field(&mut self, name: &str, schema: &Value, value: &Value) {
        self.known.insert(name.to_owned());
        if let Some(field) = value.get(name) {
            let path = format!("{}.{name}", self.path);
            self.flaws.extend(whole(self.document, schema, field, &path));
        }
    }

    /// Applies the first schema that holds, and returns how many do. If none does, the one with the
    /// fewest flaws says why.
    fn any_of(&mut self, schemas: &[Value], value: &Value) -> usize {
        let mut best: Option<Check<'a>> = None;
        let mut holding = 0;
        for schema in schemas {
            let check = Check::of(self.document, schema, value, self.path);
            holding += usize::from(check.flaws.is_empty());
            if best.as_ref().is_none_or(|best| check.flaws.len() < best.flaws.len()) {
                best = Some(check);
            }
        }
        self.adopt(best.expect("a schema to choose"));
        holding
    }

    /// Takes over what another schema says of the same value.
    fn adopt(&mut self, check: Check<'_>) {
        self.flaws.extend(check.flaws);
        self.known.extend(check.known);
    }
}

/// True if a value is of the type, or of one of the types.
fn is_of(value: &Value, types: &Value) -> bool {
    match types {
        Value::Array(types) => types.iter().any(|kind| is_of(value, kind)),
        kind => match kind.as_str().expect("the name of a type") {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("the type {other} is not known here"),
        },
    }
}

/// Returns the items of an array, and none of anything else.
fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
