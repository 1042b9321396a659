//! HTML documents: what templates put into them is made harmless for where it stands.

mod attributes;
mod context;
mod contextual;
mod entities;
mod filters;

pub use contextual::EscapeError;
pub(crate) use contextual::escape;
pub(crate) use filters::Filter;
