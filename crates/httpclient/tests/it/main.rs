//! Requests against servers on this machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod http2;
mod proxies;
mod requests;
mod support;
mod tls;
mod tokens;
