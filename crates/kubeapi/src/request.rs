//! Which objects are asked for, and the URLs that ask for them.

use httpclient::Url;

/// Objects of one kind: of a namespace or of all, those that selectors let through.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Selection {
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    pub group: &'static str,
    /// The resource's name in paths, `pods`.
    pub resource: &'static str,
    /// Only those in this namespace; empty: all.
    pub namespace: String,
    /// A label selector, if not empty.
    pub labels: String,
    /// A field selector, if not empty.
    pub fields: String,
}

impl Selection {
    /// The URL without a question: `base` may have a path of its own.
    fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        let mut path = base.path().trim_end_matches('/').to_owned();
        path.push_str(self.group);
        url.set_path(&path);
        if let Ok(mut segments) = url.path_segments_mut() {
            if !self.namespace.is_empty() {
                segments.extend(["namespaces", &self.namespace]);
            }
            segments.push(self.resource);
        }
        {
            let mut query = url.query_pairs_mut();
            query.clear();
            if !self.fields.is_empty() {
                query.append_pair("fieldSelector", &self.fields);
            }
            if !self.labels.is_empty() {
                query.append_pair("labelSelector", &self.labels);
            }
        }
        url
    }

    /// The path for metrics: without the namespace's name.
    pub(crate) fn template(&self) -> String {
        let namespace = if self.namespace.is_empty() { "" } else { "/namespaces/%7Bnamespace%7D" };
        format!("{}{namespace}/{}", self.group, self.resource)
    }

    /// One page of at most `limit` objects; all of them if `limit` is 0. `from` is the token that the last page gave.
    pub(crate) fn list_url(&self, base: &Url, limit: usize, from: &str) -> Url {
        let mut url = self.url(base);
        if limit > 0 {
            url.query_pairs_mut().append_pair("limit", &limit.to_string());
        }
        if !from.is_empty() {
            url.query_pairs_mut().append_pair("continue", from);
        }
        tidy(url)
    }

    /// What changes after `version`; everything that is there and then what changes if there is none.
    pub(crate) fn watch_url(&self, base: &Url, version: Option<&str>, seconds: u64) -> Url {
        let mut url = self.url(base);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("allowWatchBookmarks", "true");
            match version {
                Some(version) => query.append_pair("resourceVersion", version),
                None => query
                    .append_pair("resourceVersionMatch", "NotOlderThan")
                    .append_pair("sendInitialEvents", "true"),
            };
            query.append_pair("timeoutSeconds", &seconds.to_string()).append_pair("watch", "true");
        }
        tidy(url)
    }
}

/// Without the question mark that an empty query leaves.
fn tidy(mut url: Url) -> Url {
    if url.query() == Some("") {
        url.set_query(None);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_ask_what_current_clients_ask() {
        let base = Url::parse("https://10.0.0.1:6443/proxy/").unwrap();
        let pods = Selection { group: "/api/v1", resource: "pods", ..Selection::default() };
        assert_eq!(pods.list_url(&base, 0, "").as_str(), "https://10.0.0.1:6443/proxy/api/v1/pods");
        assert_eq!(
            pods.watch_url(&base, None, 400).as_str(),
            "https://10.0.0.1:6443/proxy/api/v1/pods?allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&timeoutSeconds=400&watch=true"
        );
        let slices = Selection {
            group: "/apis/discovery.k8s.io/v1",
            resource: "endpointslices",
            namespace: "a/b".into(),
            labels: "app in (web, db)".into(),
            fields: "metadata.namespace!=data".into(),
        };
        assert_eq!(
            slices.list_url(&base, 500, "t=").as_str(),
            "https://10.0.0.1:6443/proxy/apis/discovery.k8s.io/v1/namespaces/a%2Fb/endpointslices?fieldSelector=metadata.namespace%21%3Ddata&labelSelector=app+in+%28web%2C+db%29&limit=500&continue=t%3D"
        );
        assert_eq!(slices.template(), "/apis/discovery.k8s.io/v1/namespaces/%7Bnamespace%7D/endpointslices");
    }
}
