//! Templates parsed together, which can execute one another.

use std::collections::BTreeMap;

use crate::builtins::Builtin;
use crate::exec::{ExecuteError, Execution, MissingKey};
use crate::function::Functions;
use crate::html::{EscapeError, escape};
use crate::parse::{ParseError, parse};
use crate::tree::Tree;
use crate::value::Value;

/// Parsed templates by name.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    trees: BTreeMap<String, Tree>,
}

impl Templates {
    /// The template `name` with what it defines.
    ///
    /// # Errors
    /// When `text` is no template, or uses a function that is not there.
    pub fn parse(name: &str, text: &str, functions: &Functions) -> Result<Self, ParseError> {
        let mut templates = Templates::default();
        templates.add(name, text, functions)?;
        Ok(templates)
    }

    /// One more template, with what it defines; it takes the place of those of the same names.
    ///
    /// # Errors
    /// As [`Templates::parse`]; then nothing is added.
    pub fn add(&mut self, name: &str, text: &str, functions: &Functions) -> Result<(), ParseError> {
        let is_function = |name: &str| Builtin::of(name).is_some() || functions.get(name).is_some();
        parse(name, text, &is_function, &mut self.trees)
    }

    /// The same templates, such that what `name` puts into an HTML document is harmless where it stands.
    ///
    /// # Errors
    /// When a template does not say where in a document it is: branches that end in different places, unfinished tags.
    pub fn for_html(&self, name: &str) -> Result<Self, EscapeError> {
        Ok(Templates { trees: escape(&self.trees, name)? })
    }

    /// What the template `name` makes of `data`.
    ///
    /// # Errors
    /// When a function fails or a value is not of the type that is wanted.
    pub fn execute(
        &self,
        name: &str,
        functions: &Functions,
        missing_key: MissingKey,
        data: &Value,
    ) -> Result<String, ExecuteError> {
        let mut execution = Execution { trees: &self.trees, functions, missing_key, steps: 0, depth: 0 };
        match self.trees.get_key_value(name) {
            Some((name, _)) => execution.execute(name, data),
            None => Err(ExecuteError(format!("template: no template {}", model::number::quote(name)))),
        }
    }
}
