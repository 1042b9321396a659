//! Every metric that a component registers has a name of a known program and a help text.

use super::{SourceFile, Violation, is_test_file, production_part};
use crate::rust_tokens::{Token, TokenKind, tokens};

/// The registry's methods that take a name and a help text.
const REGISTRATIONS: [&str; 8] =
    ["counter", "counter_vec", "gauge", "gauge_vec", "histogram", "histogram_vec", "summary", "summary_vec"];

/// What is new with us is called `binnacle_`.
const OWN_PREFIX: &str = "binnacle_";

/// Prefixes of the programs whose dashboards and alerts must keep working.
const FOREIGN_PREFIXES: [&str; 12] = [
    "alertmanager_",
    "go_",
    "kube_state_metrics_",
    "metrics_server_",
    "net_conntrack_",
    "node_exporter_",
    "node_scrape_",
    "probe_",
    "process_",
    "prometheus_",
    "promhttp_",
    "thanos_",
];

/// Complains about the registrations in a production file whose name or help is not as it should be.
/// Only literals can be checked: a name that is computed is left to the reader.
pub(super) fn check(file: &SourceFile) -> Vec<Violation> {
    if is_test_file(&file.path) {
        return Vec::new();
    }
    let tokens = tokens(production_part(&file.text));
    let registrations = tokens.windows(6).filter_map(registration);
    registrations
        .flat_map(|found| found.faults().into_iter().map(move |fault| (found.line, found.name, fault)))
        .map(|(line, name, fault)| Violation {
            path: file.path.clone(),
            line,
            message: format!("metric `{name}`: {fault}"),
        })
        .collect()
}

struct Registration<'a> {
    line: usize,
    method: &'a str,
    name: &'a str,
    /// Absent if it is not a literal.
    help: Option<&'a str>,
}

/// `.counter("name", "help"` at the start of `window`.
fn registration(window: &[Token]) -> Option<Registration<'_>> {
    use TokenKind::{Mark, Text, Word};
    match window {
        [dot, method, open, name, comma, help] => {
            match (&dot.kind, &method.kind, &open.kind, &name.kind, &comma.kind) {
                (Mark('.'), Word(method), Mark('('), Text(text), Mark(','))
                    if REGISTRATIONS.contains(&method.as_str()) =>
                {
                    let help = if let Text(help) = &help.kind { Some(help.as_str()) } else { None };
                    Some(Registration { line: name.line, method, name: text, help })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

impl Registration<'_> {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let own = self.name.starts_with(OWN_PREFIX);
        if !is_well_formed(self.name) {
            faults.push("a name is lower-case words joined by single underscores".to_owned());
        } else if !own && !FOREIGN_PREFIXES.iter().any(|prefix| self.name.starts_with(prefix)) {
            faults.push(format!(
                "begin it with `{OWN_PREFIX}`, or with the prefix of the program it stands in for"
            ));
        }
        let is_counter = self.method.starts_with("counter");
        if is_counter != self.name.ends_with("_total") {
            faults.push(if is_counter {
                "a counter's name ends in `_total`".to_owned()
            } else {
                format!("`_total` is for counters, this is a {}", self.method.trim_end_matches("_vec"))
            });
        }
        match self.help {
            Some(help) if help.trim().is_empty() => faults.push("say in its help what it counts".to_owned()),
            // The text of another program's metric is that program's, full stop or not.
            Some(help) if own && !help.ends_with('.') => {
                faults.push("its help is a sentence and ends with a full stop".to_owned());
            }
            _ => {}
        }
        faults
    }
}

/// `[a-z][a-z0-9]*(_[a-z0-9]+)*`
fn is_well_formed(name: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('_').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let file = SourceFile { path: "crates/a/src/metrics.rs".to_owned(), text: text.to_owned() };
        check(&file).into_iter().map(|v| v.to_string()).collect()
    }

    #[test]
    fn good_registrations_pass() {
        let source = r#"
            let a = r.counter("binnacle_scrapes_total", "Scrapes since the start.");
            let b = r.gauge_vec("prometheus_tsdb_head_series", "Total number of series in the head block", &["x"]);
            let c = r.histogram(
                "binnacle_scrape_seconds",
                "How long a scrape took, \
                 in seconds.",
                &BUCKETS,
            );
            /// r.counter("bad", "");
            let d = r.counter(name, help);
            let e = r.gauge("binnacle_x", HELP);
        "#;
        assert_eq!(complaints(source), Vec::<String>::new());
    }

    #[test]
    fn bad_registrations_are_named_with_their_line() {
        let cases = [
            (r#"r.counter("binnacle_scrapes", "Scrapes.");"#, "ends in `_total`"),
            (
                r#"r.gauge("binnacle_scrapes_total", "Scrapes.");"#,
                "`_total` is for counters, this is a gauge",
            ),
            (r#"r.counter("binnacle_scrapes_total", "");"#, "say in its help"),
            (r#"r.counter("binnacle_scrapes_total", "Scrapes");"#, "full stop"),
            (r#"r.counter("scrapes_total", "Scrapes.");"#, "begin it with `binnacle_`"),
            (r#"r.gauge("binnacle_Scrapes", "Scrapes.");"#, "lower-case words"),
            (r#"r.gauge("binnacle__x", "Scrapes.");"#, "lower-case words"),
            (r#"r.gauge_vec("prometheus_x", "", &[]);"#, "say in its help"),
        ];
        for (source, expected) in cases {
            let found = complaints(&format!("\n{source}"));
            assert_eq!(found.len(), 1, "{source}: {found:?}");
            assert!(
                found[0].starts_with("crates/a/src/metrics.rs:2: ") && found[0].contains(expected),
                "{found:?}"
            );
        }
    }

    #[test]
    fn tests_may_register_what_they_like() {
        assert_eq!(
            complaints("#[cfg(test)]\nmod tests {\n r.counter(\"x\", \"\");\n}\n"),
            Vec::<String>::new()
        );
    }
}
