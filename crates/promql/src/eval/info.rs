//! `info`: adds the labels of info metrics (`target_info`) to the series that have the same `instance` and `job`.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use super::Evaluator;
use super::column::{Column, Grid, Series};
use super::peaks::Given;
use super::rows::{LabelMap, Rows, merge_equal};
use crate::ast::Span;
use crate::engine::QueryError;
use crate::plan::{Read, Scan, Source, Wanted};

/// The labels by which info series are found.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
const TARGET_INFO: &str = "target_info";

/// Matchers on data labels and on the info metrics' names.
struct Selection {
    data: BTreeMap<String, Vec<Matcher>>,
    names: Vec<Matcher>,
}

impl Selection {
    fn new(matchers: Option<&[Matcher]>) -> Selection {
        let mut selection = Selection { data: BTreeMap::new(), names: Vec::new() };
        let Some(matchers) = matchers else {
            selection.names.push(Matcher::equal(METRIC_NAME, TARGET_INFO));
            return selection;
        };
        for m in matchers {
            if &*m.name == METRIC_NAME {
                selection.names.push(m.clone());
            } else {
                selection.data.entry(m.name.to_string()).or_default().push(m.clone());
            }
        }
        if selection.names.is_empty() {
            selection.names.push(Matcher::equal(METRIC_NAME, TARGET_INFO));
        } else if !selection.names.iter().any(|m| matches!(m.op, MatchOp::Equal | MatchOp::Regex)) {
            // Exclusions alone say nothing about what an info metric is.
            selection.names.extend(Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info").ok());
        }
        selection
    }

    fn is_info(&self, labels: &Labels) -> bool {
        self.names.iter().all(|m| m.matches_labels(labels))
    }
}

fn identity(labels: &Labels) -> Labels {
    labels.filter(|name| IDENTIFYING.contains(&name))
}

impl Evaluator<'_> {
    pub(super) fn info(
        &self,
        rows: &Rows<'_>,
        matchers: Option<&[Matcher]>,
        (offset, at): (i64, Option<i64>),
        span: Span,
        grid: Grid,
    ) -> Result<Rows<'_>, QueryError> {
        let selection = Selection::new(matchers);
        let infos = self.info_series(&rows.series, &selection, offset, at, grid)?;
        if let Some(ledger) = &self.ledger {
            ledger.give_looked_at(span, Given::of(&infos, grid.len()));
        }
        // Info series by identity, of each metric the series that is newest at a step.
        let mut by_identity: LabelMap<Labels, BTreeMap<String, Vec<&Series>>> = LabelMap::default();
        for info in &infos {
            by_identity
                .entry(identity(&info.labels))
                .or_default()
                .entry(info.labels.value(METRIC_NAME).to_owned())
                .or_default()
                .push(info);
        }
        let empty = BTreeMap::new();
        let mut out = Vec::new();
        for base in &rows.series {
            self.ctx.check()?;
            if selection.is_info(&base.labels) {
                out.push(base.clone());
                continue;
            }
            let metrics = by_identity.get(&identity(&base.labels)).unwrap_or(&empty);
            let mut enriched: LabelMap<Labels, Column> = LabelMap::default();
            for i in base.floats.present.ones() {
                if let Some(labels) = enrich(&base.labels, metrics, &selection, i)? {
                    enriched
                        .entry(labels)
                        .or_insert_with(|| Column::absent(grid.len()))
                        .set_from(i, &base.floats);
                }
            }
            let series = |(labels, floats)| Series { labels, drop_name: base.drop_name, floats };
            out.extend(enriched.into_iter().map(series));
        }
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.rows(merge_equal(out)?)
    }

    /// The info series of the same identities; their values are the times of their samples.
    fn info_series(
        &self,
        base: &[Series],
        selection: &Selection,
        offset: i64,
        at: Option<i64>,
        grid: Grid,
    ) -> Result<Vec<Series>, QueryError> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for s in base.iter().filter(|s| !selection.is_info(&s.labels)) {
            for name in IDENTIFYING {
                if let Some(value) = s.labels.get(name) {
                    values.entry(name).or_default().insert(value);
                }
            }
        }
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut matchers = selection.names.clone();
        for (name, values) in values {
            let alternatives: Vec<String> = values.into_iter().map(quote_meta).collect();
            let matcher = Matcher::new(MatchOp::Regex, name, alternatives.join("|"));
            matchers.push(matcher.map_err(|e| QueryError::Execution(e.to_string()))?);
        }
        matchers.extend(selection.data.values().flatten().cloned());
        let read = Read {
            matchers,
            min_time: at.unwrap_or(grid.start) - self.lookback + 1 - offset,
            max_time: at.unwrap_or_else(|| grid.last()) - offset,
            labels: Wanted::All,
            newest: None,
            uses: 1,
        };
        let scan = Scan {
            read: 0,
            offset,
            at,
            source: Source::Timestamp,
            stages: Vec::new(),
            name: None,
            counts_only: false,
            taken_in: false,
            parts: Vec::new(),
        };
        self.scan_named(&read, &scan, grid)
    }
}

/// The labels of a series at step `i`; `None` when it has no info there and the matchers want some.
fn enrich(
    base: &Labels,
    metrics: &BTreeMap<String, Vec<&Series>>,
    selection: &Selection,
    i: usize,
) -> Result<Option<Labels>, QueryError> {
    let mut added = LabelsBuilder::default();
    let mut found = false;
    for series in metrics.values() {
        let mut newest: Option<(f64, &Labels)> = None;
        for (t, labels) in series.iter().filter_map(|s| Some((s.floats.get(i)?, &s.labels))) {
            match newest {
                Some((old, _)) if old > t => {}
                Some((old, existing)) if old == t => {
                    let t = (t * 1000.0) as i64;
                    return Err(QueryError::Execution(format!(
                        "found duplicate series for info metric: existing {existing} @ {t}, new {labels} @ {t}"
                    )));
                }
                _ => newest = Some((t, labels)),
            }
        }
        let Some((_, labels)) = newest else { continue };
        found = true;
        for (name, value) in labels.iter().filter(|&(name, _)| name != METRIC_NAME) {
            if !selection.data.is_empty() && !selection.data.contains_key(name) {
                continue;
            }
            let before = added.value(name);
            if !before.is_empty() && before != value {
                return Err(QueryError::Execution(format!("conflicting label: {name}")));
            }
            if base.get(name).is_none() {
                added.set(name, value);
            }
        }
    }
    if !found && !selection.data.values().flatten().all(Matcher::matches_empty) {
        return Ok(None);
    }
    let mut labels = LabelsBuilder::new(base);
    for (name, value) in added.iter() {
        labels.set(name, value);
    }
    Ok(Some(labels.build()))
}

/// The text as a regular expression that matches it alone.
fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
