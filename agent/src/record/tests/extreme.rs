//! Events with the largest and the smallest values that their types have: a recording with right
//! checksums may hold them, and a counter that comes from outside may show them. Nothing may
//! overflow, in any output. Overflow is checked in debug builds.

use std::io;

use ratatui::{Terminal, backend::TestBackend};
use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
        Visitor,
    },
};

use super::hostile::Dice;
use super::{read, recording};
use crate::model::event::Event;
use crate::model::tests::world::{START, setup};
use crate::model::{Model, Setup};
use crate::record::RecordEntry;
use crate::report::json::Json;
use crate::report::plain::{Colour, Plain};
use crate::report::{Sink, WallClock};
use crate::tui::{App, Theme};

/// The figures of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figures {
    /// The largest of their types.
    Largest,
    /// The largest, the smallest, their neighbours, and plausible ones, mixed.
    Mixed,
}

/// Makes up a value of any type that can be deserialised.
struct Maker<'a> {
    dice: &'a mut Dice,
    figures: Figures,
}

impl Maker<'_> {
    fn unsigned(&mut self, largest: u64) -> u64 {
        if self.figures == Figures::Largest {
            return largest;
        }
        let figure = match self.dice.roll(12) {
            0..3 => largest,
            3 => largest - 1,
            4 => largest / 2,
            5 => largest / 2 + 1,
            6 => 0,
            7 => 1,
            8 => 2,
            9 => largest / 1_000,
            _ => START + self.dice.roll(10_000_000_000) as u64,
        };
        figure.min(largest)
    }

    fn signed(&mut self, largest: i64) -> i64 {
        if self.figures == Figures::Largest {
            return largest;
        }
        match self.dice.roll(4) {
            0 => largest,
            1 => -largest - 1,
            2 => 0,
            _ => -1,
        }
    }

    fn length(&mut self) -> usize {
        if self.figures == Figures::Largest { 2 } else { self.dice.roll(4) }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty, $make:ident;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            visitor.$visit(self.$make(<$type>::MAX.into()) as $type)
        })*
    };
}

impl<'de> de::Deserializer<'de> for &mut Maker<'_> {
    type Error = de::value::Error;

    integers! {
        deserialize_u8 visit_u8 u8, unsigned;
        deserialize_u16 visit_u16 u16, unsigned;
        deserialize_u32 visit_u32 u32, unsigned;
        deserialize_u64 visit_u64 u64, unsigned;
        deserialize_i8 visit_i8 i8, signed;
        deserialize_i16 visit_i16 i16, signed;
        deserialize_i32 visit_i32 i32, signed;
        deserialize_i64 visit_i64 i64, signed;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("an event's types are known"))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bool(self.dice.roll(2) == 0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_f64([f64::MAX, f64::MIN, 0.0, f64::NAN, f64::INFINITY][self.dice.roll(5)])
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(["", "server", "\u{1b}[31m"][self.dice.roll(3)])
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bytes(b"server")
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bytes(b"server")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.dice.roll(5) == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let left = self.length();
        visitor.visit_seq(Parts { maker: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Parts { maker: self, left })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let left = self.length();
        visitor.visit_map(Parts { maker: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Parts { maker: self, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let which = self.dice.roll(variants.len()) as u32;
        visitor.visit_enum(Variant { maker: self, which })
    }

    serde::forward_to_deserialize_any! {
        f32 char unit_struct tuple_struct identifier ignored_any
    }
}

/// The parts of a list, a map or a structure.
struct Parts<'a, 'b> {
    maker: &'a mut Maker<'b>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Parts<'_, '_> {
    type Error = de::value::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.maker).map(Some)
    }
}

impl<'de> MapAccess<'de> for Parts<'_, '_> {
    type Error = de::value::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        seed.deserialize(&mut *self.maker)
    }
}

/// A variant of an enumeration.
struct Variant<'a, 'b> {
    maker: &'a mut Maker<'b>,
    which: u32,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = de::value::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), Self::Error> {
        let which = seed.deserialize(self.which.into_deserializer())?;
        Ok((which, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = de::value::Error;

    fn unit_variant(self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Self::Error> {
        seed.deserialize(self.maker)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Parts { maker: self.maker, left })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Parts { maker: self.maker, left: fields.len() })
    }
}

/// Shows a model in every way there is.
fn show(model: &Model, outputs: &[crate::model::output::Output]) {
    let clock = WallClock { mono_ns: START, wall: std::time::UNIX_EPOCH };
    let (mut json, mut plain) = (Json::new(clock), Plain::new(Colour::Never));
    let snapshot = model.snapshot();
    json.write(&mut io::sink(), outputs, &snapshot).expect("a sink");
    plain.write(&mut io::sink(), outputs, &snapshot).expect("a sink");
    let mut app = App::new(Theme::plain());
    app.update(snapshot);
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("a buffer");
    terminal.draw(|frame| app.draw(frame)).expect("a buffer");
}

/// Takes events that are made up, and shows what became of them.
fn take(dice: &mut Dice, figures: Figures, tier: &str) {
    let mut model = Model::new(Setup { detail_events: true, ..setup(tier) });
    let mut outputs = Vec::new();
    for _ in 0..40 {
        let event = Event::deserialize(&mut Maker { dice, figures }).expect("any event");
        model.apply(&event, &mut outputs);
        if dice.roll(20) == 0 {
            show(&model, &outputs);
        }
    }
    model.finish(u64::MAX, &mut outputs);
    show(&model, &outputs);
}

#[test]
fn the_largest_figures_of_an_event_overflow_nothing() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..200 {
        let figures = if round % 4 == 0 { Figures::Largest } else { Figures::Mixed };
        take(&mut dice, figures, if round % 2 == 0 { "full" } else { "tracepoint" });
    }
}

#[test]
fn they_replay_from_a_recording_as_they_are() {
    let mut dice = Dice(7);
    let mut entries = Vec::new();
    for round in 0..2_000 {
        let figures = if round % 4 == 0 { Figures::Largest } else { Figures::Mixed };
        let event = Event::deserialize(&mut Maker { dice: &mut dice, figures });
        entries.push(RecordEntry::Event(event.expect("any event")));
    }
    let bytes = recording(&entries);
    let (read, reader) = read(&bytes);
    assert_eq!(read.len(), entries.len());
    assert!(reader.damages().is_empty(), "its checksums are right");
    let (mut model, mut outputs) = (Model::new(setup("full")), Vec::new());
    for entry in &read {
        let RecordEntry::Event(event) = entry else { unreachable!("only events were written") };
        model.apply(event, &mut outputs);
    }
    show(&model, &outputs);
}
