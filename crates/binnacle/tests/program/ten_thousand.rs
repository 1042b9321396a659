//! One process and very many targets: how evenly they are scraped, and that nothing grows while they come and go.
//!
//! As a part of all tests this is a small run. `make soak` and `make jitter` have the whole numbers: `BINNACLE_SOAK` is how long
//! the soak takes, `BINNACLE_JITTER` how long the jitter is measured, both as `3m`, `BINNACLE_TARGETS` how many targets there are.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::api_server::{ApiServer, synthetic_pod};

use crate::crowd::Crowd;
use crate::site::{Program, Site, prometheus_3};

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn duration(name: &str) -> Option<Duration> {
    let text = setting(name)?;
    let millis = model::duration::parse(&text).expect("a duration like 3m");
    Some(Duration::from_millis(millis as u64))
}

fn targets(full: bool) -> usize {
    let few = if full { 10_000 } else { 200 };
    setting("BINNACLE_TARGETS").map_or(few, |n| n.parse().expect("a number of targets"))
}

/// The values at these shares of the sorted list.
fn quantiles(mut values: Vec<f64>, shares: &[f64]) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let at = |share: &f64| values[((values.len() - 1) as f64 * share).round() as usize];
    shares.iter().map(at).collect()
}

/// How far each step of each list is beside the interval, in milliseconds.
fn deviations<'a>(times: impl Iterator<Item = &'a [f64]>, interval: f64) -> Vec<f64> {
    times.flat_map(|times| times.windows(2).map(move |w| (w[1] - w[0] - interval).abs() * 1000.0)).collect()
}

struct Resources {
    resident: f64,
    files: usize,
    threads: usize,
    tasks: f64,
    cpu: f64,
}

fn resources(program: &Program<'_>) -> Resources {
    let proc =
        |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", program.id())).expect("its status");
    let status = proc("status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).expect("a number")
    };
    let stat = proc("stat");
    let times = stat.rsplit_once(')').expect("a name").1.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.map(|t| t.parse::<f64>().expect("a number")).sum();
    let page = program.get("/metrics").text();
    let tasks = page
        .lines()
        .filter_map(|line| line.strip_prefix("binnacle_tasks{")?.rsplit_once(' ')?.1.parse::<f64>().ok());
    Resources {
        resident: field("RssAnon:") / 1024.0,
        files: std::fs::read_dir(format!("/proc/{}/fd", program.id())).expect("its files").count(),
        threads: field("Threads:") as usize,
        tasks: tasks.sum(),
        cpu: ticks / rustix::param::clock_ticks_per_second() as f64,
    }
}

fn show(what: &str, r: &Resources) {
    println!(
        "{what}: {:.0} MiB resident, {} files, {} threads, {} tasks, {:.1} s of CPU",
        r.resident, r.files, r.threads, r.tasks, r.cpu
    );
}

/// One run of the jitter's measurement; the p99 of what the targets saw, in milliseconds.
fn jitter(other: Option<&str>, count: usize, interval: Duration, length: Duration) -> f64 {
    let crowd = Crowd::start(100);
    let seconds = interval.as_secs_f64();
    let config = format!(
        "global: {{scrape_interval: {0}s, scrape_timeout: {0}s}}\nscrape_configs: [{{job_name: crowd, file_sd_configs: [{{files: [targets.json]}}]}}]\n",
        interval.as_secs()
    );
    let mut site = Site::server(&config);
    site.switch_to(other);
    let group = |i| json!({"targets": [crowd.address], "labels": {"instance": format!("i-{i}"), "__metrics_path__": format!("/t/{i}")}});
    site.write("targets.json", &Value::from((0..count).map(group).collect::<Vec<_>>()).to_string());
    let program = site.start();
    program.wait_for("every target to be asked twice", |_| {
        let asked = crowd.asked();
        (asked.len() == count && asked.values().all(|times| times.len() >= 2)).then_some(())
    });
    crowd.forget();
    let before = resources(&program);
    std::thread::sleep(length);
    let after = resources(&program);
    let asked: Vec<Vec<f64>> =
        crowd.asked().into_values().map(|times| times.iter().map(Duration::as_secs_f64).collect()).collect();

    println!("{} targets every {seconds} s for {length:?}: {}", count, other.unwrap_or("binnacle"));
    show("  afterwards", &after);
    let busy = (after.cpu - before.cpu) / length.as_secs_f64();
    println!("  {busy:.3} cores busy, {} connections at the targets", crowd.connections());
    let shares = [0.5, 0.99, 0.999, 1.0];
    let seen = quantiles(deviations(asked.iter().map(Vec::as_slice), seconds), &shares);
    println!(
        "  beside the interval as the targets saw it, ms: p50 {:.2}, p99 {:.2}, p99.9 {:.2}, most {:.2}",
        seen[0], seen[1], seen[2], seen[3]
    );
    // The places in the interval, in a hundred parts.
    let mut parts = [0.0; 100];
    let times = asked.iter().flatten();
    let total = times.clone().count() as f64;
    times.for_each(|t| parts[(t % seconds / seconds * 100.0) as usize] += 1.0);
    let most = parts.iter().copied().fold(0.0, f64::max) * 100.0 / total;
    println!("  the fullest hundredth of the interval has {most:.2} times its share of {total} scrapes");
    let range = format!("up[{}s]", length.as_secs());
    let stored: Vec<Vec<f64>> = program
        .samples(&range, None)
        .into_values()
        .map(|samples| samples.into_keys().map(|t| t as f64 / 1000.0).collect())
        .collect();
    let stored = quantiles(deviations(stored.iter().map(Vec::as_slice), seconds), &shares);
    println!(
        "  beside the interval by the timestamps, ms: p50 {:.2}, p99 {:.2}, p99.9 {:.2}, most {:.2}",
        stored[0], stored[1], stored[2], stored[3]
    );
    let page = program.get("/metrics").text();
    for line in page.lines().filter(|line| line.starts_with("prometheus_target_interval_length_seconds{")) {
        println!("  {line}");
    }
    assert_eq!(program.value("min(up)"), Some(1.0));
    seen[1]
}

#[test]
fn very_many_targets_are_scraped_evenly() {
    let length = duration("BINNACLE_JITTER");
    let full = length.is_some();
    let interval = Duration::from_secs(if full { 15 } else { 1 });
    let length = length.unwrap_or(Duration::from_secs(4));
    let count = targets(full);
    if full && let Some((prometheus, _)) = prometheus_3() {
        jitter(Some(&prometheus), count, interval, length);
    }
    let p99 = jitter(None, count, interval, length);
    // Of the whole run the figure is the point; it is for a machine that does nothing else.
    assert!(full || p99 < 900.0, "{p99} ms");
}

const PODS: &str = "/api/v1/pods";

/// The API server of a cluster whose pods come and go, and whose connections break.
struct Cluster {
    server: ApiServer,
    count: usize,
    present: BTreeSet<usize>,
    turn: usize,
}

impl Cluster {
    /// `count` pods at any time, of a tenth more that there are in all.
    fn start(count: usize) -> Cluster {
        let server = ApiServer::start().expect("an API server");
        let items: Vec<Value> = (0..count).map(synthetic_pod).collect();
        server.load(PODS, &json!({"metadata": {"resourceVersion": "10"}, "items": items}).to_string());
        Cluster { server, count, present: (0..count).collect(), turn: 0 }
    }

    fn name(pod: &Value) -> (&str, &str) {
        let text = |key: &str| pod["metadata"][key].as_str().expect("text");
        (text("namespace"), text("name"))
    }

    /// So many pods go, and as many others come.
    fn replace(&mut self, pods: usize) {
        let all = self.count + self.count / 10;
        for _ in 0..pods {
            self.turn += 1;
            let going = (self.turn * 7919) % all;
            if !self.present.remove(&going) {
                continue;
            }
            let pod = synthetic_pod(going);
            let (namespace, name) = Cluster::name(&pod);
            self.server.delete(PODS, namespace, name);
            let coming =
                (0..all).map(|i| (going + 1 + i) % all).find(|i| *i != going && !self.present.contains(i));
            let coming = coming.expect("a pod that is away");
            self.present.insert(coming);
            self.server.put(PODS, synthetic_pod(coming));
        }
    }

    /// What an API server does on bad days, one after the other. What is left of one ends with the next: pauses between
    /// requests grow from failure to failure, and a server that always fails would be asked twice a minute.
    fn misbehave(&self, turn: usize) {
        self.behave();
        match turn % 4 {
            0 => self.server.drop_connections(),
            1 => {
                self.server.conduct(|conduct| conduct.refusals = vec![503, 429]);
                self.server.drop_connections();
            }
            2 => {
                self.server.compact();
                self.server.drop_connections();
            }
            _ => {
                self.server.conduct(|conduct| conduct.cut_after = Some(30_000));
                self.server.drop_connections();
            }
        }
    }

    fn behave(&self) {
        self.server.conduct(|conduct| {
            conduct.refusals.clear();
            conduct.cut_after = None;
        });
    }
}

const SOAKED: &str = "
global: {scrape_interval: INTERVAL, scrape_timeout: INTERVAL}
scrape_configs:
- job_name: pods
  kubernetes_sd_configs: [{role: pod, api_server: 'SERVER'}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: 'true'}
  - {source_labels: [__meta_kubernetes_pod_container_port_name], action: keep, regex: http}
  - {source_labels: [__meta_kubernetes_namespace, __meta_kubernetes_pod_name], separator: /, target_label: __metrics_path__, replacement: /t/$1}
  - {target_label: __address__, replacement: 'CROWD'}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: instance}
";

#[test]
fn nothing_grows_while_targets_come_and_go_and_the_api_server_flaps() {
    let length = duration("BINNACLE_SOAK");
    let full = length.is_some();
    let length = length.unwrap_or(Duration::from_secs(16));
    let count = targets(full);
    let crowd = Crowd::start(20);
    let mut cluster = Cluster::start(count);
    let interval = if full { "15s" } else { "1s" };
    let config = SOAKED.replace("INTERVAL", interval).replace("SERVER", &cluster.server.url());
    let site =
        Site::server(&config.replace("CROWD", &crowd.address)).flag("--scrape.discovery-reload-interval=1s");
    let program = site.start();
    program.wait_for("every target", |_| (crowd.asked().len() >= count).then_some(()));

    let begin = Instant::now();
    let (mut warm, mut last) = (None::<Resources>, None::<Resources>);
    let (mut most_files, mut most_tasks, mut turn) = (0, 0.0f64, 0);
    while begin.elapsed() < length {
        cluster.replace((count / 200).max(1));
        if turn % 5 == 0 {
            cluster.misbehave(turn / 5);
        }
        turn += 1;
        let second = begin + Duration::from_secs(turn as u64);
        std::thread::sleep(second.saturating_duration_since(Instant::now()));
        if turn % 5 == 0 && begin.elapsed() * 2 > length {
            let now = resources(&program);
            show(&format!("after {turn} s"), &now);
            (most_files, most_tasks) = (most_files.max(now.files), most_tasks.max(now.tasks));
            match warm {
                None => warm = Some(now),
                Some(_) => last = Some(now),
            }
        }
    }
    cluster.behave();
    // At rest again: exactly the pods that are there are targets, and nothing of the others is left but their series.
    let mut wanted: Vec<String> =
        cluster.present.iter().map(|i| Cluster::name(&synthetic_pod(*i)).1.to_owned()).collect();
    wanted.sort();
    let (waiting, mut told) = (Instant::now(), 0);
    program.wait_for("the pods that are there to be the targets", |p| {
        let answer = p.data("/api/v1/targets?state=active");
        let text = |target: &Value| target["labels"]["instance"].as_str().map(str::to_owned);
        let mut found: Vec<String> = answer["activeTargets"].as_array()?.iter().filter_map(text).collect();
        found.sort();
        // The answer is long.
        std::thread::sleep(Duration::from_millis(if full { 500 } else { 20 }));
        if waiting.elapsed().as_secs() / 10 > told {
            told += 1;
            let both = found.iter().filter(|name| wanted.binary_search(name).is_ok()).count();
            println!("{} targets, {both} of {} pods", found.len(), wanted.len());
        }
        (found == wanted).then_some(())
    });
    let warm = warm.expect("a look at the program");
    let last = last.expect("another");
    let settled = program.wait_for("connections of targets that are gone to be closed", |p| {
        (crowd.connections() <= count + 5).then(|| resources(p))
    });
    show("at rest", &settled);
    println!("{} connections at the targets", crowd.connections());
    let slack = count / 10 + 100;
    assert!(most_files <= count + slack, "{most_files} files for {count} targets");
    assert!(settled.files <= count + 100, "{} files for {count} targets", settled.files);
    assert!(settled.tasks <= (count + 100) as f64, "{} tasks for {count} targets", settled.tasks);
    assert!(settled.threads <= warm.threads + 8, "{} threads, {} before", settled.threads, warm.threads);
    // Before the large answers about all targets, which the allocator may keep.
    let bound = warm.resident * 1.1 + 16.0;
    assert!(last.resident <= bound, "{:.0} MiB, {:.0} before", last.resident, warm.resident);
}
