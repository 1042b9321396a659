//! The checks, one module each; this file walks the tree and puts their findings together.

mod edges;
mod file_length;
mod metric_names;
mod module_names;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// One finding: where, what is wrong and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A file of the checkout: its path relative to the root, with `/`, and its text.
struct SourceFile {
    path: String,
    text: String,
}

/// Runs every check on the checkout at `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Violation>> {
    let rust = rust_sources(root)?;
    let ui = files_below(root, "ui/src", &["ts", "tsx", "css"])?;
    let map = read(root, "ARCHITECTURE.md")?;
    let manifests = manifests(root)?;

    let mut violations = edges::check(&map, &manifests);
    for file in rust.iter().chain(&ui) {
        violations.extend(file_length::check(file));
        violations.extend(module_names::check(&file.path));
    }
    for file in &rust {
        violations.extend(metric_names::check(file));
    }
    violations.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(violations)
}

fn manifests(root: &Path) -> Result<Vec<SourceFile>> {
    let crates = crate_directories(root)?;
    crates.iter().map(|directory| read(root, &format!("{directory}/Cargo.toml"))).collect()
}

fn rust_sources(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for directory in crate_directories(root)? {
        files.extend(files_below(root, &format!("{directory}/src"), &["rs"])?);
    }
    Ok(files)
}

/// Every crate of the workspace: the rooms under `crates/`, and the tools beside them.
fn crate_directories(root: &Path) -> Result<Vec<String>> {
    let mut directories = vec!["bench".to_owned(), "xtask".to_owned()];
    for entry in fs::read_dir(root.join("crates")).context("crates/")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        directories.push(format!("crates/{name}"));
    }
    directories.retain(|directory| root.join(directory).join("Cargo.toml").is_file());
    directories.sort();
    Ok(directories)
}

/// Files under `directory` with one of the extensions; none if the directory is not there.
fn files_below(root: &Path, directory: &str, extensions: &[&str]) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(root.join(&directory)) else { continue };
        for entry in entries {
            let entry = entry?;
            let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.rsplit_once('.').is_some_and(|(_, e)| extensions.contains(&e)) {
                files.push(read(root, &path)?);
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read(root: &Path, path: &str) -> Result<SourceFile> {
    let text = fs::read_to_string(root.join(path)).with_context(|| path.to_owned())?;
    Ok(SourceFile { path: path.to_owned(), text })
}

/// Whether a file holds nothing but tests.
fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.contains("/tests/") || name == "tests.rs" || name.contains(".test.")
}

/// The lines of a file before its closing `#[cfg(test)] mod tests { … }`.
fn production_part(text: &str) -> &str {
    let mut offset = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let opens_tests = line.trim_end() == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.trim_end().ends_with('{'));
        if opens_tests {
            return &text[..offset];
        }
        offset += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_at_the_end_are_not_production() {
        let cases = [
            ("a\n\n#[cfg(test)]\nmod tests {\n    b\n}\n", "a\n\n"),
            ("a\n#[cfg(test)]\nmod tests;\nb\n", "a\n#[cfg(test)]\nmod tests;\nb\n"),
            ("a\n#[cfg(test)]\nfn only_for_tests() {}\n", "a\n#[cfg(test)]\nfn only_for_tests() {}\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(production_part(text), expected);
        }
    }

    #[test]
    fn this_checkout_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let paths: Vec<String> = rust_sources(root).unwrap().into_iter().map(|f| f.path).collect();
        assert!(paths.contains(&"xtask/src/tidy.rs".to_owned()));
        assert!(manifests(root).unwrap().iter().any(|m| m.path == "crates/model/Cargo.toml"));
    }
}
