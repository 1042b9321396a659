//! From the tree to sections: the rules by which Go fills structs from YAML, in strict mode.
//!
//! Wrong types and unknown keys are collected and reported together; what a section itself refuses stops the
//! whole. A key with a null value sets the zero value, not the default.

use std::collections::BTreeMap;
use std::path::Path;

use model::number::quote;

use crate::error::{Problem, closest};
use crate::masking::without_password;
use crate::yaml::{Kind, Node, Out, Resolved, Span, resolve};

/// A section refused its content: nothing more is read.
#[derive(Debug)]
pub(crate) struct Stop {
    /// In Prometheus' words.
    pub(crate) line: String,
    pub(crate) problem: Problem,
}

impl Stop {
    pub(crate) fn at(span: Span, line: impl Into<String>) -> Self {
        let line = line.into();
        Stop { problem: Problem { span: Some(span), message: line.clone(), help: None }, line }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.problem.help = Some(help.into());
        self
    }
}

/// What a section's own check found.
#[derive(Debug)]
pub(crate) struct Invalid {
    message: String,
    /// The key that is to blame; the whole section if none.
    key: Option<&'static str>,
    help: Option<String>,
}

/// A complaint about a section as a whole.
pub(crate) fn invalid<T>(message: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { message: message.into(), key: None, help: None })
}

/// A complaint about one key of a section.
pub(crate) fn invalid_at<T>(key: &'static str, message: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { message: message.into(), key: Some(key), help: None })
}

impl Invalid {
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the place of the key in the section's node.
    pub(crate) fn stop(self, node: &Node) -> Stop {
        let span = self.key.and_then(|key| node.get(key)).map_or(node.span, |value| value.span);
        let mut stop = Stop::at(span, self.message);
        stop.problem.help = self.help;
        stop
    }
}

/// What was collected while decoding, and by whose rules.
#[derive(Debug, Default)]
pub(crate) struct Issues {
    /// Version 3 of Go's YAML package, which reads files of rules, instead of version 2.
    version_3: bool,
    /// Unknown keys are passed over.
    lenient: bool,
    /// `line 4: field foo not found in type config.ScrapeConfig`
    lines: Vec<String>,
    problems: Vec<Problem>,
}

impl Issues {
    /// For a file of rules.
    pub(crate) fn of_rule_file(ignore_unknown_fields: bool) -> Self {
        Issues { version_3: true, lenient: ignore_unknown_fields, ..Issues::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Prometheus' words for all of them, and the problems.
    pub(crate) fn finish(self) -> Option<(String, Vec<Problem>)> {
        if self.lines.is_empty() {
            return None;
        }
        Some((format!("yaml: unmarshal errors:\n  {}", self.lines.join("\n  ")), self.problems))
    }

    fn push(&mut self, node: &Node, line: &str, message: String, help: Option<String>) {
        self.lines.push(format!("line {}: {line}", node.span.start.line));
        self.problems.push(Problem { span: Some(node.span), message, help });
    }

    /// The node is not what the Go type `wanted` takes.
    pub(crate) fn mismatch(&mut self, node: &Node, wanted: &str) {
        if let Kind::Mapping(pairs) = &node.kind
            && self.refuses_repetition(pairs)
        {
            return;
        }
        let (tag, value, found) = match &node.kind {
            Kind::Sequence(_) => ("!!seq", String::new(), "a list".into()),
            Kind::Mapping(_) => ("!!map", String::new(), "a mapping".into()),
            Kind::Scalar { text, .. } => {
                let tag = match resolve(node) {
                    // Of the many words for yes and no only two are left in version 3.
                    Some(Resolved::Bool(_)) if self.version_3 && !is_true_or_false(text) => "!!str",
                    resolved => resolved.map_or("!!str", Resolved::tag),
                };
                (tag, format!(" `{}`", shortened(text)), format!("`{}`", shortened(text)))
            }
        };
        let tag = node.tag.as_deref().unwrap_or(tag);
        let line = format!("cannot unmarshal {tag}{value} into {wanted}");
        self.push(node, &line, format!("expected {}, found {found}", in_words(wanted)), None);
    }

    fn unknown_key(&mut self, key: &Node, name: &str, go_type: &str, known: &[&'static str]) {
        if self.lenient {
            return;
        }
        let help = match closest(name, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("keys that are known here: {}", known.join(", ")),
        };
        let line = format!("field {name} not found in type {go_type}");
        self.push(key, &line, format!("unknown key `{name}`"), Some(help));
    }

    fn repeated_key(&mut self, key: &Node, name: &str, go_type: &str) {
        let line = format!("field {name} already set in type {go_type}");
        self.push(key, &line, format!("key `{name}` is set twice"), None);
    }
}

impl Issues {
    /// Version 3 refuses a mapping with a key that is there twice before it looks at anything else.
    fn refuses_repetition(&mut self, pairs: &[(Node, Node)]) -> bool {
        if !self.version_3 {
            return false;
        }
        let before = self.len();
        for (i, (first, _)) in pairs.iter().enumerate() {
            let Some(name) = first.text() else { continue };
            for (again, _) in pairs.iter().skip(i + 1).filter(|(again, _)| again.text() == Some(name)) {
                let line = first.span.start.line;
                let told = format!("mapping key {} already defined at line {line}", quote(name));
                self.push(again, &told, format!("key `{name}` is set twice"), None);
            }
        }
        self.len() > before
    }
}

fn is_true_or_false(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// Go quotes at most ten bytes of a wrong value.
fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return text.to_owned();
    }
    let cut = (0..=7).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}...", &text[..cut])
}

/// A Go type as a person would say it.
fn in_words(go_type: &str) -> &str {
    match go_type {
        "string" => "a text",
        "bool" => "`true` or `false`",
        "int" | "int64" => "a whole number",
        "uint" | "uint64" => "a whole number that is not negative",
        "float64" => "a number",
        t if t.starts_with("[]") => "a list",
        _ => "a mapping",
    }
}

/// A value of a key.
pub(crate) trait Field: Sized + Default {
    /// Go's name of the type, for messages.
    fn go_type() -> String;
    /// Reads a node that is not null. `None`: the reason is among the issues.
    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop>;
    /// Reads a node that is not null over what is there.
    fn decode_over(&mut self, node: &Node, issues: &mut Issues) -> Result<(), Stop> {
        if let Some(value) = Self::decode(node, issues)? {
            *self = value;
        }
        Ok(())
    }
    /// Whether a key that is left out when empty is left out.
    fn is_empty(&self) -> bool;
    fn encode(&self) -> Out;
    /// Joins relative paths of files with the directory of the configuration file.
    fn set_directory(&mut self, _directory: &Path) {}
}

/// Reads a value; null is the zero value.
pub(crate) fn value<T: Field>(node: &Node, issues: &mut Issues) -> Result<Option<T>, Stop> {
    if node.is_null() { Ok(Some(T::default())) } else { T::decode(node, issues) }
}

/// A mapping with known keys. Its keys are declared with [`section!`].
pub(crate) trait Section: Sized + Default {
    /// Whether keys that are not written keep what the section around has set, instead of [`Section::defaults`].
    const OVERLAY: bool = false;
    /// What holds for keys that are not written.
    fn defaults() -> Self {
        Self::default()
    }
    /// Checks and completes what was read.
    fn check(&mut self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// The generated half of a section.
pub(crate) trait Keys {
    /// Go's name of the type that is filled.
    const GO_FILLED: &'static str;
    /// Sets the key; `false` if there is none of that name.
    fn set(&mut self, key: &str, node: &Node, issues: &mut Issues) -> Result<bool, Stop>;
    fn push_keys(keys: &mut Vec<&'static str>);
    fn push_encoded(&self, pairs: &mut Vec<(String, Out)>);
    fn all_empty(&self) -> bool;
    fn set_directories(&mut self, directory: &Path);
}

/// Reads a section.
pub(crate) fn decode_section<T: Section + Keys>(node: &Node, issues: &mut Issues) -> Result<Option<T>, Stop> {
    let before = issues.len();
    let mut section = T::defaults();
    fill(&mut section, node, issues)?;
    if issues.len() > before {
        return Ok(None);
    }
    section.check().map_err(|err| err.stop(node))?;
    Ok(Some(section))
}

/// Reads a section that is a value of another one.
pub(crate) fn decode_section_over<T: Section + Keys>(
    section: &mut T,
    node: &Node,
    issues: &mut Issues,
) -> Result<(), Stop> {
    if T::OVERLAY {
        return fill(section, node, issues);
    }
    if let Some(decoded) = decode_section(node, issues)? {
        *section = decoded;
    }
    Ok(())
}

fn fill<T: Section + Keys>(section: &mut T, node: &Node, issues: &mut Issues) -> Result<(), Stop> {
    let Kind::Mapping(pairs) = &node.kind else {
        issues.mismatch(node, T::GO_FILLED);
        return Ok(());
    };
    if issues.refuses_repetition(pairs) {
        return Ok(());
    }
    let mut seen = std::collections::HashSet::new();
    for (key, value) in pairs {
        if key.is_merge() {
            merge(section, value, issues)?;
            continue;
        }
        let Some(name) = key.text() else {
            issues.mismatch(key, "string");
            continue;
        };
        if seen.contains(name) {
            issues.repeated_key(key, name, T::GO_FILLED);
        } else if section.set(name, value, issues)? {
            seen.insert(name);
        } else {
            let mut known = Vec::new();
            T::push_keys(&mut known);
            issues.unknown_key(key, name, T::GO_FILLED, &known);
        }
    }
    Ok(())
}

/// `<<`: a mapping, or a list of mappings of which the first wins.
fn merge<T: Section + Keys>(section: &mut T, node: &Node, issues: &mut Issues) -> Result<(), Stop> {
    match &node.kind {
        Kind::Mapping(_) => fill(section, node, issues),
        Kind::Sequence(items) if items.iter().all(|item| matches!(item.kind, Kind::Mapping(_))) => {
            items.iter().rev().try_for_each(|item| fill(section, item, issues))
        }
        _ => Err(Stop::at(node.span, "yaml: map merge requires map or sequence of maps as the value")),
    }
}

/// Declares a section: its names in Go (of the struct, and of the type that is filled, which differs where the
/// struct has an `UnmarshalYAML`), and for each key the field, its type, its name in the file, and whether it is
/// written although it is empty (`keep`). A field of `inline` has its keys in the same mapping.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident $go_name:literal $go_filled:literal {
            $( $(#[$field_meta:meta])* $field:ident: $type:ty = $key:tt $($keep:ident)?, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl $crate::decode::Keys for $name {
            const GO_FILLED: &'static str = $go_filled;

            fn set(
                &mut self,
                key: &str,
                node: &$crate::yaml::Node,
                issues: &mut $crate::decode::Issues,
            ) -> Result<bool, $crate::decode::Stop> {
                $( section!(@set $key, self.$field, key, node, issues); )*
                Ok(false)
            }

            fn push_keys(keys: &mut Vec<&'static str>) {
                $( section!(@keys $key, $type, keys); )*
            }

            fn push_encoded(&self, pairs: &mut Vec<(String, $crate::yaml::Out)>) {
                $( section!(@encode $key, self.$field, pairs, $($keep)?); )*
            }

            fn all_empty(&self) -> bool {
                true $( && $crate::decode::Field::is_empty(&self.$field) )*
            }

            fn set_directories(&mut self, directory: &std::path::Path) {
                $( $crate::decode::Field::set_directory(&mut self.$field, directory); )*
            }
        }

        impl $crate::decode::Field for $name {
            fn go_type() -> String {
                $go_name.into()
            }

            fn decode(
                node: &$crate::yaml::Node,
                issues: &mut $crate::decode::Issues,
            ) -> Result<Option<Self>, $crate::decode::Stop> {
                $crate::decode::decode_section(node, issues)
            }

            fn decode_over(
                &mut self,
                node: &$crate::yaml::Node,
                issues: &mut $crate::decode::Issues,
            ) -> Result<(), $crate::decode::Stop> {
                $crate::decode::decode_section_over(self, node, issues)
            }

            fn is_empty(&self) -> bool {
                $crate::decode::Keys::all_empty(self)
            }

            fn encode(&self) -> $crate::yaml::Out {
                let mut pairs = Vec::new();
                $crate::decode::Keys::push_encoded(self, &mut pairs);
                $crate::yaml::Out::Mapping(pairs)
            }

            fn set_directory(&mut self, directory: &std::path::Path) {
                $crate::decode::Keys::set_directories(self, directory);
            }
        }
    };
    (@set inline, $field:expr, $key:ident, $node:ident, $issues:ident) => {
        if $crate::decode::Keys::set(&mut $field, $key, $node, $issues)? {
            return Ok(true);
        }
    };
    (@set $name:literal, $field:expr, $key:ident, $node:ident, $issues:ident) => {
        if $key == $name {
            if $node.is_null() {
                $field = Default::default();
            } else {
                $crate::decode::Field::decode_over(&mut $field, $node, $issues)?;
            }
            return Ok(true);
        }
    };
    (@keys inline, $type:ty, $keys:ident) => { <$type as $crate::decode::Keys>::push_keys($keys) };
    (@keys $name:literal, $type:ty, $keys:ident) => { $keys.push($name) };
    (@encode inline, $field:expr, $pairs:ident,) => {
        $crate::decode::Keys::push_encoded(&$field, $pairs)
    };
    (@encode $name:literal, $field:expr, $pairs:ident, keep) => {
        $pairs.push(($name.into(), $crate::decode::Field::encode(&$field)))
    };
    (@encode $name:literal, $field:expr, $pairs:ident,) => {
        if !$crate::decode::Field::is_empty(&$field) {
            $pairs.push(($name.into(), $crate::decode::Field::encode(&$field)));
        }
    };
}
pub(crate) use section;

impl Field for String {
    fn go_type() -> String {
        "string".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        if node.text().is_none() {
            issues.mismatch(node, "string");
        }
        Ok(node.text().map(str::to_owned))
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn encode(&self) -> Out {
        Out::Text(without_password(self).unwrap_or_else(|| self.clone()))
    }
}

impl Field for bool {
    fn go_type() -> String {
        "bool".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        if let Some(Resolved::Bool(value)) = resolve(node) {
            return Ok(Some(value));
        }
        issues.mismatch(node, "bool");
        Ok(None)
    }

    fn is_empty(&self) -> bool {
        !self
    }

    fn encode(&self) -> Out {
        Out::Literal(self.to_string())
    }
}

macro_rules! integer {
    ($type:ty, $go:literal) => {
        impl Field for $type {
            fn go_type() -> String {
                $go.into()
            }

            fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
                let value = match resolve(node) {
                    Some(Resolved::Int(n)) => <$type>::try_from(n).ok(),
                    Some(Resolved::Uint(n)) => <$type>::try_from(n).ok(),
                    // Go cuts off the decimals of a number that is in range.
                    Some(Resolved::Float(v)) if v >= <$type>::MIN as f64 && v <= <$type>::MAX as f64 => {
                        Some(v as $type)
                    }
                    _ => None,
                };
                if value.is_none() {
                    issues.mismatch(node, $go);
                }
                Ok(value)
            }

            fn is_empty(&self) -> bool {
                *self == 0
            }

            fn encode(&self) -> Out {
                Out::Literal(self.to_string())
            }
        }
    };
}

integer!(i64, "int64");
integer!(isize, "int");
integer!(u64, "uint64");
integer!(usize, "uint");

impl Field for f64 {
    fn go_type() -> String {
        "float64".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let value = match resolve(node) {
            Some(Resolved::Int(n)) => Some(n as f64),
            Some(Resolved::Uint(n)) => Some(n as f64),
            Some(Resolved::Float(v)) => Some(v),
            _ => None,
        };
        if value.is_none() {
            issues.mismatch(node, "float64");
        }
        Ok(value)
    }

    fn is_empty(&self) -> bool {
        *self == 0.0
    }

    fn encode(&self) -> Out {
        Out::Literal(match self {
            v if v.is_nan() => ".nan".into(),
            v if *v == f64::INFINITY => ".inf".into(),
            v if *v == f64::NEG_INFINITY => "-.inf".into(),
            v => model::number::format_g(*v),
        })
    }
}

/// What may be missing: Go's pointers.
impl<T: Field> Field for Option<T> {
    fn go_type() -> String {
        format!("*{}", T::go_type())
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        Ok(T::decode(node, issues)?.map(Some))
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }

    fn encode(&self) -> Out {
        self.as_ref().map_or(Out::Null, Field::encode)
    }

    fn set_directory(&mut self, directory: &Path) {
        if let Some(inner) = self {
            inner.set_directory(directory);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn go_type() -> String {
        format!("[]{}", T::go_type())
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let Kind::Sequence(items) = &node.kind else {
            issues.mismatch(node, &Self::go_type());
            return Ok(None);
        };
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            // Version 3 leaves nothing for nothing.
            if !(issues.version_3 && item.is_null()) {
                out.extend(value(item, issues)?);
            }
        }
        Ok(Some(out))
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn encode(&self) -> Out {
        Out::Sequence(self.iter().map(Field::encode).collect())
    }

    fn set_directory(&mut self, directory: &Path) {
        for item in self {
            item.set_directory(directory);
        }
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn go_type() -> String {
        format!("map[string]{}", T::go_type())
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        decode_map(node, &Self::go_type(), issues)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn encode(&self) -> Out {
        let mut pairs: Vec<(&String, &T)> = self.iter().collect();
        pairs.sort_by(|a, b| natural_order(a.0, b.0));
        Out::Mapping(pairs.into_iter().map(|(key, item)| (key.clone(), item.encode())).collect())
    }

    fn set_directory(&mut self, directory: &Path) {
        for item in self.values_mut() {
            item.set_directory(directory);
        }
    }
}

/// Reads a mapping with keys of the file's own choice; `go_type` is Go's name of its type.
pub(crate) fn decode_map<T: Field>(
    node: &Node,
    go_type: &str,
    issues: &mut Issues,
) -> Result<Option<BTreeMap<String, T>>, Stop> {
    let Kind::Mapping(pairs) = &node.kind else {
        issues.mismatch(node, go_type);
        return Ok(None);
    };
    if issues.refuses_repetition(pairs) {
        return Ok(None);
    }
    let mut out = BTreeMap::new();
    for (key, item) in pairs {
        if key.is_merge() {
            let merged = decode_map::<T>(item, go_type, issues)?;
            for (name, item) in merged.unwrap_or_default() {
                out.entry(name).or_insert(item);
            }
            continue;
        }
        let name: Option<String> = value(key, issues)?;
        let (Some(name), Some(decoded)) = (name, value(item, issues)?) else { continue };
        if out.contains_key(&name) {
            let line = format!("key {} already set in map", quote(&name));
            issues.push(item, &line, format!("key `{name}` is set twice"), None);
        }
        out.insert(name, decoded);
    }
    Ok(Some(out))
}

/// The order in which Go's YAML package writes the keys of a map: at the first difference runs of digits compare
/// by their value, and letters come after anything else.
fn natural_order(a: &str, b: &str) -> std::cmp::Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(i) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[i], b[i]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return std::cmp::Ordering::Greater,
        (false, true) => return std::cmp::Ordering::Less,
        (false, false) => {}
    }
    // A zero is a digit of the number before it, unless that is zeros alone.
    let digits_before = a[..i].iter().rev().take_while(|c| c.is_ascii_digit());
    let carried = u64::from((x == '0' || y == '0') && digits_before.into_iter().any(|&c| c != '0'));
    let run = |text: &[char]| {
        let digits = text[i..].iter().map_while(|c| c.to_digit(10));
        digits.fold((carried, 0), |(n, len): (u64, usize), digit| {
            (n.wrapping_mul(10).wrapping_add(u64::from(digit)), len + 1)
        })
    };
    run(&a).cmp(&run(&b)).then(x.cmp(&y))
}
