//! A file that is read several times, in windows of whole lines.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::tool::Failure;

/// Read at a time, in bytes; a longer line makes a longer window.
const WINDOW: usize = 4 << 20;
/// What ends a page of OpenMetrics, and here each window but the last.
const END: &[u8] = b"# EOF\n";

trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

/// See the module.
pub(super) struct Input {
    source: Box<dyn Source>,
    window: Vec<u8>,
    /// Of the window, what was handed out.
    used: usize,
    /// Whether everything was handed out.
    ended: bool,
    size: usize,
}

impl Input {
    /// Opens a file. What can be read only once (`-` is standard input) is read whole.
    pub(super) fn open(path: &Path) -> Result<Input, Failure> {
        if path == Path::new("-") {
            return Self::read_whole(io::stdin().lock(), path);
        }
        let meta = fs::metadata(path).map_err(|e| Failure::call("stat", path, &e))?;
        let file = File::open(path).map_err(|e| Failure::call("open", path, &e))?;
        let kind = meta.file_type();
        if kind.is_fifo() || kind.is_char_device() || kind.is_socket() {
            return Self::read_whole(file, path);
        }
        if meta.is_dir() {
            return Err(Failure::Told(format!("read {}: is a directory", path.display())));
        }
        if meta.len() == 0 {
            return Err(Failure::Told("mmap, size 0: invalid argument".to_owned()));
        }
        Ok(Input::new(file, WINDOW))
    }

    fn read_whole(mut source: impl Read, path: &Path) -> Result<Input, Failure> {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(|e| Failure::call("read", path, &e))?;
        Ok(Input::new(Cursor::new(bytes), WINDOW))
    }

    fn new(source: impl Source + 'static, size: usize) -> Input {
        Input { source: Box::new(source), window: Vec::new(), used: 0, ended: false, size }
    }

    /// Goes back to the beginning.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.window.clear();
        self.used = 0;
        self.ended = false;
        self.source.seek(SeekFrom::Start(0)).map(|_| ())
    }

    /// The next window: lines with an end of page behind them, or the rest of the file as it is.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if self.ended {
            return Ok(None);
        }
        self.window.drain(..self.used);
        self.used = 0;
        loop {
            let read = self.source.by_ref().take(self.size as u64).read_to_end(&mut self.window)?;
            if read == 0 {
                self.ended = true;
                self.used = self.window.len();
                return Ok(Some(&self.window));
            }
            // A byte at least stays for the next window, so that the last one is known to be the last.
            let lines = self.window.get(..self.window.len() - 1).unwrap_or_default();
            if let Some(newline) = lines.iter().rposition(|&b| b == b'\n') {
                return Ok(Some(self.ended_at(newline + 1)));
            }
        }
    }

    /// The window up to here, ended like a page. What follows is kept behind it.
    fn ended_at(&mut self, end: usize) -> &[u8] {
        self.window.splice(end..end, END.iter().copied());
        self.used = end + END.len();
        self.window.get(..self.used).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(text: &str, size: usize) -> Vec<String> {
        let mut input = Input::new(Cursor::new(text.as_bytes().to_vec()), size);
        let mut windows = Vec::new();
        for _ in 0..2 {
            windows.clear();
            input.rewind().unwrap();
            while let Some(window) = input.next().unwrap() {
                windows.push(String::from_utf8(window.to_vec()).unwrap());
            }
        }
        windows
    }

    #[test]
    fn windows_are_whole_lines_and_all_of_the_file() {
        let text = "a 1 1\nbb 2 2\nccc 3 3\n# EOF\n";
        for size in 1..40 {
            let windows = windows(text, size);
            let (last, others) = windows.split_last().unwrap();
            let all: String = others.iter().map(|w| w.strip_suffix("# EOF\n").unwrap()).collect();
            assert_eq!(all + last, text, "{size}");
        }
        assert_eq!(windows("a 1 1", 2), ["a 1 1"]);
        assert_eq!(windows("", 2), [""]);
    }
}
