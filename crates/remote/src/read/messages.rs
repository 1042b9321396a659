//! `prometheus.ReadRequest` and its answers.

use exposition::ParseError;
use exposition::protobuf_wire::{BYTES, Reader, Tag, VARINT};
use model::{MatchOp, Matcher};

use crate::encode;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadRequest {
    pub(crate) queries: Vec<Query>,
    /// Kinds of answers, the best first; none: samples.
    pub(crate) accepted: Vec<u64>,
}

/// Answers hold samples.
pub(crate) const SAMPLES: u64 = 0;
/// Answers are streams of chunks.
pub(crate) const CHUNKS: u64 = 1;

/// A selection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// In milliseconds, both inclusive.
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) matchers: Vec<WireMatcher>,
    pub(crate) hints: Option<Hints>,
}

/// A matcher as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WireMatcher {
    pub(crate) kind: u64,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What of it is wanted for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) function: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl WireMatcher {
    /// Prometheus' words when it is none.
    pub(crate) fn matcher(&self) -> Result<Matcher, String> {
        let op = match self.kind {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            _ => return Err("invalid matcher type".into()),
        };
        Matcher::new(op, self.name.as_str(), self.value.as_str()).map_err(|err| err.to_string())
    }
}

fn integer(r: &mut Reader<'_>, tag: Tag, field: &str) -> Result<u64, ParseError> {
    tag.expect(VARINT, field)?;
    r.varint()
}

fn bytes<'a>(r: &mut Reader<'a>, tag: Tag, field: &str) -> Result<&'a [u8], ParseError> {
    tag.expect(BYTES, field)?;
    r.bytes()
}

fn text(r: &mut Reader<'_>, tag: Tag, field: &str) -> Result<String, ParseError> {
    Ok(String::from_utf8_lossy(bytes(r, tag, field)?).into_owned())
}

/// Queries and matchers of one request; whoever sends more wants to fill the memory.
const MAX_PARTS: usize = 100_000;
/// Kinds of answers that are looked at, of which there are two.
const MAX_ACCEPTED: usize = 100;

impl ReadRequest {
    pub(crate) fn read(data: &[u8]) -> Result<Self, ParseError> {
        let mut request = ReadRequest::default();
        let mut parts = 0;
        let mut r = Reader::new("ReadRequest", data);
        while let Some(tag) = r.tag()? {
            match tag.field {
                1 => {
                    let query = read_query(bytes(&mut r, tag, "Queries")?)?;
                    parts += 1 + query.matchers.len();
                    if parts > MAX_PARTS {
                        return Err(ParseError::new("too many queries and matchers in one request"));
                    }
                    request.queries.push(query);
                }
                2 if tag.wire == BYTES => {
                    let mut list = Reader::new("ReadRequest", r.bytes()?);
                    while !list.is_empty() {
                        let kind = list.varint()?;
                        if request.accepted.len() < MAX_ACCEPTED {
                            request.accepted.push(kind);
                        }
                    }
                }
                2 if request.accepted.len() == MAX_ACCEPTED => r.skip(tag)?,
                2 => request.accepted.push(integer(&mut r, tag, "AcceptedResponseTypes")?),
                _ => r.skip(tag)?,
            }
        }
        Ok(request)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for query in &self.queries {
            encode::nested(&mut out, 1, |out| {
                encode::integer(out, 1, query.start as u64);
                encode::integer(out, 2, query.end as u64);
                for matcher in &query.matchers {
                    encode::nested(out, 3, |out| {
                        encode::integer(out, 1, matcher.kind);
                        encode::text(out, 2, &matcher.name);
                        encode::text(out, 3, &matcher.value);
                    });
                }
                if let Some(hints) = &query.hints {
                    encode::nested(out, 4, |out| {
                        encode::text(out, 2, &hints.function);
                        encode::integer(out, 3, hints.start as u64);
                        encode::integer(out, 4, hints.end as u64);
                    });
                }
            });
        }
        encode::packed(&mut out, 2, self.accepted.iter().copied());
        out
    }
}

fn read_query(data: &[u8]) -> Result<Query, ParseError> {
    let mut query = Query::default();
    let mut r = Reader::new("Query", data);
    while let Some(tag) = r.tag()? {
        match tag.field {
            1 => query.start = integer(&mut r, tag, "StartTimestampMs")? as i64,
            2 => query.end = integer(&mut r, tag, "EndTimestampMs")? as i64,
            3 => {
                if query.matchers.len() == MAX_PARTS {
                    return Err(ParseError::new("too many matchers in one query"));
                }
                query.matchers.push(read_matcher(bytes(&mut r, tag, "Matchers")?)?);
            }
            4 => query.hints = Some(read_hints(bytes(&mut r, tag, "Hints")?)?),
            _ => r.skip(tag)?,
        }
    }
    Ok(query)
}

fn read_matcher(data: &[u8]) -> Result<WireMatcher, ParseError> {
    let mut matcher = WireMatcher::default();
    let mut r = Reader::new("LabelMatcher", data);
    while let Some(tag) = r.tag()? {
        match tag.field {
            1 => matcher.kind = integer(&mut r, tag, "Type")?,
            2 => matcher.name = text(&mut r, tag, "Name")?,
            3 => matcher.value = text(&mut r, tag, "Value")?,
            _ => r.skip(tag)?,
        }
    }
    Ok(matcher)
}

fn read_hints(data: &[u8]) -> Result<Hints, ParseError> {
    let mut hints = Hints::default();
    let mut r = Reader::new("ReadHints", data);
    while let Some(tag) = r.tag()? {
        match tag.field {
            2 => hints.function = text(&mut r, tag, "Func")?,
            3 => hints.start = integer(&mut r, tag, "StartMs")? as i64,
            4 => hints.end = integer(&mut r, tag, "EndMs")? as i64,
            _ => r.skip(tag)?,
        }
    }
    Ok(hints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_round_trip(
            queries in prop::collection::vec(
                (any::<i64>(), any::<i64>(), prop::collection::vec((0u64..4, ".*", ".*"), 0..4), any::<bool>()), 0..4,
            ),
            accepted in prop::collection::vec(0u64..3, 0..3),
        ) {
            let query = |(start, end, matchers, hinted): (i64, i64, Vec<(u64, String, String)>, bool)| Query {
                start,
                end,
                matchers: matchers.into_iter().map(|(kind, name, value)| WireMatcher { kind, name, value }).collect(),
                hints: hinted.then(|| Hints { function: "rate".into(), start, end }),
            };
            let request = ReadRequest { queries: queries.into_iter().map(query).collect(), accepted };
            prop_assert_eq!(ReadRequest::read(&request.write()).unwrap(), request);
        }

        #[test]
        fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ReadRequest::read(&data);
        }
    }
}
