//! `file_sd_configs`.

use std::path::PathBuf;
use std::time::Duration;

use discovery::{FileOptions, ProviderOptions};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{FilePath, Millis};

section! {
    /// Lists of targets in files.
    FileSd "file.SDConfig" "file.plain" {
        /// Paths; the last element may hold a star.
        files: Vec<FilePath> = "files" keep,
        /// How often they are read though nothing changed.
        refresh_interval: Millis = "refresh_interval",
    }
}

impl Section for FileSd {
    fn defaults() -> Self {
        FileSd { refresh_interval: Millis(5 * MINUTE), ..FileSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.files.is_empty() {
            return invalid("file service discovery config must contain at least one path name");
        }
        match self.files.iter().find(|file| !is_list_of_targets(&file.0)) {
            Some(file) => {
                let line = format!("path name {} is not valid for file discovery", quote(&file.0));
                let help =
                    "names end in .json, .yml or .yaml, and only the last element of a path may hold a star";
                invalid_at("files", line).map_err(|err| err.help(help))
            }
            None => Ok(()),
        }
    }
}

/// `.json`, `.yml` or `.yaml` at the end, and no slash after a star.
fn is_list_of_targets(path: &str) -> bool {
    let Some((stem, extension)) = path.rsplit_once('.') else { return false };
    let known = ["json", "yml", "yaml", "JSON", "YML", "YAML"].contains(&extension);
    known && stem.split_once('*').is_none_or(|(_, after)| !after.contains('/'))
}

impl Entry for FileSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::File(FileOptions {
            files: self.files.iter().map(|file| PathBuf::from(&file.0)).collect(),
            refresh_interval: Duration::from(self.refresh_interval),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_in_the_last_element_of_a_path_to_targets() {
        let names =
            ["a.json", "d/*.yml", "d/a*b*.yaml", "a*.JSON", "*/a.json", "a*/b*.yml", "a.txt", "json", "a*"];
        let listed: Vec<bool> = names.iter().map(|name| is_list_of_targets(name)).collect();
        assert_eq!(listed, [true, true, true, true, false, false, false, false, false]);
    }
}
