//! The programs that tests compare with, where they are installed.

use std::path::PathBuf;
use std::process::Command;

/// The files of a program: what the variable names, then those on `PATH`.
pub fn installed(program: &str, variable: &str) -> impl Iterator<Item = PathBuf> {
    let named = std::env::var_os(variable).filter(|file| !file.is_empty()).map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&paths).map(|dir| dir.join(program)).collect();
    named.into_iter().chain(on_path.into_iter().filter(|file| file.is_file()))
}

/// The first of them that is not of version 2, which does not know all that is in a data directory.
#[must_use]
pub fn installed_3(program: &str, variable: &str) -> Option<PathBuf> {
    installed(program, variable).find(|file| {
        let output = Command::new(file).arg("--version").output();
        output.is_ok_and(|o| !String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).contains("version 2."))
    })
}
