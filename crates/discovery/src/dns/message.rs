//! Messages of DNS (RFC 1035, EDNS(0) of RFC 6891): questions written, answers read.
//!
//! ```text
//! header   id u16 | flags u16 | questions u16 | answers u16 | authorities u16 | additionals u16
//! question name | type u16 | class u16
//! record   name | type u16 | class u16 | time to live u32 | length u16 | data
//! name     labels, each after its length; ends with an empty label or a pointer (two upper bits set) to another name
//! ```

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Which records of a name are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsRecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail servers.
    Mx,
    /// Name servers.
    Ns,
    /// Services with their ports.
    Srv,
}

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const MX: u16 = 15;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const OPT: u16 = 41;
const CLASS_IN: u16 = 1;

/// The longest answer over UDP that we ask for.
pub(super) const UDP_SIZE: u16 = 4096;
const RECURSION_DESIRED: u16 = 1 << 8;
const TRUNCATED: u16 = 1 << 9;
const RESPONSE: u16 = 1 << 15;
/// Pointers that a name may follow: more than any name has labels.
const MAX_POINTERS: usize = 128;

impl DnsRecordType {
    fn number(self) -> u16 {
        match self {
            DnsRecordType::A => A,
            DnsRecordType::Aaaa => AAAA,
            DnsRecordType::Mx => MX,
            DnsRecordType::Ns => NS,
            DnsRecordType::Srv => SRV,
        }
    }
}

/// A record of an answer; names end with a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Srv {
        target: String,
        port: u16,
    },
    Mx(String),
    Ns(String),
    Cname,
    /// Any other, by its type.
    Other(u16),
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: u16,
    /// There is more than fitted in.
    pub(super) truncated: bool,
    /// 0: success; 3: there is no such name.
    pub(super) code: u16,
    pub(super) records: Vec<Record>,
}

/// The message is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed DNS message: {0}")]
pub(super) struct Malformed(&'static str);

/// A question for records of `name`, which ends with a dot. With `edns` it says that long answers are taken.
pub(super) fn question(id: u16, name: &str, kind: DnsRecordType, edns: bool) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(64);
    for field in [id, RECURSION_DESIRED, 1, 0, 0, u16::from(edns)] {
        out.extend(field.to_be_bytes());
    }
    push_name(&mut out, name)?;
    out.extend(kind.number().to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    if edns {
        out.push(0);
        out.extend(OPT.to_be_bytes());
        out.extend(UDP_SIZE.to_be_bytes());
        out.extend([0; 6]);
    }
    Ok(out)
}

fn push_name(out: &mut Vec<u8>, name: &str) -> Result<(), Malformed> {
    let start = out.len();
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() && name != "." {
            return Err(Malformed("a label of the name is empty"));
        }
        let length = u8::try_from(label.len()).ok().filter(|length| *length < 64);
        out.push(length.ok_or(Malformed("a label of the name is longer than 63 bytes"))?);
        out.extend(label.bytes());
    }
    if name != "." {
        out.push(0);
    }
    if out.len() - start > 255 {
        return Err(Malformed("the name is longer than 255 bytes"));
    }
    Ok(())
}

/// Reads an answer. Of one that is truncated only the header is read.
pub(super) fn answer(message: &[u8]) -> Result<Answer, Malformed> {
    let mut reader = Reader { message, at: 0 };
    let (id, flags) = (reader.u16()?, reader.u16()?);
    if flags & RESPONSE == 0 {
        return Err(Malformed("it is no answer"));
    }
    let truncated = flags & TRUNCATED != 0;
    let mut code = flags & 0xf;
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    let others = u32::from(reader.u16()?) + u32::from(reader.u16()?);
    let mut records = Vec::new();
    if truncated {
        return Ok(Answer { id, truncated, code, records });
    }
    for _ in 0..questions {
        reader.name()?;
        reader.take(4)?;
    }
    for _ in 0..answers {
        records.push(reader.record()?.1);
    }
    for _ in 0..others {
        let ((kind, extended), _) = reader.record()?;
        if kind == OPT {
            code |= extended << 4;
        }
    }
    Ok(Answer { id, truncated, code, records })
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at + count;
        let bytes = self.message.get(self.at..end).ok_or(Malformed("it ends early"))?;
        self.at = end;
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(self.take(2)?.iter().fold(0, |n, byte| n << 8 | u16::from(*byte)))
    }

    /// The record's type and the upper bits of its time to live, which belong to the code of an answer if it is an
    /// OPT record, and the record.
    fn record(&mut self) -> Result<((u16, u16), Record), Malformed> {
        self.name()?;
        let (kind, _class) = (self.u16()?, self.u16()?);
        let extended = u16::from(self.u8()?);
        self.take(3)?;
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        // A name may point before its record, never behind it.
        let data = self.message.get(..end).ok_or(Malformed("it ends early"))?;
        let mut data = Reader { message: data, at: self.at };
        self.at = end;
        let record = match kind {
            A => Record::A(Ipv4Addr::from(data.array::<4>()?)),
            AAAA => Record::Aaaa(Ipv6Addr::from(data.array::<16>()?)),
            NS => Record::Ns(data.name()?),
            MX => {
                data.take(2)?;
                Record::Mx(data.name()?)
            }
            SRV => {
                data.take(4)?;
                let port = data.u16()?;
                Record::Srv { target: data.name()?, port }
            }
            CNAME => Record::Cname,
            other => Record::Other(other),
        };
        Ok(((kind, extended), record))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("it ends early"))
    }

    /// A name as text that ends with a dot; what would be misread in it is escaped.
    fn name(&mut self) -> Result<String, Malformed> {
        let mut text = String::new();
        let mut length = 0;
        // Where reading goes on after the first pointer.
        let mut resume = None;
        let mut pointers = 0;
        loop {
            let first = self.u8()?;
            match first {
                0 => break,
                1..=63 => {
                    let label = self.take(usize::from(first))?;
                    length += label.len() + 1;
                    if length > 254 {
                        return Err(Malformed("a name is longer than 255 bytes"));
                    }
                    label.iter().for_each(|byte| push_escaped(&mut text, *byte));
                    text.push('.');
                }
                0xc0.. => {
                    let low = self.u8()?;
                    resume.get_or_insert(self.at);
                    pointers += 1;
                    if pointers > MAX_POINTERS {
                        return Err(Malformed("a name points in circles"));
                    }
                    self.at = usize::from(first & 0x3f) << 8 | usize::from(low);
                }
                _ => return Err(Malformed("a label has an unknown type")),
            }
        }
        if let Some(at) = resume {
            self.at = at;
        }
        if text.is_empty() {
            text.push('.');
        }
        Ok(text)
    }
}

fn push_escaped(text: &mut String, byte: u8) {
    match byte {
        b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => {
            text.push('\\');
            text.push(char::from(byte));
        }
        b'!'..=b'~' => text.push(char::from(byte)),
        // Writing to a String cannot fail.
        _ => drop(write!(text, "\\{byte:03}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 12] = [0x12, 0x34, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0];

    fn with(rest: &[&[u8]]) -> Vec<u8> {
        [&HEADER[..]].iter().chain(rest).copied().flatten().copied().collect()
    }

    #[test]
    fn a_question_is_written_as_servers_read_it() {
        let plain = question(0x1234, "a.bc.", DnsRecordType::Srv, false).unwrap();
        assert_eq!(plain, b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x21\0\x01");
        let long = question(0, ".", DnsRecordType::Ns, true).unwrap();
        assert_eq!(long, b"\0\0\x01\x00\0\x01\0\0\0\0\0\x01\0\0\x02\0\x01\0\0\x29\x10\0\0\0\0\0\0\0");
        for name in ["a..b.".to_owned(), format!("{}.", "x".repeat(64)), "a123456789.".repeat(30)] {
            assert!(question(0, &name, DnsRecordType::A, false).is_err(), "{name}");
        }
    }

    #[test]
    fn names_are_unpacked_along_pointers_and_escaped() {
        // The record's own name is at 12; its data is a label and a pointer to that name.
        let message = with(&[b"\x03foo\x04b.r \0", b"\0\x02\0\x01\0\0\0\x05\0\x06", b"\x03w\x07w\xc0\x0c"]);
        let records = answer(&message).unwrap().records;
        assert_eq!(records, [Record::Ns("w\\007w.foo.b\\.r\\ .".into())]);
        let circle = with(&[b"\xc0\x0c\0\x02\0\x01\0\0\0\x05\0\0"]);
        assert_eq!(answer(&circle), Err(Malformed("a name points in circles")));
        assert_eq!(answer(&message[..20]), Err(Malformed("it ends early")));
    }

    #[test]
    fn the_code_of_an_answer_has_bits_in_the_opt_record() {
        let mut message = with(&[b"\0\0\x29\x10\0\x01\0\0\0\0\0"]);
        (message[7], message[11]) = (0, 1);
        assert_eq!(answer(&message).unwrap().code, 16);
    }
}
