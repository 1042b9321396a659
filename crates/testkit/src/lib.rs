//! Fixtures, virtual clock, reference evaluator (for tests only).

mod recordings;

pub use recordings::{HistogramNames, gunzip, load_dataset, shared};
