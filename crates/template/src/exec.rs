//! Executing templates: values, variables and calls as Go's `text/template` has them.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::builtins::{self, Builtin};
use crate::function::{Body, Function, Functions};
use crate::html::Filter;
use crate::number::Number;
use crate::print;
use crate::tree::{Branch, Command, List, Node, Pipe, Term, TermKind, Tree};
use crate::value::{Safe, Type, TypeKind, Value};

/// A template could not be executed to its end. The message is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExecuteError(pub(crate) String);

/// What a map without an entry gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// No value, printed as `<no value>`.
    #[default]
    NoValue,
    /// The zero value of what is in the map.
    Zero,
    /// An end with an error.
    Error,
}

/// How many nodes and pipelines may be executed within one another, those of other templates included: what the
/// stack of a thread has room for.
const MAX_DEPTH: usize = 400;
/// Bytes of output that a template may make.
const MAX_OUTPUT: usize = 64 << 20;
/// Nodes and rounds of loops that may be executed, so that a loop over a large number ends.
const MAX_STEPS: usize = 20_000_000;

type Executed<T> = Result<T, Stop>;

/// Why a list of nodes is left.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(String),
    Break,
    Continue,
}

/// What all templates of one execution share.
pub(crate) struct Execution<'t> {
    pub(crate) trees: &'t BTreeMap<String, Tree>,
    pub(crate) functions: &'t Functions,
    pub(crate) missing_key: MissingKey,
    pub(crate) steps: usize,
    pub(crate) depth: usize,
}

impl<'t> Execution<'t> {
    /// What the template `name` makes of `data`.
    pub(crate) fn execute(&mut self, name: &'t str, data: &Value) -> Result<String, ExecuteError> {
        let Some(tree) = self.trees.get(name) else {
            let name = model::number::quote(name);
            return Err(ExecuteError(format!("template: {name} is an incomplete or empty template")));
        };
        let mut out = String::new();
        let mut state = State::new(self, name, tree, data.clone());
        match state.walk_list(&mut out, data, &tree.root) {
            Ok(()) | Err(Stop::Break | Stop::Continue) => Ok(out),
            Err(Stop::Failed(message)) => Err(ExecuteError(message)),
        }
    }
}

/// One template being executed.
struct State<'e, 't> {
    execution: &'e mut Execution<'t>,
    name: &'t str,
    tree: &'t Tree,
    variables: Vec<(&'t str, Value)>,
    /// What errors name: where it is, and how it is written.
    at: (usize, Option<&'t dyn Display>),
}

impl<'e, 't> State<'e, 't> {
    fn new(execution: &'e mut Execution<'t>, name: &'t str, tree: &'t Tree, data: Value) -> Self {
        State { execution, name, tree, variables: vec![("$", data)], at: (0, None) }
    }

    fn fail<T>(&self, message: impl Display) -> Executed<T> {
        let (at, node) = self.at;
        Err(Stop::Failed(match node {
            None => format!("template: {}: {message}", self.name),
            Some(node) => {
                let place = self.tree.source.place(at);
                format!(
                    "template: {place}: executing {} at <{node}>: {message}",
                    model::number::quote(self.name)
                )
            }
        }))
    }

    fn at(&mut self, at: usize, node: &'t dyn Display) {
        self.at = (at, Some(node));
    }

    fn step(&mut self) -> Executed<()> {
        self.execution.steps += 1;
        if self.execution.steps > MAX_STEPS {
            return self.fail(format!("more than {MAX_STEPS} steps"));
        }
        Ok(())
    }

    fn walk_list(&mut self, out: &mut String, dot: &Value, list: &'t List) -> Executed<()> {
        list.iter().try_for_each(|node| self.walk(out, dot, node))
    }

    fn walk(&mut self, out: &mut String, dot: &Value, node: &'t Node) -> Executed<()> {
        self.step()?;
        self.deeper(|state| state.walk_node(out, dot, node))
    }

    fn deeper<T>(&mut self, execute: impl FnOnce(&mut Self) -> Executed<T>) -> Executed<T> {
        if self.execution.depth == MAX_DEPTH {
            return self.fail(format!("exceeded maximum template depth ({MAX_DEPTH})"));
        }
        self.execution.depth += 1;
        let executed = execute(self);
        self.execution.depth -= 1;
        executed
    }

    fn walk_node(&mut self, out: &mut String, dot: &Value, node: &'t Node) -> Executed<()> {
        if out.len() > MAX_OUTPUT {
            return self.fail(format!("more than {MAX_OUTPUT} bytes of text"));
        }
        match node {
            Node::Text { text } => {
                out.push_str(text);
                Ok(())
            }
            Node::Action { pipe } => {
                self.at(pipe.at, node);
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    push_printed(out, &value);
                }
                Ok(())
            }
            Node::Break { .. } => Err(Stop::Break),
            Node::Continue { .. } => Err(Stop::Continue),
            Node::If(branch) => {
                self.at(branch.at, node);
                self.walk_condition(out, dot, branch, false)
            }
            Node::With(branch) => {
                self.at(branch.at, node);
                self.walk_condition(out, dot, branch, true)
            }
            Node::Range(branch) => {
                self.at(branch.at, node);
                self.walk_range(out, dot, branch)
            }
            Node::Template { at, name, pipe } => {
                self.at(*at, node);
                self.walk_template(out, dot, name, pipe.as_ref())
            }
        }
    }

    fn walk_condition(
        &mut self,
        out: &mut String,
        dot: &Value,
        branch: &'t Branch,
        with: bool,
    ) -> Executed<()> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let walked = if value.is_true() {
            self.walk_list(out, if with { &value } else { dot }, &branch.then)
        } else {
            branch.otherwise.as_ref().map_or(Ok(()), |list| self.walk_list(out, dot, list))
        };
        self.variables.truncate(mark);
        walked
    }

    fn walk_range(&mut self, out: &mut String, dot: &Value, branch: &'t Branch) -> Executed<()> {
        let mark = self.variables.len();
        let over = self.pipeline(dot, &branch.pipe)?;
        let ranged = self.walk_items(out, &over, branch);
        self.variables.truncate(mark);
        match ranged {
            Ok(true) | Err(Stop::Break) => Ok(()),
            Ok(false) => {
                let walked = branch.otherwise.as_ref().map_or(Ok(()), |list| self.walk_list(out, dot, list));
                // A break here ends the range that this one is in.
                self.variables.truncate(mark);
                walked
            }
            Err(stop) => Err(stop),
        }
    }

    /// Whether there was any item.
    fn walk_items(&mut self, out: &mut String, over: &Value, branch: &'t Branch) -> Executed<bool> {
        match over {
            Value::Int(count) | Value::Named(_, count) => {
                self.one_variable_at_most(branch, count)?;
                for number in 0..*count {
                    self.one_item(out, Value::Nil, &Value::Int(number), branch)?;
                }
                Ok(*count > 0)
            }
            Value::Uint(count) => {
                self.one_variable_at_most(branch, count)?;
                for number in 0..*count {
                    self.one_item(out, Value::Nil, &Value::Uint(number), branch)?;
                }
                Ok(*count > 0)
            }
            Value::List(_, items) => {
                for (i, item) in items.iter().enumerate() {
                    self.one_item(out, Value::Int(i as i64), item, branch)?;
                }
                Ok(!items.is_empty())
            }
            Value::Map(_, entries) => {
                for (name, item) in entries.iter() {
                    self.one_item(out, name.as_str().into(), item, branch)?;
                }
                Ok(!entries.is_empty())
            }
            Value::Nil | Value::NilInterface => Ok(false),
            _ => self.fail(format!("range can't iterate over {}", print::text(over))),
        }
    }

    fn one_variable_at_most(&self, branch: &Branch, over: &impl Display) -> Executed<()> {
        if branch.pipe.variables.len() > 1 {
            return self.fail(format!("can't use {over} to iterate over more than one variable"));
        }
        Ok(())
    }

    fn one_item(&mut self, out: &mut String, index: Value, item: &Value, branch: &'t Branch) -> Executed<()> {
        let pipe = &branch.pipe;
        self.step()?;
        let (first, second) = (pipe.variables.first(), pipe.variables.get(1));
        let mark = self.variables.len();
        match (first, second) {
            (Some(first), Some(second)) if pipe.assigns => {
                self.assign(first, index)?;
                self.assign(second, item.clone())?;
            }
            (Some(first), None) if pipe.assigns => self.assign(first, item.clone())?,
            (Some(_), Some(_)) => {
                // Both were declared when the pipeline was evaluated, in their order.
                self.set_from_top(1, item.clone());
                self.set_from_top(2, index);
            }
            (Some(_), None) => self.set_from_top(1, item.clone()),
            (None, _) => {}
        }
        let walked = self.walk_list(out, item, &branch.then);
        self.variables.truncate(mark);
        match walked {
            Err(Stop::Continue) => Ok(()),
            other => other,
        }
    }

    fn assign(&mut self, name: &str, value: Value) -> Executed<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, variable)) => {
                *variable = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn set_from_top(&mut self, nth: usize, value: Value) {
        let at = self.variables.len().checked_sub(nth);
        if let Some((_, variable)) = at.and_then(|at| self.variables.get_mut(at)) {
            *variable = value;
        }
    }

    fn walk_template(
        &mut self,
        out: &mut String,
        dot: &Value,
        name: &'t str,
        pipe: Option<&'t Pipe>,
    ) -> Executed<()> {
        let Some((name, tree)) = self.execution.trees.get_key_value(name) else {
            return self.fail(format!("template {} not defined", model::number::quote(name)));
        };
        let data = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        let mut state = State::new(self.execution, name, tree, data.clone());
        state.walk_list(out, &data, &tree.root)
    }

    fn pipeline(&mut self, dot: &Value, pipe: &'t Pipe) -> Executed<Value> {
        self.at(pipe.at, pipe);
        let mut value = None;
        for command in &pipe.commands {
            value = Some(match self.deeper(|state| state.command(dot, command, value))? {
                Value::NilInterface => Value::Nil,
                value => value,
            });
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// The value of a command; `last` is what the pipeline had before and becomes its last argument.
    fn command(&mut self, dot: &Value, command: &'t Command, last: Option<Value>) -> Executed<Value> {
        let Some((first, arguments)) = command.terms.split_first() else {
            return self.fail("empty command");
        };
        match &first.kind {
            TermKind::Field(fields) => {
                self.at(first.at, first);
                self.fields(dot, dot.clone(), first, fields, arguments, last)
            }
            TermKind::Chain { of, fields } => {
                self.at(first.at, first);
                self.chain(dot, first, of, fields, arguments, last)
            }
            TermKind::Identifier(name) => {
                self.at(first.at, first);
                self.call_named(dot, name, (command.at, command), arguments, last)
            }
            TermKind::Pipe(pipe) => {
                self.refuse_arguments(first, arguments, last.as_ref())?;
                self.pipeline(dot, pipe)
            }
            TermKind::Variable { name, fields } => {
                self.at(first.at, first);
                self.variable(dot, first, name, fields, arguments, last)
            }
            TermKind::Bool(_)
            | TermKind::Dot
            | TermKind::Nil
            | TermKind::Number(_)
            | TermKind::String { .. } => {
                self.at(first.at, first);
                self.refuse_arguments(first, arguments, last.as_ref())?;
                match &first.kind {
                    TermKind::Bool(value) => Ok(Value::Bool(*value)),
                    TermKind::Dot => Ok(dot.clone()),
                    TermKind::Number(number) => self.constant(number),
                    TermKind::String { text, .. } => Ok(Value::String(text.clone())),
                    _ => self.fail("nil is not a command"),
                }
            }
        }
    }

    fn refuse_arguments(&self, first: &Term, arguments: &[Term], last: Option<&Value>) -> Executed<()> {
        if arguments.is_empty() && last.is_none() {
            return Ok(());
        }
        self.fail(format!("can't give argument to non-function {first}"))
    }

    /// A number where any type will do.
    fn constant(&self, number: &Number) -> Executed<Value> {
        match (number.float, number.integer) {
            (Some(float), _) if number.looks_like_float() => Ok(Value::Float(float)),
            (_, Some(integer)) => Ok(Value::Int(integer)),
            _ => self.fail(format!("{} overflows int", number.text)),
        }
    }

    fn chain(
        &mut self,
        dot: &Value,
        term: &'t Term,
        of: &'t Term,
        fields: &'t [String],
        arguments: &'t [Term],
        last: Option<Value>,
    ) -> Executed<Value> {
        if matches!(of.kind, TermKind::Nil) {
            return self.fail(format!("indirection through explicit nil in {term}"));
        }
        let receiver = self.argument(dot, Type::ANY, of)?;
        self.fields(dot, receiver, term, fields, arguments, last)
    }

    fn variable(
        &mut self,
        dot: &Value,
        term: &'t Term,
        name: &str,
        fields: &'t [String],
        arguments: &'t [Term],
        last: Option<Value>,
    ) -> Executed<Value> {
        let Some(value) =
            self.variables.iter().rev().find(|(known, _)| *known == name).map(|(_, v)| v.clone())
        else {
            return self.fail(format!("undefined variable: {name}"));
        };
        if fields.is_empty() {
            self.refuse_arguments(term, arguments, last.as_ref())?;
            return Ok(value);
        }
        self.fields(dot, value, term, fields, arguments, last)
    }

    /// Fields of `receiver`, each of the one before; arguments are the last one's.
    fn fields(
        &mut self,
        dot: &Value,
        receiver: Value,
        term: &'t Term,
        fields: &'t [String],
        arguments: &'t [Term],
        last: Option<Value>,
    ) -> Executed<Value> {
        let Some((name, before)) = fields.split_last() else {
            return Ok(receiver);
        };
        let mut receiver = receiver;
        let mut declared = receiver.type_name();
        for name in before {
            let value = self.field(dot, (&receiver, declared), term, name, &[], None)?;
            declared = if receiver.is_loose(name) { Type::ANY.name } else { value.type_name() };
            receiver = value;
        }
        self.field(dot, (&receiver, declared), term, name, arguments, last)
    }

    /// The field or method `name` of `receiver`, which messages call by its declared type.
    fn field(
        &mut self,
        dot: &Value,
        (receiver, declared): (&Value, &str),
        term: &'t Term,
        name: &'t str,
        arguments: &'t [Term],
        last: Option<Value>,
    ) -> Executed<Value> {
        match receiver {
            Value::Nil if self.execution.missing_key == MissingKey::Error => {
                return self.fail(format!("nil data; no entry for key {}", model::number::quote(name)));
            }
            Value::Nil => return Ok(Value::Nil),
            Value::NilInterface => {
                return self.fail(format!("nil pointer evaluating {declared}.{name}"));
            }
            _ => {}
        }
        let methods = receiver.shape().map_or(&[][..], |shape| shape.methods);
        if let Some(method) = methods.iter().find(|method| method.name == name) {
            let values = self.arguments(dot, name, method.parameters, None, arguments, last)?;
            return match (method.call)(receiver, &values) {
                Ok(value) => Ok(value),
                Err(error) => {
                    self.at(term.at, term);
                    self.fail(format!("error calling {name}: {error}"))
                }
            };
        }
        let has_arguments = !arguments.is_empty() || last.is_some();
        match receiver {
            Value::Struct(_, fields) => {
                if let Some((_, value)) = fields.fields.iter().find(|(known, _)| *known == name) {
                    if has_arguments {
                        return self.fail(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    return Ok(value.clone());
                }
            }
            Value::Map(shape, entries) => {
                if has_arguments {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                return match (entries.get(name), self.execution.missing_key) {
                    (Some(value), _) => Ok(value.clone()),
                    (None, MissingKey::NoValue) => Ok(Value::Nil),
                    (None, MissingKey::Zero) => Ok((shape.missing)()),
                    (None, MissingKey::Error) => {
                        self.fail(format!("map has no entry for key {}", model::number::quote(name)))
                    }
                };
            }
            _ => {}
        }
        self.fail(format!("can't evaluate field {name} in type {declared}"))
    }

    fn call_named(
        &mut self,
        dot: &Value,
        name: &'t str,
        node: (usize, &'t dyn Display),
        arguments: &'t [Term],
        last: Option<Value>,
    ) -> Executed<Value> {
        let functions = self.execution.functions;
        let called = match functions.get(name) {
            Some(function) => {
                let values =
                    self.arguments(dot, name, function.parameters, function.more, arguments, last)?;
                self.call(function, &values)
            }
            None => match Builtin::of(name) {
                Some(Builtin::And | Builtin::Or) => return self.and_or(dot, name, arguments, last),
                Some(Builtin::Call) => {
                    let callee = arguments.first().map(ToString::to_string);
                    let values = self.arguments(
                        dot,
                        name,
                        &[Type::REFLECTED],
                        Some(Type::REFLECTED),
                        arguments,
                        last,
                    )?;
                    builtins::call(callee.as_deref(), &values)
                }
                Some(builtin) => {
                    let (parameters, more) = builtin.signature();
                    let values = self.arguments(dot, name, parameters, more, arguments, last)?;
                    builtin.call(&values)
                }
                None => {
                    let Some(filter) = Filter::of(name) else {
                        return self
                            .fail(format!("{} is not a defined function", model::number::quote(name)));
                    };
                    let values = self.arguments(dot, name, &[], Some(Type::ANY), arguments, last)?;
                    Ok(filter.apply(&values))
                }
            },
        };
        match called {
            Ok(value) => Ok(value),
            Err(error) => {
                self.at(node.0, node.1);
                self.fail(format!("error calling {name}: {error}"))
            }
        }
    }

    fn call(&mut self, function: &Function, values: &[Value]) -> Result<Value, String> {
        match &function.body {
            Body::Call(call) => call(values),
            Body::Execute => {
                let name = values.first().and_then(Value::as_str).unwrap_or_default();
                let Some((known, _)) = self.execution.trees.get_key_value(name) else {
                    let (name, own) = (model::number::quote(name), model::number::quote(self.name));
                    return Err(format!(
                        "html/template: {name} is undefined; no template of that name beside {own}"
                    ));
                };
                let text = self.execution.execute(known, values.get(1).unwrap_or(&Value::Nil));
                text.map(|text| Value::Safe(Safe::Html, text.into())).map_err(|error| error.to_string())
            }
        }
    }

    /// `and` and `or` evaluate no more than they need.
    fn and_or(
        &mut self,
        dot: &Value,
        name: &str,
        arguments: &'t [Term],
        last: Option<Value>,
    ) -> Executed<Value> {
        if arguments.is_empty() && last.is_none() {
            return self.fail(format!("wrong number of args for {name}: want at least 1 got 0"));
        }
        let mut value = Value::Nil;
        for argument in arguments {
            value = self.argument(dot, Type::REFLECTED, argument)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn arguments(
        &mut self,
        dot: &Value,
        name: &str,
        parameters: &'static [Type],
        more: Option<Type>,
        arguments: &'t [Term],
        last: Option<Value>,
    ) -> Executed<Vec<Value>> {
        let given = arguments.len() + usize::from(last.is_some());
        let wanted = parameters.len();
        if more.is_some() && given < wanted {
            let got = arguments.len();
            return self.fail(format!("wrong number of args for {name}: want at least {wanted} got {got}"));
        }
        if more.is_none() && given != wanted {
            return self.fail(format!("wrong number of args for {name}: want {wanted} got {given}"));
        }
        let parameter = |i: usize| parameters.get(i).copied().or(more).unwrap_or(Type::ANY);
        let mut values = Vec::with_capacity(given);
        for (i, argument) in arguments.iter().enumerate() {
            values.push(self.argument(dot, parameter(i), argument)?);
        }
        if let Some(last) = last {
            values.push(self.checked(last, parameter(arguments.len()))?);
        }
        Ok(values)
    }

    /// An argument that must be of type `wanted`.
    fn argument(&mut self, dot: &Value, wanted: Type, term: &'t Term) -> Executed<Value> {
        self.at(term.at, term);
        let value = match &term.kind {
            TermKind::Dot => dot.clone(),
            TermKind::Nil if wanted.is_nillable() => return Ok(wanted.nil()),
            TermKind::Nil => return self.fail(format!("cannot assign nil to {}", wanted.name)),
            TermKind::Field(fields) => self.fields(dot, dot.clone(), term, fields, &[], None)?,
            TermKind::Variable { name, fields } => self.variable(dot, term, name, fields, &[], None)?,
            TermKind::Pipe(pipe) => self.pipeline(dot, pipe)?,
            TermKind::Identifier(name) => self.call_named(dot, name, (term.at, term), &[], None)?,
            TermKind::Chain { of, fields } => self.chain(dot, term, of, fields, &[], None)?,
            TermKind::Bool(_) | TermKind::Number(_) | TermKind::String { .. } => {
                return self.constant_argument(wanted, term);
            }
        };
        self.checked(value, wanted)
    }

    fn constant_argument(&self, wanted: Type, term: &Term) -> Executed<Value> {
        let expected = match (wanted.kind, &term.kind) {
            (TypeKind::Anything | TypeKind::Bool, TermKind::Bool(value)) => return Ok(Value::Bool(*value)),
            (TypeKind::Anything | TypeKind::String, TermKind::String { text, .. }) => {
                return Ok(Value::String(text.clone()));
            }
            (TypeKind::Anything, TermKind::Number(number)) => return self.constant(number),
            (TypeKind::Integer, TermKind::Number(Number { integer: Some(integer), .. })) => {
                return Ok(Value::Int(*integer));
            }
            (TypeKind::Float, TermKind::Number(Number { float: Some(float), .. })) => {
                return Ok(Value::Float(*float));
            }
            (TypeKind::Bool, _) => "bool",
            (TypeKind::String, _) => "string",
            (TypeKind::Integer, _) => "integer",
            (TypeKind::Float, _) => "float",
            _ => return self.fail(format!("can't handle {term} for arg of type {}", wanted.name)),
        };
        self.fail(format!("expected {expected}; found {term}"))
    }

    /// `value`, if it is of type `wanted`.
    fn checked(&self, value: Value, wanted: Type) -> Executed<Value> {
        match &value {
            Value::Nil if wanted.is_nillable() => Ok(wanted.nil()),
            Value::Nil => self.fail(format!("invalid value; expected {}", wanted.name)),
            _ if wanted.kind == TypeKind::Anything || value.type_name() == wanted.name => Ok(value),
            // A pointer is followed where what it points to is wanted.
            _ if value
                .shape()
                .is_some_and(|shape| shape.pointer && shape.name.strip_prefix('*') == Some(wanted.name)) =>
            {
                Ok(value)
            }
            _ => self.fail(format!(
                "wrong type for value; expected {}; got {}",
                wanted.name,
                value.type_name()
            )),
        }
    }
}

impl Type {
    /// Takes the value as it is: what the functions of the language itself take.
    pub(crate) const REFLECTED: Type = Type { name: "reflect.Value", kind: TypeKind::Anything };

    fn is_nillable(self) -> bool {
        matches!(self.kind, TypeKind::Anything | TypeKind::Nillable)
    }

    fn nil(self) -> Value {
        if self.kind == TypeKind::Anything && self != Type::REFLECTED {
            Value::NilInterface
        } else {
            Value::Nil
        }
    }
}

/// What an action leaves in the text.
fn push_printed(out: &mut String, value: &Value) {
    match value {
        Value::Nil => out.push_str("<no value>"),
        Value::String(text) | Value::Safe(_, text) => out.push_str(text),
        _ => out.push_str(&print::followed(value)),
    }
}
