//! Requests go in, and what is stored and answered is what Prometheus stores and answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod encoding;
mod formats;
mod limits;
mod recordings;
mod store;
