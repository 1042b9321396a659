//! `/api/v1/openapi.yaml`: the API described for programs that make clients.

use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::Api;
use crate::reply::{Answer, Reply};
use crate::request::Request;

const DESCRIPTION: &str = include_str!("openapi.yaml");

/// The mark of lines that OpenAPI 3.1 has no words for.
const SINCE_3_2: &str = " # 3.2";

pub(crate) async fn openapi(api: Arc<Api>, request: Request) -> Answer {
    let version = match request.params.get("openapi_version") {
        "3.2" | "3.2.0" => "3.2.0",
        _ => "3.1.0",
    };
    let server = format!("{}/api/v1", api.options.external_path);
    let text = describe(version, &api.runtime.build_info().version, &server);
    let mut reply = Reply::new(StatusCode::OK, "application/yaml; charset=utf-8", text);
    let fresh = HeaderValue::from_static("no-cache, no-store, must-revalidate");
    reply.headers.insert(header::CACHE_CONTROL, fresh);
    Ok(reply)
}

fn describe(version: &str, of: &str, server: &str) -> String {
    let mut out = String::with_capacity(DESCRIPTION.len());
    for line in DESCRIPTION.lines().filter(|line| !line.starts_with('#')) {
        let (line, new) = line.strip_suffix(SINCE_3_2).map_or((line, false), |line| (line, true));
        match line {
            _ if new && version != "3.2.0" => continue,
            "openapi: OPENAPI" => out.push_str(&line.replace("OPENAPI", version)),
            r#"  version: "VERSION""# => out.push_str(&line.replace("VERSION", of)),
            r#"  - url: "SERVER""# => out.push_str(&line.replace("SERVER", server)),
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// Methods and paths that are described, like `GET /query`.
#[cfg(test)]
pub(crate) fn described() -> std::collections::BTreeSet<String> {
    let mut path = String::new();
    let mut all = std::collections::BTreeSet::new();
    for line in describe("3.2.0", "", "").lines() {
        let key = line.trim_start().trim_end_matches(':');
        match line.len() - line.trim_start().len() {
            2 if key.starts_with('/') => path = key.to_owned(),
            4 if ["get", "post", "put", "delete"].contains(&key) => {
                all.insert(format!("{} {path}", key.to_uppercase()));
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_differ_in_what_3_2_brought() {
        let (old, new) = (describe("3.1.0", "1.2.3", "/p/api/v1"), describe("3.2.0", "1.2.3", "/p/api/v1"));
        assert!(old.starts_with("openapi: 3.1.0\n") && new.starts_with("openapi: 3.2.0\n"));
        assert!(!old.contains("/notifications/live") && new.contains("/notifications/live"));
        for text in [old, new] {
            assert!(text.contains("version: \"1.2.3\"") && text.contains("url: \"/p/api/v1\""));
            assert!(
                !text.contains('#') || text.matches('#').count() == text.matches("#/components/").count()
            );
        }
    }
}
