//! Protobuf as API servers send it: the wire format, and messages read as if they were JSON.

mod message;
mod wire;

pub(crate) use message::read;
pub use message::{Field, Kind, Message};

use wire::Fields;

/// What stands before the envelope of an object, a list or a status.
const MAGIC: &[u8] = b"k8s\0";

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("protobuf: {0}")]
pub struct Malformed(String);

impl Malformed {
    fn new(what: impl Into<String>) -> Self {
        Malformed(what.into())
    }
}

impl From<exposition::ParseError> for Malformed {
    fn from(err: exposition::ParseError) -> Self {
        Malformed(err.to_string())
    }
}

impl serde::de::Error for Malformed {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Malformed(message.to_string())
    }
}

/// The message in an envelope: the four bytes `k8s\0`, then a `runtime.Unknown` (kind, and the message as field 2).
pub(crate) fn open(envelope: &[u8]) -> Result<&[u8], Malformed> {
    let Some(unknown) = envelope.strip_prefix(MAGIC) else {
        return Err(Malformed::new("not an envelope of Kubernetes"));
    };
    bytes_of(unknown, 2)
}

/// Type and object (its envelope) of a `meta.v1.WatchEvent`.
pub(crate) fn watch_event(message: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let kind = std::str::from_utf8(bytes_of(message, 1)?).map_err(|_| Malformed::new("not UTF-8"))?;
    Ok((kind, bytes_of(bytes_of(message, 2)?, 1)?))
}

/// The metadata (field 1 of every list) and the items (field 2).
pub(crate) fn list(message: &[u8]) -> Result<(&[u8], Vec<&[u8]>), Malformed> {
    let (mut metadata, mut items) = (&[][..], Vec::new());
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => metadata = value.bytes()?,
            2 => items.push(value.bytes()?),
            _ => {}
        }
    }
    Ok((metadata, items))
}

/// The bytes of a field; none are there if it is not.
fn bytes_of(message: &[u8], number: i32) -> Result<&[u8], Malformed> {
    Fields::of(message).find(number)?.map_or(Ok(&[]), wire::Value::bytes)
}
