//! The fields of a message, one after the other.

use exposition::protobuf_wire::{BYTES, Reader, VARINT};

use super::Malformed;

/// A field's value as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of another wire type: no field that anybody here wants is one.
    Other,
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Other => Err(Malformed::new("a number where a length was expected")),
        }
    }

    pub(super) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Value::Varint(value) => Ok(value),
            Value::Bytes(_) | Value::Other => Err(Malformed::new("bytes where a number was expected")),
        }
    }
}

/// The fields of a message that have yet to be read.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Fields(Reader::new("message", message))
    }

    /// The next field's number and value; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(i32, Value<'a>)>, Malformed> {
        let Some(tag) = self.0.tag()? else { return Ok(None) };
        let value = match tag.wire {
            VARINT => Value::Varint(self.0.varint()?),
            BYTES => Value::Bytes(self.0.bytes()?),
            _ => {
                self.0.skip(tag)?;
                Value::Other
            }
        };
        Ok(Some((tag.field, value)))
    }

    /// The value of the first field from here on that has this number.
    pub(super) fn find(&mut self, wanted: i32) -> Result<Option<Value<'a>>, Malformed> {
        while let Some((number, value)) = self.next()? {
            if number == wanted {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_wire_type_are_told_apart() {
        let message = [
            0x08, 0x96, 0x01, // 1: 150
            0x12, 0x02, b'h', b'i', // 2: "hi"
            0x19, 1, 2, 3, 4, 5, 6, 7, 8, // 3: eight bytes
            0x25, 1, 2, 3, 4, // 4: four bytes
            0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, // 5: -1
        ];
        let mut fields = Fields::of(&message);
        let mut seen = Vec::new();
        while let Some(field) = fields.next().unwrap() {
            seen.push(field);
        }
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Other),
            (4, Value::Other),
            (5, Value::Varint(u64::MAX)),
        ];
        assert_eq!(seen, expected);
        assert_eq!(Fields::of(&message).find(4).unwrap(), Some(Value::Other));
        assert_eq!(Fields::of(&message).find(6).unwrap(), None);
    }

    #[test]
    fn what_is_cut_or_unknown_is_an_error() {
        for message in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12, 5, b'a'],
            &[0x0b],
            &[0x0e],
            &[0x19, 1],
            &[0x80; 11],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert!(Fields::of(message).next().is_err(), "{message:?}");
        }
    }
}
