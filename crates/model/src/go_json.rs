//! Strings of JSON as Go's encoders write them.

use std::fmt::Write as _;

/// Which encoder, and how it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoder {
    /// `encoding/json`: what means something in HTML is written as a number.
    Standard,
    /// `encoding/json` without regard to HTML.
    Plain,
    /// jsoniter set to write as `encoding/json`; it has no short escapes for a backspace and a form feed.
    Jsoniter,
}

/// Appends `text` in quotes.
pub fn push_string(out: &mut String, text: &str, encoder: Encoder) {
    out.push('"');
    // Without a branch for each byte; most texts have nothing to escape. Two separators of lines begin with 0xe2.
    let special = |b: u8| b < 0x20 || matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
    if !text.bytes().fold(false, |any, b| any | special(b)) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\x08' if encoder != Encoder::Jsoniter => out.write_str("\\b"),
            '\x0c' if encoder != Encoder::Jsoniter => out.write_str("\\f"),
            '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => write!(out, "\\u{:04x}", u32::from(c)),
            '<' | '>' | '&' if encoder != Encoder::Plain => write!(out, "\\u{:04x}", u32::from(c)),
            c => out.write_char(c),
        };
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_each_encoder_does() {
        let text = "<\"&\\>\n\r\t\u{1}\x08\x0c\u{2028}é\u{7f}";
        for (encoder, expected) in [
            (Encoder::Standard, r#""\u003c\"\u0026\\\u003e\n\r\t\u0001\b\f\u2028é#"#),
            (Encoder::Plain, r#""<\"&\\>\n\r\t\u0001\b\f\u2028é#"#),
            (Encoder::Jsoniter, r#""\u003c\"\u0026\\\u003e\n\r\t\u0001\u0008\u000c\u2028é#"#),
        ] {
            let mut out = String::new();
            push_string(&mut out, text, encoder);
            assert_eq!(out, format!("{}\u{7f}\"", expected.trim_end_matches('#')), "{encoder:?}");
        }
    }
}
