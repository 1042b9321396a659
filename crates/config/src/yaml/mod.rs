//! YAML in and out, the way of Go's YAML package version 2.

pub(crate) mod emit;
mod node;
mod scalar;
mod syntax;
mod text;

pub(crate) use emit::Out;
pub(crate) use node::{Kind, Node, SyntaxError, documents, parse, parse_as_version_3};
pub use node::{Place, Span};
pub(crate) use scalar::{Resolved, resolve, resolve_plain};
pub(crate) use text::{decode as text, shown};
