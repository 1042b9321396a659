//! A crate depends only on crates that ARCHITECTURE.md permits.
//!
//! The map is a fenced block of ARCHITECTURE.md that opens with ` ```text edges `. Each line of it is `name: crate crate …`,
//! one for every crate; a crate names only crates of lines below its own, so the map cannot hold a cycle.
//! Dev-dependencies may follow the same edges, and those to [`DEV_ONLY`], which nothing else may use.

use super::{SourceFile, Violation};

/// The crate that only tests depend on; it may itself use every crate.
const DEV_ONLY: &str = "testkit";

/// The crate edges of ARCHITECTURE.md.
struct Map<'a> {
    rooms: Vec<Room<'a>>,
}

struct Room<'a> {
    line: usize,
    name: &'a str,
    permitted: Vec<&'a str>,
}

/// A dependency that a manifest declares.
struct Dependency<'a> {
    line: usize,
    name: &'a str,
    dev: bool,
}

/// Checks the map for itself, then every manifest against it.
pub(super) fn check(architecture: &SourceFile, manifests: &[SourceFile]) -> Vec<Violation> {
    let map = match parse_map(&architecture.text) {
        Ok(map) => map,
        Err((line, message)) => return vec![Violation { path: architecture.path.clone(), line, message }],
    };
    let crates: Vec<&str> = manifests.iter().map(crate_name).collect();
    let faults_of_map = check_map(&map, &crates).into_iter();
    let mut violations: Vec<Violation> = faults_of_map
        .map(|(line, message)| Violation { path: architecture.path.clone(), line, message })
        .collect();
    for manifest in manifests {
        let faults = check_manifest(&map, manifest, &crates).into_iter();
        violations.extend(faults.map(|(line, message)| Violation {
            path: manifest.path.clone(),
            line,
            message,
        }));
    }
    violations
}

/// A crate is called like its directory.
fn crate_name(manifest: &SourceFile) -> &str {
    manifest.path.rsplit('/').nth(1).unwrap_or_default()
}

fn parse_map(text: &str) -> Result<Map<'_>, (usize, String)> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    if !lines.any(|(_, line)| line.trim_end() == "```text edges") {
        return Err((
            1,
            "no block that opens with \"```text edges\": write down the permitted crate edges".to_owned(),
        ));
    }
    let mut rooms = Vec::new();
    for (line, text) in lines.take_while(|(_, line)| !line.starts_with("```")) {
        let Some((name, permitted)) = text.split_once(':') else {
            return Err((line, format!("`{text}` is not `crate: crate crate …`")));
        };
        rooms.push(Room { line, name: name.trim(), permitted: permitted.split_whitespace().collect() });
    }
    Ok(Map { rooms })
}

fn check_map(map: &Map<'_>, crates: &[&str]) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    for (i, room) in map.rooms.iter().enumerate() {
        if !crates.contains(&room.name) {
            faults.push((room.line, format!("there is no crate `{}`: take the line out", room.name)));
        }
        for edge in &room.permitted {
            let is_below = map.rooms[i + 1..].iter().any(|other| other.name == *edge);
            if *edge == DEV_ONLY {
                faults.push((
                    room.line,
                    format!("`{DEV_ONLY}` is for dev-dependencies, which need no permission"),
                ));
            } else if !is_below && room.name != DEV_ONLY {
                let message =
                    format!("`{}` → `{edge}`, but no line below is `{edge}`: edges point down", room.name);
                faults.push((room.line, message));
            }
        }
    }
    faults
}

fn check_manifest(map: &Map<'_>, manifest: &SourceFile, crates: &[&str]) -> Vec<(usize, String)> {
    let name = crate_name(manifest);
    let Some(room) = map.rooms.iter().find(|room| room.name == name) else {
        return vec![(1, format!("ARCHITECTURE.md has no line `{name}:` in its block of edges: add it"))];
    };
    let inner = dependencies(&manifest.text).into_iter().filter(|d| crates.contains(&d.name));
    inner.filter_map(|dependency| Some((dependency.line, refusal(room, &dependency)?))).collect()
}

fn refusal(room: &Room<'_>, dependency: &Dependency<'_>) -> Option<String> {
    let edge = dependency.name;
    if room.permitted.contains(&edge) || room.name == DEV_ONLY || (dependency.dev && edge == DEV_ONLY) {
        return None;
    }
    if edge == DEV_ONLY {
        return Some(format!("`{DEV_ONLY}` is for tests: move it to [dev-dependencies]"));
    }
    Some(format!(
        "ARCHITECTURE.md does not permit `{}` → `{edge}`: do without it, or change the map (line {}) with a reason",
        room.name, room.line
    ))
}

/// The dependencies of a manifest, by line: enough of TOML for the one form in which manifests here are written.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut section: Option<bool> = None; // Some(dev): inside a table of dependencies
    for (i, text) in manifest.lines().enumerate() {
        let line = i + 1;
        if let Some(header) = text.trim().strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            let (table, name) = match header.split_once("dependencies.") {
                Some((before, name)) => (format!("{before}dependencies"), Some(name)),
                None => (header.to_owned(), None),
            };
            let kind = table.rsplit('.').next().unwrap_or_default();
            let dev = kind == "dev-dependencies";
            section = (dev || kind == "dependencies" || kind == "build-dependencies").then_some(dev);
            if let (Some(dev), Some(name)) = (section, name) {
                found.push(Dependency { line, name, dev });
                section = None; // the lines of this table describe that one dependency
            }
        } else if let Some(dev) = section
            && let end = text.find(['.', '=', ' ']).unwrap_or(0)
            && end > 0
            && !text.starts_with('#')
        {
            found.push(Dependency { line, name: &text[..end], dev });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str =
        "# Map\n\n```text edges\napp: store model\nstore: model\nmodel:\ntestkit: model\n```\n\nmore: text\n";

    fn complaints(map: &str, manifests: &[(&str, &str)]) -> Vec<String> {
        let map = SourceFile { path: "ARCHITECTURE.md".to_owned(), text: map.to_owned() };
        let as_file = |(name, text): &(&str, &str)| SourceFile {
            path: format!("crates/{name}/Cargo.toml"),
            text: (*text).to_owned(),
        };
        let manifests: Vec<SourceFile> = manifests.iter().map(as_file).collect();
        check(&map, &manifests).into_iter().map(|v| v.to_string()).collect()
    }

    /// The four crates of [`MAP`], one of them with the given manifest.
    fn with(name: &str, manifest: &str) -> Vec<String> {
        let all = ["app", "store", "model", "testkit"].map(|n| (n, if n == name { manifest } else { "" }));
        complaints(MAP, &all)
    }

    #[test]
    fn permitted_edges_pass() {
        let cases = [
            ("app", "[dependencies]\nstore.workspace = true\nmodel = { path = \"x\" }\nserde = \"1\"\n"),
            ("app", "[dependencies.store]\nworkspace = true\n"),
            ("model", "[dev-dependencies]\ntestkit.workspace = true\n"),
            ("testkit", "[dependencies]\napp.workspace = true\n"),
            ("model", "[features]\nstore = []\n"),
            ("model", "[dependencies]\n# store.workspace = true\n"),
        ];
        for (name, manifest) in cases {
            assert_eq!(with(name, manifest), Vec::<String>::new(), "{manifest}");
        }
    }

    #[test]
    fn other_edges_are_refused_with_file_and_line() {
        let cases = [
            ("model", "[package]\n\n[dependencies]\nstore.workspace = true\n", 4, "`model` → `store`"),
            ("store", "[dev-dependencies]\napp.workspace = true\n", 2, "`store` → `app`"),
            ("store", "[dependencies.app]\npath = \"x\"\n", 1, "`store` → `app`"),
            ("store", "[target.'cfg(unix)'.dependencies]\napp = \"1\"\n", 2, "`store` → `app`"),
            ("store", "[build-dependencies]\napp = \"1\"\n", 2, "`store` → `app`"),
            ("store", "[dependencies]\ntestkit.workspace = true\n", 2, "move it to [dev-dependencies]"),
        ];
        for (name, manifest, line, expected) in cases {
            let found = with(name, manifest);
            assert_eq!(found.len(), 1, "{manifest}: {found:?}");
            assert!(found[0].starts_with(&format!("crates/{name}/Cargo.toml:{line}: ")), "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn a_map_that_does_not_hold_together_is_refused() {
        let two = [("a", ""), ("b", "")];
        let cases = [
            ("no block\n", "ARCHITECTURE.md:1: no block"),
            ("```text edges\na b\n```\n", "ARCHITECTURE.md:2: `a b` is not"),
            ("```text edges\na:\nb: a\n```\n", "ARCHITECTURE.md:3: `b` → `a`, but"),
            ("```text edges\na:\nb:\nc:\n```\n", "ARCHITECTURE.md:4: there is no crate `c`"),
            ("```text edges\na:\n```\n", "crates/b/Cargo.toml:1: ARCHITECTURE.md has no line `b:`"),
        ];
        for (map, expected) in cases {
            let found = complaints(map, &two);
            assert_eq!(found.len(), 1, "{map}: {found:?}");
            assert!(found[0].starts_with(expected), "{found:?}");
        }
    }
}
