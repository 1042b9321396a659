//! Discovery against services on this machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod clouds;
mod dns;
mod kubernetes;
mod providers;
mod services;
mod support;
mod zookeeper;
