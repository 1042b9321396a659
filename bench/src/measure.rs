//! One program under the load, from its start to its recovery from `kill -9`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::cut::{self, Cutting};
use crate::http;
use crate::load::{Announcement, Served};
use crate::peer::{Load, Peer, Process};
use crate::queries::{FULL_COUNT, QUERIES, TimeRange, Timed, single_value};
use crate::run::RunArgs;

/// Seconds between the steps of queries.
const STEP: u32 = 15;

/// How often memory is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// How long a program may take to become ready, and to scrape everything once.
const PATIENCE: Duration = Duration::from_secs(300);

/// When no more series have come for this long after a restart, no more will.
const SETTLED: Duration = Duration::from_secs(3);

/// What one program cost.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Measured {
    pub(crate) peer: &'static str,
    /// Active series of the load.
    pub(crate) series: usize,
    /// Samples served to it in all.
    pub(crate) samples: u64,
    pub(crate) steady: Steady,
    pub(crate) disk: Disk,
    /// By name, in the order of the list; what failed has no time.
    pub(crate) queries: Vec<(&'static str, Option<Timed>)>,
    pub(crate) restart: Restart,
    /// Of those that cut blocks as Prometheus does.
    pub(crate) cutting: Option<Cutting>,
}

/// The window in which everything is scraped regularly.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Steady {
    pub(crate) seconds: f64,
    pub(crate) samples_per_second: f64,
    pub(crate) cpu_seconds_per_million_samples: f64,
    /// The generator's own, for comparison; it is not part of the program's.
    pub(crate) generator_cpu_seconds_per_million_samples: f64,
    pub(crate) rss_per_series: f64,
    pub(crate) rss_anon_per_series: f64,
    pub(crate) rss_peak_per_series: f64,
}

/// At the end of the window.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Disk {
    pub(crate) bytes_per_sample: f64,
    /// Bytes sent to the disk, those since deleted included.
    pub(crate) written_per_sample: f64,
    /// Of the write-ahead log; NaN where there is none.
    pub(crate) log_per_sample: f64,
    /// Of a block of all samples, index included (a snapshot's); NaN where there are none.
    pub(crate) block_per_sample: f64,
}

/// After `kill -9`, without targets.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Restart {
    pub(crate) ready_seconds: f64,
    /// What reading the log took, as the program itself says; NaN where it does not.
    pub(crate) replay_seconds: f64,
    pub(crate) full_count_seconds: f64,
    /// Series that the full count found.
    pub(crate) series_found: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_peak_per_series: f64,
    /// Its ratio to the highest while scraping, before the kill.
    pub(crate) rss_peak_ratio: f64,
    /// Samples that were served but are not there any more.
    pub(crate) lost_samples: f64,
    /// The same as seconds of load.
    pub(crate) lost_seconds: f64,
}

/// Runs `peer` in `folder`, which is empty.
pub(crate) fn measure(peer: Peer, program: &Path, folder: &Path, args: &RunArgs) -> Result<Measured> {
    let mut generator = Generator::start(args.series, args.interval, args.churn, args.gzip)?;
    let announcement = generator.announcement.take().context("the generator did not announce itself")?;
    let series = announcement.series;
    let load = Load { announcement: &announcement, interval: args.interval, more: "" };
    let start = unix_seconds();
    let port = free_port()?;
    let mut process = peer.start(program, folder, port, Some(&load), &["--web.enable-admin-api"])?;
    let progress = |text: &str| tell(&format!("{}: {text}", peer.name()));

    progress("waiting until every target has been scraped");
    wait_until_ready(peer, &mut process, port)?;
    wait_until(|| {
        process.usage()?;
        Ok(generator.served()?.fewest >= 2)
    })?;

    progress(&format!("measuring for {} s", args.duration.as_secs()));
    let steady = steady(&mut process, &mut generator, series, args.duration)?;
    let end = unix_seconds();
    let served = generator.served()?;
    let data = folder.join("data");
    let log = Some(folder_size(&data.join("wal"))).filter(|size| *size > 0.0);
    let disk = Disk {
        bytes_per_sample: folder_size(&data) / served.samples as f64,
        written_per_sample: process.usage()?.written / served.samples as f64,
        log_per_sample: log.unwrap_or(f64::NAN) / served.samples as f64,
        block_per_sample: if peer.cuts_blocks() { block_per_sample(port, &data)? } else { f64::NAN },
    };

    let range = TimeRange { start, end, step: STEP };
    let mut queries = Vec::new();
    for query in QUERIES {
        progress(query.name);
        let timed = query.time(port, peer.query_suffix(), range);
        if let Err(error) = &timed {
            progress(&format!("{} failed: {error:#}", query.name));
        }
        queries.push((query.name, timed.ok()));
    }

    progress("kill -9 and restart");
    process.kill()?;
    let killed = unix_seconds();
    let samples = generator.served()?.samples;
    drop(generator);
    let range = TimeRange { start, end: killed, step: STEP };
    let restart = restart(peer, program, folder, series, range, samples, &steady)?;
    let cutting = if peer.cuts_blocks() && !args.cutting.is_zero() {
        progress(&format!("cutting blocks for {} s", args.cutting.as_secs()));
        Some(cutting(peer, program, folder, args)?)
    } else {
        None
    };
    Ok(Measured { peer: peer.name(), series, samples, steady, disk, queries, restart, cutting })
}

/// Starts anew under the load, with short blocks.
fn cutting(peer: Peer, program: &Path, folder: &Path, args: &RunArgs) -> Result<Cutting> {
    fs::remove_dir_all(folder.join("data"))?;
    let mut generator = Generator::start(args.series, args.interval, args.churn, args.gzip)?;
    let announcement = generator.announcement.take().context("the generator did not announce itself")?;
    let load = Load { announcement: &announcement, interval: args.interval, more: "" };
    let port = free_port()?;
    let mut process = peer.start(program, folder, port, Some(&load), &cut::FLAGS)?;
    wait_until_ready(peer, &mut process, port)?;
    wait_until(|| {
        process.usage()?;
        Ok(generator.served()?.fewest >= 2)
    })?;
    cut::watch(&mut process, port, args.cutting)
}

/// Makes a snapshot and looks at its blocks.
fn block_per_sample(port: u16, data: &Path) -> Result<f64> {
    http::post(port, "/api/v1/admin/tsdb/snapshot", &[]).context("snapshot")?;
    let (mut bytes, mut samples) = (0.0, 0.0);
    for snapshot in fs::read_dir(data.join("snapshots"))? {
        for block in fs::read_dir(snapshot?.path())? {
            let block = block?.path();
            let meta: serde_json::Value = serde_json::from_slice(&fs::read(block.join("meta.json"))?)?;
            bytes += folder_size(&block);
            samples += meta.pointer("/stats/numSamples").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        }
    }
    Ok(bytes / samples)
}

fn steady(
    process: &mut Process,
    generator: &mut Generator,
    series: usize,
    duration: Duration,
) -> Result<Steady> {
    let (begin, served, generator_cpu) =
        (process.usage()?, generator.served()?, generator.process.usage()?.cpu);
    let start = Instant::now();
    let (mut looks, mut rss, mut rss_anon, mut peak) = (0.0, 0.0, 0.0, 0.0f64);
    while start.elapsed() < duration {
        thread::sleep(LOOK);
        let usage = process.usage()?;
        looks += 1.0;
        rss += usage.rss;
        rss_anon += usage.rss_anon;
        peak = peak.max(usage.rss);
    }
    let seconds = start.elapsed().as_secs_f64();
    let samples = (generator.served()?.samples - served.samples) as f64;
    let millions = samples / 1e6;
    let per_series = |bytes: f64| bytes / series as f64;
    Ok(Steady {
        seconds,
        samples_per_second: samples / seconds,
        cpu_seconds_per_million_samples: (process.usage()?.cpu - begin.cpu) / millions,
        generator_cpu_seconds_per_million_samples: (generator.process.usage()?.cpu - generator_cpu)
            / millions,
        rss_per_series: per_series(rss / looks),
        rss_anon_per_series: per_series(rss_anon / looks),
        rss_peak_per_series: per_series(peak),
    })
}

fn restart(
    peer: Peer,
    program: &Path,
    folder: &Path,
    series: usize,
    range: TimeRange,
    served: u64,
    steady: &Steady,
) -> Result<Restart> {
    let port = free_port()?;
    let start = Instant::now();
    let mut process = peer.start(program, folder, port, None, &[])?;
    wait_until_ready(peer, &mut process, port)?;
    let ready_seconds = start.elapsed().as_secs_f64();
    let (series_found, full_count_seconds) = full_count(peer, port, series, range.end, start)?;
    let usage = process.usage()?;

    let page = http::get(port, "/metrics")?;
    let replay = cut::metric(&String::from_utf8_lossy(&page), "prometheus_tsdb_data_replay_duration_seconds");
    let lost_samples = served as f64 - stored_samples(peer, port, range)?;
    let rss_peak_per_series = usage.rss_peak / series as f64;
    Ok(Restart {
        ready_seconds,
        replay_seconds: replay.unwrap_or(f64::NAN),
        full_count_seconds,
        series_found,
        cpu_seconds: usage.cpu,
        rss_peak_per_series,
        rss_peak_ratio: rss_peak_per_series / steady.rss_peak_per_series,
        lost_samples,
        lost_seconds: lost_samples / steady.samples_per_second,
    })
}

/// Counts all series until they are all there, or no more come: how many, and when after `start` that was answered.
fn full_count(peer: Peer, port: u16, series: usize, time: f64, start: Instant) -> Result<(f64, f64)> {
    let (mut found, mut at) = (-1.0, Instant::now());
    while found < series as f64 && at.elapsed() < SETTLED {
        let now = single_value(port, FULL_COUNT, time, peer.query_suffix())?;
        if now > found {
            (found, at) = (now, Instant::now());
        }
    }
    Ok((found, at.duration_since(start).as_secs_f64()))
}

/// Samples of the load that are stored, counted name by name: `count_over_time` takes the name off, and without it series coincide.
fn stored_samples(peer: Peer, port: u16, range: TimeRange) -> Result<f64> {
    let span = (range.end - range.start).ceil() + 10.0;
    let names =
        http::get(port, &format!("/api/v1/label/__name__/values?start={}&end={}", range.start, range.end))?;
    let names: serde_json::Value = serde_json::from_slice(&names)?;
    let names =
        names.pointer("/data").and_then(serde_json::Value::as_array).context("no names of metrics")?;
    let mut stored = 0.0;
    for name in names.iter().filter_map(serde_json::Value::as_str) {
        // These each program makes up itself.
        if name != "up" && !name.starts_with("scrape_") {
            let expression = format!("sum(count_over_time({name}[{span}s]))");
            stored += single_value(port, &expression, range.end, peer.query_suffix())?;
        }
    }
    Ok(stored)
}

/// The load generator in a process of its own, so that its CPU is told apart.
pub(crate) struct Generator {
    process: Process,
    pub(crate) announcement: Option<Announcement>,
    port: u16,
}

impl Generator {
    pub(crate) fn start(series: usize, interval: Duration, churn: f64, gzip: bool) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(["--series", &series.to_string(), "--churn", &churn.to_string()]);
        command.args(["--interval", &model::duration::format(interval.as_millis() as i64)]);
        if gzip {
            command.arg("--gzip");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("generator")?;
        let output = child.stdout.take();
        let process = Process::of(child);
        let mut line = String::new();
        BufReader::new(output.context("generator")?).read_line(&mut line)?;
        let announcement: Announcement = serde_json::from_str(&line).context("generator")?;
        Ok(Generator { process, port: announcement.port, announcement: Some(announcement) })
    }

    pub(crate) fn served(&self) -> Result<Served> {
        Ok(serde_json::from_slice(&http::get(self.port, "/served")?)?)
    }
}

pub(crate) fn wait_until_ready(peer: Peer, process: &mut Process, port: u16) -> Result<()> {
    wait_until(|| {
        process.usage()?; // has it ended?
        Ok(http::get(port, peer.ready_path()).is_ok())
    })
}

pub(crate) fn wait_until(mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > PATIENCE {
            bail!("not after {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Bytes of all files below `folder`; what vanishes meanwhile does not count.
fn folder_size(folder: &Path) -> f64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0.0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_size(&entry.path()),
        // Blocks that are really taken: files may have room reserved at their ends.
        Ok(metadata) => std::os::unix::fs::MetadataExt::blocks(&metadata) as f64 * 512.0,
        Err(_) => 0.0,
    };
    entries.flatten().map(size).sum()
}

pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Progress goes to standard error.
#[allow(clippy::print_stderr)]
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}
