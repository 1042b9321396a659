//! Values of keys that are more than a text or a number.

use std::path::Path;

use model::number::quote;
use model::{ValidationScheme, duration, size};

use crate::decode::{Field, Issues, Stop, decode_map};
use crate::masking::is_secret;
use crate::yaml::{Kind, Node, Out, Resolved, resolve};

/// A text that has a type of its own in Go.
macro_rules! named_text {
    ($(#[$meta:meta])* $name:ident $go_type:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name(pub String);

        impl $crate::decode::Field for $name {
            fn go_type() -> String {
                $go_type.into()
            }

            fn decode(
                node: &$crate::yaml::Node,
                issues: &mut $crate::decode::Issues,
            ) -> Result<Option<Self>, $crate::decode::Stop> {
                if node.text().is_none() {
                    issues.mismatch(node, $go_type);
                }
                Ok(node.text().map(|text| $name(text.to_owned())))
            }

            fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            fn encode(&self) -> $crate::yaml::Out {
                $crate::yaml::Out::Text(self.0.clone())
            }
        }
    };
}
pub(crate) use named_text;

/// Reads the text of a scalar, as Go's custom types do first.
fn text<'n>(node: &'n Node, issues: &mut Issues) -> Option<&'n str> {
    if node.text().is_none() {
        issues.mismatch(node, "string");
    }
    node.text()
}

/// `1h30m`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Millis(pub i64);

impl From<Millis> for std::time::Duration {
    fn from(millis: Millis) -> Self {
        std::time::Duration::from_millis(millis.0.unsigned_abs())
    }
}

impl Field for Millis {
    fn go_type() -> String {
        "model.Duration".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let Some(text) = text(node, issues) else { return Ok(None) };
        match duration::parse(text) {
            Ok(millis) => Ok(Some(Millis(millis))),
            Err(err) => {
                let help = "a duration is numbers with units, largest first: 30s, 1h30m, 500ms, 15d";
                Err(Stop::at(node.span, err.to_string()).help(help))
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn encode(&self) -> Out {
        Out::Text(duration::format(self.0))
    }
}

/// `10MB`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub i64);

impl Field for Bytes {
    fn go_type() -> String {
        "units.Base2Bytes".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let Some(text) = node.text() else {
            issues.mismatch(node, "units.Base2Bytes");
            return Ok(None);
        };
        match size::parse(text) {
            Ok(bytes) => Ok(Some(Bytes(bytes))),
            Err(err) => {
                Err(Stop::at(node.span, err.to_string())
                    .help("a size is a number with a unit: 512MB, 10GiB, 0"))
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn encode(&self) -> Out {
        Out::Text(size::format(self.0))
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub(crate) String);

impl Secret {
    pub(crate) fn is_unset(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// What stands for a secret wherever one is shown.
pub(crate) const HIDDEN: &str = "<secret>";

impl Field for Secret {
    fn go_type() -> String {
        "config.Secret".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        if node.text().is_none() {
            issues.mismatch(node, "config.plain");
        }
        Ok(node.text().map(|text| Secret(text.to_owned())))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn encode(&self) -> Out {
        if self.0.is_empty() { Out::Null } else { Out::Text(HIDDEN.into()) }
    }
}

/// The path of a file, relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilePath(pub String);

impl FilePath {
    pub(crate) fn is_unset(&self) -> bool {
        self.0.is_empty()
    }
}

impl Field for FilePath {
    fn go_type() -> String {
        "string".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        Ok(text(node, issues).map(|path| FilePath(path.to_owned())))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn encode(&self) -> Out {
        Out::Text(self.0.clone())
    }

    fn set_directory(&mut self, directory: &Path) {
        if !self.0.is_empty() && !Path::new(&self.0).is_absolute() {
            self.0 = clean(&directory.join(&self.0).to_string_lossy());
        }
    }
}

/// `filepath.Clean`: no empty, `.` and avoidable `..` elements.
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

/// A URL as Go's `net/url` takes it; empty when not set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Url(
    /// As it is written.
    pub String,
    /// Whether it is written: an empty one is shown, too.
    bool,
);

impl Url {
    /// As it may be shown: without a password.
    #[must_use]
    pub fn shown(&self) -> String {
        redacted(&self.0)
    }

    pub(crate) fn is_unset(&self) -> bool {
        self.0.is_empty()
    }
}

impl Field for Url {
    fn go_type() -> String {
        "config.URL".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let Some(text) = text(node, issues) else { return Ok(None) };
        check_url(text).map_err(|reason| Stop::at(node.span, format!("parse {}: {reason}", quote(text))))?;
        Ok(Some(Url(text.to_owned(), true)))
    }

    fn is_empty(&self) -> bool {
        !self.1
    }

    fn encode(&self) -> Out {
        Out::Text(redacted(&self.0))
    }
}

/// A URL as Go prints it, with `xxxxx` for a password: the scheme in lower case, and nothing but ASCII before the
/// query.
fn redacted(url: &str) -> String {
    let (scheme, rest) = match url.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => (format!("{}:", scheme.to_ascii_lowercase()), rest),
        _ => (String::new(), url),
    };
    let query = rest.find(['?', '#']).unwrap_or(rest.len());
    let (body, query) = rest.split_at(query);
    let (authority, path) = match body.strip_prefix("//") {
        Some(after) => body.split_at(2 + after.find('/').unwrap_or(after.len())),
        None => ("", body),
    };
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:xxxxx@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let mut out = scheme;
    for c in authority.chars().chain(path.chars()) {
        if c.is_ascii() && !" \"<>\\^`{|}".contains(c) {
            out.push(c);
        } else {
            out.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|b| format!("%{b:02X}")));
        }
    }
    out + query
}

/// What Go's `url.Parse` refuses, in its words.
///
/// # Errors
/// What is wrong with it: `missing ']' in host`.
pub fn check_url(text: &str) -> Result<(), String> {
    if text.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    let without_fragment = text.split('#').next().unwrap_or("");
    let scheme_end = without_fragment
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
        .filter(|&i| without_fragment[i..].starts_with(':'));
    let rest = match scheme_end {
        Some(0) => return Err("missing protocol scheme".into()),
        Some(i) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => &without_fragment[i + 1..],
        _ => {
            let first_segment = without_fragment.split(['/', '?']).next().unwrap_or("");
            if first_segment.contains(':') {
                return Err("first path segment in URL cannot contain colon".into());
            }
            without_fragment
        }
    };
    check_escapes(text)?;
    let Some(authority) = rest.strip_prefix("//") else { return Ok(()) };
    let authority = &authority[..authority.find(['/', '?']).unwrap_or(authority.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, port)) => port,
            None => return Err("missing ']' in host".into()),
        },
        None => host.find(':').map_or("", |i| &host[i..]),
    };
    let digits = port.strip_prefix(':').unwrap_or("");
    if !port.is_empty() && (!port.starts_with(':') || !digits.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    match host.chars().find(|c| matches!(c, ' ' | '"' | '\\' | '^' | '`' | '{' | '|' | '}')) {
        Some(c) => Err(format!("invalid character {} in host name", quote(&c.to_string()))),
        None => Ok(()),
    }
}

fn check_escapes(text: &str) -> Result<(), String> {
    let mut rest = text.split('?').next().unwrap_or("");
    while let Some(at) = rest.find('%') {
        let escape: String = rest[at..].chars().take(3).collect();
        if escape.len() < 3 || !escape[1..].bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("invalid URL escape {}", quote(&escape)));
        }
        rest = &rest[at + 1..];
    }
    Ok(())
}

/// Several source labels, written on one line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelNames(pub Vec<String>);

/// Reads the name of a label.
fn label_name(node: &Node, issues: &mut Issues) -> Result<Option<String>, Stop> {
    let name = if node.is_null() { Some("") } else { text(node, issues) };
    match name {
        Some("") if node.is_null() => Ok(Some(String::new())),
        Some("") => Err(Stop::at(node.span, "\"\" is not a valid label name")),
        name => Ok(name.map(str::to_owned)),
    }
}

impl Field for LabelNames {
    fn go_type() -> String {
        "model.LabelNames".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let Kind::Sequence(items) = &node.kind else {
            issues.mismatch(node, "model.LabelNames");
            return Ok(None);
        };
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            names.extend(label_name(item, issues)?);
        }
        Ok(Some(LabelNames(names)))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn encode(&self) -> Out {
        Out::Flow(self.0.iter().cloned().map(Out::Text).collect())
    }
}

/// Labels of targets and matchers: names must not be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSet(pub std::collections::BTreeMap<String, String>);

impl Field for LabelSet {
    fn go_type() -> String {
        "model.LabelSet".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        if let Kind::Mapping(pairs) = &node.kind {
            for (key, _) in pairs.iter().filter(|(key, _)| !key.is_merge()) {
                label_name(key, issues)?;
            }
        }
        let values: Option<std::collections::BTreeMap<String, LabelValue>> =
            decode_map(node, "model.LabelSet", issues)?;
        Ok(values.map(|values| LabelSet(values.into_iter().map(|(name, value)| (name, value.0)).collect())))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn encode(&self) -> Out {
        Field::encode(&self.0)
    }
}

named_text! {
    #[allow(unreachable_pub, reason = "read here alone")]
    /// The value of a label.
    LabelValue "model.LabelValue"
}

/// A word out of a closed list.
pub(crate) trait Word: Sized + Copy + Default {
    const GO_TYPE: &'static str;
    /// What Go calls the type that it reads the word into.
    const GO_READ: &'static str = "string";
    /// # Errors
    /// Prometheus' words.
    fn parse(text: &str) -> Result<Self, String>;
    fn word(self) -> &'static str;
    /// What may be written, for people.
    fn choices() -> &'static str;
}

/// Makes a [`Word`] the value of a key.
macro_rules! word {
    ($type:ty) => {
        impl $crate::decode::Field for $type {
            fn go_type() -> String {
                <$type as $crate::kinds::Word>::GO_TYPE.into()
            }

            fn decode(
                node: &$crate::yaml::Node,
                issues: &mut $crate::decode::Issues,
            ) -> Result<Option<Self>, $crate::decode::Stop> {
                let Some(text) = node.text() else {
                    issues.mismatch(node, <$type as $crate::kinds::Word>::GO_READ);
                    return Ok(None);
                };
                match <$type as $crate::kinds::Word>::parse(text) {
                    Ok(word) => Ok(Some(word)),
                    Err(line) => {
                        let help = format!("one of: {}", <$type as $crate::kinds::Word>::choices());
                        Err($crate::decode::Stop::at(node.span, line).help(help))
                    }
                }
            }

            fn is_empty(&self) -> bool {
                $crate::kinds::Word::word(*self).is_empty()
            }

            fn encode(&self) -> $crate::yaml::Out {
                $crate::yaml::Out::Text($crate::kinds::Word::word(*self).into())
            }
        }
    };
}
pub(crate) use word;

/// A mapping that has a type of its own in Go.
macro_rules! named_map {
    ($(#[$meta:meta])* $name:ident $value:ty = $go_type:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name(pub std::collections::BTreeMap<String, $value>);

        impl $crate::decode::Field for $name {
            fn go_type() -> String {
                $go_type.into()
            }

            fn decode(
                node: &$crate::yaml::Node,
                issues: &mut $crate::decode::Issues,
            ) -> Result<Option<Self>, $crate::decode::Stop> {
                Ok($crate::decode::decode_map(node, $go_type, issues)?.map($name))
            }

            fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            fn encode(&self) -> $crate::yaml::Out {
                $crate::decode::Field::encode(&self.0)
            }

            fn set_directory(&mut self, directory: &std::path::Path) {
                $crate::decode::Field::set_directory(&mut self.0, directory);
            }
        }
    };
}
pub(crate) use named_map;

/// `metric_name_validation_scheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameScheme(pub Option<ValidationScheme>);

impl Word for NameScheme {
    const GO_TYPE: &'static str = "model.ValidationScheme";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(NameScheme(match text {
            "" => None,
            "utf8" => Some(ValidationScheme::Utf8),
            "legacy" => Some(ValidationScheme::Legacy),
            other => return Err(format!("unrecognized ValidationScheme: {}", quote(other))),
        }))
    }

    fn word(self) -> &'static str {
        self.0.map_or("", ValidationScheme::as_str)
    }

    fn choices() -> &'static str {
        "utf8, legacy"
    }
}
word!(NameScheme);

/// Anything, kept as it is written; what looks like a secret is not shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Anything(Option<Node>);

impl Field for Anything {
    fn go_type() -> String {
        "interface {}".into()
    }

    fn decode(node: &Node, _: &mut Issues) -> Result<Option<Self>, Stop> {
        Ok(Some(Anything(Some(node.clone()))))
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn encode(&self) -> Out {
        self.0.as_ref().map_or(Out::Null, encode_node)
    }
}

impl Anything {
    /// The value as JSON; what JSON cannot express is text.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        self.0.as_ref().map_or(serde_json::Value::Null, node_to_json)
    }
}

fn node_to_json(node: &Node) -> serde_json::Value {
    match &node.kind {
        Kind::Scalar { .. } if node.is_null() => serde_json::Value::Null,
        Kind::Scalar { text, .. } => match resolve(node) {
            Some(Resolved::Null) => serde_json::Value::Null,
            Some(Resolved::Bool(value)) => value.into(),
            Some(Resolved::Int(value)) => value.into(),
            Some(Resolved::Uint(value)) => value.into(),
            Some(Resolved::Float(value)) => value.into(),
            Some(Resolved::Timestamp | Resolved::Text) | None => text.clone().into(),
        },
        Kind::Sequence(items) => items.iter().map(node_to_json).collect::<Vec<_>>().into(),
        Kind::Mapping(pairs) => {
            let pairs = pairs.iter();
            let named =
                pairs.map(|(key, value)| (key.text().unwrap_or_default().to_owned(), node_to_json(value)));
            serde_json::Value::Object(named.collect())
        }
    }
}

/// A node as it was written, but for secrets.
fn encode_node(node: &Node) -> Out {
    match &node.kind {
        Kind::Scalar { .. } if node.is_null() => Out::Null,
        Kind::Scalar { text, .. } => match resolve(node) {
            Some(Resolved::Text) | None => Out::Text(text.clone()),
            Some(_) => Out::Literal(text.clone()),
        },
        Kind::Sequence(items) => Out::Sequence(items.iter().map(encode_node).collect()),
        Kind::Mapping(pairs) => Out::Mapping(
            pairs
                .iter()
                .map(|(key, value)| {
                    let name = key.text().unwrap_or_default();
                    let shown = if is_secret(name) { Out::Text(HIDDEN.into()) } else { encode_node(value) };
                    (name.to_owned(), shown)
                })
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_cleaned() {
        let cases = [
            ("a/b", "/etc", "/etc/a/b"),
            ("../x", "/etc/p", "/etc/x"),
            ("x", ".", "x"),
            ("/abs", "/etc", "/abs"),
            ("./x/../../y", "d", "y"),
            ("", "/etc", ""),
        ];
        for (path, directory, want) in cases {
            let mut file = FilePath(path.into());
            file.set_directory(Path::new(directory));
            assert_eq!(file.0, want);
        }
    }

    #[test]
    fn urls_are_refused_as_go_refuses_them() {
        for url in [
            "http://a",
            "http://a:80/x?y=%zz",
            "/path",
            "a/b:c",
            "https://u:p@h",
            "http://[::1]:80/",
            "",
            "unix:x",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        let cases = [
            (":foo", "missing protocol scheme"),
            ("1a:b", "first path segment in URL cannot contain colon"),
            ("http://a:b", "invalid port \":b\" after host"),
            ("http://a b", "invalid character \" \" in host name"),
            ("http://a/%zz", "invalid URL escape \"%zz\""),
            ("http://[::1", "missing ']' in host"),
        ];
        for (url, want) in cases {
            assert_eq!(check_url(url), Err(want.into()), "{url}");
        }
        assert_eq!(Url("http://u:p@h/x".into(), true).encode(), Out::Text("http://u:xxxxx@h/x".into()));
    }
}
