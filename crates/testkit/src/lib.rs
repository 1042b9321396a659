//! Fixtures, simulated disk, reference evaluator (for tests only).

pub mod disk;
pub mod promqltest;
mod recordings;
pub mod reference;

pub use recordings::{gunzip, load_dataset, shared};
