//! `file_sd_configs`: lists of groups in files, watched.
//!
//! The *directory* is watched, not the file: editors and Kubernetes volumes replace files by renaming. What a
//! file held when it was last readable stays in force while it is not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::group::{self, TargetGroup};
use crate::metrics::Metrics;
use crate::provider::{Context, Provider, Updates};
use crate::refresh::ticks;

const FILEPATH: &str = "__meta_filepath";

/// The longest file that is read.
const MAX_FILE: u64 = 64 << 20;

/// Files that hold lists of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// Paths ending in `.json`, `.yml` or `.yaml`; the last element may be a pattern.
    pub files: Vec<PathBuf>,
    /// How often they are read again although nothing was reported about them. Prometheus: 5 min.
    pub refresh_interval: Duration,
}

impl Provider for FileOptions {
    fn validate(&self) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("file service discovery config must contain at least one path name".to_owned());
        }
        match self.files.iter().find(|path| !is_valid_path(path)) {
            Some(path) => {
                Err(format!("path name {:?} is not valid for file discovery", path.display().to_string()))
            }
            None => Ok(()),
        }
    }

    async fn run(self, context: Context) {
        follow(self, context.metrics, context.updates).await;
    }
}

/// `^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`.
fn is_valid_path(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let Some((stem, extension)) = text.rsplit_once('.') else { return false };
    let known = ["json", "yml", "yaml", "JSON", "YML", "YAML"].contains(&extension);
    known && stem.split_once('*').is_none_or(|(_, after)| !after.contains('/'))
}

async fn follow(options: FileOptions, metrics: Metrics, updates: Updates) {
    let (wake, mut woken) = mpsc::channel::<()>(1);
    let watcher_errors = metrics.file_watcher_errors.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
        Ok(event) if !is_relevant(event.kind) => {}
        Ok(_) => drop(wake.try_send(())),
        Err(err) => {
            watcher_errors.inc();
            tracing::error!(component = "discovery manager", discovery = "file", %err, "Error watching file");
        }
    })
    .map_err(|err| {
        metrics.file_watcher_errors.inc();
        tracing::error!(component = "discovery manager", discovery = "file", %err, "Error adding file watcher");
    })
    .ok();

    let mut known = BTreeMap::new();
    let mut tick = ticks(options.refresh_interval);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Some(()) = woken.recv() => {}
        }
        if let Some(watcher) = &mut watcher {
            watch(watcher, &options.files, &metrics);
        }
        let paths = options.files.clone();
        let before = std::mem::take(&mut known);
        let reading = metrics.clone();
        let scan = tokio::task::spawn_blocking(move || refresh(&paths, before, &reading)).await;
        let Ok((now, changes)) = scan else { continue };
        known = now;
        for change in changes {
            if updates.send(change).await.is_err() {
                return;
            }
        }
    }
}

/// Reading a file is an event too: only what can have changed content counts.
fn is_relevant(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Metadata(_)) => false,
        _ => true,
    }
}

/// Adds the directories to the watcher; those that are watched already stay, those that appeared meanwhile join.
fn watch(watcher: &mut RecommendedWatcher, patterns: &[PathBuf], metrics: &Metrics) {
    for pattern in patterns {
        let directory = directory_of(pattern);
        if let Err(err) = watcher.watch(directory, RecursiveMode::NonRecursive) {
            metrics.file_watcher_errors.inc();
            tracing::error!(component = "discovery manager", discovery = "file", path = %directory.display(), %err, "Error adding file watch");
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How many groups each file held when it could last be read.
type Known = BTreeMap<String, usize>;

/// Reads all files; answers what is known now and the updates to send.
fn refresh(patterns: &[PathBuf], before: Known, metrics: &Metrics) -> (Known, Vec<Vec<TargetGroup>>) {
    let start = Instant::now();
    let mut now = Known::new();
    let mut updates = Vec::new();
    for path in patterns.iter().flat_map(|pattern| expand(pattern)) {
        let name = path.display().to_string();
        match read(&path, &name) {
            Ok((groups, mtime)) => {
                metrics.file_mtimes.lock().insert(name.clone(), mtime);
                now.insert(name, groups.len());
                updates.push(groups);
            }
            Err(err) => {
                metrics.file_read_errors.inc();
                tracing::error!(component = "discovery manager", discovery = "file", path = %name, %err, "Error reading file");
                if let Some(&count) = before.get(&name) {
                    now.insert(name, count);
                }
            }
        }
    }
    for (name, count) in before {
        let left = now.get(&name).copied();
        if left.is_none() {
            metrics.file_mtimes.lock().remove(&name);
        }
        let gone: Vec<_> = (left.unwrap_or(0)..count).map(|i| group::gone(&name, i)).collect();
        if !gone.is_empty() {
            updates.push(gone);
        }
    }
    metrics.file_scan.observe(start.elapsed().as_secs_f64());
    (now, updates)
}

fn read(path: &Path, name: &str) -> Result<(Vec<TargetGroup>, f64), String> {
    let meta = std::fs::metadata(path).map_err(|err| err.to_string())?;
    if meta.len() > MAX_FILE {
        return Err(format!("the file is longer than {MAX_FILE} bytes"));
    }
    let text = std::fs::read(path).map_err(|err| err.to_string())?;
    let is_json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let mut groups = if is_json {
        group::from_json(&text).map_err(|err| err.to_string())?
    } else {
        let text = String::from_utf8(text).map_err(|_| "the file is not UTF-8".to_owned())?;
        group::from_yaml(&text).map_err(|err| err.to_string())?
    };
    group::stamp(&mut groups, name, FILEPATH);
    let mtime = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    Ok((groups, mtime.map_or(0.0, |d| d.as_secs() as f64)))
}

/// The files that a path with a pattern as its last element stands for, sorted.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let Some(name) = pattern.file_name().and_then(|n| n.to_str()) else { return Vec::new() };
    if !name.contains(['*', '?', '[', '\\']) {
        return if pattern.exists() { vec![pattern.to_owned()] } else { Vec::new() };
    }
    let Ok(entries) = std::fs::read_dir(directory_of(pattern)) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|file| file.to_str().is_some_and(|file| matches(name.as_bytes(), file.as_bytes())))
        .map(|file| pattern.with_file_name(file))
        .collect();
    found.sort();
    found
}

/// Shell patterns as Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a]`, `\` before a character to take as it is.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some((&first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        b'*' => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        b'?' => name.split_first().is_some_and(|(_, tail)| matches(rest, tail)),
        b'[' => {
            let Some((&byte, tail)) = name.split_first() else { return false };
            let Some(end) = rest.iter().skip(1).position(|&b| b == b']').map(|i| i + 1) else { return false };
            let (class, after) = (&rest[..end], &rest[end + 1..]);
            let (negated, class) = match class.split_first() {
                Some((b'^', class)) => (true, class),
                _ => (false, class),
            };
            in_class(class, byte) != negated && matches(after, tail)
        }
        b'\\' if !rest.is_empty() => name.first() == rest.first() && matches(&rest[1..], &name[1..]),
        byte => name.first() == Some(&byte) && matches(rest, &name[1..]),
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let mut rest = class;
    while let Some((&low, tail)) = rest.split_first() {
        rest = tail;
        let mut high = low;
        if let [b'-', end, tail @ ..] = rest {
            high = *end;
            rest = tail;
        }
        if (low..=high).contains(&byte) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*.json", "a.json", true),
            ("*.json", ".json", true),
            ("*.json", "a.yml", false),
            ("a?c.yml", "abc.yml", true),
            ("a?c.yml", "ac.yml", false),
            ("[a-c]x.yml", "bx.yml", true),
            ("[^a-c]x.yml", "bx.yml", false),
            ("a*b*c.yml", "a1b2c.yml", true),
            ("\\*.yml", "*.yml", true),
            ("\\*.yml", "x.yml", false),
            ("*.yml", "..data", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn only_lists_that_can_be_read_are_valid_paths() {
        let ok = |p: &str| is_valid_path(Path::new(p));
        assert!(ok("a.json") && ok("d/*.yml") && ok("/x/a*b.YAML"));
        assert!(!ok("a.txt") && !ok("*/a.json") && !ok("a*") && !ok("json"));
    }
}
