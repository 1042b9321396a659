//! From targets to URLs.

#![allow(clippy::unwrap_used)]

use discovery::TargetGroup;
use model::Labels;
use model::relabel::{Action, Config};
use notifier::destinations;

fn group(target: &[(&str, &str)], labels: &[(&str, &str)]) -> TargetGroup {
    TargetGroup {
        source: String::new(),
        targets: [Labels::from_pairs(target.iter().copied()).into()].into(),
        labels: Labels::from_pairs(labels.iter().copied()).into(),
    }
}

#[test]
fn a_url_is_made_of_scheme_address_and_prefix() {
    for (target, labels, prefix, expected) in [
        (&[("__address__", "am:9093")][..], &[][..], "", "http://am:9093/api/v2/alerts"),
        (&[("__address__", "am:80")], &[], "/", "http://am:80/api/v2/alerts"),
        (&[("__address__", "am")], &[], "/a//b/", "http://am/a/b/api/v2/alerts"),
        (&[("__address__", "am")], &[], "../a b", "http://am/a%20b/api/v2/alerts"),
        (&[("__address__", "[::1]:9093")], &[], "", "http://[::1]:9093/api/v2/alerts"),
        // A target's own scheme gives way, that of its group does not.
        (&[("__address__", "am"), ("__scheme__", "https")], &[], "", "http://am/api/v2/alerts"),
        (&[("__address__", "am")], &[("__scheme__", "https")], "", "https://am/api/v2/alerts"),
        (&[("__address__", "am")], &[("__alerts_path__", "x")], "", "http://am/x"),
    ] {
        let found = destinations(&group(target, labels), "http", prefix, &[]).unwrap();
        assert_eq!((found[0].url.as_str(), found[0].dropped), (expected, false));
    }
}

#[test]
fn rules_change_and_drop_alertmanagers() {
    let to = |label: &str, text: &str| Config {
        target_label: label.into(),
        replacement: text.into(),
        ..Config::default()
    };
    let am = group(&[("__address__", "am")], &[]);
    let moved = destinations(&am, "http", "", &[to("__address__", "other:1"), to("__alerts_path__", "/p")]);
    assert_eq!(moved.unwrap()[0].url, "http://other:1/p");
    let dropped =
        destinations(&am, "http", "", &[Config { action: Action::Drop, ..Config::default() }]).unwrap();
    assert!(dropped[0].dropped);
    assert_eq!(dropped[0].url, "http://am/api/v2/alerts");
    let error = destinations(&am, "http", "", &[to("__address__", "am/path")]).unwrap_err();
    assert_eq!(error.to_string(), "\"am/path\" is not a valid hostname");
}
