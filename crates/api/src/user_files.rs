//! `/user/*`: files of a directory that the operator names, and of nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::StatusCode;

use crate::Api;
use crate::page::content_type;
use crate::reply::{Answer, Reply};
use crate::request::Request;

pub(crate) async fn user(api: Arc<Api>, request: Request) -> Answer {
    let not_found = || Reply::go_error(StatusCode::NOT_FOUND, "404 page not found\n");
    let Some(root) = api.options.user_assets.clone() else { return Ok(not_found()) };
    let found = tokio::task::spawn_blocking(move || {
        let path = resolve(&root, &request.path_param)?;
        let path = if path.is_dir() { path.join("index.html") } else { path };
        let bytes = std::fs::read(&path).ok()?;
        Some((content_type(&path.to_string_lossy()), bytes))
    });
    Ok(match found.await {
        Ok(Some((kind, bytes))) => Reply::new(StatusCode::OK, kind, bytes),
        _ => not_found(),
    })
}

/// What `asked` names within `root`; none where there is nothing, or where it leads out, be it by a link.
pub(crate) fn resolve(root: &Path, asked: &str) -> Option<PathBuf> {
    let mut path = root.canonicalize().ok()?;
    let root = path.clone();
    for segment in asked.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        if segment == ".." || segment.contains(['\\', '\0']) {
            return None;
        }
        path.push(segment);
    }
    path.canonicalize().ok().filter(|path| path.starts_with(&root))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_directory_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::fs::write(root.join("in/a.css"), "").unwrap();
        std::fs::write(dir.path().join("secret"), "").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        std::os::unix::fs::symlink("in/a.css", root.join("inner")).unwrap();
        for (asked, found) in [
            ("in/a.css", true),
            ("/in//./a.css", true),
            ("inner", true),
            ("", true),
            ("missing", false),
            ("../secret", false),
            ("in/../../secret", false),
            ("link", false),
            ("..\\secret", false),
            ("in/a.css\0", false),
            ("/etc/passwd", false),
        ] {
            assert_eq!(resolve(&root, asked).is_some(), found, "{asked:?}");
        }
        let absolute = dir.path().join("secret");
        assert_eq!(resolve(&root, absolute.to_str().unwrap()), None);
    }
}
