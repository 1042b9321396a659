//! The program: command line, roles, wiring, reload, shutdown.
fn main() {}
