//! A file of 800 lines is two files.

use super::{SourceFile, Violation, is_test_file, production_part};

const LONGEST: usize = 800;

/// Complains about a production file that is too long. The tests at its end do not count.
pub(super) fn check(file: &SourceFile) -> Option<Violation> {
    let lines = production_part(&file.text).lines().count();
    if lines <= LONGEST || is_test_file(&file.path) {
        return None;
    }
    let message =
        format!("{lines} lines, at most {LONGEST}: move one of the things it does into a file of its own");
    Some(Violation { path: file.path.clone(), line: LONGEST + 1, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_production_lines_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // x\n".repeat(900));
        let cases = [
            ("crates/a/src/b.rs", "x\n".repeat(800), false),
            ("crates/a/src/b.rs", "x\n".repeat(801), true),
            ("crates/a/src/b.rs", format!("{}{tests}", "x\n".repeat(800)), false),
            ("crates/a/src/b/tests.rs", "x\n".repeat(801), false),
            ("ui/src/graph.tsx", "x\n".repeat(801), true),
            ("ui/src/graph.test.tsx", "x\n".repeat(801), false),
        ];
        for (path, text, complains) in cases {
            let file = SourceFile { path: path.to_owned(), text };
            assert_eq!(check(&file).is_some(), complains, "{path}");
        }
    }
}
