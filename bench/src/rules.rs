//! Rules: many groups over what is scraped, and what evaluating them costs beyond scraping alone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::http;
use crate::load::Announcement;
use crate::measure::{Generator, free_port, tell, wait_until, wait_until_ready};
use crate::peer::{Load, Peer, Peers};
use crate::report::{align, with_ratio};

const MIB: f64 = (1 << 20) as f64;

/// What `bench rules` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    /// Series that are scraped.
    #[arg(long, default_value_t = 100_000)]
    series: usize,
    /// Groups of fifty rules each.
    #[arg(long, default_value_t = 200)]
    groups: usize,
    /// How often targets are scraped and rules evaluated.
    #[arg(long, default_value = "30s", value_parser = crate::parse_duration)]
    interval: Duration,
    /// How long is measured, with rules and without.
    #[arg(long, default_value = "3m", value_parser = crate::parse_duration)]
    duration: Duration,
    #[command(flatten)]
    peers: Peers,
    /// Where data is written; a new folder in the system's folder for temporary files by default.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Name and figure, in the order of the table.
type Figures = Vec<(&'static str, f64)>;

pub(crate) fn run(args: &RulesArgs) -> Result<()> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("binnacle-rules-{}", std::process::id())),
    };
    let mut all: Vec<(&'static str, Figures)> = Vec::new();
    for (peer, program) in args.peers.found() {
        // Its rules are another program's.
        if peer == Peer::VictoriaMetrics {
            continue;
        }
        let measured = measure(args, peer, &program, &folder.join(peer.name()));
        match measured {
            Ok(figures) => all.push((peer.name(), figures)),
            Err(error) => tell(&format!("{}: {error:#}", peer.name())),
        }
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

fn measure(args: &RulesArgs, peer: Peer, program: &Path, folder: &Path) -> Result<Figures> {
    let without = window(args, peer, program, &folder.join("without"), false)?;
    let with = window(args, peer, program, &folder.join("with"), true)?;
    let per_second = |window: &Window| window.cpu / window.seconds;
    Ok(vec![
        ("scraping alone: cores", per_second(&without)),
        ("with rules: cores", per_second(&with)),
        ("rules: cores more", per_second(&with) - per_second(&without)),
        ("rules: CPU us an evaluation", (with.cpu - without.cpu) / with.evaluations * 1e6),
        ("evaluations a second", with.evaluations / with.seconds),
        ("evaluations that failed", with.failed),
        ("iterations missed", with.missed),
        ("slowest group: s", with.slowest),
        ("alerts firing", with.firing),
        ("series recorded", with.recorded),
        ("with rules: RSS MiB, peak", with.rss_peak / MIB),
        ("scraping alone: RSS MiB, peak", without.rss_peak / MIB),
    ])
}

/// What was seen while targets were scraped regularly, and rules evaluated.
#[derive(Default)]
struct Window {
    seconds: f64,
    cpu: f64,
    evaluations: f64,
    failed: f64,
    missed: f64,
    /// Of the last iteration of each group.
    slowest: f64,
    firing: f64,
    recorded: f64,
    rss_peak: f64,
}

fn window(args: &RulesArgs, peer: Peer, program: &Path, folder: &Path, rules: bool) -> Result<Window> {
    let what = if rules { "with rules" } else { "scraping alone" };
    tell(&format!("{}: {what}, for {} s", peer.name(), args.duration.as_secs()));
    fs::create_dir_all(folder)?;
    let mut generator = Generator::start(args.series, args.interval, 0.0, false)?;
    let announcement = generator.announcement.take().context("the generator did not announce itself")?;
    let mut more = String::new();
    if rules {
        let file = folder.join("rules.yml");
        fs::write(&file, rule_file(args.groups, args.interval, &announcement))?;
        more = format!("rule_files: ['{}']\n", file.display());
    }
    let load = Load { announcement: &announcement, interval: args.interval, more: &more };
    let port = free_port()?;
    let mut process = peer.start(program, folder, port, Some(&load), &[])?;
    wait_until_ready(peer, &mut process, port)?;
    // Rates need two scrapes; a third, so that every group has been through once with data.
    wait_until(|| {
        process.usage()?;
        Ok(generator.served()?.fewest >= 3)
    })?;
    let before = (Instant::now(), process.usage()?.cpu, Counted::ask(port)?);
    thread::sleep(args.duration);
    let usage = process.usage()?;
    let (seconds, cpu, after) = (before.0.elapsed().as_secs_f64(), usage.cpu - before.1, Counted::ask(port)?);
    let single = |expression: &str| {
        let answer = http::get(port, &format!("/api/v1/query?query={}", http::encode(expression)))?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let value = answer.pointer("/data/result/0/value/1").and_then(serde_json::Value::as_str);
        anyhow::Ok(value.map_or(Ok(0.0), str::parse)?)
    };
    let window = Window {
        seconds,
        cpu,
        evaluations: after.evaluations - before.2.evaluations,
        failed: after.failed - before.2.failed,
        missed: after.missed - before.2.missed,
        slowest: after.slowest,
        firing: single(r#"count(ALERTS{alertstate="firing"})"#)?,
        recorded: single(r#"count({__name__=~"bench:.+"})"#)?,
        rss_peak: usage.rss_peak,
    };
    process.kill()?;
    fs::remove_dir_all(folder)?;
    Ok(window)
}

/// Sums over groups, of the program's own metrics.
#[derive(Default)]
struct Counted {
    evaluations: f64,
    failed: f64,
    missed: f64,
    slowest: f64,
}

impl Counted {
    fn ask(port: u16) -> Result<Self> {
        let page = http::get(port, "/metrics")?;
        let mut counted = Counted::default();
        for line in String::from_utf8_lossy(&page).lines() {
            let Some((name, rest)) = line.split_once('{') else { continue };
            let value: f64 = rest.rsplit(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
            match name {
                "prometheus_rule_evaluations_total" => counted.evaluations += value,
                "prometheus_rule_evaluation_failures_total" => counted.failed += value,
                "prometheus_rule_group_iterations_missed_total" => counted.missed += value,
                "prometheus_rule_group_last_duration_seconds" => counted.slowest = counted.slowest.max(value),
                _ => {}
            }
        }
        Ok(counted)
    }
}

const COUNTERS: [&str; 5] = [
    "container_cpu_usage_seconds_total",
    "container_cpu_user_seconds_total",
    "container_fs_reads_bytes_total",
    "container_fs_writes_total",
    "container_memory_failures_total",
];
const GAUGES: [&str; 5] = [
    "container_memory_working_set_bytes",
    "container_memory_rss",
    "container_threads",
    "container_sockets",
    "container_file_descriptors",
];

/// Groups as mixins have them: several aggregations of one metric, rules over what others recorded, thresholds. Each is about
/// one node's containers.
fn rule_file(groups: usize, interval: Duration, announcement: &Announcement) -> String {
    let interval = model::duration::format(interval.as_millis() as i64);
    let nodes: Vec<&str> = announcement
        .targets
        .iter()
        .filter(|target| target.job == "kubelet")
        .map(|target| target.instance.as_str())
        .collect();
    let mut yaml = String::from("groups:\n");
    for group in 0..groups {
        let node = nodes.get(group % nodes.len().max(1)).copied().unwrap_or_default();
        let _ = writeln!(yaml, "- name: group-{group}\n  interval: {interval}\n  rules:");
        let mut record = |metric: &str, name: &str, expression: &str| {
            let _ = writeln!(
                yaml,
                "  - record: bench:{metric}:{name}\n    labels: {{group: '{group}'}}\n    expr: '{expression}'"
            );
        };
        for metric in COUNTERS {
            let rate = format!("rate({metric}{{instance=\"{node}\"}}[5m])");
            record(metric, "namespace_rate", &format!("sum by (namespace) ({rate})"));
            record(metric, "rate", &format!("sum({rate})"));
            record(metric, "busiest", &format!("max by (container) ({rate})"));
            let own = |name: &str| format!("bench:{metric}:{name}{{group=\"{group}\"}}");
            record(
                metric,
                "share",
                &format!("{} / on (group) group_left () {}", own("namespace_rate"), own("rate")),
            );
        }
        for metric in GAUGES {
            let now = format!("{metric}{{instance=\"{node}\"}}");
            record(metric, "namespace", &format!("sum by (namespace) ({now})"));
            record(metric, "count", &format!("count({now})"));
            record(metric, "high", &format!("quantile by (namespace) (0.9, {now})"));
            record(metric, "highest", &format!("max(max_over_time({now}[5m]))"));
        }
        for (i, metric) in COUNTERS.iter().chain(&GAUGES).enumerate() {
            let selector = format!("{metric}{{instance=\"{node}\"}}");
            let expression = match i {
                // Some alerts fire all the time.
                5 => format!("sum by (namespace) ({selector}) > 0"),
                0..=4 => format!("sum by (namespace) (rate({selector}[5m])) > 1e15"),
                _ => format!("{selector} > 1e18"),
            };
            let _ = writeln!(
                yaml,
                "  - alert: Alert{group}of{i}\n    expr: '{expression}'\n    for: 1m\n    labels: {{severity: warning}}\n    annotations: {{summary: 'it is {{{{ $value }}}} in {{{{ $labels.namespace }}}}'}}"
            );
        }
    }
    yaml
}

#[allow(clippy::print_stdout)] // the results
fn print(all: &[(&'static str, Figures)]) {
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(all.iter().map(|(name, _)| (*name).to_owned()));
    let first = all.first().map(|(_, figures)| figures.as_slice()).unwrap_or_default();
    for (i, (name, yardstick)) in first.iter().enumerate() {
        let of = |figures: &Figures| figures.get(i).map_or(f64::NAN, |(_, value)| *value);
        let cells =
            all.iter().enumerate().map(|(place, (_, figures))| with_ratio(of(figures), *yardstick, place));
        rows.push(std::iter::once((*name).to_owned()).chain(cells).collect());
    }
    print!("{}", align(&rows));
}
