//! Requests in protobuf: checked once from end to end, then read without a second look.

use exposition::ParseError;
use exposition::protobuf_wire::{BYTES, FIXED64, Reader, Tag, VARINT, refused, unzigzag};

use crate::schema::{Kind, Message};

/// How deep messages may lie in each other. Eight levels lead to an attribute; lists in lists of attributes are rare.
const MAX_DEPTH: usize = 100;

/// Checks a message and all that it holds, in the words of Go's decoder.
///
/// # Errors
/// When there is no such message.
pub(crate) fn check(message: &'static Message, data: &[u8]) -> Result<(), ParseError> {
    check_at(message, data, MAX_DEPTH)
}

fn check_at(message: &'static Message, data: &[u8], depth: usize) -> Result<(), ParseError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(refused(format!("proto: {}: messages are nested deeper than {MAX_DEPTH}", message.name)));
    };
    let mut r = Reader::new(message.name, data);
    while let Some(tag) = r.tag()? {
        let Some(field) = message.field(tag.field) else {
            r.skip(tag)?;
            continue;
        };
        let name = field.name;
        match field.kind {
            Kind::Message(inner) => {
                tag.expect(BYTES, name)?;
                check_at(inner, r.bytes()?, depth)?;
            }
            Kind::Text | Kind::Blob => {
                tag.expect(BYTES, name)?;
                r.bytes()?;
            }
            Kind::Id(size) => {
                tag.expect(BYTES, name)?;
                let id = r.bytes()?;
                if !(id.is_empty() || id.len() == size) {
                    return Err(refused(format!("invalid length for {name}")));
                }
            }
            Kind::Bool | Kind::Int64 | Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Temporality => {
                tag.expect(VARINT, name)?;
                r.varint()?;
            }
            Kind::Uint64 | Kind::Sfixed64 | Kind::Double => {
                tag.expect(FIXED64, name)?;
                r.double()?;
            }
            Kind::Fixed64List | Kind::DoubleList => match tag.wire {
                FIXED64 => drop(r.double()?),
                _ => {
                    let list = packed(&mut r, tag, name)?;
                    if list.len() % 8 != 0 {
                        let left = list.len() % 8;
                        return Err(refused(format!("proto: invalid field len = {left} for field {name}")));
                    }
                }
            },
            Kind::Uint64List => match tag.wire {
                VARINT => drop(r.varint()?),
                _ => {
                    let mut list = Reader::new(message.name, packed(&mut r, tag, name)?);
                    while !list.is_empty() {
                        list.varint()?;
                    }
                }
            },
        }
    }
    Ok(())
}

fn packed<'a>(r: &mut Reader<'a>, tag: Tag, name: &str) -> Result<&'a [u8], ParseError> {
    tag.expect(BYTES, name)?;
    r.bytes()
}

/// A field of a message that was checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) number: i32,
    /// Of fixed and varying length alike.
    pub(crate) value: u64,
    /// Text, message or packed list.
    pub(crate) bytes: &'a [u8],
    /// Whether it is one of these.
    long: bool,
}

impl<'a> Found<'a> {
    pub(crate) fn double(&self) -> f64 {
        f64::from_bits(self.value)
    }

    pub(crate) fn sint32(&self) -> i32 {
        unzigzag(self.value & 0xffff_ffff) as i32
    }

    /// The numbers of a list, packed or one of them.
    pub(crate) fn fixed_list(&self) -> impl Iterator<Item = u64> + use<'a> {
        let alone = (!self.long).then_some(self.value);
        let list = self.bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        list.chain(alone)
    }

    /// Likewise, of varying length.
    pub(crate) fn varint_list(&self) -> impl Iterator<Item = u64> + use<'a> {
        let mut list = Reader::new("", self.bytes);
        let alone = (!self.long).then_some(self.value);
        std::iter::from_fn(move || (!list.is_empty()).then(|| list.varint().ok()).flatten()).chain(alone)
    }
}

/// The fields of a message that was checked, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    pub(crate) fn of(data: &'a [u8]) -> Self {
        Fields(Reader::new("", data))
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.0.rest().len()
    }

    /// The messages or texts of one field.
    pub(crate) fn all(data: &'a [u8], number: i32) -> impl Iterator<Item = &'a [u8]> + Clone {
        Fields::of(data).filter(move |field| field.number == number).map(|field| field.bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Found<'a>;

    #[inline]
    fn next(&mut self) -> Option<Found<'a>> {
        loop {
            let tag = self.0.tag().ok()??;
            let (mut value, mut bytes): (u64, &[u8]) = (0, &[]);
            match tag.wire {
                VARINT => value = self.0.varint().ok()?,
                FIXED64 => value = self.0.double().ok()?.to_bits(),
                BYTES => bytes = self.0.bytes().ok()?,
                _ => {
                    self.0.skip(tag).ok()?;
                    continue;
                }
            }
            return Some(Found { number: tag.field, value, bytes, long: tag.wire == BYTES });
        }
    }
}
