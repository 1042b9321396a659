//! A little data of all kinds, functions that give and take it, and what a template makes of them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use template::{
    ANYTHING_BY_NAME, DURATION_POINTER, Fields, Function, Functions, MissingKey, STRINGS, Safe, Shape,
    TIME_POINTER, Templates, Type, Value,
};

static SAMPLE: Shape = Shape { pointer: true, loose: &["Value"], ..Shape::named("*main.sample") };

fn strings(texts: &[&str]) -> Value {
    Value::List(&STRINGS, texts.iter().map(|text| Value::from(*text)).collect())
}

fn anything(entries: Vec<(&str, Value)>) -> Value {
    Value::Map(&ANYTHING_BY_NAME, Arc::new(entries.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()))
}

fn text(values: &[Value]) -> String {
    values.first().and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn functions() -> Functions {
    let time: jiff::Timestamp = "2023-11-14T22:13:20.123456789Z".parse().unwrap();
    let time = Arc::new(time.to_zoned(jiff::tz::TimeZone::UTC));
    Functions::new(BTreeMap::from([
        ("strings", Function::new(&[], |_| Ok(strings(&["a", "<b>", "c\"d"])))),
        (
            "sample",
            Function::new(&[], |_| {
                let labels = Value::strings_by_name([("x", "1"), ("y", "é")]);
                let fields = vec![("Labels", labels), ("Value", Value::Float(1.5))];
                Ok(Value::Struct(&SAMPLE, Arc::new(Fields { fields, text: None })))
            }),
        ),
        (
            "numbers",
            Function::new(&[], |_| {
                Ok(anything(vec![
                    ("i", Value::Int(1)),
                    ("f", Value::Float(1e21)),
                    ("s", "x".into()),
                    ("n", Value::NilInterface),
                    ("l", strings(&["p"])),
                ]))
            }),
        ),
        ("dur", Function::new(&[], |_| Ok(Value::Named(&DURATION_POINTER, 90_000_000_000)))),
        ("tm", Function::new(&[], move |_| Ok(Value::Time(&TIME_POINTER, time.clone())))),
        ("safe", Function::new(&[Type::STRING], |values| Ok(Value::Safe(Safe::Html, text(values).into())))),
        ("fl", Function::new(&[Type::FLOAT], |values| Ok(values[0].clone()))),
        ("in", Function::new(&[Type::INT], |values| Ok(values[0].clone()))),
        ("st", Function::new(&[Type::STRING], |values| Ok(values[0].clone()))),
        ("bo", Function::new(&[Type::BOOL], |values| Ok(values[0].clone()))),
        (
            "two",
            Function::new(&[Type::STRING, Type::INT], |values| match &values[1] {
                Value::Int(number) => Ok(format!("{}{number}", text(values)).into()),
                _ => Err("no integer".into()),
            }),
        ),
        ("fail", Function::new(&[], |_| Err("it failed".into()))),
    ]))
}

/// What `template` makes of the data; `ERR ` and the message if it cannot be executed.
pub(crate) fn expand(template: &str) -> String {
    made(template, Templates::execute)
}

/// What `template` makes of the data as a document.
pub(crate) fn expand_html(template: &str) -> String {
    made(template, |templates, name, functions, missing_key, data| match templates.for_html(name) {
        Ok(templates) => templates.execute(name, functions, missing_key, data),
        Err(error) => Ok(format!("ERR {error}")),
    })
}

type Execute = fn(&Templates, &str, &Functions, MissingKey, &Value) -> Result<String, template::ExecuteError>;

fn made(template: &str, execute: Execute) -> String {
    let functions = functions();
    let data = anything(vec![
        ("A", Value::Int(1)),
        ("B", "b<>&\"'".into()),
        ("C", Value::strings_by_name([("k", "v")])),
        ("D", strings(&["x", "y"])),
        ("E", Value::Float(2.5)),
        ("F", Value::Bool(true)),
        ("G", Value::NilInterface),
    ]);
    let made = match Templates::parse("t", template, &functions) {
        Ok(templates) => {
            execute(&templates, "t", &functions, MissingKey::Zero, &data).map_err(|e| e.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    made.unwrap_or_else(|error| format!("ERR {error}"))
}
