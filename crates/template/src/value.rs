//! Values that templates work on, with the types that Go would give them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Zoned;

/// A value in a template.
#[derive(Debug, Clone)]
pub enum Value {
    /// No value at all: `{{ . }}` of it prints `<no value>`.
    Nil,
    /// An interface that holds nothing, as of an entry that a map of anything does not have.
    NilInterface,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint64`
    Uint(u64),
    /// `float64`
    Float(f64),
    /// `string`
    String(Arc<str>),
    /// Text of which the author of a template vouches that it is safe as it is.
    Safe(Safe, Arc<str>),
    /// A slice.
    List(&'static Shape, Arc<[Value]>),
    /// A map with strings as keys.
    Map(&'static Shape, Arc<BTreeMap<String, Value>>),
    /// A struct, or a pointer to one.
    Struct(&'static Shape, Arc<Fields>),
    /// A number with a name: a duration, a month.
    Named(&'static Shape, i64),
    /// A point in time, in its zone.
    Time(&'static Shape, Arc<Zoned>),
}

/// What a text is safe for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safe {
    /// A piece of an HTML document.
    Html,
    /// A URL.
    Url,
}

/// The fields of a struct in their order.
#[derive(Debug, Default)]
pub struct Fields {
    /// Names and values.
    pub fields: Vec<(&'static str, Value)>,
    /// How it prints itself, if its type knows how.
    pub text: Option<String>,
}

/// What Go calls a type, and what can be done with its values.
#[derive(Debug)]
pub struct Shape {
    /// As messages name it: `map[string]string`, `*template.sample`.
    pub name: &'static str,
    /// Whether it is a pointer to what it is.
    pub pointer: bool,
    /// What a map has for keys that it does not have.
    pub missing: fn() -> Value,
    /// Fields of a struct that are declared as `interface {}`.
    pub loose: &'static [&'static str],
    /// How a [`Value::Named`] prints itself.
    pub text: fn(i64) -> String,
    /// Its methods.
    pub methods: &'static [Method],
}

impl Shape {
    /// A type that has a name only; the rest is set by struct update.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Shape {
            name,
            pointer: false,
            missing: || Value::NilInterface,
            loose: &[],
            text: |number| number.to_string(),
            methods: &[],
        }
    }
}

/// `map[string]string`
pub static STRINGS_BY_NAME: Shape =
    Shape { missing: || Value::String("".into()), ..Shape::named("map[string]string") };
/// `map[string]interface {}`
pub static ANYTHING_BY_NAME: Shape = Shape::named("map[string]interface {}");
/// `[]string`
pub static STRINGS: Shape = Shape::named("[]string");
/// `[]interface {}`
pub static ANYTHING: Shape = Shape::named("[]interface {}");

/// A method: it gets the value that it is of and the arguments.
#[derive(Debug)]
pub struct Method {
    /// Its name, in capitals as Go exports it.
    pub name: &'static str,
    /// Types of its arguments.
    pub parameters: &'static [Type],
    /// What it does.
    pub call: fn(&Value, &[Value]) -> Result<Value, String>,
}

/// The type of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type {
    pub(crate) name: &'static str,
    pub(crate) kind: TypeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeKind {
    /// Takes anything, constants with the type that they have by themselves.
    Anything,
    Bool,
    Integer,
    Float,
    String,
    /// Has a nil: slices, maps, pointers.
    Nillable,
    Other,
}

impl Type {
    /// `interface {}`
    pub const ANY: Type = Type { name: "interface {}", kind: TypeKind::Anything };
    /// `string`
    pub const STRING: Type = Type { name: "string", kind: TypeKind::String };
    /// `int`
    pub const INT: Type = Type { name: "int", kind: TypeKind::Integer };
    /// `float64`
    pub const FLOAT: Type = Type { name: "float64", kind: TypeKind::Float };
    /// `bool`
    pub const BOOL: Type = Type { name: "bool", kind: TypeKind::Bool };

    /// A slice, map or pointer of that name.
    #[must_use]
    pub const fn nillable(name: &'static str) -> Self {
        Type { name, kind: TypeKind::Nillable }
    }

    /// Any other type of that name.
    #[must_use]
    pub const fn other(name: &'static str) -> Self {
        Type { name, kind: TypeKind::Other }
    }
}

impl Value {
    /// `map[string]string`
    #[must_use]
    pub fn strings_by_name<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::Map(&STRINGS_BY_NAME, Arc::new(pairs.collect()))
    }

    /// What Go calls its type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::NilInterface => "interface {}",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint64",
            Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::Safe(Safe::Html, _) => "template.HTML",
            Value::Safe(Safe::Url, _) => "template.URL",
            Value::List(shape, _)
            | Value::Map(shape, _)
            | Value::Struct(shape, _)
            | Value::Named(shape, _)
            | Value::Time(shape, _) => shape.name,
        }
    }

    pub(crate) fn shape(&self) -> Option<&'static Shape> {
        match self {
            Value::List(shape, _)
            | Value::Map(shape, _)
            | Value::Struct(shape, _)
            | Value::Named(shape, _)
            | Value::Time(shape, _) => Some(shape),
            _ => None,
        }
    }

    /// What conditions take for true: whatever is not empty or zero.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil | Value::NilInterface => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Named(shape, value) => shape.pointer || *value != 0,
            Value::Uint(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::String(text) | Value::Safe(_, text) => !text.is_empty(),
            Value::List(_, items) => !items.is_empty(),
            Value::Map(_, entries) => !entries.is_empty(),
            Value::Struct(..) | Value::Time(..) => true,
        }
    }

    /// The text of a string, of whatever named type.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Safe(_, text) => Some(text),
            _ => None,
        }
    }

    /// Whether what it has under `name` is declared as `interface {}`, whatever is in it.
    pub(crate) fn is_loose(&self, name: &str) -> bool {
        match self {
            Value::Map(shape, _) => matches!((shape.missing)(), Value::NilInterface),
            Value::Struct(shape, _) => shape.loose.contains(&name),
            _ => false,
        }
    }

    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Value::Nil | Value::NilInterface)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}
