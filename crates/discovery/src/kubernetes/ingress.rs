//! Role `ingress`: a target for each path of each rule.

use kubeapi::{Encoded, Unreadable, schema};
use serde::Deserialize;

use super::object::{Metadata, Object};
use crate::group::ADDRESS;
use crate::json::{Many, Text};
use crate::label_set::{LabelSet, NameLists, Pairs};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spelled<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    #[serde(borrow)]
    ingress_class_name: Text<'a>,
    #[serde(borrow)]
    rules: Many<Rule<'a>>,
    #[serde(borrow)]
    tls: Many<Tls<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rule<'a> {
    #[serde(borrow)]
    host: Text<'a>,
    #[serde(borrow)]
    http: Option<Http<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Http<'a> {
    #[serde(borrow)]
    paths: Many<Path<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Path<'a> {
    #[serde(borrow)]
    path: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tls<'a> {
    #[serde(borrow)]
    hosts: Many<Text<'a>>,
}

/// An ingress.
#[derive(PartialEq)]
pub(super) struct Ingress {
    /// Name, class, labels and annotations.
    pub(super) labels: LabelSet,
    /// A target for each path.
    pub(super) targets: Box<[LabelSet]>,
}

impl Object for Ingress {
    fn read<'a>(object: Encoded<'a>, lists: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let Spelled { metadata, spec } = object.read(&schema::INGRESS)?;
        let mut pairs = Pairs::default();
        metadata.push_to(&mut pairs, "ingress");
        pairs.push("__meta_kubernetes_ingress_class_name", &spec.ingress_class_name);
        let labels = pairs.take(lists);
        let mut targets = Vec::new();
        for rule in &spec.rules.0 {
            let mut hosts = spec.tls.0.iter().flat_map(|tls| &tls.hosts.0);
            let scheme =
                if hosts.any(|pattern| matches_host(pattern, &rule.host)) { "https" } else { "http" };
            let paths = rule.http.as_ref().map_or(&[][..], |http| &http.paths.0);
            let written = paths.iter().map(|path| &*path.path);
            let fallback = rule.http.is_none().then_some("/");
            for path in written.chain(fallback) {
                pairs.push(ADDRESS, &rule.host);
                pairs.push("__meta_kubernetes_ingress_scheme", scheme);
                pairs.push("__meta_kubernetes_ingress_host", &rule.host);
                pairs.push("__meta_kubernetes_ingress_path", if path.is_empty() { "/" } else { path });
                targets.push(pairs.take(lists));
            }
        }
        Ok((metadata, Ingress { labels, targets: targets.into() }))
    }
}

/// Whether a name of a certificate covers `host`: a star stands for the first label alone.
fn matches_host(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.split_once('.'), host.split_once('.')) {
        (Some(("*", pattern)), Some((_, rest))) => pattern == rest,
        (None, None) => pattern == "*",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        for (pattern, host, matches) in [
            ("a.example.com", "a.example.com", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("a.*.com", "a.b.com", false),
            ("", "a", false),
            ("*", "a", true),
            ("*", "a.b", false),
        ] {
            assert_eq!(matches_host(pattern, host), matches, "{pattern} {host}");
        }
    }
}
