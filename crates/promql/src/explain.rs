//! What a plan does, node by node, and what each node cost.

use std::time::Duration;

use crate::ast::{RangeMode, VectorMatching};
use crate::eval::WindowFn;
use crate::plan::{
    Aggregation, BucketCall, Read, Scalar, Scan, SortBy, Source, Stage, Vector, VectorBinary, Wanted,
};

/// A node of a plan that was carried out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanNode {
    /// What kind it is: `aggregate`, `scan`, `join`, …
    pub kind: &'static str,
    /// What it does, for people.
    pub detail: String,
    /// At how many steps.
    pub steps: usize,
    /// Series that it gave.
    pub series: u64,
    /// Values in them.
    pub samples: u64,
    /// What its result takes in memory.
    pub bytes: u64,
    /// Of a scan: what it read from the store.
    pub read: Option<ReadCost>,
    /// Its nodes' time included.
    pub took: Duration,
    /// What it works on.
    pub nodes: Vec<PlanNode>,
}

/// What was read from the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// What was asked for, for people.
    pub detail: String,
    /// Series found.
    pub series: u64,
    /// Samples decoded.
    pub samples: u64,
    /// Of the chunks that were decoded.
    pub bytes: u64,
}

impl PlanNode {
    pub(crate) fn new(kind: &'static str, detail: String, steps: usize) -> PlanNode {
        PlanNode { kind, detail, steps, ..PlanNode::default() }
    }

    /// The node of an expression.
    pub(crate) fn of(vector: &Vector, reads: &[Read], steps: usize) -> PlanNode {
        let (kind, detail) = describe(vector, reads);
        PlanNode::new(kind, detail, steps)
    }

    /// The node of a scan that is not an expression of its own.
    pub(crate) fn of_scan(scan: &Scan, reads: &[Read], steps: usize) -> PlanNode {
        PlanNode::new("scan", scanned(scan, reads), steps)
    }
}

impl ReadCost {
    /// What is asked of the store.
    pub(crate) fn of(read: &Read) -> ReadCost {
        let mut detail = selector(read);
        match &read.labels {
            Wanted::All => {}
            Wanted::Only(names) if names.is_empty() => detail.push_str(", no labels"),
            Wanted::Only(names) => detail.push_str(&format!(", labels {}", names.join(", "))),
            Wanted::Without(names) => detail.push_str(&format!(", all labels but {}", names.join(", "))),
        }
        let length = (read.max_time - read.min_time).saturating_add(1);
        detail.push_str(&format!(", {} of samples", model::duration::format(length)));
        if read.newest.is_some() {
            detail.push_str(", only the newest");
        }
        if read.uses > 1 {
            detail.push_str(&format!(", once for {} uses", read.uses));
        }
        ReadCost { detail, ..ReadCost::default() }
    }
}

/// The matchers of a read, as a selector is written.
pub(crate) fn selector(read: &Read) -> String {
    let is_name = |m: &&model::Matcher| {
        &*m.name == model::METRIC_NAME
            && m.op == model::MatchOp::Equal
            && model::is_legacy_metric_name(&m.value)
    };
    let name = read.matchers.iter().find(is_name);
    let others: Vec<String> = read
        .matchers
        .iter()
        .filter(|m| name.is_none_or(|name| *m != name))
        .map(ToString::to_string)
        .collect();
    let name = name.map_or("", |m| &*m.value);
    if others.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", others.join(",")) }
}

fn describe(vector: &Vector, reads: &[Read]) -> (&'static str, String) {
    match vector {
        Vector::At(_, vector) => describe(vector, reads),
        Vector::Scan(scan) => ("scan", scanned(scan, reads)),
        Vector::Subquery(s) => {
            let step = model::duration::format(s.grid.step);
            let range = model::duration::format(s.call.range);
            ("subquery", format!("{} over [{range}:{step}]", window(s.call.function, s.call.mode)))
        }
        Vector::Map(_, stages) => ("map", steps_of(stages)),
        Vector::FromScalar(_) => ("vector", "a scalar as a series".to_owned()),
        Vector::Aggregate(a) => ("aggregate", aggregated(a)),
        Vector::Binary(b) => ("join", joined(b)),
        Vector::Absent(..) => ("absent", String::new()),
        Vector::LabelReplace { target, source, .. } => ("label_replace", format!("{target} from {source}")),
        Vector::LabelJoin { target, sources, .. } => {
            ("label_join", format!("{target} from {}", sources.join(", ")))
        }
        Vector::Sort { by, descending, .. } => {
            let by = match by {
                SortBy::Value => "value".to_owned(),
                SortBy::Labels(names) => names.join(", "),
            };
            ("sort", format!("by {by}{}", if *descending { ", descending" } else { "" }))
        }
        Vector::Buckets { call, .. } => {
            let what = match call {
                BucketCall::Quantile(..) => "histogram_quantile",
                BucketCall::Quantiles(..) => "histogram_quantiles",
                BucketCall::Fraction(..) => "histogram_fraction",
            };
            ("histogram", what.to_owned())
        }
        Vector::Info { .. } => ("info", "labels of info series".to_owned()),
        Vector::Invariant(_) => ("once", "the same at every step".to_owned()),
    }
}

fn window(function: WindowFn, mode: Option<RangeMode>) -> String {
    let mode = match mode {
        None => "",
        Some(RangeMode::Anchored) => " anchored",
        Some(RangeMode::Smoothed) => " smoothed",
    };
    format!("{}{mode}", function.name())
}

/// What a scan computes of each series.
fn scanned(scan: &Scan, reads: &[Read]) -> String {
    let selector = reads.get(scan.read).map(selector).unwrap_or_default();
    let mut detail = match &scan.source {
        Source::Instant => selector,
        Source::Timestamp => format!("timestamp({selector})"),
        Source::StartTime => format!("start_timestamp({selector})"),
        Source::Smoothed(_) => format!("{selector} smoothed"),
        Source::Window(call) => {
            let range = model::duration::format(call.range);
            format!("{}({selector}[{range}])", window(call.function, call.mode))
        }
    };
    if let Some(at) = scan.at {
        detail.push_str(&format!(" @ {:.3}", at as f64 / 1000.0));
    }
    if scan.offset != 0 {
        let sign = if scan.offset < 0 { "-" } else { "" };
        detail.push_str(&format!(" offset {sign}{}", model::duration::format(scan.offset.abs())));
    }
    if !scan.stages.is_empty() {
        detail.push_str(&format!(", then {}", steps_of(&scan.stages)));
    }
    detail
}

/// What is computed on each series for itself.
fn steps_of(stages: &[Stage]) -> String {
    let one = |stage: &Stage| match stage {
        Stage::Math(name, _) | Stage::OfHistogram(name, _) => (*name).to_owned(),
        Stage::Negate => "-".to_owned(),
        Stage::Clamp(..) => "clamp".to_owned(),
        Stage::Round(_) => "round".to_owned(),
        Stage::WithScalar { op, scalar, scalar_left: true, .. } => {
            format!("{} {}", scalar_of(scalar), op.as_str())
        }
        Stage::WithScalar { op, scalar, .. } => format!("{} {}", op.as_str(), scalar_of(scalar)),
        Stage::StepTime => "the step's time".to_owned(),
        Stage::Nothing => "nothing".to_owned(),
    };
    stages.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A scalar: what it was folded to, if it does not depend on the step.
fn scalar_of(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Const(v) => model::number::format_g(*v),
        Scalar::Time => "time()".to_owned(),
        _ => "scalar".to_owned(),
    }
}

fn aggregated(a: &Aggregation) -> String {
    let mut detail = a.op.as_str().to_owned();
    if a.without || !a.grouping.is_empty() {
        let word = if a.without { "without" } else { "by" };
        detail.push_str(&format!(" {word} ({})", a.grouping.join(", ")));
    }
    // The series of a scan below are not kept: each goes into its group as it is read.
    if matches!(&*a.input, Vector::Scan(scan) if scan.taken_in) {
        detail.push_str(", while reading");
    }
    detail
}

fn joined(b: &VectorBinary) -> String {
    let VectorMatching { on, labels, .. } = &b.matching;
    let mut detail = b.op.as_str().to_owned();
    if *on || !labels.is_empty() {
        let word = if *on { "on" } else { "ignoring" };
        detail.push_str(&format!(" {word} ({})", labels.join(", ")));
    }
    detail.push_str(&format!(", {}", b.matching.card.as_str()));
    detail
}
