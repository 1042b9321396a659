//! Requests in JSON, written anew in protobuf as they are read: behind this there is one kind of request.
//!
//! What is taken is what the collector's reader takes: names of fields in both spellings, 64-bit numbers as numbers or
//! text, enumerations by name or number, unknown fields; `null` for nothing where a text, a list or a message could be.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exposition::protobuf_wire::{BYTES, FIXED64, VARINT};
use exposition::protobuf_write::zigzag;
use model::number::parse_float;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::schema::{Field, Kind, Message, REQUEST};

/// A request becomes at most so many times as long: eight bytes for a digit and a comma.
const GROWTH: usize = 4;

/// Reads `text`, and writes the request to `out`, which is empty.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn to_protobuf(text: &[u8], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let longest = text.len().saturating_mul(GROWTH).saturating_add(1024);
    let mut json = serde_json::Deserializer::from_slice(text);
    // What stands behind the request is not read, as by the collector.
    MessageSeed { message: &REQUEST, out, longest }.deserialize(&mut json)
}

fn write_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn write_tag(out: &mut Vec<u8>, field: &Field, wire: u8) {
    write_varint(out, u64::from(field.number) << 3 | u64::from(wire));
}

/// Bytes that a length takes which is not known yet.
const LENGTH: usize = 4;

/// Writes what `inner` writes with its length in front.
fn nested<E>(
    out: &mut Vec<u8>,
    field: &Field,
    inner: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    write_tag(out, field, BYTES);
    let at = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    inner(out)?;
    let len = out.len() - at - LENGTH;
    for (i, byte) in out.iter_mut().skip(at).take(LENGTH).enumerate() {
        let more = if i + 1 < LENGTH { 0x80 } else { 0 };
        *byte = (len >> (7 * i)) as u8 & 0x7f | more;
    }
    Ok(())
}

struct MessageSeed<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
    longest: usize,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as an object", self.message.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let MessageSeed { message, out, longest } = self;
        while let Some(field) = map.next_key_seed(NameSeed(message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(ValueSeed { field, out, longest, listed: false })?;
            if out.len() > longest {
                return Err(A::Error::custom("the request is too long"));
            }
        }
        Ok(())
    }
}

/// Finds the field of a name.
struct NameSeed(&'static Message);

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.named(name))
    }
}

struct ValueSeed<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
    longest: usize,
    /// Whether it is one of the values of a list.
    listed: bool,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.field.repeated && !self.listed {
            return json.deserialize_any(ListVisitor(self));
        }
        let ValueSeed { field, out, longest, .. } = self;
        match field.kind {
            Kind::Message(message) => nested(out, field, |out| {
                let seed = MessageSeed { message, out, longest };
                seed.deserialize(json)
            }),
            _ => json.deserialize_any(Scalar { field, out }),
        }
    }
}

struct ListVisitor<'o>(ValueSeed<'o>);

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as an array", self.0.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let ListVisitor(ValueSeed { field, out, longest, .. }) = self;
        let mut values = |out: &mut Vec<u8>| {
            while seq.next_element_seed(ValueSeed { field, out, longest, listed: true })?.is_some() {
                if out.len() > longest {
                    return Err(A::Error::custom("the request is too long"));
                }
            }
            Ok(())
        };
        match field.kind {
            Kind::Fixed64List | Kind::DoubleList | Kind::Uint64List => nested(out, field, values),
            _ => values(out),
        }
    }
}

/// A value that is no list and no message.
struct Scalar<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl Scalar<'_> {
    fn unsupported<E: Error>(&self) -> E {
        E::custom(format_args!("unsupported value type of {}", self.field.name))
    }

    fn varint(self, n: u64) {
        write_tag(self.out, self.field, VARINT);
        write_varint(self.out, n);
    }

    fn fixed(self, bits: u64) {
        if !matches!(self.field.kind, Kind::Fixed64List | Kind::DoubleList) {
            write_tag(self.out, self.field, FIXED64);
        }
        self.out.extend_from_slice(&bits.to_le_bytes());
    }

    fn bytes(self, bytes: &[u8]) {
        write_tag(self.out, self.field, BYTES);
        write_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// A whole number, if it is one that the field can hold.
    fn integer<E: Error>(self, n: i128) -> Result<(), E> {
        let field = self.field;
        let outside = || E::custom(format_args!("{n} is no value of {}", field.name));
        match field.kind {
            Kind::Int64 => self.varint(i64::try_from(n).map_err(|_| outside())? as u64),
            Kind::Int32 | Kind::Temporality => {
                self.varint(i64::from(i32::try_from(n).map_err(|_| outside())?) as u64);
            }
            Kind::Uint32 => self.varint(u32::try_from(n).map_err(|_| outside())?.into()),
            Kind::Sint32 => self.varint(zigzag(i32::try_from(n).map_err(|_| outside())?.into())),
            Kind::Uint64 | Kind::Fixed64List => self.fixed(u64::try_from(n).map_err(|_| outside())?),
            Kind::Sfixed64 => self.fixed(i64::try_from(n).map_err(|_| outside())? as u64),
            Kind::Uint64List => write_varint(self.out, u64::try_from(n).map_err(|_| outside())?),
            Kind::Double | Kind::DoubleList => self.fixed((n as f64).to_bits()),
            _ => return Err(self.unsupported()),
        }
        Ok(())
    }
}

impl Visitor<'_> for Scalar<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {}", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.field.kind {
            Kind::Text => {
                self.bytes(b"");
                Ok(())
            }
            _ => Err(self.unsupported()),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => {
                self.varint(value.into());
                Ok(())
            }
            _ => Err(self.unsupported()),
        }
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<(), E> {
        self.integer(n.into())
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<(), E> {
        self.integer(n.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double | Kind::DoubleList => {
                self.fixed(v.to_bits());
                Ok(())
            }
            _ => Err(E::custom(format_args!("{} is a whole number", self.field.name))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let field = self.field;
        let not = || E::custom(format_args!("{text:?} is no value of {}", field.name));
        match field.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Blob => self.bytes(&STANDARD.decode(text).map_err(|_| not())?),
            Kind::Id(size) => self.bytes(&from_hex(text, size).ok_or_else(not)?),
            Kind::Temporality => self.varint(temporality(text).ok_or_else(not)?),
            Kind::Double | Kind::DoubleList => self.fixed(parse_float(text).ok_or_else(not)?.to_bits()),
            Kind::Bool | Kind::Message(_) => return Err(self.unsupported()),
            _ => return self.integer(text.parse().map_err(|_| not())?),
        }
        Ok(())
    }
}

fn temporality(name: &str) -> Option<u64> {
    match name {
        "AGGREGATION_TEMPORALITY_UNSPECIFIED" => Some(0),
        "AGGREGATION_TEMPORALITY_DELTA" => Some(1),
        "AGGREGATION_TEMPORALITY_CUMULATIVE" => Some(2),
        _ => None,
    }
}

/// Of nothing, nothing.
fn from_hex(text: &str, size: usize) -> Option<Vec<u8>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let (pairs, odd) = digits.as_chunks::<2>();
    (pairs.len() == size && odd.is_empty())
        .then(|| pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect())
}
