//! Attributes: keys and values as text. The texts of values are those that Prometheus' labels get.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::go_json::{Encoder, push_string};
use model::number::push_f;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::wire::Fields;

/// The key of a `KeyValue`. What is no UTF-8 gets replacement characters.
pub(crate) fn key_of(attribute: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(Fields::all(attribute, 1).last().unwrap_or_default())
}

/// Whether an attribute has that key, which is ASCII.
pub(crate) fn has_key(attribute: &[u8], key: &str) -> bool {
    Fields::all(attribute, 1).last().unwrap_or_default() == key.as_bytes()
}

/// An `AnyValue`: the last of its fields counts.
enum Value<'a> {
    Empty,
    Text(Cow<'a, str>),
    Bool(bool),
    Integer(i64),
    Double(f64),
    Bytes(&'a [u8]),
    Array(&'a [u8]),
    Map(&'a [u8]),
    /// A reference into a table of strings, which metrics do not have.
    Reference,
}

impl<'a> Value<'a> {
    /// Of several fields the last counts; lists of the same kind of one message are joined by nobody, but values of an
    /// attribute that comes in pieces are.
    fn of<'m>(messages: impl Iterator<Item = &'a [u8]>) -> Value<'a> {
        let mut value = Value::Empty;
        for field in messages.flat_map(Fields::of) {
            value = match field.number {
                1 => Value::Text(String::from_utf8_lossy(field.bytes)),
                2 => Value::Bool(field.value != 0),
                3 => Value::Integer(field.value as i64),
                4 => Value::Double(field.double()),
                5 => Value::Array(field.bytes),
                6 => Value::Map(field.bytes),
                7 => Value::Bytes(field.bytes),
                8 => Value::Reference,
                _ => value,
            };
        }
        value
    }
}

/// Adds the text of an attribute's value.
pub(crate) fn push_value(out: &mut String, attribute: &[u8]) {
    match Value::of(Fields::all(attribute, 2)) {
        Value::Empty | Value::Reference => {}
        Value::Text(text) => out.push_str(&text),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Integer(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Double(v) if v.is_nan() => out.push_str("NaN"),
        Value::Double(v) if v.is_infinite() => out.push_str(if v > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Double(v) => push_double(out, v),
        Value::Bytes(bytes) => STANDARD.encode_string(bytes, out),
        list @ (Value::Array(_) | Value::Map(_)) => {
            let at = out.len();
            // JSON has no words for some numbers: then there is no text at all.
            if push_json(out, list).is_none() {
                out.truncate(at);
            }
        }
    }
}

/// The text of an attribute's value.
pub(crate) fn value_of(attribute: &[u8]) -> String {
    let mut out = String::new();
    push_value(&mut out, attribute);
    out
}

/// As JavaScript writes numbers.
fn push_double(out: &mut String, v: f64) {
    let size = v.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return push_f(out, v);
    }
    let text = model::number::format_e(v);
    match text.split_once("e-0") {
        Some((digits, exponent)) => {
            let _ = write!(out, "{digits}e-{exponent}");
        }
        None => out.push_str(&text),
    }
}

/// As Go writes JSON of maps, lists and scalars.
fn push_json(out: &mut String, value: Value<'_>) -> Option<()> {
    match value {
        Value::Empty | Value::Reference | Value::Bytes([]) => out.push_str("null"),
        Value::Text(text) => push_string(out, &text, Encoder::Plain),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Integer(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Double(v) if !v.is_finite() => return None,
        Value::Double(v) => push_double(out, v),
        Value::Bytes(bytes) => {
            out.push('"');
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        Value::Array(list) => {
            out.push('[');
            for (i, value) in Fields::all(list, 1).enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                push_json(out, Value::of(std::iter::once(value)))?;
            }
            out.push(']');
        }
        Value::Map(list) => {
            let by_key: BTreeMap<Cow<'_, str>, &[u8]> =
                Fields::all(list, 1).map(|attribute| (key_of(attribute), attribute)).collect();
            out.push('{');
            for (i, (key, attribute)) in by_key.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                push_string(out, key, Encoder::Plain);
                out.push(':');
                push_json(out, Value::of(Fields::all(attribute, 2)))?;
            }
            out.push('}');
        }
    }
    Some(())
}
