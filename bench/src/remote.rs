//! Remote write and OTLP: what taking them costs, and what sending the first costs.

mod requests;
mod sink;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::http;
use crate::measure::{Generator, LOOK, free_port, tell, unix_seconds, wait_until, wait_until_ready};
use crate::peer::{Load, Peer, Peers};
use crate::report::{align, with_ratio};
use requests::{Connection, Shard, Version, requests};
use sink::Sink;

/// What `bench remote` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoteArgs {
    /// Series, about: of the requests, and of the load that is scraped and sent on.
    #[arg(long, default_value_t = 50_000)]
    series: usize,
    /// Samples of each series that are written; a sixth of them, the first, are not measured.
    #[arg(long, default_value_t = 72)]
    steps: usize,
    /// Connections that write at once.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How often the load is scraped.
    #[arg(long, default_value = "5s", value_parser = crate::parse_duration)]
    interval: Duration,
    /// How long sending is measured; 0 leaves that out.
    #[arg(long, default_value = "1m", value_parser = crate::parse_duration)]
    duration: Duration,
    #[command(flatten)]
    peers: Peers,
    /// Where data is written; a new folder in the system's folder for temporary files by default.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// What was seen of one program.
#[derive(Default)]
struct Seen {
    name: &'static str,
    receiving: Vec<(Version, Receiving)>,
    /// Without a destination, and with one by version.
    sending: Vec<(Option<Version>, Sending)>,
}

#[derive(Clone, Copy)]
struct Receiving {
    /// Samples a second of its own CPU time.
    per_cpu_second: f64,
    per_second: f64,
    rss_peak: f64,
}

#[derive(Clone, Copy)]
struct Sending {
    /// Seconds of CPU for a million samples that were scraped.
    cpu: f64,
    rss: f64,
    rss_anon: f64,
    /// Samples that arrived, by those that were scraped.
    arrived: f64,
}

pub(crate) fn run(args: &RemoteArgs) -> Result<()> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("binnacle-remote-{}", std::process::id())),
    };
    // VictoriaMetrics takes 1.0, and what it scrapes it does not send on.
    let found = args.peers.found();
    let mut all: Vec<Seen> =
        found.iter().map(|(peer, _)| Seen { name: peer.name(), ..Seen::default() }).collect();
    for version in Version::ALL {
        tell(&format!("making requests of {}", version.name()));
        let end = (unix_seconds() * 1000.0) as i64;
        let (shards, series) = requests(version, args.series, args.steps, args.connections.max(1), end);
        for ((peer, program), seen) in found.iter().zip(&mut all) {
            if *peer == Peer::VictoriaMetrics && version != Version::V1 {
                continue;
            }
            let own = folder.join(format!("{}-receives-{}", peer.name(), version.name()));
            match receive(*peer, program, &own, version, &shards, series) {
                Ok(figures) => seen.receiving.push((version, figures)),
                Err(error) => tell(&format!("{}: {error:#}", peer.name())),
            }
        }
    }
    let versions = [None, Some(Version::V1), Some(Version::V2)];
    for ((peer, program), seen) in found.iter().zip(&mut all) {
        if *peer == Peer::VictoriaMetrics || args.duration.is_zero() {
            continue;
        }
        for version in versions {
            let name = version.map_or("nothing", Version::name);
            let own = folder.join(format!("{}-sends-{name}", peer.name()));
            match send(*peer, program, &own, version, args) {
                Ok(figures) => seen.sending.push((version, figures)),
                Err(error) => tell(&format!("{}: {error:#}", peer.name())),
            }
        }
    }
    if args.folder.is_none() {
        let _ = fs::remove_dir_all(&folder);
    }
    print(&all);
    Ok(())
}

fn receive(
    peer: Peer,
    program: &Path,
    folder: &Path,
    version: Version,
    shards: &[Shard],
    series: usize,
) -> Result<Receiving> {
    tell(&format!("{}: taking {}", peer.name(), version.name()));
    fs::create_dir_all(folder)?;
    let port = free_port()?;
    let flags: &[&str] = match (peer.cuts_blocks(), version) {
        (false, _) => &[],
        (true, Version::Otlp) => &["--web.enable-otlp-receiver"],
        (true, Version::V1 | Version::V2) => &["--web.enable-remote-write-receiver"],
    };
    let mut process = peer.start(program, folder, port, None, flags)?;
    wait_until_ready(peer, &mut process, port)?;
    let mut connections =
        shards.iter().map(|_| Connection::open(port, version)).collect::<Result<Vec<_>>>()?;
    let steps = shards.first().map_or(0, |shard| shard.steps.len());
    let first = steps / 6;
    post(&mut connections, shards, 0..first)?;
    let (before, begun) = (process.usage()?.cpu, Instant::now());
    post(&mut connections, shards, first..steps)?;
    let took = begun.elapsed().as_secs_f64();
    // What is written behind the answers counts too.
    thread::sleep(Duration::from_secs(2));
    let usage = process.usage()?;
    let samples = (series * (steps - first)) as f64;
    // A receiver of 1.0 drops some of what it does not like, and says that all is well.
    if peer.cuts_blocks() {
        let (stored, all) = (stored(port)?, (series * steps) as f64);
        if stored != all {
            bail!("{stored} samples of {all} were stored");
        }
    }
    Ok(Receiving {
        per_cpu_second: samples / (usage.cpu - before),
        per_second: samples / took,
        rss_peak: usage.rss_peak,
    })
}

/// Floats that were appended since the start.
fn stored(port: u16) -> Result<f64> {
    let page = http::get(port, "/metrics")?;
    let page = String::from_utf8_lossy(&page);
    let name = "prometheus_tsdb_head_samples_appended_total{type=\"float\"} ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.context("no count of samples")?.trim().parse().context("a count of samples")
}

fn post(connections: &mut [Connection], shards: &[Shard], steps: std::ops::Range<usize>) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = connections
            .iter_mut()
            .zip(shards)
            .map(|(connection, shard)| {
                let bodies = shard.steps.get(steps.clone()).unwrap_or_default();
                scope.spawn(move || bodies.iter().flatten().try_for_each(|body| connection.post(body)))
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread has panicked"))?)
    })
}

fn send(
    peer: Peer,
    program: &Path,
    folder: &Path,
    version: Option<Version>,
    args: &RemoteArgs,
) -> Result<Sending> {
    let name = version.map_or("nothing", Version::name);
    tell(&format!("{}: sending {name} for {} s", peer.name(), args.duration.as_secs()));
    fs::create_dir_all(folder)?;
    let sink = Sink::start()?;
    let mut generator = Generator::start(args.series, args.interval, 0.0, false)?;
    let announcement = generator.announcement.take().context("the generator did not announce itself")?;
    let more = version.map_or_else(String::new, |version| {
        format!(
            "remote_write:\n- url: http://127.0.0.1:{}/\n  protobuf_message: {}\n",
            sink.port,
            version.message()
        )
    });
    let load = Load { announcement: &announcement, interval: args.interval, more: &more };
    let port = free_port()?;
    let mut process = peer.start(program, folder, port, Some(&load), &[])?;
    wait_until_ready(peer, &mut process, port)?;
    wait_until(|| {
        process.usage()?;
        Ok(generator.served()?.fewest >= 3)
    })?;
    let (before, served, taken) = (process.usage()?.cpu, generator.served()?.samples, sink.samples());
    let begun = Instant::now();
    let (mut looks, mut rss, mut rss_anon) = (0.0, 0.0, 0.0);
    while begun.elapsed() < args.duration {
        thread::sleep(LOOK);
        let usage = process.usage()?;
        looks += 1.0;
        rss += usage.rss;
        rss_anon += usage.rss_anon;
    }
    let samples = (generator.served()?.samples - served) as f64;
    if samples == 0.0 {
        bail!("nothing was scraped");
    }
    Ok(Sending {
        cpu: (process.usage()?.cpu - before) / samples * 1e6,
        rss: rss / looks,
        rss_anon: rss_anon / looks,
        arrived: (sink.samples() - taken) as f64 / samples,
    })
}

/// A line of the table: its name, and the figure.
type Figure<T> = (&'static str, fn(&T) -> f64);

#[allow(clippy::print_stdout)] // the results
fn print(all: &[Seen]) {
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(all.iter().map(|seen| seen.name.to_owned()));
    let mut row = |name: String, figure: &dyn Fn(&Seen) -> Option<f64>| {
        if all.iter().all(|seen| figure(seen).is_none()) {
            return;
        }
        let first = all.first().and_then(figure).unwrap_or(f64::NAN);
        let cells = all
            .iter()
            .enumerate()
            .map(|(place, seen)| with_ratio(figure(seen).unwrap_or(f64::NAN), first, place));
        rows.push(std::iter::once(name).chain(cells).collect());
    };
    let receiving: [Figure<Receiving>; 3] = [
        ("samples per CPU second", |r| r.per_cpu_second),
        ("samples/s", |r| r.per_second),
        ("RSS MiB, peak", |r| r.rss_peak / f64::from(1 << 20)),
    ];
    for version in Version::ALL {
        for (name, figure) in receiving {
            row(format!("taking {}: {name}", version.name()), &|seen| {
                seen.receiving.iter().find(|(v, _)| *v == version).map(|(_, r)| figure(r))
            });
        }
    }
    let sending: [Figure<Sending>; 4] = [
        ("CPU s per million samples", |s| s.cpu),
        ("RSS MiB, mean", |s| s.rss / f64::from(1 << 20)),
        ("RssAnon MiB, mean", |s| s.rss_anon / f64::from(1 << 20)),
        ("arrived", |s| s.arrived),
    ];
    let of = |seen: &Seen, version: Option<Version>| {
        seen.sending.iter().find(|(v, _)| *v == version).map(|(_, sending)| *sending)
    };
    for version in [None, Some(Version::V1), Some(Version::V2)] {
        let what = version.map_or("scraping".to_owned(), |v| format!("and sending {}", v.name()));
        for (name, figure) in sending {
            if version.is_some() || name != "arrived" {
                row(format!("{what}: {name}"), &|seen| of(seen, version).as_ref().map(figure));
            }
        }
        if version.is_some() {
            row(format!("{what}: CPU s more"), &|seen| Some(of(seen, version)?.cpu - of(seen, None)?.cpu));
            row(format!("{what}: RssAnon MiB more"), &|seen| {
                Some((of(seen, version)?.rss_anon - of(seen, None)?.rss_anon) / f64::from(1 << 20))
            });
        }
    }
    print!("{}", align(&rows));
}
