//! Text made harmless where it goes: HTML, JavaScript, URLs.

use std::fmt::Write as _;

/// `template.HTMLEscapeString`
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// `template.JSEscapeString`
pub(crate) fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\\' | '\'' | '"' => write!(out, "\\{c}"),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => write!(out, "\\u{:04X}", u32::from(c)),
            c if c.is_ascii() || model::number::is_print(c) => out.write_char(c),
            c => write!(out, "\\u{:04X}", u32::from(c)),
        };
    }
    out
}
