//! `dump` and `dump-openmetrics`: samples as text.
//!
//! promtool loses the first samples of native histograms here, and what follows a change of kind in a series: it reads
//! all floats, then all float histograms, then all integer ones, and each change swallows a sample. We print all of
//! them. Where it gives up over damage, we print the rest, and end with an error.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use model::go_json::{Encoder, push_string};
use model::number::push_g;
use model::{Labels, Matcher};

use super::sandbox::Sandbox;
use super::series_in_order::{InOrder, Series, Wanted};
use super::{directory, histogram_text};
use crate::tool::Failure;
use crate::tool::command_line::{DumpArgs, DumpFormat, DumpSelection};

/// Text is written in pieces of about this many bytes.
const PIECE: usize = 64 * 1024;

pub(super) fn samples_or_series(args: &DumpArgs) -> Result<(), Failure> {
    match args.format {
        DumpFormat::Prom => dump(&args.what, true, "", push_samples),
        DumpFormat::SeriesJson => dump(&args.what, false, "", push_json),
    }
}

pub(super) fn openmetrics(what: &DumpSelection) -> Result<(), Failure> {
    dump(what, true, "# EOF\n", push_openmetrics)
}

fn dump(
    what: &DumpSelection,
    samples: bool,
    end: &str,
    push: impl Fn(&mut Text, &Series) -> Result<(), Failure>,
) -> Result<(), Failure> {
    directory::check(&what.path)?;
    let blocks = directory::blocks(&what.path)?;
    let selectors: Vec<Vec<Matcher>> =
        what.matchers.iter().map(|text| promql::parse_metric_selector(text)).collect::<Result<_, _>>()?;
    let sandbox = Sandbox::open(&what.path, what.sandbox_dir_root.as_deref(), &blocks.sound)?;
    let head = sandbox.as_ref().map(|sandbox| &sandbox.head);
    let wanted = Wanted { selectors, min_time: what.min_time, max_time: what.max_time, samples };
    let mut series = InOrder::new(head, &blocks.sound, &wanted)?;
    let mut text = Text::default();
    while let Some(series) = series.next()? {
        push(&mut text, series)?;
    }
    text.buffer.push_str(end);
    text.flush()?;

    let mut damaged = blocks.damaged;
    damaged.append(&mut series.damaged);
    if head.is_some_and(|head| head.corruptions() > 0) {
        damaged.push("read WAL: it is damaged".to_owned());
    }
    if damaged.is_empty() {
        return Ok(());
    }
    damaged.push("what can be read was printed; `binnacle tool tsdb verify` names all damage".to_owned());
    Err(Failure::Told(damaged.join("\n")))
}

/// What is yet to be written to standard output.
#[derive(Default)]
struct Text {
    buffer: String,
    /// What stands at the front of each line of a series.
    front: String,
    /// Digits of a time.
    digits: String,
}

impl Text {
    fn flush(&mut self) -> Result<(), Failure> {
        io::stdout().write_all(self.buffer.as_bytes()).map_err(|e| Failure::output(&e))?;
        self.buffer.clear();
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Failure> {
        self.buffer.push('\n');
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }
}

/// `{__name__="up", job="node"} 1 1700000000000`
fn push_samples(text: &mut Text, series: &Series) -> Result<(), Failure> {
    text.front.clear();
    let _ = write!(text.front, "{} ", series.labels);
    let mut histograms = series.histograms.iter().peekable();
    for (&t, &v) in series.floats.times.iter().zip(&series.floats.values) {
        while let Some(point) = histograms.next_if(|point| point.t < t) {
            push_histogram(text, point)?;
        }
        text.buffer.push_str(&text.front);
        push_g(&mut text.buffer, v);
        let _ = write!(text.buffer, " {t}");
        text.end_line()?;
    }
    histograms.try_for_each(|point| push_histogram(text, point))
}

fn push_histogram(text: &mut Text, point: &chunk::HistogramPoint) -> Result<(), Failure> {
    text.buffer.push_str(&text.front);
    histogram_text::push(&mut text.buffer, &point.value);
    let _ = write!(text.buffer, " {}", point.t);
    text.end_line()
}

/// `up{job="node"} 1 1700000000.000`
fn push_openmetrics(text: &mut Text, series: &Series) -> Result<(), Failure> {
    text.front.clear();
    text.front.push_str(series.labels.metric_name().unwrap_or_default());
    text.front.push('{');
    for (i, (name, value)) in series.labels.iter().filter(|(name, _)| *name != "__name__").enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(text.front, "{comma}{name}={}", model::number::quote(value));
    }
    text.front.push_str("} ");
    for (&t, &v) in series.floats.times.iter().zip(&series.floats.values) {
        text.buffer.push_str(&text.front);
        push_g(&mut text.buffer, v);
        text.digits.clear();
        let _ = write!(text.digits, " {:.3}", t as f64 / 1000.0);
        text.buffer.push_str(&text.digits);
        text.end_line()?;
    }
    Ok(())
}

/// `{"__name__":"up","job":"node"}`
fn push_json(text: &mut Text, series: &Series) -> Result<(), Failure> {
    push_json_labels(&mut text.buffer, &series.labels);
    text.end_line()
}

fn push_json_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_string(out, name, Encoder::Standard);
        out.push(':');
        push_string(out, value, Encoder::Standard);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_gos() {
        let mut out = String::new();
        push_json_labels(&mut out, &Labels::from_pairs([("a", "<\"&\\>\n\u{1}\u{2028}é\u{7f}")]));
        assert_eq!(out, "{\"a\":\"\\u003c\\\"\\u0026\\\\\\u003e\\n\\u0001\\u2028é\u{7f}\"}");
    }
}
