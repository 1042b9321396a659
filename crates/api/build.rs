//! A release build embeds the built page: build again when it changes.

fn main() {
    println!("cargo::rerun-if-changed=../../ui/dist");
}
