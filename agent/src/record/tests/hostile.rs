//! A recording comes from outside, and its checksums prove nothing about who wrote it: whatever it
//! holds, the model and the front-ends behind it must stand.

use std::collections::BTreeSet;
use std::io;

use serde_json::Value;

use super::events::every;
use crate::model::event::Event;
use crate::model::tests::world::{START, setup};
use crate::model::{Model, Setup};
use crate::report::json::Json;
use crate::report::plain::{Colour, Plain};
use crate::report::tests::schema::parsed;
use crate::report::{Attached, Sink, WallClock};

/// xorshift64*: the same events in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }
}

/// An event with some of its bytes changed, if it is one still. The runs of `0xff` are the largest
/// number of 64 bits, and one of 46.
pub(crate) fn changed(dice: &mut Dice, event: &Event) -> Option<Event> {
    let mut bytes = postcard::to_stdvec(event).unwrap();
    for _ in 0..dice.roll(4) {
        let at = dice.roll(bytes.len());
        match dice.roll(5) {
            0 => bytes[at] = dice.roll(256) as u8,
            4 => drop(bytes.splice(at..at + 1, [[0xff; 9].as_slice(), &[1]].concat())),
            1 => drop(bytes.splice(at..at + 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])),
            2 => bytes[at] = 0,
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
    postcard::from_bytes(&bytes).ok()
}

#[test]
fn whatever_a_recording_holds_it_can_be_shown() {
    let events = every();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let clock = WallClock { mono_ns: START, wall: std::time::UNIX_EPOCH };
    let mut taken = 0;
    let mut types = BTreeSet::new();
    for round in 0..1_500 {
        let tier = if round % 2 == 0 { "full" } else { "tracepoint" };
        let mut model = Model::new(Setup { detail_events: true, ..setup(tier) });
        let (mut json, mut plain) = (Json::new(clock), Plain::new(Colour::Never));
        let mut outputs = Vec::new();
        for _ in 0..30 {
            let which = dice.roll(events.len());
            let Some(event) = changed(&mut dice, &events[which]) else { continue };
            model.apply(&event, &mut outputs);
            taken += 1;
        }
        model.finish(START + dice.roll(usize::MAX) as u64, &mut outputs);
        let snapshot = model.snapshot();
        let mut text = Vec::new();
        json.write(&mut text, &outputs, &snapshot).unwrap();
        for object in parsed(str::from_utf8(&text).unwrap()) {
            types.insert(object["type"].as_str().unwrap().to_owned());
        }
        plain.write(&mut io::sink(), &outputs, &snapshot).unwrap();
    }
    assert!(taken > 15_000, "only {taken} events were any");
    assert!(types.len() >= 15, "only {types:?}");
}

/// A name as a process, a server or a file may have it.
const NAME: &str = "\x1b]0;a\x07\u{9b}2J\u{202e}\u{2066}\u{e0041}\\u{1b}\\\n\"";

/// Fields of events that hold text from outside.
const FROM_OUTSIDE: [&str; 6] = ["comm", "path", "method", "server_name", "alpn", "lost"];

/// Puts the name wherever text from outside stands.
fn rename(value: &mut Value, is_outside: bool) -> u32 {
    match value {
        Value::String(text) if is_outside => {
            NAME.clone_into(text);
            1
        }
        Value::Array(values) => values.iter_mut().map(|value| rename(value, is_outside)).sum(),
        Value::Object(fields) => {
            let mut count = 0;
            for (name, value) in fields {
                count += rename(value, FROM_OUTSIDE.contains(&name.as_str()));
            }
            count
        }
        _ => 0,
    }
}

fn assert_harmless(text: &str, what: &str) {
    let raw = |character: &char| {
        (character.is_control() && *character != '\n')
            || ['\u{202e}', '\u{2066}', '\u{e0041}'].contains(character)
    };
    assert_eq!(text.chars().find(raw), None, "{what}: {text:?}");
}

#[test]
fn names_of_a_recording_leave_escaped() {
    let clock = WallClock { mono_ns: START, wall: std::time::UNIX_EPOCH };
    let setup = Setup { detail_events: true, target: NAME.into(), ..setup("full") };
    let mut model = Model::new(setup);
    model.set_notices(vec![NAME.into()]);
    let (mut outputs, mut renamed) = (Vec::new(), 0);
    for event in every() {
        let mut value = serde_json::to_value(&event).unwrap();
        renamed += rename(&mut value, false);
        model.apply(&serde_json::from_value(value).unwrap(), &mut outputs);
    }
    assert!(renamed >= 15, "only {renamed} names");
    model.finish(START + 9_000_000_000, &mut outputs);
    let attached = Attached {
        ts_ns: START,
        kernel: NAME.into(),
        tier: NAME.into(),
        hooks: [(NAME.into(), Some(NAME.into()))].into(),
        targets: vec![NAME.into()],
        attach_us: 1,
        gaps: vec![NAME.into()],
        sandbox: None,
    };
    let snapshot = model.snapshot();
    let (mut json, mut plain) = (Json::new(clock), Plain::new(Colour::Never));
    let write = |sink: &mut dyn Sink| {
        let mut text = Vec::new();
        sink.attached(&mut text, &attached).unwrap();
        sink.write(&mut text, &outputs, &snapshot).unwrap();
        String::from_utf8(text).unwrap()
    };
    let text = write(&mut plain);
    assert_harmless(&text, "plain");
    let shown = r#"\u{1b}]0;a\u{7}\u{9b}2J\u{202e}\u{2066}\u{e0041}\\u{1b}\\\u{a}""#;
    assert!(text.contains(&format!("note      {shown}")), "a notice, escaped once: {text}");
    assert!(text.matches(shown).count() >= 8, "{text}");
    let text = write(&mut json);
    assert_harmless(&text, "json");
    let mut names = 0;
    for line in text.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        names += u32::from(object["comm"] == NAME || object["targets"][0] == NAME);
    }
    assert!(names >= 5, "a parser gives them back as they came: {text}");
    assert_harmless(&format!("{outputs:?} {snapshot:?}"), "debug");
}
