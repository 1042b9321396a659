//! The functions that the language has by itself.

use std::cmp::Ordering;
use std::sync::Arc;

use model::go_url;

use crate::escape;
use crate::print;
use crate::value::{Type, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    Slice,
    UrlQuery,
}

type Called = Result<Value, String>;

impl Builtin {
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Builtin::And,
            "call" => Builtin::Call,
            "eq" => Builtin::Eq,
            "ge" => Builtin::Ge,
            "gt" => Builtin::Gt,
            "html" => Builtin::Html,
            "index" => Builtin::Index,
            "js" => Builtin::Js,
            "le" => Builtin::Le,
            "len" => Builtin::Len,
            "lt" => Builtin::Lt,
            "ne" => Builtin::Ne,
            "not" => Builtin::Not,
            "or" => Builtin::Or,
            "print" => Builtin::Print,
            "printf" => Builtin::Printf,
            "println" => Builtin::Println,
            "slice" => Builtin::Slice,
            "urlquery" => Builtin::UrlQuery,
            _ => return None,
        })
    }

    /// Types of its arguments, and of any more.
    pub(crate) fn signature(self) -> (&'static [Type], Option<Type>) {
        const ONE: &[Type] = &[Type::REFLECTED];
        const TWO: &[Type] = &[Type::REFLECTED, Type::REFLECTED];
        match self {
            Builtin::Len | Builtin::Not => (ONE, None),
            Builtin::Ne | Builtin::Lt | Builtin::Le | Builtin::Gt | Builtin::Ge => (TWO, None),
            Builtin::Eq | Builtin::Index | Builtin::Slice | Builtin::And | Builtin::Or | Builtin::Call => {
                (ONE, Some(Type::REFLECTED))
            }
            Builtin::Printf => (&[Type::STRING], Some(Type::ANY)),
            Builtin::Html | Builtin::Js | Builtin::Print | Builtin::Println | Builtin::UrlQuery => {
                (&[], Some(Type::ANY))
            }
        }
    }

    pub(crate) fn call(self, values: &[Value]) -> Called {
        let (first, rest) = values.split_first().unwrap_or((&Value::Nil, &[]));
        let second = rest.first().unwrap_or(&Value::Nil);
        match self {
            Builtin::And | Builtin::Or => Ok(first.clone()),
            Builtin::Call => call(None, values),
            Builtin::Eq => equals_any(first, rest).map(Value::Bool),
            Builtin::Ne => equals_any(first, rest).map(|equal| Value::Bool(!equal)),
            Builtin::Lt => less(first, second).map(Value::Bool),
            Builtin::Le => less_or_equal(first, second).map(Value::Bool),
            Builtin::Gt => less_or_equal(first, second).map(|le| Value::Bool(!le)),
            Builtin::Ge => less(first, second).map(|less| Value::Bool(!less)),
            Builtin::Not => Ok(Value::Bool(!first.is_true())),
            Builtin::Len => length(first).map(|length| Value::Int(length as i64)),
            Builtin::Index => index(first, rest),
            Builtin::Slice => slice(first, rest),
            Builtin::Html => Ok(escape::html(&joined(values)).into()),
            Builtin::Js => Ok(escape::js(&joined(values)).into()),
            Builtin::UrlQuery => Ok(go_url::query_escaped(&joined(values)).into()),
            Builtin::Print => Ok(print::sprint(values).into()),
            Builtin::Println => Ok(print::sprintln(values).into()),
            Builtin::Printf => Ok(print::sprintf(first.as_str().unwrap_or_default(), rest).into()),
        }
    }
}

/// The arguments of an escaping function as one text.
fn joined(values: &[Value]) -> String {
    match values {
        [Value::String(text)] => text.to_string(),
        [Value::Nil | Value::NilInterface] => "<no value>".into(),
        _ => print::sprint(values),
    }
}

/// `call`: there are no values that are functions.
pub(crate) fn call(callee: Option<&str>, values: &[Value]) -> Called {
    match values.first() {
        None | Some(Value::Nil | Value::NilInterface) => Err("call of nil".into()),
        Some(value) => {
            let written = callee.map_or_else(|| format!("<{} Value>", value.type_name()), str::to_owned);
            Err(format!("non-function {written} of type {}", value.type_name()))
        }
    }
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text) | Value::Safe(_, text) => Ok(text.len()),
        Value::List(_, items) => Ok(items.len()),
        Value::Map(_, entries) => Ok(entries.len()),
        Value::Nil => Err("reflect: call of reflect.Value.Type on zero Value".into()),
        Value::NilInterface => Err("len of nil pointer".into()),
        _ => Err(format!("len of type {}", value.type_name().trim_start_matches('*'))),
    }
}

/// An index into something of `length` items; the end is one, too.
fn position(value: &Value, length: usize) -> Result<usize, String> {
    let number = match value {
        Value::Int(number) | Value::Named(_, number) => *number,
        Value::Uint(number) => *number as i64,
        Value::Nil | Value::NilInterface => return Err("cannot index slice/array with nil".into()),
        _ => return Err(format!("cannot index slice/array with type {}", value.type_name())),
    };
    usize::try_from(number)
        .ok()
        .filter(|at| *at <= length)
        .ok_or_else(|| format!("index out of range: {number}"))
}

fn index(value: &Value, indexes: &[Value]) -> Called {
    if value.is_nil() {
        return Err("index of untyped nil".into());
    }
    let mut item = value.clone();
    for at in indexes {
        item = match &item {
            Value::Nil | Value::NilInterface => return Err("index of nil pointer".into()),
            Value::List(_, items) => {
                let at = position(at, items.len())?;
                items.get(at).cloned().ok_or("reflect: slice index out of range")?
            }
            Value::String(text) | Value::Safe(_, text) => {
                let at = position(at, text.len())?;
                let byte = text.as_bytes().get(at).ok_or("reflect: string index out of range")?;
                Value::Uint(u64::from(*byte))
            }
            Value::Map(shape, entries) => match at {
                Value::String(name) | Value::Safe(_, name) => {
                    entries.get(&**name).cloned().unwrap_or_else(shape.missing)
                }
                Value::Nil | Value::NilInterface => {
                    return Err("value is nil; should be of type string".into());
                }
                other => return Err(format!("value has type {}; should be string", other.type_name())),
            },
            other => {
                return Err(format!(
                    "can't index item of type {}",
                    other.type_name().trim_start_matches('*')
                ));
            }
        };
    }
    Ok(item)
}

fn slice(value: &Value, indexes: &[Value]) -> Called {
    let length = match value {
        Value::Nil | Value::NilInterface => return Err("slice of untyped nil".into()),
        _ if indexes.len() > 3 => return Err(format!("too many slice indexes: {}", indexes.len())),
        Value::String(_) | Value::Safe(..) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".into());
        }
        Value::String(text) | Value::Safe(_, text) => text.len(),
        Value::List(_, items) => items.len(),
        other => {
            return Err(format!("can't slice item of type {}", other.type_name().trim_start_matches('*')));
        }
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, capacity] = bounds;
    for (low, high) in [(from, to), (to, capacity)] {
        if low > high {
            return Err(format!("invalid slice index: {low} > {high}"));
        }
    }
    match value {
        Value::List(shape, items) => Ok(Value::List(shape, items.get(from..to).unwrap_or_default().into())),
        _ => {
            let bytes = value.as_str().and_then(|text| text.as_bytes().get(from..to)).unwrap_or_default();
            let text: Arc<str> = String::from_utf8_lossy(bytes).into();
            Ok(match value {
                Value::Safe(safe, _) => Value::Safe(*safe, text),
                _ => Value::String(text),
            })
        }
    }
}

/// What a value is compared as.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Basic<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    String(&'a str),
}

fn basic(value: &Value) -> Option<Basic<'_>> {
    match value {
        Value::Bool(value) => Some(Basic::Bool(*value)),
        Value::Int(number) => Some(Basic::Int(*number)),
        Value::Named(shape, number) if !shape.pointer => Some(Basic::Int(*number)),
        Value::Uint(number) => Some(Basic::Uint(*number)),
        Value::Float(number) => Some(Basic::Float(*number)),
        Value::String(text) | Value::Safe(_, text) => Some(Basic::String(text)),
        _ => None,
    }
}

fn incompatible<T>(a: &Value, b: &Value) -> Result<T, String> {
    Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
}

fn equals_any(value: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equals(value, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals(a: &Value, b: &Value) -> Result<bool, String> {
    match (basic(a), basic(b)) {
        (Some(Basic::Int(a)), Some(Basic::Uint(b))) | (Some(Basic::Uint(b)), Some(Basic::Int(a))) => {
            Ok(u64::try_from(a) == Ok(b))
        }
        (Some(x), Some(y)) if std::mem::discriminant(&x) == std::mem::discriminant(&y) => Ok(x == y),
        (None, None) => equals_by_identity(a, b),
        _ if a.is_nil() || b.is_nil() => Ok(false),
        _ => incompatible(a, b),
    }
}

/// What has no basic kind: nothing equals nothing, pointers are equal to themselves, slices and maps cannot be compared.
fn equals_by_identity(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        _ if a.is_nil() || b.is_nil() => Ok(a.is_nil() == b.is_nil()),
        (Value::Struct(_, a), Value::Struct(_, b)) => Ok(Arc::ptr_eq(a, b)),
        (Value::Named(_, a), Value::Named(_, b)) => Ok(std::ptr::eq(a, b)),
        (Value::Time(_, a), Value::Time(_, b)) => Ok(Arc::ptr_eq(a, b) || a == b),
        (Value::List(..), Value::List(..)) | (Value::Map(..), Value::Map(..)) => {
            Err(format!("non-comparable type {}: {}", print::text(b), b.type_name()))
        }
        _ => {
            let (a_name, b_name) = (a.type_name(), b.type_name());
            let (a, b) = (print::text(a), print::text(b));
            Err(format!("non-comparable types {a}: {a_name}, {b_name}: {b}"))
        }
    }
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    let (Some(x), Some(y)) = (basic(a), basic(b)) else {
        return Err("invalid type for comparison".into());
    };
    let order = match (x, y) {
        (Basic::Bool(_), Basic::Bool(_)) => return Err("invalid type for comparison".into()),
        (Basic::Int(x), Basic::Uint(y)) => Some(i128::from(x).cmp(&i128::from(y))),
        (Basic::Uint(x), Basic::Int(y)) => Some(i128::from(x).cmp(&i128::from(y))),
        (Basic::Int(x), Basic::Int(y)) => Some(x.cmp(&y)),
        (Basic::Uint(x), Basic::Uint(y)) => Some(x.cmp(&y)),
        (Basic::Float(x), Basic::Float(y)) => x.partial_cmp(&y),
        (Basic::String(x), Basic::String(y)) => Some(x.cmp(y)),
        _ => return incompatible(a, b),
    };
    Ok(order == Some(Ordering::Less))
}

fn less_or_equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(less(a, b)? || equals(a, b)?)
}
