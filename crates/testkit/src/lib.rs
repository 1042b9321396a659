//! Fixtures, virtual clock, reference evaluator (for tests only).

pub mod promqltest;
mod recordings;
pub mod reference;

pub use recordings::{gunzip, load_dataset, shared};
