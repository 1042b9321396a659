//! Fixtures, virtual clock, reference evaluator (for tests only).

pub mod promqltest;
mod recordings;
pub mod reference;

pub use recordings::{HistogramNames, gunzip, load_dataset, shared};
