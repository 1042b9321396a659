//! Scraping as a whole: discovered groups and HTTP answers in, stored samples and target states out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod exposition_cases;
mod hostile;
mod page_sequences;
mod relabel_cases;
mod running;
mod staleness;
mod support;
mod synthesis;
