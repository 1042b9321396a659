//! Fixtures, simulated disk, fake API server, reference evaluator (for tests only).

pub mod api_server;
pub mod disk;
mod peers;
pub mod promqltest;
mod random_queries;
mod recordings;
pub mod reference;

pub use peers::{installed, installed_3};
pub use random_queries::RandomQueries;
pub use recordings::{gunzip, load_dataset, shared};
