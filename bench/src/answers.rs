//! Large answers: a range of many series as JSON, and the newest sample of very many for federation; and small ones, with
//! and without a password.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::history::History;
use crate::http::{self, Drained};
use crate::measure::{Generator, free_port, tell, wait_until, wait_until_ready};
use crate::peer::{Load, Peer, Peers, Process};
use crate::report::{align, with_ratio};

/// Seconds between the steps of the range, as between samples.
const STEP: i64 = 15;
/// Each is asked for as often, and the quickest counts.
const RUNS: usize = 4;
const MIB: f64 = (1 << 20) as f64;

const PLAIN: &str = "";
const GZIP: &str = "Accept-Encoding: gzip\r\n";
const PROTOBUF: &str =
    "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n";
/// `someone` with the password `test`.
const BASIC: &str = "Authorization: Basic c29tZW9uZTp0ZXN0\r\n";
const WEB_CONFIG: &str =
    "basic_auth_users: {someone: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay}\n";

/// What `bench answers` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct AnswersArgs {
    /// Nodes whose history is asked for; 200 series each.
    #[arg(long, default_value_t = 48)]
    nodes: usize,
    /// Steps of the range.
    #[arg(long, default_value_t = 1000)]
    steps: i64,
    /// Series that are scraped, and then federated; 0 leaves that out.
    #[arg(long, default_value_t = 500_000)]
    federated: usize,
    /// How long small requests are made, one after the other on four connections; 0 leaves that out.
    #[arg(long, default_value = "5s", value_parser = crate::parse_duration)]
    small: Duration,
    #[command(flatten)]
    peers: Peers,
    /// Where data is written; a new folder in the system's folder for temporary files by default.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Name and figure, in the order of the table.
type Figures = Vec<(&'static str, f64)>;

pub(crate) fn run(args: &AnswersArgs) -> Result<()> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("binnacle-answers-{}", std::process::id())),
    };
    let history = History::new(args.nodes);
    let mut all: Vec<(&'static str, Figures)> = Vec::new();
    for (peer, program) in args.peers.found() {
        // It neither federates nor has users by this file.
        if peer == Peer::VictoriaMetrics {
            continue;
        }
        let own = folder.join(peer.name());
        let mut figures = Figures::new();
        let parts: [fn(&Asked<'_>, &mut Figures) -> Result<()>; 3] = [range, small, federation];
        for part in parts {
            let asked = Asked { args, history: &history, peer, program: &program, folder: &own };
            if let Err(error) = part(&asked, &mut figures) {
                tell(&format!("{}: {error:#}", peer.name()));
            }
        }
        all.push((peer.name(), figures));
    }
    if args.folder.is_none() {
        let _ = fs::remove_dir_all(&folder);
    }
    if all.is_empty() {
        bail!("no program could be measured");
    }
    print(&all);
    Ok(())
}

struct Asked<'a> {
    args: &'a AnswersArgs,
    history: &'a History,
    peer: Peer,
    program: &'a Path,
    folder: &'a Path,
}

impl Asked<'_> {
    fn start(&self, port: u16, load: Option<&Load<'_>>, flags: &[&str]) -> Result<Process> {
        self.peer.start(self.program, self.folder, port, load, flags)
    }
}

/// The range's answer, and as yardstick the same range read and only counted.
fn range(asked: &Asked<'_>, figures: &mut Figures) -> Result<()> {
    tell(&format!("{}: a range of {} series", asked.peer.name(), asked.history.len()));
    fs::create_dir_all(asked.folder.join("data"))?;
    asked.history.write_blocks(&asked.folder.join("data"))?;
    let port = free_port()?;
    let mut process = asked.start(port, None, &[])?;
    wait_until_ready(asked.peer, &mut process, port)?;
    let end = History::end() / 1000;
    let start = end - (asked.args.steps - 1) * STEP;
    let mut ask = |query: &str, header: &str| {
        let query = http::encode(query);
        let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={STEP}");
        quickest(&mut process, || http::drain(port, &path, header))
    };
    let everything = r#"{__name__=~".+"}"#;
    let (raw, raw_cpu) = ask(everything, PLAIN)?;
    let (zipped, zipped_cpu) = ask(everything, GZIP)?;
    let (counted, counted_cpu) = ask(&format!("count({everything})"), PLAIN)?;
    figures.extend([
        ("range: s", raw.seconds),
        ("range: CPU s", raw_cpu),
        ("range: MB", raw.bytes as f64 / 1e6),
        ("range, only counted: s", counted.seconds),
        ("range, only counted: CPU s", counted_cpu),
        ("serialised and sent: s more", raw.seconds - counted.seconds),
        ("serialised and sent: CPU s more", raw_cpu - counted_cpu),
        ("range, gzip: s", zipped.seconds),
        ("range, gzip: CPU s", zipped_cpu),
        ("range, gzip: MB", zipped.bytes as f64 / 1e6),
    ]);
    process.end()?;
    Ok(fs::remove_dir_all(asked.folder)?)
}

/// What the quickest of some runs took, with the CPU seconds of the program.
fn quickest(process: &mut Process, ask: impl Fn() -> Result<Drained>) -> Result<(Drained, f64)> {
    let mut best: Option<(Drained, f64)> = None;
    for _ in 0..RUNS {
        let before = process.usage()?.cpu;
        let drained = ask()?;
        let cpu = process.usage()?.cpu - before;
        if best.as_ref().is_none_or(|(best, _)| drained.seconds < best.seconds) {
            best = Some((drained, cpu));
        }
    }
    best.context("nothing was asked")
}

/// The shortest answer of the API, again and again.
fn small(asked: &Asked<'_>, figures: &mut Figures) -> Result<()> {
    if asked.args.small.is_zero() {
        return Ok(());
    }
    fs::create_dir_all(asked.folder)?;
    let config = asked.folder.join("web.yml");
    fs::write(&config, WEB_CONFIG)?;
    let flag = format!("--web.config.file={}", config.display());
    let with_users: &[&str] = &[&flag];
    for (name, flags, header) in
        [("small: requests/s", &[] as &[&str], PLAIN), ("small, a user: requests/s", with_users, BASIC)]
    {
        let port = free_port()?;
        let mut process = asked.start(port, None, flags)?;
        wait_until(|| {
            process.usage()?;
            Ok(http::drain(port, "/-/ready", header).is_ok())
        })?;
        let begun = Instant::now();
        let ask = || http::repeat(port, "/api/v1/query?query=1", header, begun + asked.args.small);
        let answers = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(Ok(0))).sum::<Result<usize>>()
        })?;
        figures.push((name, answers as f64 / begun.elapsed().as_secs_f64()));
        process.end()?;
    }
    Ok(fs::remove_dir_all(asked.folder)?)
}

/// The newest sample of everything that is scraped.
fn federation(asked: &Asked<'_>, figures: &mut Figures) -> Result<()> {
    if asked.args.federated == 0 {
        return Ok(());
    }
    tell(&format!("{}: federation of {} series", asked.peer.name(), asked.args.federated));
    fs::create_dir_all(asked.folder)?;
    let interval = Duration::from_secs(30);
    let mut generator = Generator::start(asked.args.federated, interval, 0.0, false)?;
    let announcement = generator.announcement.take().context("the generator did not announce itself")?;
    let port = free_port()?;
    let load = Load { announcement: &announcement, interval, more: "" };
    let mut process = asked.start(port, Some(&load), &[])?;
    wait_until_ready(asked.peer, &mut process, port)?;
    wait_until(|| {
        process.usage()?;
        Ok(generator.served()?.fewest >= 2)
    })?;
    let path = format!("/federate?match[]={}", http::encode(r#"{__name__=~".+"}"#));
    let names: [(&str, [&'static str; 4]); 2] = [
        (PLAIN, ["federation, text: s", "  CPU s", "  MB", "  RSS MiB more, peak"]),
        (PROTOBUF, ["federation, protobuf: s", "  CPU s.", "  MB.", "  RSS MiB more, peak."]),
    ];
    figures.push(("federation: series", announcement.series as f64));
    figures.push(("federation: RSS MiB before", process.usage()?.rss / MIB));
    for (header, [seconds, cpu, size, more]) in names {
        process.reset_peak()?;
        let before = process.usage()?.rss;
        let (drained, cpu_seconds) = quickest(&mut process, || http::drain(port, &path, header))?;
        let peak = process.usage()?.rss_peak;
        figures.extend([(seconds, drained.seconds), (cpu, cpu_seconds)]);
        figures.extend([(size, drained.bytes as f64 / 1e6), (more, (peak - before) / MIB)]);
    }
    process.kill()?;
    Ok(fs::remove_dir_all(asked.folder)?)
}

#[allow(clippy::print_stdout)] // the results
fn print(all: &[(&'static str, Figures)]) {
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(all.iter().map(|(name, _)| (*name).to_owned()));
    let longest = all.iter().map(|(_, figures)| figures).max_by_key(|figures| figures.len());
    for (name, _) in longest.into_iter().flatten() {
        let of =
            |figures: &Figures| figures.iter().find(|(n, _)| n == name).map_or(f64::NAN, |(_, value)| *value);
        let first = all.first().map_or(f64::NAN, |(_, figures)| of(figures));
        let cells = all.iter().enumerate().map(|(place, (_, figures))| with_ratio(of(figures), first, place));
        rows.push(std::iter::once(name.trim_end_matches('.').to_owned()).chain(cells).collect());
    }
    print!("{}", align(&rows));
}
