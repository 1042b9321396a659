//! A module is named after what is done there; a junk drawer is not.

use super::Violation;

const DRAWERS: [&str; 8] = ["common", "core", "helper", "helpers", "misc", "types", "util", "utils"];

/// Complains about a crate, folder or file that is named like a junk drawer.
pub(super) fn check(path: &str) -> Option<Violation> {
    let drawer = path.split('/').map(stem).find(|stem| DRAWERS.contains(stem))?;
    let message =
        format!("`{drawer}` says nothing: name it after what is done there, or move it to where it is used");
    Some(Violation { path: path.to_owned(), line: 1, message })
}

fn stem(component: &str) -> &str {
    component.split('.').next().unwrap_or(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junk_drawers_are_found_wherever_they_are() {
        let cases = [
            ("crates/a/src/utils.rs", true),
            ("crates/a/src/common/mod.rs", true),
            ("crates/core/src/lib.rs", true),
            ("ui/src/helpers.ts", true),
            ("ui/src/types.d.ts", true),
            ("crates/a/src/common_prefix.rs", false),
            ("crates/a/src/head/append.rs", false),
        ];
        for (path, complains) in cases {
            assert_eq!(check(path).is_some(), complains, "{path}");
        }
    }
}
