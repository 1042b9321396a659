//! What is done to values before they are put into an HTML document.

use std::fmt::Write as _;

use model::go_json::{Encoder, push_string};

use super::attributes::{AttributeType, attribute_type};
use super::context::{Context, Delimiter, Element, State};
use crate::print;
use crate::value::{Safe, Value};

/// What stands for a value that must not be where it was put.
const FAILSAFE: &str = "ZgotmplZ";

/// A filter that escaping adds to pipelines. In messages it has the name that it has in Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    Attribute,
    Comment,
    Css,
    CssValue,
    HtmlName,
    Html,
    JsRegexp,
    JsString,
    JsTemplate,
    JsValue,
    NoSpace,
    RcData,
    Srcset,
    Url,
    UrlProtocol,
    UrlNormalized,
    /// The arguments of a predefined escaper as one text.
    Joined,
}

const NAMES: [(&str, Filter); 17] = [
    ("_html_template_attrescaper", Filter::Attribute),
    ("_html_template_commentescaper", Filter::Comment),
    ("_html_template_cssescaper", Filter::Css),
    ("_html_template_cssvaluefilter", Filter::CssValue),
    ("_html_template_htmlnamefilter", Filter::HtmlName),
    ("_html_template_htmlescaper", Filter::Html),
    ("_html_template_jsregexpescaper", Filter::JsRegexp),
    ("_html_template_jsstrescaper", Filter::JsString),
    ("_html_template_jstmpllitescaper", Filter::JsTemplate),
    ("_html_template_jsvalescaper", Filter::JsValue),
    ("_html_template_nospaceescaper", Filter::NoSpace),
    ("_html_template_rcdataescaper", Filter::RcData),
    ("_html_template_srcsetescaper", Filter::Srcset),
    ("_html_template_urlescaper", Filter::Url),
    ("_html_template_urlfilter", Filter::UrlProtocol),
    ("_html_template_urlnormalizer", Filter::UrlNormalized),
    ("_eval_args_", Filter::Joined),
];

impl Filter {
    pub(crate) fn of(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, filter)| *filter)
    }

    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, filter)| *filter == self).map_or("", |(name, _)| name)
    }

    pub(crate) fn apply(self, values: &[Value]) -> Value {
        let (text, safe) = stringified(values);
        Value::from(match (self, safe) {
            (Filter::Html, Some(Safe::Html)) => text,
            (Filter::Html, _) => html(&text, Html { ampersands: true }),
            (Filter::Attribute, Some(Safe::Html)) => html(&without_tags(&text), Html { ampersands: false }),
            (Filter::Attribute, _) => html(&text, Html { ampersands: true }),
            (Filter::RcData, safe) => html(&text, Html { ampersands: safe != Some(Safe::Html) }),
            (Filter::NoSpace, _) if text.is_empty() => FAILSAFE.into(),
            (Filter::NoSpace, Some(Safe::Html)) => without_space(&without_tags(&text), false),
            (Filter::NoSpace, _) => without_space(&text, true),
            (Filter::Comment, _) => String::new(),
            (Filter::Css, _) => css(&text),
            (Filter::CssValue, _) => css_value(&text),
            (Filter::HtmlName, _) => html_name(&text),
            (Filter::JsString, _) => js_string(&text, ""),
            (Filter::JsTemplate, _) => js_string(&text, "${}"),
            (Filter::JsRegexp, _) => match js_regexp(&text) {
                escaped if escaped.is_empty() => "(?:)".into(),
                escaped => escaped,
            },
            (Filter::JsValue, _) => js_value(values),
            (Filter::Url, safe) => url(&text, safe == Some(Safe::Url)),
            (Filter::UrlNormalized, _) => url(&text, true),
            (Filter::UrlProtocol, Some(Safe::Url)) => text,
            (Filter::UrlProtocol, _) if is_safe_url(&text) => text,
            (Filter::UrlProtocol, _) => format!("#{FAILSAFE}"),
            (Filter::Srcset, Some(Safe::Url)) => url(&text, true).replace(',', "%2c"),
            (Filter::Srcset, _) => text.split(',').map(srcset_candidate).collect::<Vec<_>>().join(","),
            (Filter::Joined, _) => print::sprint(values),
        })
    }
}

/// Values as one text, and what it is safe for if it is one value that says so. Nothing prints as nothing.
fn stringified(values: &[Value]) -> (String, Option<Safe>) {
    match values {
        [Value::Safe(safe, text)] => (text.to_string(), Some(*safe)),
        _ => {
            let values: Vec<Value> = values.iter().filter(|value| !value.is_nil()).cloned().collect();
            match values.as_slice() {
                [value] => (print::followed(value), None),
                values => (print::sprint(values), None),
            }
        }
    }
}

/// How HTML is escaped.
#[derive(Clone, Copy)]
struct Html {
    /// Not in text that is HTML already.
    ampersands: bool,
}

fn html(text: &str, how: Html) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '&' if how.ampersands => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '+' => out.push_str("&#43;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// For attributes without quotes.
fn without_space(text: &str, ampersands: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\0' => out.write_str("&#xfffd;"),
            '\t'..='\r' | ' ' | '"' | '\'' | '+' | '=' | '`' => write!(out, "&#{};", u32::from(c)),
            '&' if ampersands => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '\u{fdd0}'..='\u{fdef}' | '\u{fff0}'..='\u{ffff}' => write!(out, "&#x{:x};", u32::from(c)),
            c => out.write_char(c),
        };
    }
    out
}

/// The text of a piece of HTML.
fn without_tags(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let (mut context, mut at) = (Context::default(), 0);
    let mut only_text = true;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        if context.delimiter != Delimiter::None {
            let Some((_, past)) = context.delimiter.value_end(rest) else {
                break;
            };
            at += past;
            context = Context { element: context.element, ..Context::of(State::Tag) };
            continue;
        }
        let mut stepping = context.clone();
        if context.element != Element::Other && !context.state.is_in_tag() {
            stepping.state = State::RcData;
        }
        let Ok((next, read)) = stepping.step(rest) else {
            // No HTML from here on.
            return String::from_utf8_lossy(&out).into_owned();
        };
        let piece = rest.get(..read).unwrap_or(rest);
        if matches!(context.state, State::Text | State::RcData) {
            let tag =
                if next.state == context.state { None } else { piece.iter().rposition(|byte| *byte == b'<') };
            out.extend_from_slice(piece.get(..tag.unwrap_or(piece.len())).unwrap_or(piece));
        } else {
            only_text = false;
        }
        if read == 0 && next == context {
            break;
        }
        at += read;
        context = next;
    }
    if only_text {
        return text.to_owned();
    }
    if matches!(context.state, State::Text | State::RcData) {
        out.extend_from_slice(bytes.get(at..).unwrap_or_default());
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn css(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\0' | '\t' | '\n' | '\x0c' | '\r' | '"' | '&' | '\'' | '(' | ')' | '+' | '/' | ':' | ';'
            | '<' | '>' | '{' | '}' => {
                let _ = write!(out, "\\{:x}", u32::from(c));
                // The escape would take up a digit or a space behind it.
                let next = characters.peek();
                if next
                    .is_none_or(|c| c.is_ascii_hexdigit() || matches!(c, '\t' | '\n' | '\x0c' | '\r' | ' '))
                {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// A keyword, a number with a unit, a colour: nothing that could be more than a value.
fn css_value(text: &str) -> String {
    let decoded = decode_css(text.as_bytes());
    let mut word = Vec::new();
    let mut before = 0;
    for &byte in &decoded {
        match byte {
            b'\0' | b'"' | b'\'' | b'(' | b')' | b'/' | b';' | b'@' | b'[' | b'\\' | b']' | b'`' | b'{'
            | b'}' | b'<' | b'>' => return FAILSAFE.into(),
            b'-' if before == b'-' => return FAILSAFE.into(),
            b'-' => {}
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => word.push(byte.to_ascii_lowercase()),
            _ => {}
        }
        before = byte;
    }
    let word = String::from_utf8_lossy(&word);
    if word.contains("expression") || word.contains("mozbinding") {
        return FAILSAFE.into();
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// CSS with its escapes replaced by what they stand for.
pub(super) fn decode_css(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        let digits = rest.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits == 0 {
            let length = rest.iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80).count() + 1;
            out.extend_from_slice(rest.get(..length).unwrap_or(rest));
            rest = rest.get(length..).unwrap_or_default();
            continue;
        }
        let number = std::str::from_utf8(rest.get(..digits).unwrap_or_default()).unwrap_or_default();
        let code = u32::from_str_radix(number, 16).unwrap_or(0);
        // The last digit of a number that is too large belongs to the text.
        let (code, digits) = if code > 0x10_ffff { (code / 16, digits - 1) } else { (code, digits) };
        let c = char::from_u32(code).unwrap_or('\u{fffd}');
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = rest.get(digits..).unwrap_or_default();
        rest = match rest {
            [b'\r', b'\n', rest @ ..] | [b'\t' | b'\n' | b'\x0c' | b'\r' | b' ', rest @ ..] => rest,
            rest => rest,
        };
    }
    out.extend_from_slice(rest);
    out
}

fn html_name(text: &str) -> String {
    let name = text.to_lowercase();
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if plain && attribute_type(&name) == AttributeType::Plain { name } else { FAILSAFE.into() }
}

pub(super) fn is_js_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_')
}

/// The inside of a string; `also` has further characters to write as numbers.
fn js_string(text: &str, also: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let _ = match c {
            '/' => out.write_str("\\/"),
            '\\' => out.write_str("\\\\"),
            c => js_character(&mut out, c, |c| "\"`&'+<>".contains(c) || also.contains(c)),
        };
    }
    out
}

fn js_regexp(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let _ = match c {
            '$' | '(' | ')' | '*' | '-' | '.' | '/' | '?' | '[' | '\\' | ']' | '^' | '{' | '|' | '}' => {
                write!(out, "\\{c}")
            }
            c => js_character(&mut out, c, |c| "\"&'+<>".contains(c)),
        };
    }
    out
}

fn js_character(out: &mut String, c: char, as_number: impl Fn(char) -> bool) -> std::fmt::Result {
    match c {
        '\t' => out.write_str("\\t"),
        '\n' => out.write_str("\\n"),
        '\x0c' => out.write_str("\\f"),
        '\r' => out.write_str("\\r"),
        '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => write!(out, "\\u{:04x}", u32::from(c)),
        c if as_number(c) => write!(out, "\\u{:04x}", u32::from(c)),
        c => out.write_char(c),
    }
}

/// A value as JavaScript writes it: JSON, with spaces around it where it could run into a word.
fn js_value(values: &[Value]) -> String {
    let mut json = String::new();
    match values {
        [Value::Time(_, time)] => {
            push_string(
                &mut json,
                &crate::time::format(time, "2006-01-02T15:04:05.999999999Z07:00"),
                Encoder::Standard,
            );
        }
        [Value::Named(shape, number)] if shape.methods.iter().any(|method| method.name == "String") => {
            push_string(&mut json, &(shape.text)(*number), Encoder::Standard);
        }
        [Value::Struct(_, fields)] if fields.text.is_some() => {
            push_string(&mut json, fields.text.as_deref().unwrap_or_default(), Encoder::Standard);
        }
        [value] => {
            if let Err(why) = push_json(&mut json, value) {
                return format!(" /* {why} */null ");
            }
        }
        values => push_string(&mut json, &print::sprint(values), Encoder::Standard),
    }
    let bytes = json.as_bytes();
    let beside_word = bytes.first().is_some_and(|b| is_js_identifier(*b))
        || bytes.last().is_some_and(|b| is_js_identifier(*b));
    if beside_word { format!(" {json} ") } else { json }
}

fn push_json(out: &mut String, value: &Value) -> Result<(), String> {
    match value {
        Value::Nil | Value::NilInterface => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) | Value::Named(_, number) => out.push_str(&number.to_string()),
        Value::Uint(number) => out.push_str(&number.to_string()),
        Value::Float(number) if !number.is_finite() => {
            return Err(format!("json: unsupported value: {}", model::number::format_g(*number)));
        }
        Value::Float(number) => {
            let mut digits = String::new();
            model::number::push_api_value(&mut digits, *number);
            out.push_str(&digits.replace("e-0", "e-"));
        }
        Value::String(text) | Value::Safe(_, text) => push_string(out, text, Encoder::Standard),
        Value::Time(_, time) => {
            push_string(
                out,
                &crate::time::format(time, "2006-01-02T15:04:05.999999999Z07:00"),
                Encoder::Standard,
            );
        }
        Value::List(_, items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                push_json(out, item)?;
            }
            out.push(']');
        }
        Value::Map(_, entries) => {
            push_json_object(out, entries.iter().map(|(name, value)| (name.as_str(), value)))?;
        }
        Value::Struct(_, fields) => {
            push_json_object(out, fields.fields.iter().map(|(name, value)| (*name, value)))?;
        }
    }
    Ok(())
}

fn push_json_object<'a>(
    out: &mut String,
    entries: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Result<(), String> {
    out.push('{');
    for (i, (name, value)) in entries.enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        push_string(out, name, Encoder::Standard);
        out.push(':');
        push_json(out, value)?;
    }
    out.push('}');
    Ok(())
}

/// Per cent signs for what cannot be in a URL; if `normalized`, what has a meaning in it stays.
fn url(text: &str, normalized: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len() + 16);
    for (at, &byte) in bytes.iter().enumerate() {
        let hexadecimal = |ahead: usize| bytes.get(at + ahead).is_some_and(u8::is_ascii_hexdigit);
        let stays = match byte {
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@'
            | b'[' | b']' => normalized,
            b'-' | b'.' | b'_' | b'~' => true,
            b'%' => normalized && hexadecimal(1) && hexadecimal(2),
            byte => byte.is_ascii_alphanumeric(),
        };
        if stays {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

/// Whether a URL has no protocol, or one that does nothing but fetch or write a mail.
fn is_safe_url(text: &str) -> bool {
    match text.split_once(':') {
        Some((protocol, _)) if !protocol.contains('/') => {
            ["http", "https", "mailto"].iter().any(|known| protocol.eq_ignore_ascii_case(known))
        }
        _ => true,
    }
}

/// One URL of a `srcset` with what follows it.
fn srcset_candidate(text: &str) -> String {
    let is_space = |c: char| matches!(c, '\t' | '\n' | '\x0c' | '\r' | ' ');
    let start = text.len() - text.trim_start_matches(is_space).len();
    let end = text.get(start..).and_then(|rest| rest.find(is_space)).map_or(text.len(), |at| at + start);
    let (before, rest) = text.split_at(start);
    let (address, after) = rest.split_at(end - start);
    let plain = after.chars().all(|c| is_space(c) || c.is_ascii_alphanumeric());
    if is_safe_url(address) && plain {
        return format!("{before}{}{after}", url(address, true));
    }
    format!("#{FAILSAFE}")
}
