//! What taking in a page costs a sample, without network: `cargo run --release -p scrape --example intake`. With the
//! address of a server (`127.0.0.1:9100`) it scrapes that for five seconds, twenty times a second, and prints the cost
//! with network.
//!
//! Pages of 10,000 lines of 258 bytes; half of the values change from page to page, as counters and gauges do.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use discovery::{ADDRESS, LabelParts, TargetGroup, TargetSets};
use exposition::{Family, MetricValue, Registry};
use model::Labels;
use scrape::{JobOptions, Manager, ManagerOptions, PageIntake};
use storage::{Affinity, Append, AppendError, Batch, Outcome, Resolved, SeriesRef};

const LINES: usize = 10_000;
const PAGES: usize = 8;
const ROUNDS: usize = 60;

/// A store that gives out numbers and keeps nothing: what is left is the cost of scraping.
#[derive(Default)]
struct Nothing(std::sync::atomic::AtomicU64);

impl Append for Nothing {
    fn resolve(&self, _: Affinity, _: &Labels) -> Result<Resolved, AppendError> {
        let id = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Resolved { series: SeriesRef(id), created: true })
    }

    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        outcome.rejected.clear();
        outcome.appended = batch.samples.len();
        Ok(())
    }
}

/// Page number `page`; lines whose number modulo `PAGES * 40` is `page * 40` are left out when `churn`.
fn page(page: usize, churn: bool) -> Vec<u8> {
    let mut out = String::new();
    for line in 0..LINES {
        if line % 100 == 0 {
            let name = line / 100;
            let _ = writeln!(
                out,
                "# HELP container_metric_{name}_total What metric {name} of a container counts."
            );
            let _ = writeln!(out, "# TYPE container_metric_{name}_total counter");
        }
        if churn && line % (PAGES * 40) == page * 40 {
            continue;
        }
        let start = out.len();
        let _ = write!(
            out,
            "container_metric_{}_total{{container=\"app-{}\",id=\"/kubepods.slice/kubepods-burstable.slice/pod{:032x}\",\
             image=\"registry.example/team/app:{}\",namespace=\"team-{}\",pod=\"app-{}-{:010x}\"",
            line / 100,
            line % 7,
            line * 7919,
            line % 30,
            line % 13,
            line % 70,
            line * 104_729
        );
        let fill = 240 - (out.len() - start).min(230);
        let _ = write!(out, ",zone=\"{}\"}} ", "z".repeat(fill));
        let _ = match line % 4 {
            0 => writeln!(out, "{}", line * 1000 + page * 15),
            1 => writeln!(out, "{}.{:03}", line * 17 + page, (line * 31 + page * 7) % 1000),
            2 => writeln!(out, "{}", line % 3),
            _ => writeln!(out, "{}e+06", 1.5 + (line % 100) as f64),
        };
    }
    out.into_bytes()
}

fn measure(title: &str, churn: bool) -> Result<(), String> {
    let pages: Vec<Vec<u8>> = (0..PAGES).map(|p| page(p, churn)).collect();
    let mut intake = PageIntake::new(Arc::new(Nothing::default()))?;
    let mut nanos = Vec::new();
    let mut copied = Vec::new();
    for round in 0..ROUNDS {
        for page in &pages {
            let mut body = intake.buffer();
            let start = Instant::now();
            body.extend_from_slice(page);
            let copy = start.elapsed();
            let stamp = 1_700_000_000_000_000_000 + (round * PAGES) as i64;
            let start = Instant::now();
            let error = intake.take_in(body, "text/plain; version=0.0.4", stamp);
            let took = start.elapsed();
            if !error.is_empty() {
                return Err(error);
            }
            nanos.push(took.as_nanos() as f64 / LINES as f64);
            copied.push(copy.as_nanos() as f64 / LINES as f64);
        }
    }
    nanos.sort_by(f64::total_cmp);
    copied.sort_by(f64::total_cmp);
    let bytes = pages[0].len() / LINES;
    let text = format!(
        "{title}: {:.0} ns a sample (median; best {:.0}), {bytes} bytes of page a sample; copying the page {:.0} ns\n",
        nanos[nanos.len() / 2],
        nanos[0],
        copied[copied.len() / 2]
    );
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).map_err(|err| err.to_string())
}

/// Targets that are seen for the first time.
fn measure_first() -> Result<(), String> {
    let first = page(0, false);
    let mut nanos = Vec::new();
    for _ in 0..ROUNDS {
        let mut intake = PageIntake::new(Arc::new(Nothing::default()))?;
        let start = Instant::now();
        intake.take_in(first.clone(), "text/plain; version=0.0.4", 1_700_000_000_000_000_000);
        nanos.push(start.elapsed().as_nanos() as f64 / LINES as f64);
    }
    nanos.sort_by(f64::total_cmp);
    let text = format!(
        "first page of a target: {:.0} ns a sample (median; best {:.0})\n",
        nanos[ROUNDS / 2],
        nanos[0]
    );
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).map_err(|err| err.to_string())
}

/// Scrapes `address` for five seconds into the store that keeps nothing.
fn measure_network(address: &str) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|err| err.to_string())?;
    let registry = Registry::new();
    let cpu = cpu_seconds()?;
    let scraped = runtime.block_on(async {
        let manager =
            Arc::new(Manager::new(ManagerOptions::default(), Arc::new(Nothing::default()), &registry));
        let interval = Duration::from_millis(50);
        let job =
            JobOptions { scrape_interval: interval, scrape_timeout: interval, ..JobOptions::new("bench") };
        manager.apply(vec![job]).map_err(|err| err.to_string())?;
        let group = TargetGroup {
            source: "0".to_owned(),
            targets: [Labels::from_pairs([(ADDRESS, address)]).into()].into(),
            labels: LabelParts::default(),
        };
        let sets = TargetSets::new([("bench".to_owned(), vec![Arc::new(group)])].into());
        let (_sender, receiver) = tokio::sync::watch::channel(sets);
        let running = manager.clone();
        tokio::spawn(async move { running.run(receiver).await });
        tokio::time::sleep(Duration::from_secs(5)).await;
        let target = manager.targets(None).active.pop().ok_or("no target")?;
        manager.stop().await;
        if target.last_error.is_empty() { Ok(()) } else { Err(target.last_error) }
    });
    scraped?;
    let lines = registry
        .gather()
        .iter()
        .filter(|f| f.name.starts_with("binnacle_scrape_lines"))
        .map(value)
        .sum::<f64>();
    let cost = (cpu_seconds()? - cpu) / lines * 1e6;
    let text = format!("with network: {cost:.3} CPU seconds a million samples, of {lines} samples\n");
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).map_err(|err| err.to_string())
}

fn value(family: &Family) -> f64 {
    match family.metrics.first().map(|m| &m.value) {
        Some(MetricValue::Float(v)) => *v,
        _ => 0.0,
    }
}

/// User and system time of this process, from `/proc/self/stat` in hundredths of a second.
fn cpu_seconds() -> Result<f64, String> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|err| err.to_string())?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}

fn main() -> Result<(), String> {
    if let Some(address) = std::env::args().nth(1) {
        return measure_network(&address);
    }
    measure_first()?;
    measure("same lines", false)?;
    measure("0.3 % of the lines come and go", true)
}
