//! `analyze`: what is in a block.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use block::{Analysis, Block, ChunkShapes, Distribution, Ranking};
use storage::QueryContext;

use super::directory;
use crate::tool::Failure;
use crate::tool::command_line::AnalyzeArgs;

pub(super) fn run(args: &AnalyzeArgs) -> Result<(), Failure> {
    let matchers = match args.matcher.as_str() {
        "" => None,
        selector => Some(promql::parse_metric_selector(selector)?),
    };
    directory::check(&args.path)?;
    let block = directory::block(&args.path, args.block.as_deref().filter(|name| !name.is_empty()))?;
    let matched = match matchers {
        Some(matchers) if matchers.is_empty() => Some(Vec::new()),
        Some(matchers) => Some(block.matching(&QueryContext::unlimited(), &matchers)?),
        None => None,
    };
    let series = || -> Result<Box<dyn Iterator<Item = u32> + '_>, Failure> {
        Ok(match &matched {
            Some(matched) => Box::new(matched.iter().copied()),
            None => Box::new(block.index().postings("", "")?.iter()),
        })
    };
    let limit = usize::try_from(args.limit).unwrap_or(0);
    let analysis = Analysis::of(&block, series()?, limit)?;
    let mut out = summary(&block, &args.matcher, matched.as_ref().map(Vec::len), &analysis);
    if args.extended {
        write(&std::mem::take(&mut out))?;
        out = compaction(&ChunkShapes::of(&block, series()?)?);
    }
    write(&out)
}

fn write(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|e| Failure::output(&e))
}

fn summary(block: &Block, selector: &str, matched: Option<usize>, analysis: &Analysis) -> String {
    let meta = block.meta();
    let duration = meta.max_time.wrapping_sub(meta.min_time).wrapping_mul(1_000_000);
    let mut out = format!(
        "Block ID: {}\nDuration: {}\nTotal Series: {}\n",
        meta.ulid,
        model::duration::format_go(duration),
        meta.stats.num_series
    );
    if matched.is_some() {
        out.push_str(&format!("Matcher: {selector}\n"));
    }
    out.push_str(&format!("Label names: {}\n", analysis.label_names));
    if let Some(matched) = matched {
        out.push_str(&format!("Matched series: {matched}\n"));
    }
    out.push_str(&format!("Postings (unique label pairs): {}\n", analysis.pairs));
    out.push_str(&format!("Postings entries (total label pairs): {}\n", analysis.entries));
    push_ranking(&mut out, "Label pairs most involved in churning", &analysis.churning_pairs);
    push_ranking(&mut out, "Label names most involved in churning", &analysis.churning_names);
    push_ranking(&mut out, "Most common label pairs", &analysis.common_pairs);
    push_ranking(
        &mut out,
        "Label names with highest cumulative label value length",
        &analysis.longest_labels,
    );
    push_ranking(&mut out, "Highest cardinality labels", &analysis.largest_labels);
    push_ranking(&mut out, "Highest cardinality metric names", &analysis.largest_metrics);
    out
}

fn push_ranking(out: &mut String, title: &str, ranking: &Ranking) {
    out.push_str(&format!("\n{title}:\n"));
    for (name, number) in ranking {
        out.push_str(&format!("{number} {name}\n"));
    }
}

fn compaction(shapes: &ChunkShapes) -> String {
    let mut out = "\nCompaction analysis:\n\n".to_owned();
    for (title, distribution) in [
        ("samples per float chunk", &shapes.float_samples),
        ("bytes per float chunk", &shapes.float_bytes),
        ("samples per histogram chunk", &shapes.histogram_samples),
        ("bytes per histogram chunk", &shapes.histogram_bytes),
        ("buckets per histogram chunk", &shapes.histogram_buckets),
    ] {
        push_distribution(&mut out, title, distribution, shapes.chunks);
    }
    out
}

/// A bar for each step of ten (of more for wide distributions), its length the percentage of all `chunks`.
fn push_distribution(out: &mut String, title: &str, distribution: &Distribution, chunks: u64) {
    let numbers = &distribution.0;
    let (Some((&min, _)), Some((&max, _))) = (numbers.first_key_value(), numbers.last_key_value()) else {
        out.push_str(&format!("{title}: N/A\n\n"));
        return;
    };
    let sum: u64 = numbers.iter().map(|(number, times)| number * times).sum();
    let average = sum / numbers.values().sum::<u64>();
    out.push_str(&format!("{title} (min/avg/max): {min}/{average}/{max}\n"));
    let mut step = 10;
    while step < (max - min) / 10 && step <= 10_000 {
        step *= 10;
    }
    let (start, end) = (min - min % step, max - max % step + step);
    let mut bars: BTreeMap<u64, u64> = BTreeMap::new();
    for (number, times) in numbers {
        *bars.entry((number - start) / step).or_default() += times;
    }
    let digits = |n: u64| n.to_string().len();
    let (left, right) = (digits(end), digits(end + step));
    let count = digits(bars.values().copied().max().unwrap_or(0));
    for bar in 0..=(end - start) / step {
        let times = bars.get(&bar).copied().unwrap_or(0);
        let _ = writeln!(
            out,
            "[{:left$}, {:right$}]: {times:count$} {}",
            bar * step + start + 1,
            (bar + 1) * step + start,
            "#".repeat(usize::try_from(100 * times / chunks.max(1)).unwrap_or(0))
        );
    }
    out.push('\n');
}
