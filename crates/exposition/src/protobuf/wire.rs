//! Protobuf's wire format: fields one after the other, over borrowed bytes. Error texts are those of Prometheus' decoder.

use crate::page::ParseError;

/// Wire type of whole numbers.
pub const VARINT: u8 = 0;
/// Wire type of doubles.
pub const FIXED64: u8 = 1;
/// Wire type of texts, messages and packed lists.
pub const BYTES: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

/// An error.
pub fn refused(text: impl Into<Box<str>>) -> ParseError {
    ParseError::new(text)
}

fn truncated() -> ParseError {
    refused("unexpected EOF")
}

/// A field's number and wire type.
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// The number.
    pub field: i32,
    /// The wire type.
    pub wire: u8,
}

impl Tag {
    /// Refuses another wire type than the field's.
    ///
    /// # Errors
    /// When it is another.
    #[inline]
    pub fn expect(self, wire: u8, field: &str) -> Result<(), ParseError> {
        if self.wire == wire { Ok(()) } else { Err(self.wrong(field)) }
    }

    /// What is said of a field of another wire type.
    #[must_use]
    pub fn wrong(self, field: &str) -> ParseError {
        refused(format!("proto: wrong wireType = {} for field {field}", self.wire))
    }
}

/// Reads one message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    data: &'a [u8],
    /// Name of the message, for errors.
    message: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of the fields of a message. Errors name it.
    #[must_use]
    pub fn new(message: &'static str, data: &'a [u8]) -> Self {
        Reader { data, message }
    }

    /// The next field; none at the end of the message.
    ///
    /// # Errors
    /// When there is no field.
    #[inline]
    pub fn tag(&mut self) -> Result<Option<Tag>, ParseError> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let (field, wire) = ((key >> 3) as i32, (key & 7) as u8);
        if wire == GROUP_END {
            return Err(refused(format!("proto: {}: wiretype end group for non-group", self.message)));
        }
        if field <= 0 {
            return Err(refused(format!("proto: {}: illegal tag {field} (wire type {key})", self.message)));
        }
        Ok(Some(Tag { field, wire }))
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is too long or not there.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, ParseError> {
        if let Some((&byte, rest)) = self.data.split_first()
            && byte < 0x80
        {
            self.data = rest;
            return Ok(u64::from(byte));
        }
        let mut value = 0u64;
        let mut shift = 0;
        loop {
            if shift >= 64 {
                return Err(refused("proto: integer overflow"));
            }
            let (&byte, rest) = self.data.split_first().ok_or_else(truncated)?;
            self.data = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// As `sint64`; `sint32` is its lower half.
    ///
    /// # Errors
    /// As [`varint`](Self::varint).
    pub fn zigzag(&mut self) -> Result<i64, ParseError> {
        Ok(unzigzag(self.varint()?))
    }

    /// A double.
    ///
    /// # Errors
    /// When it is not there.
    #[inline]
    pub fn double(&mut self) -> Result<f64, ParseError> {
        let (bytes, rest) = self.data.split_first_chunk::<8>().ok_or_else(truncated)?;
        self.data = rest;
        Ok(f64::from_le_bytes(*bytes))
    }

    /// A text, a message or a packed list.
    ///
    /// # Errors
    /// When it is longer than what is left.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], ParseError> {
        let len = self.varint()?;
        if len > i64::MAX as u64 {
            return Err(refused("proto: negative length found during unmarshaling"));
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (bytes, rest) = self.data.split_at_checked(len).ok_or_else(truncated)?;
        self.data = rest;
        Ok(bytes)
    }

    /// What is left of the message.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.data
    }

    /// Reads past a field of no interest.
    ///
    /// # Errors
    /// When it is none.
    pub fn skip(&mut self, tag: Tag) -> Result<(), ParseError> {
        let mut depth = 0usize;
        let mut wire = tag.wire;
        loop {
            match wire {
                VARINT => {
                    self.varint()?;
                }
                FIXED64 => {
                    self.double()?;
                }
                BYTES => {
                    self.bytes()?;
                }
                GROUP_START => depth += 1,
                GROUP_END => {
                    depth = depth.checked_sub(1).ok_or_else(|| refused("proto: unexpected end of group"))?;
                }
                FIXED32 => {
                    self.data = self.data.get(4..).ok_or_else(truncated)?;
                }
                other => return Err(refused(format!("proto: illegal wireType {other}"))),
            }
            if depth == 0 {
                return Ok(());
            }
            if self.data.is_empty() {
                return Err(truncated());
            }
            wire = (self.varint()? & 7) as u8;
        }
    }
}

/// A signed number from its zigzag form.
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A length in front of a message of the page: what is behind it. None if there is no such number.
pub(super) fn prefix(data: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &byte) in data.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, data.get(i + 1..).unwrap_or_default()));
        }
    }
    None
}
