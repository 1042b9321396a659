//! Expands templates, a JSON string on each line, to JSON strings: to compare with another implementation.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::BufRead as _;

#[path = "../tests/setting/mod.rs"]
mod setting;

fn main() {
    for line in std::io::stdin().lock().lines() {
        let template: String = serde_json::from_str(&line.unwrap()).unwrap();
        println!("{}", serde_json::to_string(&setting::expand(&template)).unwrap());
    }
}
