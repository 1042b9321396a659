//! Labels as a JSON object of texts, and what Go says about one that is none: users and scripts know these messages.

use std::collections::BTreeMap;

use serde_json::Value;

/// Reads `{"name": "value", …}`.
///
/// # Errors
/// The words of Go's `encoding/json`.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    if let Some(message) = syntax_error(text) {
        return Err(message);
    }
    let mismatch = |value: &Value, wanted: &str| {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        format!("json: cannot unmarshal {kind} into Go value of type {wanted}")
    };
    match serde_json::from_str(text).map_err(|err| err.to_string())? {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(object) => object
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(value) => Ok((name, value)),
                Value::Null => Ok((name, String::new())),
                other => Err(mismatch(&other, "string")),
            })
            .collect(),
        other => Err(mismatch(&other, "map[string]string")),
    }
}

/// Where a document stands.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Value,
    /// The first value of an array, or its end.
    ValueOrEnd,
    Key,
    /// The first key of an object, or its end.
    KeyOrEnd,
    Colon,
    AfterValue,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    pos: usize,
}

/// Why `text` is no JSON; none if it is.
fn syntax_error(text: &str) -> Option<String> {
    let mut scanner = Scanner { bytes: text.as_bytes(), pos: 0 };
    scanner.document().err()
}

type Scanned = Result<(), String>;

impl Scanner<'_> {
    fn document(&mut self) -> Scanned {
        let (mut open, mut at) = (Vec::new(), At::Value);
        loop {
            while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
                self.pos += 1;
            }
            let Some(byte) = self.peek() else {
                let complete = at == At::AfterValue && open.is_empty();
                return if complete { Ok(()) } else { Err("unexpected end of JSON input".to_owned()) };
            };
            at = match (at, byte) {
                (At::ValueOrEnd, b']') | (At::KeyOrEnd, b'}') => {
                    self.pos += 1;
                    open.pop();
                    At::AfterValue
                }
                (At::Key | At::KeyOrEnd, b'"') => {
                    self.string()?;
                    At::Colon
                }
                (At::Key | At::KeyOrEnd, _) => {
                    return self.refuse("looking for beginning of object key string");
                }
                (At::Colon, b':') => {
                    self.pos += 1;
                    At::Value
                }
                (At::Colon, _) => return self.refuse("after object key"),
                (At::Value | At::ValueOrEnd, b'{' | b'[') => {
                    self.pos += 1;
                    open.push(byte);
                    if byte == b'{' { At::KeyOrEnd } else { At::ValueOrEnd }
                }
                (At::Value | At::ValueOrEnd, _) => {
                    self.scalar(byte)?;
                    At::AfterValue
                }
                (At::AfterValue, _) => self.after_value(byte, &mut open)?,
            };
        }
    }

    fn after_value(&mut self, byte: u8, open: &mut Vec<u8>) -> Result<At, String> {
        let at = match (open.last(), byte) {
            (Some(b'{'), b',') => At::Key,
            (Some(b'['), b',') => At::Value,
            (Some(b'{'), b'}') | (Some(b'['), b']') => {
                open.pop();
                At::AfterValue
            }
            (Some(b'{'), _) => return self.refuse("after object key:value pair"),
            (Some(_), _) => return self.refuse("after array element"),
            (None, _) => return self.refuse("after top-level value"),
        };
        self.pos += 1;
        Ok(at)
    }

    fn scalar(&mut self, first: u8) -> Scanned {
        match first {
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.refuse("looking for beginning of value"),
        }
    }

    fn literal(&mut self, word: &str) -> Scanned {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return self.refuse(&format!("in literal {word} (expecting '{}')", char::from(expected)));
            }
            self.pos += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Scanned {
        self.pos += 1;
        loop {
            match self.peek() {
                // Whatever follows would be part of the text.
                None => return Err("unexpected end of JSON input".to_owned()),
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.pos += 1;
                    self.escape()?;
                }
                Some(0..0x20) => return self.refuse("in string literal"),
                Some(_) => self.pos += 1,
            }
        }
    }

    fn escape(&mut self) -> Scanned {
        match self.peek() {
            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.pos += 1,
            Some(b'u') => {
                self.pos += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|b| b.is_ascii_hexdigit()) {
                        return self.refuse("in \\u hexadecimal character escape");
                    }
                    self.pos += 1;
                }
            }
            _ => return self.refuse("in string escape code"),
        }
        Ok(())
    }

    fn number(&mut self) -> Scanned {
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self, place: &str) -> Scanned {
        let from = self.pos;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
        if self.pos == from { self.refuse(place) } else { Ok(()) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    /// Go looks at bytes one by one, and takes the end for a blank.
    fn refuse<T>(&self, place: &str) -> Result<T, String> {
        let shown = match self.peek().unwrap_or(b' ') {
            b'\'' => r"'\''".to_owned(),
            b'"' => "'\"'".to_owned(),
            byte => {
                let quoted = model::number::quote(char::from(byte).encode_utf8(&mut [0; 4]));
                format!("'{}'", quoted.trim_matches('"'))
            }
        };
        Err(format!("invalid character {shown} {place}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_as_go_says_it() {
        for (text, wanted) in [
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{", "unexpected end of JSON input"),
            (r#"{"a""#, "unexpected end of JSON input"),
            (r#"{"a":"#, "unexpected end of JSON input"),
            (r#"{"a":1}"#, "json: cannot unmarshal number into Go value of type string"),
            (r#"{"a":"b",}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a":"b"}x"#, "invalid character 'x' after top-level value"),
            ("[]", "json: cannot unmarshal array into Go value of type map[string]string"),
            (r#"{"a":{}}"#, "json: cannot unmarshal object into Go value of type string"),
            ("{a}", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a" "b"}"#, "invalid character '\"' after object key"),
            (r#"{"a":"b" "c"}"#, "invalid character '\"' after object key:value pair"),
            ("{\"a\":\"b\n\"}", "invalid character '\\n' in string literal"),
            (r#"{"a":"\q"}"#, "invalid character 'q' in string escape code"),
            (r#"{"a":"\u12x"}"#, "invalid character 'x' in \\u hexadecimal character escape"),
            ("tru", "invalid character ' ' in literal true (expecting 'e')"),
            (r#"{"a":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e", "invalid character ' ' in exponent of numeric literal"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("é", "invalid character 'Ã' looking for beginning of value"),
            ("'", "invalid character '\\'' looking for beginning of value"),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(parse("null"), Ok(BTreeMap::new()));
        let read = parse(r#" {"a": "b\u00e9", "c": null} "#);
        let wanted = [("a", "bé"), ("c", "")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(read, Ok(wanted.into()));
    }
}
