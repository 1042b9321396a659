//! Scripts as commands.

use std::sync::Arc;

use model::{FloatHistogram, Labels, Sample, duration};
use promql::{SeriesItem, SeriesPoint, parse_series_desc};

use super::custom_buckets;

/// A series with its samples of both kinds.
#[derive(Debug, Default)]
pub(super) struct LoadedSeries {
    pub(super) labels: Labels,
    pub(super) floats: Vec<Sample>,
    pub(super) histograms: Vec<(i64, FloatHistogram)>,
    /// Time and start time of those samples that have one.
    pub(super) starts: Vec<(i64, i64)>,
}

pub(super) type Loaded = Vec<LoadedSeries>;

/// A value as written.
#[derive(Debug, Clone)]
pub(super) enum Point {
    Float(f64),
    Histogram {
        value: Arc<FloatHistogram>,
        /// What is said about a counter reset counts.
        hinted: bool,
    },
}

pub(super) enum Command {
    Clear,
    Load(Loaded),
    Eval(Box<Eval>),
}

#[derive(Debug)]
pub(super) enum EvalTime {
    Instant(i64),
    Range(i64, i64, i64),
}

/// What a text has to be.
#[derive(Debug)]
pub(super) enum Text {
    Any,
    Exactly(String),
    Regex(String),
}

impl Text {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Exactly(want) => text == want,
            Text::Regex(pattern) => {
                model::Regex::new(&format!("(?s:.*)(?:{pattern})(?s:.*)")).is_ok_and(|r| r.is_match(text))
            }
        }
    }
}

/// An expected series: its labels and, position by position, its values.
pub(super) type Expected = (Labels, Vec<Option<Point>>);

/// One `eval` command.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) query: String,
    pub(super) time: EvalTime,
    pub(super) fail: Option<Text>,
    pub(super) warn: Vec<Text>,
    pub(super) info: Vec<Text>,
    pub(super) no_warn: bool,
    pub(super) no_info: bool,
    pub(super) ordered: bool,
    pub(super) string: Option<String>,
    pub(super) range_vector: Option<(i64, i64, i64)>,
    pub(super) scalar: Option<f64>,
    pub(super) series: Vec<Expected>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        at += 1;
        let word = line.split([' ', '\t']).next().unwrap_or("").to_lowercase();
        if word.is_empty() {
            continue;
        }
        let block: Vec<&str> = lines.iter().skip(at).take_while(|l| !l.is_empty()).copied().collect();
        let fail = |e: String| format!("line {at}: {e}");
        if word == "clear" {
            commands.push(Command::Clear);
            continue;
        } else if word.starts_with("load") {
            commands.push(Command::Load(load(line, &block).map_err(fail)?));
        } else if word.starts_with("eval") {
            commands.push(Command::Eval(Box::new(eval(line, at, &block).map_err(fail)?)));
        } else {
            return Err(fail(format!("unknown command {word}")));
        }
        at += block.len();
    }
    Ok(commands)
}

fn millis(text: &str) -> Result<i64, String> {
    if text == "0" {
        return Ok(0);
    }
    duration::parse(text).map_err(|e| format!("{text}: {e}"))
}

fn load(line: &str, block: &[&str]) -> Result<Loaded, String> {
    let step = millis(line.split_whitespace().nth(1).unwrap_or(""))?;
    let mut loaded: Loaded = Vec::new();
    let mut starts = Vec::new();
    for text in block {
        if let Some((selector, offsets)) =
            text.split_once("@st").filter(|(_, rest)| rest.starts_with([' ', '\t']))
        {
            let (labels, _) = parse_series_desc(selector).map_err(|e| e.to_string())?;
            let offsets = start_offsets(offsets)?;
            let at = |(i, offset): (usize, Option<i64>)| {
                let t = i as i64 * step;
                offset.map(|offset| (t, t + offset))
            };
            starts.push((labels, offsets.into_iter().enumerate().filter_map(at).collect::<Vec<_>>()));
            continue;
        }
        let (labels, items) = parse_series_desc(text).map_err(|e| e.to_string())?;
        let mut series = LoadedSeries { labels, ..LoadedSeries::default() };
        for (i, point) in positions(&items)?.into_iter().enumerate() {
            let t = i as i64 * step;
            match point {
                Some(Point::Float(v)) => series.floats.push(Sample { t, v }),
                Some(Point::Histogram { value, .. }) => {
                    series.histograms.push((t, Arc::unwrap_or_clone(value)));
                }
                None => {}
            }
        }
        loaded.retain(|s| s.labels != series.labels);
        loaded.push(series);
    }
    for (labels, of_series) in starts {
        if let Some(series) = loaded.iter_mut().find(|s| s.labels == labels) {
            series.starts = of_series;
        }
    }
    if line.starts_with("load_with_nhcb") {
        let converted = custom_buckets::from_classic(&loaded);
        loaded.extend(converted);
    }
    Ok(loaded)
}

/// Offsets of start times from the times of the samples, position by position: `_`, `_x3`, `-1m`, `-1mx2`, `-30s-1mx4`.
fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut all = Vec::new();
    for item in text.split_whitespace() {
        let bad = || format!("start time {item}");
        if let Some(rest) = item.strip_prefix('_') {
            let count = rest.strip_prefix('x').map_or(Ok(1), str::parse::<usize>).map_err(|_| bad())?;
            all.extend(std::iter::repeat_n(None, count));
            continue;
        }
        let (durations, times) = match item.split_once('x') {
            Some((durations, times)) => (durations, times.parse::<i64>().map_err(|_| bad())?),
            None => (item, 0),
        };
        let second = durations.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map(|(i, _)| i);
        let (first, each) = durations.split_at(second.unwrap_or(durations.len()));
        let (first, each) = (signed(first)?, if each.is_empty() { 0 } else { signed(each)? });
        all.extend((0..=times).map(|i| Some(first + i * each)));
    }
    Ok(all)
}

fn signed(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(rest) => millis(rest).map(|ms| -ms),
        None => millis(text.strip_prefix('+').unwrap_or(text)),
    }
}

fn positions(items: &[SeriesItem]) -> Result<Vec<Option<Point>>, String> {
    let mut all = Vec::new();
    for item in items {
        let hinted = matches!(item, SeriesItem::Histogram { value, .. } if value.reset_hint.is_some());
        let point = |point| match point {
            SeriesPoint::Float(v) => Point::Float(v),
            SeriesPoint::Histogram(histogram) => Point::Histogram { value: Arc::from(histogram), hinted },
        };
        all.extend(item.points()?.into_iter().map(|at| at.map(point)));
    }
    Ok(all)
}

fn eval(line: &str, number: usize, block: &[&str]) -> Result<Eval, String> {
    let mut rest = line;
    let mut word = || {
        rest = rest.trim_start();
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        word.to_owned()
    };
    let command = word();
    let kind = word();
    let time = match kind.as_str() {
        "instant" => {
            word();
            EvalTime::Instant(millis(&word())?)
        }
        "range" => {
            word();
            let start = millis(&word())?;
            word();
            let end = millis(&word())?;
            word();
            EvalTime::Range(start, end, millis(&word())?)
        }
        other => return Err(format!("eval {other}")),
    };
    let mut eval = Eval {
        line: number,
        query: rest.trim().to_owned(),
        time,
        fail: (command == "eval_fail").then_some(Text::Any),
        warn: if command == "eval_warn" { vec![Text::Any] } else { Vec::new() },
        info: if command == "eval_info" { vec![Text::Any] } else { Vec::new() },
        no_warn: false,
        no_info: false,
        ordered: command == "eval_ordered",
        string: None,
        range_vector: None,
        scalar: None,
        series: Vec::new(),
    };
    for line in block {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            eval.fail = Some(Text::Exactly(text.trim().to_owned()));
        } else if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            eval.fail = Some(Text::Regex(text.trim().to_owned()));
        } else if let Some(what) = line.strip_prefix("expect ") {
            expect(&mut eval, what.trim())?;
        } else if let Some(v) = model::number::parse_float(line) {
            eval.scalar = Some(v);
            break;
        } else {
            let (labels, items) = parse_series_desc(line).map_err(|e| e.to_string())?;
            eval.series.push((labels, positions(&items)?));
        }
    }
    if (eval.no_warn && !eval.warn.is_empty()) || (eval.no_info && !eval.info.is_empty()) {
        return Err("annotations are expected and refused".to_owned());
    }
    if eval.ordered && matches!(eval.time, EvalTime::Range(..)) {
        return Err("a range query has no other order than that of labels".to_owned());
    }
    Ok(eval)
}

fn expect(eval: &mut Eval, what: &str) -> Result<(), String> {
    let (word, rest) = what.split_once(char::is_whitespace).unwrap_or((what, ""));
    let rest = rest.trim();
    let text = || {
        if let Some(text) = rest.strip_prefix("msg:") {
            Text::Exactly(text.trim().to_owned())
        } else if let Some(text) = rest.strip_prefix("regex:") {
            Text::Regex(text.trim().to_owned())
        } else {
            Text::Any
        }
    };
    match word {
        "fail" => eval.fail = Some(text()),
        "warn" => eval.warn.push(text()),
        "info" => eval.info.push(text()),
        "no_warn" => eval.no_warn = true,
        "no_info" => eval.no_info = true,
        "ordered" => eval.ordered = true,
        "string" => {
            // The text of a string literal is what a query of it gives.
            let options = promql::ParseOptions::default();
            match promql::parse(rest, &options).map_err(|e| e.to_string())? {
                promql::ast::Expr::String(s) => eval.string = Some(s.value),
                _ => return Err(format!("not a string: {rest}")),
            }
        }
        "range" => {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let [_, _, start, _, end, _, step] = words.as_slice() else {
                return Err(format!("expect range {rest}"));
            };
            eval.range_vector = Some((millis(start)?, millis(end)?, millis(step)?));
        }
        other => return Err(format!("expect {other}")),
    }
    Ok(())
}
