//! What a template was parsed to. Printing a node gives it as the messages of Go quote it.

use std::fmt::{Display, Formatter, Result, Write as _};
use std::sync::Arc;

use crate::number::Number;

/// A text that templates were parsed from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// `name:line:byte` of byte `at`; bytes of the line count from 0.
    pub(crate) fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let byte = before.rfind('\n').map_or(before.len(), |newline| before.len() - newline - 1);
        format!("{}:{}:{}", self.name, 1 + before.matches('\n').count(), byte)
    }
}

/// One named template.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) source: Arc<Source>,
    pub(crate) root: List,
}

pub(crate) type List = Vec<Node>;

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text { text: Arc<str> },
    Action { pipe: Pipe },
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template { at: usize, name: String, pipe: Option<Pipe> },
    Break { at: usize },
    Continue { at: usize },
}

/// What `if`, `with` and `range` have in common.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) at: usize,
    pub(crate) pipe: Pipe,
    pub(crate) then: List,
    pub(crate) otherwise: Option<List>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    /// Variables that take the value: `$x := …`, or if `assigns`, `$x = …`.
    pub(crate) variables: Vec<String>,
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// A function, method or value with its arguments; never empty.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) terms: Vec<Term>,
}

#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) at: usize,
    pub(crate) kind: TermKind,
}

#[derive(Debug, Clone)]
pub(crate) enum TermKind {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    String {
        quoted: String,
        text: Arc<str>,
    },
    Identifier(String),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable {
        name: String,
        fields: Vec<String>,
    },
    /// `(pipeline)`
    Pipe(Box<Pipe>),
    /// `(pipeline).a.b`
    Chain {
        of: Box<Term>,
        fields: Vec<String>,
    },
}

fn write_fields(f: &mut Formatter<'_>, fields: &[String]) -> Result {
    fields.iter().try_for_each(|field| write!(f, ".{field}"))
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.kind {
            TermKind::Bool(value) => write!(f, "{value}"),
            TermKind::Dot => f.write_char('.'),
            TermKind::Nil => f.write_str("nil"),
            TermKind::Number(number) => f.write_str(&number.text),
            TermKind::String { quoted, .. } => f.write_str(quoted),
            TermKind::Identifier(name) => f.write_str(name),
            TermKind::Field(fields) => write_fields(f, fields),
            TermKind::Variable { name, fields } => {
                f.write_str(name)?;
                write_fields(f, fields)
            }
            TermKind::Pipe(pipe) => write!(f, "{pipe}"),
            TermKind::Chain { of, fields } => {
                match &of.kind {
                    TermKind::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{of}")?,
                }
                write_fields(f, fields)
            }
        }
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (i, term) in self.terms.iter().enumerate() {
            if i > 0 {
                f.write_char(' ')?;
            }
            match &term.kind {
                TermKind::Pipe(pipe) => write!(f, "({pipe})")?,
                _ => write!(f, "{term}")?,
            }
        }
        Ok(())
    }
}

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Node::Text { text } => f.write_str(text),
            Node::Action { pipe } => write!(f, "{{{{{pipe}}}}}"),
            Node::If(branch) => branch.write("if", f),
            Node::With(branch) => branch.write("with", f),
            Node::Range(branch) => branch.write("range", f),
            Node::Template { name, pipe, .. } => {
                write!(f, "{{{{template {}", model::number::quote(name))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Node::Break { .. } => f.write_str("{{break}}"),
            Node::Continue { .. } => f.write_str("{{continue}}"),
        }
    }
}

impl Branch {
    fn write(&self, word: &str, f: &mut Formatter<'_>) -> Result {
        write!(f, "{{{{{word} {}}}}}", self.pipe)?;
        self.then.iter().try_for_each(|node| write!(f, "{node}"))?;
        if let Some(otherwise) = &self.otherwise {
            f.write_str("{{else}}")?;
            otherwise.iter().try_for_each(|node| write!(f, "{node}"))?;
        }
        f.write_str("{{end}}")
    }
}
