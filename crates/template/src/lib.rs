//! Go's `text/template` and `html/template`: what alerts, notifications and consoles are written in.
//!
//! Syntax, values, printing and the words of errors are Go's (1.26). Apart from it: complex numbers are refused;
//! nesting, output and the number of steps are bounded, so that no template can take up the stack or run on for ever.

mod builtins;
mod escape;
mod exec;
mod function;
mod html;
mod lex;
mod number;
mod parse;
mod print;
pub mod prometheus;
mod templates;
mod time;
mod tree;
mod value;

pub use exec::{ExecuteError, MissingKey};
pub use function::{Function, Functions};
pub use html::EscapeError;
pub use parse::ParseError;
pub use templates::Templates;
pub use time::{DURATION, DURATION_POINTER, TIME, TIME_POINTER};
pub use value::{
    ANYTHING, ANYTHING_BY_NAME, Fields, Method, STRINGS, STRINGS_BY_NAME, Safe, Shape, Type, Value,
};
