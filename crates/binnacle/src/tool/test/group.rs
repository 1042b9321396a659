//! One group of tests: its rules are evaluated on its series, step by step, and what comes of it is compared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{AlertTest, ExprTest, RuleFileOptions, TestGroup, load_rules};
use exposition::Registry;
use model::Labels;
use model::number::quote;
use promql::{
    Engine, EngineOptions, Overrides, ParseOptions, SeriesPoint, Value, VectorSample, parse_series_desc,
};
use rules::{
    AlertState, AlertToSend, ExternalUrl, Group, GroupOptions, Manager, ManagerOptions, Notify, Settings,
    Time,
};
use storage::{MemoryBudget, MemoryStore, QueryContext};

use super::difference::difference;
use super::expected::{
    AlertText, SampleText, alerts_json, alerts_text, are_equal, histogram_text, indented, samples_text,
};
use super::input::Input;
use crate::tool::failure::{reading, tell};

/// Samples that a query may hold, as in promtool.
const MAX_SAMPLES: u64 = 10_000;
const QUERY_TIMEOUT: Duration = Duration::from_secs(100);
const MILLION: i64 = 1_000_000;
/// Lines of alerts are indented by so much.
const ALERT_INDENT: &str = "            ";

/// What holds for all groups of a file.
pub(super) struct Conditions<'a> {
    pub(super) rule_files: &'a [String],
    pub(super) options: &'a RuleFileOptions,
    /// Groups of rules that come first.
    pub(super) group_order: &'a [String],
    /// In milliseconds.
    pub(super) evaluation_interval: i64,
    pub(super) fuzzy: bool,
    pub(super) delayed_name_removal: bool,
    pub(super) diff: bool,
    pub(super) debug: bool,
}

/// Runs it; what is wrong.
pub(super) fn test(test: &TestGroup, name: &str, conditions: &Conditions<'_>) -> Vec<String> {
    if !conditions.debug {
        return run(test, conditions);
    }
    tell(&format!("DEBUG: Starting test {name}"));
    let clock = Instant::now();
    let complaints = run(test, conditions);
    let took = i64::try_from(clock.elapsed().as_nanos()).unwrap_or(i64::MAX);
    tell(&format!("DEBUG: Test {name} finished, took {}", model::duration::format_go(took)));
    complaints
}

fn run(test: &TestGroup, conditions: &Conditions<'_>) -> Vec<String> {
    let prepared = Running::prepare(test, conditions);
    let mut running = match prepared {
        Ok(running) => running,
        Err(complaints) => return complaints,
    };
    if let Some(alert) = test.alert_rule_test.iter().find(|alert| alert.alertname.is_empty()) {
        let of = if test.name.is_empty() { String::new() } else { format!(" (in TestGroup {})", test.name) };
        let at = model::duration::format(alert.eval_time.0);
        return vec![format!(
            "an item under alert_rule_test misses required attribute alertname at eval_time {at}{of}"
        )];
    }
    if !running.evaluate() {
        return running.complaints;
    }
    for expr in &test.promql_expr_test {
        if let Err(why) = running.check_expression(expr) {
            running.complaints.push(why);
        }
    }
    if conditions.debug {
        running.dump();
    }
    running.complaints
}

/// Rules whose expressions cannot be evaluated: by group and place in it, the name and why.
type Unparsable = BTreeMap<(String, String), Vec<(usize, String, String)>>;

struct Running<'a> {
    test: &'a TestGroup,
    conditions: &'a Conditions<'a>,
    engine: Arc<Engine>,
    store: Arc<MemoryStore>,
    input: Input,
    groups: Vec<Arc<Group>>,
    unparsable: Unparsable,
    /// In nanoseconds since the epoch.
    start: i64,
    complaints: Vec<String>,
}

/// Alerts go nowhere.
struct Nobody;

impl Notify for Nobody {
    fn notify(&self, _: Vec<AlertToSend>) {}
}

impl<'a> Running<'a> {
    fn prepare(test: &'a TestGroup, conditions: &'a Conditions<'a>) -> Result<Self, Vec<String>> {
        let start = test.start_timestamp.0.unwrap_or_default();
        let start = i64::try_from(start).unwrap_or(if start < 0 { i64::MIN } else { i64::MAX });
        let interval = match test.interval.0 {
            0 => conditions.evaluation_interval,
            millis => millis,
        };
        let input =
            Input::read(&test.input_series, start.div_euclid(MILLION), interval).map_err(|why| vec![why])?;
        let engine = Arc::new(Engine::new(EngineOptions {
            threads: 1,
            max_samples: MAX_SAMPLES,
            default_eval_interval_ms: conditions.evaluation_interval,
            parse: language(),
            delayed_name_removal: conditions.delayed_name_removal,
            ..EngineOptions::default()
        }));
        let store = Arc::new(MemoryStore::new());
        let mut options = read_groups(conditions, Duration::from_millis(interval.unsigned_abs()))?;
        let unparsable = take_unparsable(&mut options);
        let groups = groups(test, options, &engine, &store).map_err(|why| vec![why])?;
        let place = |group: &Group| conditions.group_order.iter().position(|name| name == group.name());
        let mut groups = groups;
        groups.sort_by_key(|group| place(group).unwrap_or(0));
        let complaints = Vec::new();
        Ok(Running { test, conditions, engine, store, input, groups, unparsable, start, complaints })
    }

    /// Evaluates all rules up to the last time that is looked at, and looks at alerts meanwhile. Whether expressions are to be
    /// looked at, too.
    fn evaluate(&mut self) -> bool {
        let last = self.last_time().saturating_mul(MILLION);
        let step = self.conditions.evaluation_interval.saturating_mul(MILLION);
        let mut alerts: Vec<&AlertTest> = self.test.alert_rule_test.iter().collect();
        alerts.sort_by_key(|alert| alert.eval_time.0);
        let mut alerts = alerts.into_iter().peekable();
        let mut after = 0;
        while after <= last {
            let at = Time(self.start.saturating_add(after));
            match self.input.feed(&self.store, at.millis()) {
                Err(why) => self.complaints.push(why),
                Ok(()) => {
                    let failed = self.evaluate_rules(at);
                    if !failed.is_empty() {
                        self.complaints.extend(failed);
                        return false;
                    }
                }
            }
            after = after.saturating_add(step);
            while let Some(alert) = alerts.next_if(|alert| alert.eval_time.0.saturating_mul(MILLION) < after)
            {
                self.complaints.extend(self.compare_alerts(alert));
            }
        }
        true
    }

    /// What failed, in the order of the rules.
    fn evaluate_rules(&self, at: Time) -> Vec<String> {
        let time = model::duration::format_go(at.0);
        let told = |name: &str, why: &str| format!("    rule: {name}, time: {time}, err: {why}");
        let mut failed = Vec::new();
        for group in &self.groups {
            group.evaluate(at);
            let key = (group.file().to_owned(), group.name().to_owned());
            let mut unparsable = self.unparsable.get(&key).into_iter().flatten().peekable();
            for (i, rule) in group.rules().iter().enumerate() {
                // Those are not among the rules of the group.
                while let Some((_, name, why)) = unparsable.next_if(|(place, _, _)| *place <= i) {
                    failed.push(told(name, why));
                }
                if let Some(error) = rule.status().last_error {
                    failed.push(told(rule.name(), &error));
                }
            }
            failed.extend(unparsable.map(|(_, name, why)| told(name, why)));
        }
        failed
    }

    fn compare_alerts(&self, alert: &AlertTest) -> Option<String> {
        let mut expected: Vec<AlertText> = alert
            .exp_alerts
            .iter()
            .map(|expected| {
                let mut labels = expected.exp_labels.clone();
                labels.insert("alertname".to_owned(), alert.alertname.clone());
                let annotations = expected.exp_annotations.clone().into_iter().collect();
                AlertText { labels: labels.into_iter().collect(), annotations }
            })
            .collect();
        let rules = self.groups.iter().flat_map(|group| group.rules());
        let of_name = rules.filter(|rule| rule.is_alerting() && rule.name() == alert.alertname);
        let mut got: Vec<AlertText> = of_name
            .flat_map(|rule| rule.active_alerts())
            .filter(|alert| alert.state == AlertState::Firing)
            .map(|alert| AlertText {
                labels: alert
                    .labels
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                annotations: alert.annotations.to_vec(),
            })
            .collect();
        expected.sort();
        got.sort();
        if expected == got {
            return None;
        }
        let name = match self.test.name.as_str() {
            "" => String::new(),
            name => format!("    name: {name},\n"),
        };
        let time = model::duration::format(alert.eval_time.0);
        let head = format!("{name}    alertname: {}, time: {time}, \n", alert.alertname);
        Some(if self.conditions.diff {
            let difference = difference(&alerts_json(&expected), &alerts_json(&got));
            format!("{head}        diff: {}", indented(&difference, ALERT_INDENT))
        } else {
            let (expected, got) = (alerts_text(&expected, ALERT_INDENT), alerts_text(&got, ALERT_INDENT));
            format!("{head}        exp:{expected}, \n        got:{got}")
        })
    }

    fn check_expression(&self, test: &ExprTest) -> Result<(), String> {
        let (expr, time) = (quote(&test.expr), model::duration::format(test.eval_time.0));
        let told = |why: String| format!("    expr: {expr}, time: {time}, err: {why}");
        let at = self.start.div_euclid(MILLION).saturating_add(test.eval_time.0);
        let mut got: Vec<SampleText> = self
            .query(&test.expr, at)
            .map_err(told)?
            .into_iter()
            .map(|sample| SampleText {
                labels: sample.labels,
                v: sample.v,
                histogram: sample.histogram.map_or_else(String::new, |histogram| histogram_text(&histogram)),
            })
            .collect();
        let mut expected = Vec::new();
        for sample in &test.exp_samples {
            let sample = expected_sample(sample)
                .map_err(|why| told(format!("labels {}: {why}", quote(&sample.labels))))?;
            expected.push(sample);
        }
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        if are_equal(&expected, &got, self.conditions.fuzzy) {
            return Ok(());
        }
        let (expected, got) = (samples_text(&expected), samples_text(&got));
        Err(format!("    expr: {expr}, time: {time},\n        exp: {expected}\n        got: {got}"))
    }

    fn query(&self, expr: &str, at_ms: i64) -> Result<Vec<VectorSample>, String> {
        match self.evaluate_query(expr, at_ms)? {
            Value::Vector(samples) => Ok(samples),
            Value::Scalar { t, v } => {
                Ok(vec![VectorSample { labels: Labels::empty(), t, v, histogram: None }])
            }
            Value::Matrix(_) | Value::String { .. } => {
                Err("rule result is not a vector or scalar".to_owned())
            }
        }
    }

    fn evaluate_query(&self, expr: &str, at_ms: i64) -> Result<Value, String> {
        let ctx = QueryContext::new(Some(Instant::now() + QUERY_TIMEOUT), MAX_SAMPLES);
        let result = self.engine.instant(&*self.store, &ctx, expr, at_ms, &Overrides::default());
        result.map(|result| result.value).map_err(|error| error.to_string())
    }

    /// Prints all samples.
    fn dump(&self) {
        // Whole seconds, up to the one after the last time that was looked at.
        let range = (self.last_time() / 1000 + 1).saturating_mul(1000);
        let shown = model::duration::format_go(range.saturating_mul(MILLION));
        let expr = format!("{{__name__=~\".+\"}}[{shown}]");
        match self.evaluate_query(&expr, self.start.div_euclid(MILLION).saturating_add(range)) {
            Ok(Value::Matrix(series)) => {
                tell(&format!("DEBUG: Dump of all data (input_series and rules) at {shown}:"));
                let lines: Vec<String> = series.iter().map(series_text).collect();
                tell(&lines.join("\n"));
            }
            Ok(_) => {}
            Err(why) => tell(&format!("DEBUG: Failed query exec, expr: {}, err: {why}", quote(&expr))),
        }
    }

    /// The last time after the start that is looked at, in milliseconds.
    fn last_time(&self) -> i64 {
        let alerts = self.test.alert_rule_test.iter().map(|test| test.eval_time.0);
        let expressions = self.test.promql_expr_test.iter().map(|test| test.eval_time.0);
        alerts.chain(expressions).max().unwrap_or_default()
    }
}

/// promtool evaluates tests without the parts of the language that have to be switched on, whether they are or not.
fn language() -> ParseOptions {
    ParseOptions { duration_expressions: false, ..ParseOptions::default() }
}

fn read_groups(conditions: &Conditions<'_>, interval: Duration) -> Result<Vec<GroupOptions>, Vec<String>> {
    let mut all: BTreeMap<(String, String), GroupOptions> = BTreeMap::new();
    for file in conditions.rule_files {
        let content = std::fs::read(file)
            .map_err(|error| vec![format!("{file}: {}", reading(file.as_ref(), &error))])?;
        let loaded = load_rules(content, conditions.options);
        if !loaded.refusals.is_empty() {
            return Err(loaded.refusals.iter().map(|line| format!("{file}: {line}")).collect());
        }
        for group in loaded.file.groups {
            let options = group.to_options(file, interval);
            all.insert((options.file.clone(), options.name.clone()), options);
        }
    }
    Ok(all.into_values().collect())
}

/// Takes away the rules that cannot be evaluated.
fn take_unparsable(groups: &mut [GroupOptions]) -> Unparsable {
    let language = language();
    let mut taken = Unparsable::new();
    for group in groups {
        let mut kept = 0;
        group.rules.retain(|rule| match promql::parse(&rule.expr, &language) {
            Ok(_) => {
                kept += 1;
                true
            }
            Err(why) => {
                let of_group = taken.entry((group.file.clone(), group.name.clone())).or_default();
                of_group.push((kept, rule.name.clone(), why.to_string()));
                false
            }
        });
    }
    taken
}

fn groups(
    test: &TestGroup,
    options: Vec<GroupOptions>,
    engine: &Arc<Engine>,
    store: &Arc<MemoryStore>,
) -> Result<Vec<Arc<Group>>, String> {
    let (reader, appender) = (Arc::clone(store) as _, Arc::clone(store) as _);
    let budget = MemoryBudget::new(0);
    let manager_options = ManagerOptions {
        external_url: ExternalUrl { url: test.external_url.clone(), path: String::new() },
        query_timeout: QUERY_TIMEOUT,
        ..ManagerOptions::new(Arc::clone(engine), reader, appender, Arc::new(Nobody), budget)
    };
    let manager = Manager::new(manager_options, &Registry::new());
    let external_labels: Labels = test.external_labels.clone().into_iter().collect();
    let settings = || Settings { external_labels: external_labels.clone(), ..Settings::default() };
    let prepare = |options| manager.prepare(options).map_err(|error| error.to_string());
    // Groups that come second have nothing to restore.
    manager.apply(prepare(Vec::new())?, settings());
    manager.apply(prepare(options)?, settings());
    Ok(manager.groups())
}

fn expected_sample(sample: &config::ExpectedSample) -> Result<SampleText, String> {
    let labels = promql::parse_metric(&sample.labels).map_err(|error| error.to_string())?;
    let mut histogram = String::new();
    if !sample.histogram.is_empty() {
        let (_, items) =
            parse_series_desc(&format!("{{}} {}", sample.histogram)).map_err(|e| e.to_string())?;
        let mut points = Vec::new();
        for item in &items {
            points.extend(item.points()?);
        }
        let [point] = points.as_slice() else {
            return Err(format!("expected 1 value, got {}", points.len()));
        };
        histogram = match point {
            Some(SeriesPoint::Histogram(expected)) => histogram_text(expected),
            Some(SeriesPoint::Float(v)) => return Err(format!("expected histogram, got {v:.6}")),
            None => return Err("expected histogram, got _".to_owned()),
        };
    }
    Ok(SampleText { labels, v: sample.value, histogram })
}

/// A series with a line for each sample, times in milliseconds.
fn series_text(series: &promql::MatrixSeries) -> String {
    let floats = series.times.iter().zip(&series.values);
    let floats = floats.map(|(t, v)| format!("{} @[{t}]", model::number::format_f(*v)));
    let histograms = series.histograms.iter().map(|sample| format!("{} @[{}]", sample.histogram, sample.t));
    let lines: Vec<String> = floats.chain(histograms).collect();
    format!("{} =>\n{}", series.labels, lines.join("\n"))
}
