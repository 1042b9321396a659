//! Why a tool ends without having done its work.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

/// See the module.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads our output any more, which is no error.
    ReaderGone,
    /// To be told to the user, as it is.
    Told(String),
}

impl Failure {
    /// With what Prometheus says was being done.
    pub(crate) fn during(what: &str, cause: impl fmt::Display) -> Self {
        Failure::Told(format!("{what}: {cause}"))
    }

    /// As about an argument that is wrong.
    pub(crate) fn usage(what: &str) -> Self {
        Failure::Told(format!("binnacle: error: {what}"))
    }

    /// A system call on a path, in Go's words: `stat data: no such file or directory`.
    pub(crate) fn call(call: &str, path: &Path, error: &io::Error) -> Self {
        Failure::Told(in_gos_words(call, path, error))
    }

    /// Writing to standard output has failed.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::during("writing the output", lower_case(error)),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Told(error.to_string())
    }
}

/// `stat data: no such file or directory`
pub(crate) fn in_gos_words(call: &str, path: &Path, error: &io::Error) -> String {
    format!("{call} {}: {}", path.display(), lower_case(error))
}

/// Why a file cannot be read, in Go's words.
pub(crate) fn reading(path: &Path, error: &io::Error) -> String {
    // A directory can be opened, and then not be read.
    let call = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
    in_gos_words(call, path, error)
}

/// What the system says, as Go writes it: without capital and number.
fn lower_case(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Says something on standard error.
pub(crate) fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Prints a text on standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_told_in_gos_words() {
        let cases = [
            (rustix::io::Errno::NOENT, "no such file or directory"),
            (rustix::io::Errno::ACCESS, "permission denied"),
            (rustix::io::Errno::NOTDIR, "not a directory"),
            (rustix::io::Errno::NOSPC, "no space left on device"),
        ];
        for (errno, want) in cases {
            let error = io::Error::from(errno);
            assert_eq!(in_gos_words("stat", Path::new("a/b"), &error), format!("stat a/b: {want}"));
        }
    }
}
