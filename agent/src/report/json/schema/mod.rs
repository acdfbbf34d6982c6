//! The schema of the JSON output, generated from the types that it is written from. It is committed
//! as `docs/schema.json`.

mod reference;
mod tidy;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::accept::AcceptBody;
use super::attached::AttachedBody;
use super::connect::ConnectBody;
use super::connection::ConnectionBody;
use super::datagram::DatagramBody;
use super::exchange::ExchangeBody;
use super::finding::FindingBody;
use super::listener::ListenerBody;
use super::lost::LostBody;
use super::notice::NoticeBody;
use super::overflow::OverflowBody;
use super::pattern::PatternBody;
use super::pause::PauseBody;
use super::process::ProcessBody;
use super::proxy::ProxyBody;
use super::quic::QuicBody;
use super::socket_event::{SocketEventBody, SynAckRetransmitBody};
use super::summary::RunSummaryBody;
use super::syn::SynBody;
use super::unix::UnixBody;
use super::{Object, Placed};
use crate::commands::doctor::Report;
#[cfg(feature = "lessons")]
use crate::commands::learn::json::{LessonRow, RoundRow};
use crate::commands::listeners::{ListenerRow, UnixRow};
use crate::compare::Comparison;
use reference::inline_once_used;

pub(crate) use reference::inline;
pub(crate) use tidy::tidy;

/// Commands whose output is no part of the stream. Its schema has the name of the command.
pub(crate) const COMMANDS: &[&str] = &[
    "diff",
    "doctor",
    "listeners",
    #[cfg(feature = "lessons")]
    "lesson",
    #[cfg(feature = "lessons")]
    "round",
];

/// Returns the schema of the whole stream: an object is one of the types, by its field `type`. What
/// other commands write is among the definitions alone, as are parts that several objects share.
pub(crate) fn document() -> Value {
    let mut generator = generator();
    let types = types(&mut generator);
    let commands = [
        Comparison::json_schema(&mut generator).into(),
        Report::json_schema(&mut generator).into(),
        listeners(&mut generator),
        #[cfg(feature = "lessons")]
        LessonRow::json_schema(&mut generator).into(),
        #[cfg(feature = "lessons")]
        RoundRow::json_schema(&mut generator).into(),
    ];

    let (mut references, mut definitions) = (Vec::new(), Map::new());
    for (name, schema) in types {
        references.push(json!({ "$ref": format!("#/$defs/{name}") }));
        definitions.insert(name.to_owned(), schema);
    }
    for (name, schema) in COMMANDS.iter().zip(commands) {
        definitions.insert((*name).to_owned(), schema);
    }
    definitions.append(&mut generator.take_definitions(true));
    let mut definitions = Value::Object(definitions);
    inline_once_used(&mut definitions);
    tidy(&mut definitions);
    name_events(&mut definitions["event"]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Objects of backscope",
        "description": "One line of `backscope watch --json` or `backscope replay --json`. One of \
            `backscope listeners --json` is of `#/$defs/listeners`, that of `backscope doctor \
            --json` of `#/$defs/doctor`, that of `backscope diff --json` of `#/$defs/diff`, those of `backscope learn --json` of `#/$defs/lesson` and `#/$defs/round`. Fields and types may be added, so ignore those you don't \
            know.",
        "oneOf": references,
        "$defs": definitions,
    })
}

fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.meta_schema = None;
    settings.into_generator()
}

/// Returns the schema of the objects of each type.
fn types(generator: &mut SchemaGenerator) -> [(&'static str, Value); 19] {
    [
        ("attached", object::<AttachedBody>(generator, "attached")),
        ("listener", listener(generator)),
        ("syn", object::<SynBody>(generator, "syn")),
        ("event", event(generator)),
        ("process", object::<Placed<'_, ProcessBody>>(generator, "process")),
        ("overflow", object::<OverflowBody>(generator, "overflow")),
        ("accept", object::<Placed<'_, AcceptBody>>(generator, "accept")),
        ("exchange", object::<ExchangeBody>(generator, "exchange")),
        ("connection", object::<Placed<'_, ConnectionBody>>(generator, "connection")),
        ("connect", object::<Placed<'_, ConnectBody>>(generator, "connect")),
        ("datagrams", object::<Placed<'_, DatagramBody>>(generator, "datagrams")),
        ("quic", object::<Placed<'_, QuicBody>>(generator, "quic")),
        ("pattern", object::<Placed<'_, PatternBody>>(generator, "pattern")),
        ("proxy", object::<Placed<'_, ProxyBody>>(generator, "proxy")),
        ("finding", object::<Placed<'_, FindingBody>>(generator, "finding")),
        ("pause", object::<PauseBody>(generator, "pause")),
        ("notice", object::<NoticeBody>(generator, "notice")),
        ("lost", object::<LostBody>(generator, "lost")),
        ("summary", object::<RunSummaryBody<'_>>(generator, "summary")),
    ]
}

/// Returns the schema of the objects of one type that have this body.
fn object<B: JsonSchema>(generator: &mut SchemaGenerator, kind: &str) -> Value {
    let mut schema: Value = Object::<B>::json_schema(generator).into();
    schema["properties"]["type"] = json!({ "const": kind, "description": "Type of the object." });
    schema
}

fn listener(generator: &mut SchemaGenerator) -> Value {
    json!({
        "description": "State of a listener, at each refresh.",
        "oneOf": [
            object::<Placed<'_, ListenerBody>>(generator, "listener"),
            object::<Placed<'_, UnixBody>>(generator, "listener"),
        ],
    })
}

fn event(generator: &mut SchemaGenerator) -> Value {
    json!({
        "description": "Single event: with `--detail events`.",
        "oneOf": [
            object::<SocketEventBody>(generator, "event"),
            object::<SynAckRetransmitBody>(generator, "event"),
        ],
    })
}

/// Returns the schema of the objects of `listeners --json`.
fn listeners(generator: &mut SchemaGenerator) -> Value {
    json!({
        "description": "State of a listening socket.",
        "oneOf": [
            Placed::<ListenerRow>::json_schema(generator),
            Placed::<UnixRow>::json_schema(generator),
        ],
    })
}

/// Moves the list `name` of each variant into its properties, where it says to which events the
/// other properties belong.
fn name_events(event: &mut Value) {
    for variant in event["oneOf"][0]["anyOf"].as_array_mut().expect("the fields of each event") {
        let names = variant.as_object_mut().expect("keywords").remove("name");
        variant["properties"]["name"] = json!({ "enum": names });
    }
}
