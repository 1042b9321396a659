//! The wire format: a message is a row of fields, each a tag (number and wire type) and its value.
//!
//! ```text
//! field = tag: varint (number << 3 | wire type), value
//! value = varint                  wire type 0
//!       | 8 bytes                 wire type 1
//!       | length: varint, bytes   wire type 2
//!       | 4 bytes                 wire type 5
//! ```
//! Source: <https://protobuf.dev/programming-guides/encoding/>. Groups (wire types 3 and 4) are not used by Kubernetes.

use super::Malformed;

/// A field's value as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of four or eight bytes: no field that anybody here wants is one.
    Fixed,
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Fixed => Err(Malformed::new("a number where a length was expected")),
        }
    }

    pub(super) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Value::Varint(value) => Ok(value),
            Value::Bytes(_) | Value::Fixed => Err(Malformed::new("bytes where a number was expected")),
        }
    }
}

/// The fields of a message that have yet to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Fields(message)
    }

    /// The next field's number and value; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed::new("a field number that is too big"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            other => return Err(Malformed::new(format!("wire type {other}"))),
        };
        Ok(Some((number, value)))
    }

    /// The value of the first field from here on that has this number.
    pub(super) fn find(&mut self, wanted: u32) -> Result<Option<Value<'a>>, Malformed> {
        while let Some((number, value)) = self.next()? {
            if number == wanted {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let taken = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (taken, rest) = taken.ok_or_else(Malformed::cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (i, &byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 {
            Malformed::cut()
        } else {
            Malformed::new("a number of more than ten bytes")
        })
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
            (3, Value::Fixed),
            (4, Value::Fixed),
            (5, Value::Varint(u64::MAX)),
        ];
        assert_eq!(seen, expected);
        assert_eq!(Fields::of(&message).find(4).unwrap(), Some(Value::Fixed));
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
