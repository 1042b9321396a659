//! Functions that templates may call.

use std::collections::BTreeMap;
use std::fmt::{Debug, Formatter};
use std::sync::Arc;

use crate::value::{Type, Value};

type Call = dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync;

/// A function with the types of its arguments.
#[derive(Clone)]
pub struct Function {
    pub(crate) parameters: &'static [Type],
    /// Type of any number of further arguments.
    pub(crate) more: Option<Type>,
    pub(crate) body: Body,
}

#[derive(Clone)]
pub(crate) enum Body {
    Call(Arc<Call>),
    /// Executes the template that the first argument names, with the second as its data.
    Execute,
}

impl Debug for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl Function {
    /// A function of arguments of these types. It is given as many as there are types, and of these types.
    pub fn new(
        parameters: &'static [Type],
        call: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        Function { parameters, more: None, body: Body::Call(Arc::new(call)) }
    }

    /// The same, taking any number of arguments more.
    #[must_use]
    pub fn and_more(self, more: Type) -> Self {
        Function { more: Some(more), ..self }
    }

    /// `tmpl`: executes another template, whose text is safe HTML.
    #[must_use]
    pub fn executing_a_template() -> Self {
        Function { parameters: &[Type::STRING, Type::ANY], more: None, body: Body::Execute }
    }
}

/// Functions by name. Copying is cheap; those common to all templates are shared.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    common: Arc<BTreeMap<&'static str, Function>>,
    own: Vec<(&'static str, Function)>,
}

impl Functions {
    /// These functions.
    #[must_use]
    pub fn new(common: BTreeMap<&'static str, Function>) -> Self {
        Functions { common: Arc::new(common), own: Vec::new() }
    }

    /// One more, in place of another of that name.
    #[must_use]
    pub fn with(mut self, name: &'static str, function: Function) -> Self {
        self.own.push((name, function));
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Function> {
        let own = self.own.iter().rev().find(|(known, _)| *known == name).map(|(_, function)| function);
        own.or_else(|| self.common.get(name))
    }

    /// Their names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> =
            self.common.keys().copied().chain(self.own.iter().map(|(name, _)| *name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
