//! What differs between two JSON values, for a terminal: `--diff`.

use model::number::quote;
use serde_json::{Map, Value};

const INDENT: &str = "    ";

/// Colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    None,
    Added,
    Removed,
    Changed,
}

impl Colour {
    fn on(self) -> &'static str {
        match self {
            Colour::None => "",
            Colour::Added => "\x1b[0;32m",
            Colour::Removed => "\x1b[0;31m",
            Colour::Changed => "\x1b[0;33m",
        }
    }

    fn off(self) -> &'static str {
        if self == Colour::None { "" } else { "\x1b[0m" }
    }
}

/// Both values in one: what only `old` has in red, what only `new` has in green, what is another in yellow.
pub(super) fn difference(old: &Value, new: &Value) -> String {
    Printer::default().difference(old, new)
}

#[derive(Debug, Default)]
struct Printer {
    level: usize,
    colour: Option<Colour>,
}

/// An entry of a list or an object, on either side.
type Entry<'v> = (Option<&'v str>, Option<&'v Value>, Option<&'v Value>);

impl Printer {
    fn difference(&mut self, old: &Value, new: &Value) -> String {
        let mut out = String::new();
        match (old, new) {
            (Value::Array(old), Value::Array(new)) => {
                let count = old.len().max(new.len());
                let entries: Vec<Entry<'_>> = (0..count).map(|i| (None, old.get(i), new.get(i))).collect();
                return self.collection(("[", "]"), &entries);
            }
            (Value::Object(old), Value::Object(new)) => {
                return self.collection(("{", "}"), &members(old, new));
            }
            _ if old == new => {
                self.paint(&mut out, Colour::None);
                self.value(&mut out, old);
            }
            _ => {
                self.paint(&mut out, Colour::Changed);
                shallow(&mut out, old);
                out.push_str(" => ");
                shallow(&mut out, new);
            }
        }
        self.end(&mut out);
        out
    }

    fn collection(&mut self, (open, close): (&str, &str), entries: &[Entry<'_>]) -> String {
        self.level += 1;
        let inner: Vec<Option<String>> = entries
            .iter()
            .map(|(_, old, new)| old.zip(*new).map(|(old, new)| self.difference(old, new)))
            .collect();
        self.level -= 1;
        let mut out = String::new();
        self.paint(&mut out, Colour::None);
        out.push_str(open);
        if !entries.is_empty() {
            self.level += 1;
            self.line(&mut out);
        }
        for (i, ((key, old, new), inner)) in entries.iter().zip(inner).enumerate() {
            let (colour, only) = match (old, new) {
                (Some(_), Some(_)) => (None, None),
                (Some(old), None) => (Some(Colour::Removed), Some(old)),
                (None, new) => (Some(Colour::Added), new.as_ref()),
            };
            colour.into_iter().for_each(|colour| self.paint(&mut out, colour));
            key.iter().for_each(|key| push_key(&mut out, key));
            out.extend(inner);
            only.into_iter().for_each(|only| self.value(&mut out, only));
            self.paint(&mut out, Colour::None);
            if i + 1 < entries.len() {
                out.push(',');
            } else {
                self.level -= 1;
            }
            self.line(&mut out);
        }
        out.push_str(close);
        self.end(&mut out);
        out
    }

    /// A value with all that is in it.
    fn value(&mut self, out: &mut String, value: &Value) {
        let (open, close, entries): (_, _, Vec<(Option<&str>, &Value)>) = match value {
            Value::Array(list) => ('[', ']', list.iter().map(|value| (None, value)).collect()),
            Value::Object(members) => {
                ('{', '}', sorted(members).into_iter().map(|(key, value)| (Some(key), value)).collect())
            }
            other => return shallow(out, other),
        };
        out.push(open);
        if !entries.is_empty() {
            self.level += 1;
            self.line(out);
        }
        let last = entries.len().saturating_sub(1);
        for (i, (key, value)) in entries.into_iter().enumerate() {
            key.into_iter().for_each(|key| push_key(out, key));
            self.value(out, value);
            if i < last {
                out.push(',');
            } else {
                self.level -= 1;
            }
            self.line(out);
        }
        out.push(close);
    }

    /// Begins a line; the colour ends before it and goes on behind its indentation.
    fn line(&self, out: &mut String) {
        let colour = self.colour.unwrap_or(Colour::None);
        out.push_str(colour.off());
        out.push('\n');
        out.push_str(&INDENT.repeat(self.level));
        out.push_str(colour.on());
    }

    fn paint(&mut self, out: &mut String, colour: Colour) {
        if self.colour != Some(colour) {
            self.end(out);
            out.push_str(colour.on());
            self.colour = Some(colour);
        }
    }

    fn end(&mut self, out: &mut String) {
        out.extend(self.colour.take().map(Colour::off));
    }
}

fn push_key(out: &mut String, key: &str) {
    out.push_str(&quote(key));
    out.push_str(": ");
}

/// A value without what is in it.
fn shallow(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(&quote(text)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        other => out.push_str(&other.to_string()),
    }
}

fn sorted(members: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut sorted: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
    sorted.sort_by_key(|(key, _)| *key);
    sorted
}

fn members<'v>(old: &'v Map<String, Value>, new: &'v Map<String, Value>) -> Vec<Entry<'v>> {
    let mut keys: Vec<&str> = old.keys().chain(new.keys()).map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(|key| (Some(key), old.get(key), new.get(key))).collect()
}
