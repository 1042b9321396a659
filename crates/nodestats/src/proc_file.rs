//! Reading the kernel's text files into a buffer that is kept, and taking them apart without copies.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::collector::CollectError;

/// No file that is read here is near this size; a larger one is refused rather than kept in memory.
const LONGEST: u64 = 8 << 20;

/// A file that is read again and again.
#[derive(Debug)]
pub(crate) struct ProcFile {
    path: PathBuf,
    text: Vec<u8>,
}

impl ProcFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        ProcFile { path, text: Vec::new() }
    }

    /// Reads the file anew; [`text`](Self::text) then gives its contents.
    pub(crate) fn read(&mut self) -> Result<(), CollectError> {
        self.text.clear();
        let read = File::open(&self.path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut self.text));
        match read {
            Ok(len) if len as u64 > LONGEST => Err(self.malformed("longer than 8 MiB")),
            Ok(_) => Ok(()),
            Err(source) => Err(CollectError::Read { path: self.path.clone(), source }),
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(crate) fn malformed(&self, what: &'static str) -> CollectError {
        CollectError::Malformed { path: self.path.clone(), what }
    }
}

/// The lines of `text`, without their ends; no empty line after the last end.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|&b| b == b'\n').take(if text.is_empty() { 0 } else { usize::MAX })
}

/// The words of a line, separated by any number of blanks.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

/// A decimal number, digits only.
pub(crate) fn integer(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// A decimal number that may have a sign or a fraction.
pub(crate) fn number(text: &[u8]) -> Option<f64> {
    match integer(text) {
        Some(n) => Some(n as f64),
        None => model::number::parse_float(std::str::from_utf8(text).ok()?),
    }
}

/// The number that is all that a file holds (as in sysfs); `None` if it cannot be read or is something else.
pub(crate) fn integer_in(path: &Path) -> Option<u64> {
    integer(first_line(path)?.as_bytes())
}

/// The first line of a small file; `None` if it cannot be read.
pub(crate) fn first_line(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(4096).read_to_end(&mut text).ok()?;
    let line = lines(&text).next().unwrap_or_default();
    Some(String::from_utf8_lossy(line.trim_ascii()).into_owned())
}

/// Paths of the entries of `directory` that are called `prefix` and a number, sorted by name, with that number's digits.
pub(crate) fn numbered_entries(directory: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let digits = name.to_str()?.strip_prefix(prefix)?;
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| (digits.to_owned(), entry.path()))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_words_are_those_that_the_kernel_wrote() {
        let split = |text| lines(text).map(|l| words(l).collect::<Vec<_>>()).collect::<Vec<_>>();
        assert_eq!(split(b""), Vec::<Vec<&[u8]>>::new());
        assert_eq!(split(b"a  b\n\nc\td\n"), [vec![&b"a"[..], b"b"], vec![], vec![b"c", b"d"]]);
    }

    #[test]
    fn numbers_are_read_or_refused_never_wrapped() {
        let cases: [(&[u8], Option<u64>); 6] = [
            (b"0", Some(0)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"", None),
            (b"-1", None),
            (b"1x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(text), expected, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(number(b"-1"), Some(-1.0));
        assert_eq!(number(b"0.25"), Some(0.25));
        assert_eq!(number(b"x"), None);
    }
}
