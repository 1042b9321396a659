//! PromQL: lexer → parser → plan → evaluate, over [`storage::Select`]. Synchronous; no I/O, no clock.

pub mod ast;
pub mod functions;
