//! Text that is given in place, or in a file that may be replaced at any time.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::io_text;
use crate::options::Source;

/// How old a change must be before another one is sure to have another time: more than the ticks of any file system.
const SETTLED: Duration = Duration::from_secs(2);

/// What a [`Source`] says, always as it is now.
pub(crate) enum Text {
    Inline(Arc<str>),
    File(FileText),
}

/// A file's text, read again when the file is another one than before.
///
/// Looking at it is one `stat` where nothing changed, which is quicker than asking another thread to do it.
pub(crate) struct FileText {
    path: PathBuf,
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    stamp: Stamp,
    text: Arc<str>,
}

#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Stamp {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether a change since would show.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let newest = self.modified.0.max(self.changed.0);
        u64::try_from(newest).is_ok_and(|newest| Duration::from_secs(newest) + SETTLED < now)
    }
}

impl Text {
    pub(crate) fn new(source: &Source) -> Self {
        match source {
            Source::Inline(secret) => Text::Inline(secret.reveal().into()),
            Source::File(path) => Text::File(FileText { path: path.clone(), seen: Mutex::default() }),
        }
    }

    /// The text; a file's without the blanks around it.
    ///
    /// # Errors
    /// Prometheus' sentence about the file.
    pub(crate) fn read(&self) -> Result<Arc<str>, String> {
        match self {
            Text::Inline(text) => Ok(Arc::clone(text)),
            Text::File(file) => {
                file.read().map_err(|err| format!("unable to read file {}: {err}", file.path.display()))
            }
        }
    }

    /// `inline` or `file <path>`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Text::Inline(_) => "inline".to_owned(),
            Text::File(file) => format!("file {}", file.path.display()),
        }
    }
}

impl FileText {
    /// The error is that of opening or reading.
    pub(crate) fn read(&self) -> Result<Arc<str>, String> {
        let failed = |err: &std::io::Error| format!("open {}: {}", self.path.display(), io_text(err));
        let stamp = Stamp::of(&std::fs::metadata(&self.path).map_err(|err| failed(&err))?);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_ref().filter(|seen| seen.stamp == stamp) {
            return Ok(Arc::clone(&seen.text));
        }
        let text = std::fs::read_to_string(&self.path).map_err(|err| failed(&err))?;
        let text: Arc<str> = text.trim().into();
        *seen = stamp.is_settled().then(|| Seen { stamp, text: Arc::clone(&text) });
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let text = Text::new(&Source::File(path.clone()));
        let missing = text.read().unwrap_err();
        let path_text = path.display();
        assert_eq!(
            missing,
            format!("unable to read file {path_text}: open {path_text}: no such file or directory")
        );
        // Same length, same moment.
        for content in ["one\n", "two\n", " 3 \n"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(&*text.read().unwrap(), content.trim());
        }
        // What has long been there is not read again.
        let old = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let text = Text::new(&Source::File(old.into()));
        let first = text.read().unwrap();
        let is_settled = Stamp::of(&std::fs::metadata(old).unwrap()).is_settled();
        assert_eq!(Arc::ptr_eq(&first, &text.read().unwrap()), is_settled);
    }
}
