//! Files of unit tests for rules, as promtool reads them.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use model::number::quote;
use model::timestamp::parse_nanos;

use crate::decode::{Field, Issues, Section, Stop, decode_section, section};
use crate::glob::glob;
use crate::kinds::Millis;
use crate::yaml::{Node, Out, parse, text};

section! {
    /// A file of unit tests.
    UnitTestFile "main.unitTestFile" "main.unitTestFile" {
        /// Files of rules, as patterns.
        rule_files: Vec<String> = "rule_files" keep,
        /// How often groups are evaluated.
        evaluation_interval: Millis = "evaluation_interval",
        /// Groups that come first, in this order.
        group_eval_order: Vec<String> = "group_eval_order",
        /// The tests.
        tests: Vec<TestGroup> = "tests",
        /// Values are equal that are neighbours.
        fuzzy_compare: bool = "fuzzy_compare",
    }
}
impl Section for UnitTestFile {}

section! {
    /// Series, and what is to become of them.
    TestGroup "main.testGroup" "main.testGroup" {
        /// How far samples of series are apart.
        interval: Millis = "interval",
        /// The series.
        input_series: Vec<InputSeries> = "input_series",
        /// Alerts that are to fire.
        alert_rule_test: Vec<AlertTest> = "alert_rule_test",
        /// Values that expressions are to have.
        promql_expr_test: Vec<ExprTest> = "promql_expr_test",
        /// Labels of the server.
        external_labels: BTreeMap<String, String> = "external_labels",
        /// URL of the server.
        external_url: String = "external_url",
        /// What it is called.
        name: String = "name",
        /// When it begins; at the epoch if not said.
        start_timestamp: StartTimestamp = "start_timestamp",
    }
}
impl Section for TestGroup {}

section! {
    /// A series.
    InputSeries "main.series" "main.series" {
        /// Name and labels.
        series: String = "series",
        /// Its samples.
        values: String = "values",
    }
}
impl Section for InputSeries {}

section! {
    /// Which alerts fire at a time.
    AlertTest "main.alertTestCase" "main.alertTestCase" {
        /// When, after the start.
        eval_time: Millis = "eval_time",
        /// Name of the alerts.
        alertname: String = "alertname",
        /// The alerts.
        exp_alerts: Vec<ExpectedAlert> = "exp_alerts",
    }
}
impl Section for AlertTest {}

section! {
    /// An alert.
    ExpectedAlert "main.alert" "main.alert" {
        /// Its labels besides its name.
        exp_labels: BTreeMap<String, String> = "exp_labels",
        /// Its annotations.
        exp_annotations: BTreeMap<String, String> = "exp_annotations",
    }
}
impl Section for ExpectedAlert {}

section! {
    /// What an expression gives at a time.
    ExprTest "main.promqlTestCase" "main.promqlTestCase" {
        /// The expression.
        expr: String = "expr",
        /// When, after the start.
        eval_time: Millis = "eval_time",
        /// The samples.
        exp_samples: Vec<ExpectedSample> = "exp_samples",
    }
}
impl Section for ExprTest {}

section! {
    /// A sample.
    ExpectedSample "main.sample" "main.sample" {
        /// Name and labels.
        labels: String = "labels",
        /// Its value, if it is no histogram.
        value: f64 = "value",
        /// Its value, if it is a histogram.
        histogram: String = "histogram",
    }
}
impl Section for ExpectedSample {}

/// A time in nanoseconds since the epoch, if it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StartTimestamp(pub Option<i128>);

impl Field for StartTimestamp {
    fn go_type() -> String {
        "string".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let Some(text) = node.text() else {
            issues.mismatch(node, "string");
            return Ok(None);
        };
        match parse_nanos(text) {
            Some(nanos) => Ok(Some(StartTimestamp(Some(nanos)))),
            None => Err(Stop::at(node.span, format!("cannot parse {} to a valid timestamp", quote(text)))),
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn encode(&self) -> Out {
        Out::Literal(self.0.unwrap_or_default().to_string())
    }
}

/// Reads a file of unit tests.
///
/// # Errors
/// In promtool's words.
pub fn load_unit_tests(content: &[u8]) -> Result<UnitTestFile, String> {
    let text = text(content).map_err(|err| err.message)?;
    let Some(root) = parse(&text).map_err(|err| err.message)?.filter(|root| !root.is_null()) else {
        return Ok(UnitTestFile::default());
    };
    let mut issues = Issues::default();
    let read = decode_section::<UnitTestFile>(&root, &mut issues).map_err(|stop| stop.line)?;
    match issues.finish() {
        Some((line, _)) => Err(line),
        None => Ok(read.unwrap_or_default()),
    }
}

impl UnitTestFile {
    /// The files of rules of a file of tests that lies in `directory`; each pattern that no file matches is handed to `unmatched`.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn resolved_rule_files(
        &self,
        directory: &Path,
        mut unmatched: impl FnMut(&str),
    ) -> Result<Vec<String>, String> {
        let mut files = Vec::new();
        for pattern in &self.rule_files {
            let pattern = match pattern.as_str() {
                "" => String::new(),
                absolute if absolute.starts_with('/') => absolute.to_owned(),
                relative => joined(directory, relative),
            };
            let found = glob(&pattern).map_err(|err| err.to_string())?;
            if found.is_empty() {
                unmatched(&pattern);
            }
            files.extend(found);
        }
        Ok(files)
    }
}

/// Go's `filepath.Join`.
fn joined(directory: &Path, relative: &str) -> String {
    let path = directory.join(relative);
    let mut parts: Vec<String> = Vec::new();
    let mut rooted = false;
    for component in path.components() {
        match component {
            Component::RootDir => rooted = true,
            Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => match parts.last() {
                Some(last) if last != ".." => drop(parts.pop()),
                _ if rooted => {}
                _ => parts.push("..".to_owned()),
            },
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
