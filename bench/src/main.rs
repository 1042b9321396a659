//! Load generator and side-by-side measurement.
fn main() {}
