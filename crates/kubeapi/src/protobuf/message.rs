//! Messages read by serde, with the names that the same fields have in JSON: so one struct reads both.

use serde::Deserialize;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::Malformed;
use super::wire::{Fields, Value};

/// What is known of a message: the fields that somebody wants. All others are passed over. At most 64.
#[derive(Debug)]
pub struct Message(pub &'static [Field]);

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Its number on the wire.
    pub number: i32,
    /// Its name in JSON.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// What a field is.
#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// An `int32` or `int64`.
    Int,
    /// A `bool`.
    Bool,
    /// A `map<string, string>`.
    TextMap,
    /// Another message.
    Message(&'static Message),
    /// A repeated field.
    Many(&'static Kind),
    /// A message of which JSON shows one field in its place: that field's number, and what it is.
    Inner(i32, &'static Kind),
}

/// Reads a message.
pub(crate) fn read<'de, T: Deserialize<'de>>(of: &'static Message, bytes: &'de [u8]) -> Result<T, Malformed> {
    T::deserialize(FieldValue::Message(of, bytes))
}

/// The fields of a message as pairs of name and value.
struct MessageFields<'de> {
    of: &'static [Field],
    fields: Fields<'de>,
    /// The repeated fields that were met: they are read whole when they are met first. A bit for each of `of`.
    met: u64,
    value: Option<FieldValue<'de>>,
}

impl<'de> MapAccess<'de> for MessageFields<'de> {
    type Error = Malformed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Malformed> {
        while let Some((number, value)) = self.fields.next()? {
            let Some(place) = self.of.iter().position(|field| field.number == number) else { continue };
            let field = &self.of[place];
            let repeated = match field.kind {
                Kind::Many(_) | Kind::TextMap => 1_u64.checked_shl(place as u32).unwrap_or(0),
                _ => 0,
            };
            if self.met & repeated != 0 {
                continue;
            }
            self.met |= repeated;
            let Some(value) = FieldValue::of(&field.kind, number, value, self.fields.clone())? else {
                continue;
            };
            self.value = Some(value);
            return seed.deserialize(BorrowedStrDeserializer::new(field.name)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Malformed> {
        let value = self.value.take().ok_or_else(|| Malformed::new("a value without its name"))?;
        seed.deserialize(value)
    }
}

/// The value of a field that is wanted.
enum FieldValue<'de> {
    Text(&'de str),
    Int(i64),
    Bool(bool),
    Message(&'static Message, &'de [u8]),
    Many(Occurrences<'de>, &'static Kind),
    TextMap(Occurrences<'de>),
}

impl<'de> FieldValue<'de> {
    /// `after` are the fields that follow, for repeated ones. None: what is wanted of it is not there.
    fn of(
        kind: &'static Kind,
        number: i32,
        value: Value<'de>,
        after: Fields<'de>,
    ) -> Result<Option<Self>, Malformed> {
        let occurrences = Occurrences { number, next: Some(value), after };
        Ok(Some(match kind {
            Kind::Text => FieldValue::Text(text(value)?),
            // Negative numbers are sent as the 64 bits of their two's complement.
            Kind::Int => FieldValue::Int(value.varint()?.cast_signed()),
            Kind::Bool => FieldValue::Bool(value.varint()? != 0),
            Kind::Message(message) => FieldValue::Message(message, value.bytes()?),
            Kind::TextMap => FieldValue::TextMap(occurrences),
            Kind::Many(kind) => FieldValue::Many(occurrences, kind),
            Kind::Inner(number, kind) => {
                let mut fields = Fields::of(value.bytes()?);
                let Some(value) = fields.find(*number)? else { return Ok(None) };
                return FieldValue::of(kind, *number, value, fields);
            }
        }))
    }
}

impl<'de> Deserializer<'de> for FieldValue<'de> {
    type Error = Malformed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self {
            FieldValue::Text(text) => visitor.visit_borrowed_str(text),
            FieldValue::Int(value) => visitor.visit_i64(value),
            FieldValue::Bool(value) => visitor.visit_bool(value),
            FieldValue::Message(of, bytes) => {
                visitor.visit_map(MessageFields { of: of.0, fields: Fields::of(bytes), met: 0, value: None })
            }
            FieldValue::Many(occurrences, kind) => visitor.visit_seq(Items { occurrences, kind }),
            FieldValue::TextMap(occurrences) => visitor.visit_map(Entries { occurrences, value: "" }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The values of a repeated field, which may stand anywhere in the message.
struct Occurrences<'de> {
    number: i32,
    next: Option<Value<'de>>,
    after: Fields<'de>,
}

impl<'de> Occurrences<'de> {
    fn next(&mut self) -> Result<Option<Value<'de>>, Malformed> {
        match self.next.take() {
            Some(value) => Ok(Some(value)),
            None => self.after.find(self.number),
        }
    }
}

struct Items<'de> {
    occurrences: Occurrences<'de>,
    kind: &'static Kind,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Malformed;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Malformed> {
        while let Some(value) = self.occurrences.next()? {
            let Occurrences { number, after, .. } = &self.occurrences;
            if let Some(value) = FieldValue::of(self.kind, *number, value, after.clone())? {
                return seed.deserialize(value).map(Some);
            }
        }
        Ok(None)
    }
}

/// The pairs of a map: messages with the key as field 1 and the value as field 2.
struct Entries<'de> {
    occurrences: Occurrences<'de>,
    value: &'de str,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Malformed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Malformed> {
        let Some(entry) = self.occurrences.next()? else { return Ok(None) };
        let mut key = "";
        self.value = "";
        let mut fields = Fields::of(entry.bytes()?);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => key = text(value)?,
                2 => self.value = text(value)?,
                _ => {}
            }
        }
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Malformed> {
        seed.deserialize(FieldValue::Text(self.value))
    }
}

fn text(value: Value<'_>) -> Result<&str, Malformed> {
    std::str::from_utf8(value.bytes()?).map_err(|_| Malformed::new("a string that is not UTF-8"))
}
