//! Expands templates, a JSON string on each line, to JSON strings; with an argument as HTML: to compare with another implementation.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::BufRead as _;

#[path = "../tests/setting/mod.rs"]
mod setting;

fn main() {
    let expand = if std::env::args().len() > 1 { setting::expand_html } else { setting::expand };
    for line in std::io::stdin().lock().lines() {
        let template: String = serde_json::from_str(&line.unwrap()).unwrap();
        println!("{}", serde_json::to_string(&expand(&template)).unwrap());
    }
}
