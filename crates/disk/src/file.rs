//! A file that is open for writing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
#[cfg(feature = "simulate")]
use std::path::PathBuf;

use crate::show;

/// A file that is open for writing. It may be shared: writes at a place do not move the end at which others append.
#[derive(Debug)]
pub struct File {
    file: fs::File,
    #[cfg(feature = "simulate")]
    path: PathBuf,
}

impl File {
    fn open(path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let file = options.open(path)?;
        Ok(File {
            file,
            #[cfg(feature = "simulate")]
            path: path.to_owned(),
        })
    }

    /// Creates a file or empties it.
    ///
    /// # Errors
    /// As `std::fs::OpenOptions::open`.
    pub fn create(path: &Path) -> io::Result<Self> {
        show!(Create { path });
        Self::open(path, OpenOptions::new().read(true).write(true).create(true).truncate(true))
    }

    /// Creates a file that is not there yet.
    ///
    /// # Errors
    /// As `std::fs::OpenOptions::open`; also when it is there.
    pub fn create_new(path: &Path) -> io::Result<Self> {
        show!(Create { path });
        Self::open(path, OpenOptions::new().read(true).write(true).create_new(true))
    }

    /// Creates a file that is not there yet; whatever is written to it by [`append_all`](Self::append_all) goes to its end,
    /// wherever that is by then.
    ///
    /// # Errors
    /// As `std::fs::OpenOptions::open`; also when it is there.
    pub fn create_new_for_append(path: &Path) -> io::Result<Self> {
        show!(Create { path });
        Self::open(path, OpenOptions::new().read(true).append(true).create_new(true))
    }

    /// Opens a file that is there, to change it.
    ///
    /// # Errors
    /// As `std::fs::OpenOptions::open`.
    pub fn open_existing(path: &Path) -> io::Result<Self> {
        Self::open(path, OpenOptions::new().read(true).write(true))
    }

    /// For reading and mapping.
    #[must_use]
    pub fn as_std(&self) -> &fs::File {
        &self.file
    }

    /// Writes to where the last write ended.
    ///
    /// # Errors
    /// As `std::io::Write::write_all`; a part may have been written.
    pub fn append_all(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "simulate")]
        {
            let at = self.file.metadata()?.len();
            let allowed = crate::simulate::show_write(&self.path, at, bytes);
            (&self.file).write_all(&bytes[..allowed.bytes])?;
            allowed.outcome
        }
        #[cfg(not(feature = "simulate"))]
        (&self.file).write_all(bytes)
    }

    /// Writes at a place.
    ///
    /// # Errors
    /// As `std::os::unix::fs::FileExt::write_all_at`; a part may have been written.
    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        #[cfg(feature = "simulate")]
        {
            let allowed = crate::simulate::show_write(&self.path, at, bytes);
            self.file.write_all_at(&bytes[..allowed.bytes], at)?;
            allowed.outcome
        }
        #[cfg(not(feature = "simulate"))]
        self.file.write_all_at(bytes, at)
    }

    /// Cuts the file off, or fills it up with zeros.
    ///
    /// # Errors
    /// As `std::fs::File::set_len`.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        show!(SetLen { path: &self.path, len });
        self.file.set_len(len)
    }

    /// Forces content and length to the disk.
    ///
    /// # Errors
    /// As `std::fs::File::sync_data`.
    pub fn sync_data(&self) -> io::Result<()> {
        show!(SyncFile { path: &self.path });
        self.file.sync_data()
    }

    /// Forces content, length and times to the disk.
    ///
    /// # Errors
    /// As `std::fs::File::sync_all`.
    pub fn sync_all(&self) -> io::Result<()> {
        show!(SyncFile { path: &self.path });
        self.file.sync_all()
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
