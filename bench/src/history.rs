//! Queries about a day of data, answered by one program after the other.

mod answers;
mod data;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::http;
use crate::measure::{free_port, tell, wait_until_ready};
use crate::peer::{Peer, Peers};
use crate::queries::{HEAVY, QUERIES, Query, TimeRange};
use crate::report::{align, short, with_ratio};
use answers::Answer;
pub(crate) use data::{History, labels};

/// Seconds between the steps of queries over a range.
const STEP: u32 = 60;

/// The same query, so that what it takes to answer it at all is known.
const NOTHING: &str = "/api/v1/query?query=1";

/// What `bench history` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// Nodes of the cluster whose history it is; 200 series each.
    #[arg(long, default_value_t = 17)]
    nodes: usize,
    #[command(flatten)]
    peers: Peers,
    /// Where the data is written; what is there already is used again. A new folder for temporary files by default.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only these queries.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// What was seen of one program.
struct Seen {
    name: String,
    /// Resident once the data is open, in MiB.
    idle: f64,
    queries: Vec<Option<Cost>>,
}

/// What a query cost.
struct Cost {
    millis: f64,
    /// The highest resident memory while it ran, in MiB.
    peak: f64,
    /// What its answer differs in from the first program's.
    difference: Option<String>,
}

pub(crate) fn run(args: &HistoryArgs) -> Result<()> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("binnacle-history-{}", std::process::id())),
    };
    let queries: Vec<Query> = QUERIES
        .into_iter()
        .filter(|query| args.only.is_empty() || args.only.iter().any(|name| name == query.name))
        .collect();
    let mut history = None;
    let mut first: Vec<Option<Answer>> = Vec::new();
    let mut seen = Vec::new();
    for (peer, program, core) in args.peers.found().into_iter().flat_map(|(peer, program)| {
        let alone = (peer == Peer::Binnacle).then(|| (peer, program.clone(), Some(0)));
        std::iter::once((peer, program, None)).chain(alone)
    }) {
        let name = peer.name().to_owned() + if core.is_some() { ", one core" } else { "" };
        tell(&format!("{name}: {}", program.display()));
        let own = folder.join(peer.name());
        provide(peer, &program, &own, args.nodes, &mut history)?;
        match measure(peer, core, &program, &own, &queries, &mut first) {
            Ok((idle, queries)) => seen.push(Seen { name, idle, queries }),
            Err(error) => tell(&format!("{name}: {error:#}")),
        }
    }
    if args.folder.is_none() {
        let _ = fs::remove_dir_all(&folder);
    }
    if seen.is_empty() {
        bail!("no program could be measured");
    }
    print(&queries, &seen);
    Ok(())
}

/// Sees to it that the data is in `folder`.
fn provide(
    peer: Peer,
    program: &Path,
    folder: &Path,
    nodes: usize,
    history: &mut Option<History>,
) -> Result<()> {
    let whole = folder.join(format!("whole-{nodes}"));
    if whole.exists() {
        return Ok(());
    }
    if folder.exists() {
        bail!("{} is there already, with other data", folder.display());
    }
    let data = folder.join("data");
    fs::create_dir_all(&data)?;
    let history = history.get_or_insert_with(|| History::new(nodes));
    tell(&format!("writing {} series, {} samples", history.len(), history.samples()));
    match peer {
        Peer::Prometheus | Peer::Binnacle => history.write_blocks(&data)?,
        Peer::VictoriaMetrics => {
            let port = free_port()?;
            let mut process = peer.start(program, folder, port, None, &[])?;
            wait_until_ready(peer, &mut process, port)?;
            history.import(port)?;
            process.end()?;
        }
    }
    fs::write(whole, "")?;
    Ok(())
}

fn measure(
    peer: Peer,
    core: Option<usize>,
    program: &Path,
    folder: &Path,
    queries: &[Query],
    first: &mut Vec<Option<Answer>>,
) -> Result<(f64, Vec<Option<Cost>>)> {
    let port = free_port()?;
    let mut process = peer.start_on(core, program, folder, port, None, &[])?;
    wait_until_ready(peer, &mut process, port)?;
    http::get(port, NOTHING).context("the simplest query")?;
    let idle = process.usage()?.rss / f64::from(1 << 20);
    let range = TimeRange {
        start: History::start() as f64 / 1000.0,
        end: History::end() as f64 / 1000.0,
        step: STEP,
    };
    let is_first = first.is_empty();
    let mut costs = Vec::new();
    for (place, query) in queries.iter().enumerate() {
        process.reset_peak()?;
        let timed = match query.time(port, peer.query_suffix(), range) {
            Ok(timed) => timed,
            Err(error) => {
                tell(&format!("{} failed: {error:#}", query.name));
                if is_first {
                    first.push(None);
                }
                costs.push(None);
                continue;
            }
        };
        let peak = process.usage()?.rss_peak / f64::from(1 << 20);
        let answer = Answer::parse(&query.answer(port, peer.query_suffix(), range)?)?;
        let difference = match first.get(place) {
            Some(Some(first)) => answer.difference(first),
            _ => None,
        };
        if is_first {
            first.push(Some(answer));
        }
        costs.push(Some(Cost { millis: timed.millis, peak, difference }));
    }
    Ok((idle, costs))
}

#[allow(clippy::print_stdout)] // the results
fn print(queries: &[Query], seen: &[Seen]) {
    println!("{}", table("median ms", queries, seen, |cost| cost.millis));
    println!("{}", table("peak RSS, MiB", queries, seen, |cost| cost.peak));
    for (place, query) in queries.iter().enumerate() {
        for program in seen {
            let cost = program.queries.get(place).and_then(Option::as_ref);
            if let Some(difference) = cost.and_then(|cost| cost.difference.as_ref()) {
                println!("{}: {} answers otherwise: {difference}", query.name, program.name);
            }
        }
    }
}

fn table(title: &str, queries: &[Query], seen: &[Seen], figure: fn(&Cost) -> f64) -> String {
    let row = |name: &str, figures: Vec<Option<f64>>| {
        let first = figures.first().copied().flatten().unwrap_or(f64::NAN);
        let cell = |(place, value): (usize, &Option<f64>)| {
            value.map_or("failed".to_owned(), |value| with_ratio(value, first, place))
        };
        std::iter::once(name.to_owned()).chain(figures.iter().enumerate().map(cell)).collect::<Vec<_>>()
    };
    let mut rows =
        vec![std::iter::once(title.to_owned()).chain(seen.iter().map(|s| s.name.clone())).collect()];
    for (place, query) in queries.iter().enumerate() {
        let of = |s: &Seen| s.queries.get(place).and_then(Option::as_ref).map(figure);
        rows.push(row(query.name, seen.iter().map(of).collect()));
    }
    let heavy = |s: &Seen| {
        let of = |(query, cost): (&Query, &Option<Cost>)| {
            HEAVY.contains(&query.name).then(|| cost.as_ref().map(figure)).flatten()
        };
        let figures: Vec<f64> = queries.iter().zip(&s.queries).filter_map(of).collect();
        (!figures.is_empty())
            .then(|| (figures.iter().map(|f| f.ln()).sum::<f64>() / figures.len() as f64).exp())
    };
    rows.push(row("heavy range queries, geometric mean", seen.iter().map(heavy).collect()));
    if title.contains("RSS") {
        rows.push(
            std::iter::once("idle".to_owned()).chain(seen.iter().map(|s| short(s.idle))).collect::<Vec<_>>(),
        );
    }
    align(&rows)
}
