//! Paths with patterns, as Go's `filepath.Glob`: `*`, `?`, `[a-z]`, a backslash; none of them crosses a slash.

use std::path::Path;

/// The pattern is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub(crate) struct BadPattern;

/// The existing paths that a pattern names, sorted within a directory.
pub(crate) fn glob(pattern: &str) -> Result<Vec<String>, BadPattern> {
    matches(pattern, "")?;
    if !pattern.contains(['*', '?', '[', '\\']) {
        return Ok(if Path::new(pattern).symlink_metadata().is_ok() {
            vec![pattern.into()]
        } else {
            Vec::new()
        });
    }
    let (directory, name) = match pattern.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((directory, name)) => (directory, name),
        None => (".", pattern),
    };
    let directories = if directory == pattern { Vec::new() } else { glob(directory)? };
    let mut out = Vec::new();
    for directory in directories {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        for file in names {
            if matches(name, &file)? {
                out.push(match directory.as_str() {
                    "." if !pattern.starts_with("./") => file,
                    "/" => format!("/{file}"),
                    directory => format!("{directory}/{file}"),
                });
            }
        }
    }
    Ok(out)
}

/// Whether the pattern matches the whole name; the pattern is checked to its end in any case.
fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    check(&pattern)?;
    Ok(matches_from(&pattern, &name))
}

fn check(pattern: &[char]) -> Result<(), BadPattern> {
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            '[' => class(rest, '\0').ok_or(BadPattern)?.1,
            '\\' => after.split_first().ok_or(BadPattern)?.1,
            _ => after,
        };
    }
    Ok(())
}

fn matches_from(pattern: &[char], name: &[char]) -> bool {
    let Some((first, after)) = pattern.split_first() else { return name.is_empty() };
    match (first, name.split_first()) {
        ('*', _) => (0..=name.len())
            .take_while(|&n| !name[..n].contains(&'/'))
            .any(|n| matches_from(after, &name[n..])),
        (_, None) => false,
        ('?', Some((c, rest))) => *c != '/' && matches_from(after, rest),
        ('[', Some((c, rest))) => match class(pattern, *c) {
            Some((inside, after)) => inside && *c != '/' && matches_from(after, rest),
            None => false,
        },
        ('\\', Some((c, rest))) => after.first() == Some(c) && matches_from(&after[1..], rest),
        (first, Some((c, rest))) => first == c && matches_from(after, rest),
    }
}

/// Reads `[a-z]` or `[^a-z]`: whether it holds `c`, and what follows.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let mut rest = pattern.get(1..)?;
    let negated = rest.first() == Some(&'^');
    if negated {
        rest = &rest[1..];
    }
    let mut inside = false;
    let mut count = 0;
    loop {
        if rest.first() == Some(&']') && count > 0 {
            return Some((inside != negated, &rest[1..]));
        }
        let (low, after) = class_char(rest)?;
        let (high, after) = if after.first() == Some(&'-') { class_char(&after[1..])? } else { (low, after) };
        rest = after;
        inside |= (low..=high).contains(&c);
        count += 1;
    }
}

fn class_char(text: &[char]) -> Option<(char, &[char])> {
    let (first, rest) = text.split_first()?;
    match first {
        '-' | ']' => None,
        '\\' => rest.split_first().map(|(c, rest)| (*c, rest)),
        c => (!rest.is_empty()).then_some((*c, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_within_one_element_of_a_path() {
        let cases = [
            ("*.yml", "a.yml", true),
            ("*.yml", "a/b.yml", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("abc", "abcd", false),
        ];
        for (pattern, name, want) in cases {
            assert_eq!(matches(pattern, name), Ok(want), "{pattern} {name}");
        }
        for pattern in ["[", "[]", "[a", "a\\", "[-x]"] {
            assert_eq!(matches(pattern, "x"), Err(BadPattern), "{pattern}");
        }
    }
}
