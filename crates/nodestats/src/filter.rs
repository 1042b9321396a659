//! Which devices, mounts and fields are wanted.

use model::{Regex, is_legacy_metric_name};

use crate::options::{OptionsError, Selection};

/// A [`Selection`], compiled.
#[derive(Debug, Clone)]
pub(crate) struct NameFilter {
    exclude: Option<Regex>,
    include: Option<Regex>,
}

impl NameFilter {
    /// `flag` is the flag's name up to `-exclude` or `-include`, for the error.
    pub(crate) fn new(
        selection: &Selection,
        exclude_flag: &'static str,
        include_flag: &'static str,
    ) -> Result<Self, OptionsError> {
        let compile = |pattern: &str, flag| -> Result<Option<Regex>, OptionsError> {
            if pattern.is_empty() { Ok(None) } else { search(pattern, flag).map(Some) }
        };
        Ok(NameFilter {
            exclude: compile(&selection.exclude, exclude_flag)?,
            include: compile(&selection.include, include_flag)?,
        })
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        !self.exclude.as_ref().is_some_and(|pattern| pattern.is_match(name))
            && self.include.as_ref().is_none_or(|pattern| pattern.is_match(name))
    }
}

/// An expression that may match anywhere; [`Regex`] itself must match the whole.
fn search(pattern: &str, flag: &'static str) -> Result<Regex, OptionsError> {
    // Compiled alone first, so that an error is about the text that the user wrote.
    let compiled = Regex::new(pattern).and_then(|_| Regex::new(&format!(".*(?:{pattern}).*")));
    compiled.map_err(|source| OptionsError::Pattern { flag, source })
}

/// Which fields of a file are wanted and under which name, remembered by place: the kernel writes the same fields in the same order
/// every time, so that from the second time on a field costs one comparison of its name.
#[derive(Debug)]
pub(crate) struct FieldFilter {
    pattern: Regex,
    known: Vec<KnownField>,
}

#[derive(Debug)]
struct KnownField {
    group: Box<[u8]>,
    name: Box<[u8]>,
    /// What the pattern was asked about; `None` if it is not wanted.
    wanted: Option<String>,
}

impl FieldFilter {
    pub(crate) fn new(pattern: &str, flag: &'static str) -> Result<Self, OptionsError> {
        Ok(FieldFilter { pattern: search(pattern, flag)?, known: Vec::new() })
    }

    /// The `place`-th field of the file, `name` in `group`: the text `group_name` (or `name` without a group) if it is wanted.
    /// Fields whose names cannot be part of a metric's name are not.
    pub(crate) fn wanted(&mut self, place: usize, group: &[u8], name: &[u8]) -> Option<&str> {
        let is_known =
            self.known.get(place).is_some_and(|known| *known.name == *name && *known.group == *group);
        if is_known {
            return self.known.get(place)?.wanted.as_deref();
        }
        self.known.truncate(place);
        let field = self.decide(group, name);
        self.known.push(field);
        self.known.last()?.wanted.as_deref()
    }

    fn decide(&self, group: &[u8], name: &[u8]) -> KnownField {
        let (group_text, name_text) = (String::from_utf8_lossy(group), String::from_utf8_lossy(name));
        let separator = if group.is_empty() { "" } else { "_" };
        let text = format!("{group_text}{separator}{name_text}");
        let wanted = (is_legacy_metric_name(&text) && self.pattern.is_match(&text)).then_some(text);
        KnownField { group: group.into(), name: name.into(), wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_wanted_by_search_not_by_whole_match() {
        let filter = |exclude: &str, include: &str| {
            let selection = Selection { exclude: exclude.into(), include: include.into() };
            NameFilter::new(&selection, "x", "y").unwrap()
        };
        assert!(filter("", "").wants("eth0"));
        assert!(!filter("th", "").wants("eth0"));
        assert!(!filter("^/(dev|proc)($|/)", "").wants("/dev/shm"));
        assert!(filter("^/(dev|proc)($|/)", "").wants("/device"));
        assert!(filter("", "^eth").wants("eth0"));
        assert!(!filter("", "^eth").wants("veth0"));
        assert!(
            NameFilter::new(&Selection { exclude: "(".into(), include: String::new() }, "x", "y").is_err()
        );
    }

    #[test]
    fn fields_are_decided_again_when_the_file_changes() {
        let mut filter = FieldFilter::new("^Tcp_(In|Out)", "netstat.fields").unwrap();
        for _ in 0..2 {
            assert_eq!(filter.wanted(0, b"Tcp", b"InSegs"), Some("Tcp_InSegs"));
            assert_eq!(filter.wanted(1, b"Tcp", b"Retrans"), None);
            assert_eq!(filter.wanted(2, b"Tcp", b"OutSegs"), Some("Tcp_OutSegs"));
        }
        assert_eq!(filter.wanted(0, b"Udp", b"InSegs"), None);
        assert_eq!(filter.wanted(1, b"Tcp", b"OutSegs"), Some("Tcp_OutSegs"));
        assert_eq!(filter.wanted(2, b"Tcp", b"In\xff"), None);
    }
}
