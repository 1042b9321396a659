//! Checks of the house rules that a compiler does not make.
fn main() {}
