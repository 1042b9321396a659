//! Properties of block devices from udev's database: text files of lines such as `E:ID_MODEL=…`.

use std::path::{Path, PathBuf};

use crate::proc_file::{ProcFile, lines};

/// udev's database, one file a device.
#[derive(Debug)]
pub(crate) struct Udev {
    directory: PathBuf,
}

/// The properties of one device.
#[derive(Debug, Default)]
pub(crate) struct Properties(Vec<(String, String)>);

impl Udev {
    pub(crate) fn new(directory: &Path) -> Self {
        Udev { directory: directory.to_path_buf() }
    }

    /// The properties of a block device; none if udev does not know it.
    pub(crate) fn block_device(&self, major: &str, minor: &str) -> Properties {
        let mut file = ProcFile::new(self.directory.join(format!("b{major}:{minor}")));
        if file.read().is_err() {
            return Properties::default();
        }
        let pairs = lines(file.text()).filter_map(|line| {
            let property = String::from_utf8_lossy(line.strip_prefix(b"E:")?);
            let (name, value) = property.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Properties(pairs.collect())
    }
}

impl Properties {
    /// The value of a property, empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The first of `names` that has a value.
    pub(crate) fn first_of(&self, names: &[&str]) -> &str {
        names.iter().map(|name| self.get(name)).find(|value| !value.is_empty()).unwrap_or_default()
    }
}
