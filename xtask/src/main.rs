//! Checks of the house rules that a compiler does not make: `cargo xtask tidy`.

mod rust_tokens;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const USAGE: &str =
    "usage: cargo xtask tidy    check crate edges, file lengths, module names and metric names";

#[allow(clippy::print_stdout, clippy::print_stderr)] // a command line's output
fn main() -> ExitCode {
    match run() {
        Ok(violations) if violations.is_empty() => {
            println!("tidy: the house is in order");
            ExitCode::SUCCESS
        }
        Ok(violations) => {
            for violation in &violations {
                eprintln!("{violation}");
            }
            eprintln!("tidy: {} to put right", violations.len());
            ExitCode::FAILURE
        }
        Err(err) => {
            eprintln!("xtask: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Vec<tidy::Violation>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy::check(&workspace_root()?),
        _ => bail!("{USAGE}"),
    }
}

fn workspace_root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies in the workspace root")?.to_path_buf())
}
